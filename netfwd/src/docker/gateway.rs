//! Which of a container's networks leads outside: the one whose address published ports go to.

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr};

use bollard::models::EndpointSettings;

use super::{Id, Network};

/// The addresses of a container that its published ports lead to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
}

impl Addresses {
    /// The address in the gateway network of each family.
    ///
    /// It is libnetwork's order (`epHeap` and `getGatewayEndpoint` in moby): the highest priority; networks with a
    /// gateway of both families, of IPv6 alone, of IPv4 alone; the name. Networks that are internal or no bridges
    /// publish nothing.
    pub(super) fn choose(endpoints: &BTreeMap<String, EndpointSettings>, networks: &BTreeMap<Id, Network>) -> Self {
        let mut candidates: Vec<_> = endpoints
            .iter()
            .filter(|(_, endpoint)| leads_outside(endpoint, networks))
            .map(|(name, endpoint)| (rank(endpoint), name, endpoint))
            .collect();
        candidates.sort_by_key(|(rank, name, _)| (*rank, *name));
        let first = |address: fn(&EndpointSettings) -> Option<IpAddr>| {
            candidates.iter().find_map(|(_, _, endpoint)| address(endpoint))
        };
        Self { v4: first(v4), v6: first(v6) }
    }

    /// The one of the family of a host's address.
    pub(super) fn for_host(self, host: IpAddr) -> Option<IpAddr> {
        match host {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

fn leads_outside(endpoint: &EndpointSettings, networks: &BTreeMap<Id, Network>) -> bool {
    let network = endpoint.network_id.as_ref().and_then(|id| networks.get(id));
    network.is_some_and(|network| !network.is_internal)
}

/// The least goes first.
fn rank(endpoint: &EndpointSettings) -> impl Ord + Copy + use<> {
    let priority = endpoint.gw_priority.unwrap_or_default();
    (Reverse(priority), Reverse((v6(endpoint).is_some(), v4(endpoint).is_some())))
}

fn v4(endpoint: &EndpointSettings) -> Option<IpAddr> {
    address(endpoint.ip_address.as_ref(), endpoint.gateway.as_ref()).filter(IpAddr::is_ipv4)
}

fn v6(endpoint: &EndpointSettings) -> Option<IpAddr> {
    address(endpoint.global_ipv6_address.as_ref(), endpoint.ipv6_gateway.as_ref()).filter(IpAddr::is_ipv6)
}

/// The address, if answers find their way from it. What is not set is an empty text.
fn address(own: Option<&String>, gateway: Option<&String>) -> Option<IpAddr> {
    gateway.filter(|gateway| !gateway.is_empty())?;
    own?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Networks `a`, `b`, …, and `internal`; a network's id is its name.
    fn networks() -> BTreeMap<Id, Network> {
        let network = |name: &str| {
            let is_internal = name == "internal";
            let bridge = format!("br-{name}");
            let network = Network {
                name: name.to_owned(),
                bridge,
                subnets: vec![],
                masqueraded: vec![],
                apart: vec![],
                is_internal,
            };
            (name.to_owned(), network)
        };
        ["a", "b", "c", "internal"].map(network).into()
    }

    /// Endpoints by network, number of the address, its families, and priority.
    fn chosen(endpoints: &[(&str, u8, &str, i64)]) -> (Option<String>, Option<String>) {
        let endpoint = |&(name, number, families, priority): &(&str, u8, &str, i64)| {
            let only = |family: &str, text: String| if families.contains(family) { text } else { String::new() };
            let endpoint = json!({
                "NetworkID": name,
                "GwPriority": priority,
                "IPAddress": only("4", format!("172.{number}.0.2")),
                "Gateway": only("4", format!("172.{number}.0.1")),
                "GlobalIPv6Address": only("6", format!("fd00:{number}::2")),
                "IPv6Gateway": only("6", format!("fd00:{number}::1")),
            });
            (name.to_owned(), serde_json::from_value(endpoint).unwrap())
        };
        let endpoints = endpoints.iter().map(endpoint).collect();
        let Addresses { v4, v6 } = Addresses::choose(&endpoints, &networks());
        (v4.map(|address| address.to_string()), v6.map(|address| address.to_string()))
    }

    fn v4_of(endpoints: &[(&str, u8, &str, i64)]) -> Option<String> {
        chosen(endpoints).0
    }

    #[test]
    fn of_equal_networks_the_first_by_name_is_the_gateway() {
        assert_eq!(v4_of(&[("b", 18, "4", 0), ("a", 19, "4", 0)]).unwrap(), "172.19.0.2");
    }

    #[test]
    fn a_priority_beats_the_name() {
        assert_eq!(v4_of(&[("a", 18, "4", 0), ("b", 19, "4", 1)]).unwrap(), "172.19.0.2");
        assert_eq!(v4_of(&[("a", 18, "4", -1), ("b", 19, "4", 0)]).unwrap(), "172.19.0.2");
    }

    #[test]
    fn a_network_of_both_families_beats_one_of_a_single_family() {
        assert_eq!(v4_of(&[("a", 18, "4", 0), ("b", 19, "46", 0)]).unwrap(), "172.19.0.2");
    }

    #[test]
    fn each_family_has_the_first_network_with_a_gateway_of_it() {
        let chosen = chosen(&[("a", 18, "4", 0), ("b", 19, "6", 0), ("c", 20, "4", 0)]);
        assert_eq!(chosen, (Some("172.18.0.2".to_owned()), Some("fd00:19::2".to_owned())));
    }

    #[test]
    fn internal_networks_and_those_that_are_no_bridges_do_not_count() {
        assert_eq!(v4_of(&[("internal", 18, "4", 9), ("overlay", 19, "4", 9)]), None);
        assert_eq!(v4_of(&[("internal", 18, "4", 9), ("c", 19, "4", 0)]).unwrap(), "172.19.0.2");
    }

    #[test]
    fn without_a_gateway_an_address_does_not_count() {
        let endpoint = json!({"NetworkID": "a", "IPAddress": "172.18.0.2", "Gateway": ""});
        let endpoints = [("a".to_owned(), serde_json::from_value(endpoint).unwrap())].into();
        assert_eq!(Addresses::choose(&endpoints, &networks()), Addresses::default());
    }
}
