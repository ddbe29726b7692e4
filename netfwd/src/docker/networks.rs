//! Networks, as the engine describes them.

use std::collections::BTreeMap;

use bollard::models::{Ipam, Network as Described};
use ipnet::IpNet;

use super::{Id, Network};

/// The driver of networks that are bridges of this host.
const BRIDGE_DRIVER: &str = "bridge";
/// Docker names a bridge after this many digits of its network's id.
const ID_DIGITS: usize = 12;

/// Options of a network.
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const IS_DEFAULT: &str = "com.docker.network.bridge.default_bridge";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const GATEWAY_MODE: [&str; 2] =
    ["com.docker.network.bridge.gateway_mode_ipv4", "com.docker.network.bridge.gateway_mode_ipv6"];

/// The networks that are bridges.
pub(super) fn bridges(described: Vec<Described>) -> BTreeMap<Id, Network> {
    described.into_iter().filter_map(bridge).collect()
}

fn bridge(described: Described) -> Option<(Id, Network)> {
    if described.driver.as_deref() != Some(BRIDGE_DRIVER) {
        return None;
    }
    let id = described.id?;
    let options = described.options.unwrap_or_default();
    let option = |name: &str| options.get(name).map(String::as_str);
    let is_internal = described.internal.unwrap_or_default();
    // On the default bridge it says whether Docker itself masquerades (`ip-masq`), and that it shall not.
    let is_masqueraded = !is_internal && (is_on(option(IS_DEFAULT), false) || is_on(option(MASQUERADE), true));
    let subnets = subnets(described.ipam);
    let [mode, mode6] = GATEWAY_MODE.map(option);
    let mode = |subnet: &IpNet| if subnet.addr().is_ipv4() { mode } else { mode6 };
    let leaves_by_host = |subnet: &&IpNet| is_masqueraded && !matches!(mode(subnet), Some("routed" | "isolated"));
    // What is published of a routed network is reached at its own address.
    let is_apart = |subnet: &&IpNet| !matches!(mode(subnet), Some("routed" | "nat-unprotected"));
    let network = Network {
        name: described.name.unwrap_or_default(),
        bridge: option(BRIDGE_NAME).map_or_else(|| default_name(&id), str::to_owned),
        masqueraded: subnets.iter().filter(leaves_by_host).copied().collect(),
        apart: subnets.iter().filter(is_apart).copied().collect(),
        subnets,
        is_internal,
    };
    Some((id, network))
}

fn default_name(id: &str) -> String {
    format!("br-{}", id.chars().take(ID_DIGITS).collect::<String>())
}

/// Options are text, which Docker reads with Go's `strconv.ParseBool`.
fn is_on(option: Option<&str>, default: bool) -> bool {
    match option {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
        Some(_) | None => default,
    }
}

fn subnets(ipam: Option<Ipam>) -> Vec<IpNet> {
    let pools = ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    pools.iter().filter_map(|pool| Some(pool.subnet.as_deref()?.parse::<IpNet>().ok()?.trunc())).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "b63f40530c6bd4d9e617d65a1ab3ae4eb4362b804015a163a44728eb7a241d68";

    fn one(mut described: serde_json::Value) -> Option<Network> {
        described["Id"] = json!(ID);
        let networks = bridges(vec![serde_json::from_value(described).unwrap()]);
        networks.get(ID).cloned()
    }

    fn texts(nets: &[IpNet]) -> Vec<String> {
        nets.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_bridge_has_the_name_of_its_option_or_of_its_id() {
        let plain = one(json!({"Name": "x", "Driver": "bridge"})).unwrap();
        assert_eq!((plain.name.as_str(), plain.bridge.as_str()), ("x", "br-b63f40530c6b"));
        let named = json!({"Name": "x", "Driver": "bridge", "Options": {"com.docker.network.bridge.name": "dmz0"}});
        assert_eq!(one(named).unwrap().bridge, "dmz0");
    }

    #[test]
    fn networks_of_other_drivers_are_none_of_ours() {
        for driver in ["host", "null", "macvlan", "overlay"] {
            assert_eq!(one(json!({"Name": "x", "Driver": driver})), None);
        }
    }

    #[test]
    fn the_default_bridge_is_masqueraded_when_docker_is_told_not_to_do_it() {
        let options = json!({
            "com.docker.network.bridge.default_bridge": "true",
            "com.docker.network.bridge.enable_ip_masquerade": "false",
            "com.docker.network.bridge.name": "docker0",
        });
        let ipam = json!({"Driver": "default", "Options": null, "Config": [{"Subnet": "172.17.0.0/16"}]});
        let network = one(json!({"Name": "bridge", "Driver": "bridge", "IPAM": ipam, "Options": options})).unwrap();
        assert_eq!(network.bridge, "docker0");
        assert_eq!(texts(&network.masqueraded), ["172.17.0.0/16"]);
    }

    #[test]
    fn a_user_s_network_is_masqueraded_unless_it_says_no_or_is_internal_or_routed() {
        let ipam = json!({"Config": [{"Subnet": "172.18.0.0/16"}, {"Subnet": "fd00:18::/64"}, {"Subnet": "?"}, {}]});
        let masqueraded = |is_internal: bool, options: serde_json::Value| {
            let network = json!({"Driver": "bridge", "IPAM": ipam, "Internal": is_internal, "Options": options});
            let network = one(network).unwrap();
            assert_eq!(texts(&network.subnets), ["172.18.0.0/16", "fd00:18::/64"]);
            assert_eq!(network.is_internal, is_internal);
            texts(&network.masqueraded)
        };
        assert_eq!(masqueraded(false, json!({})), ["172.18.0.0/16", "fd00:18::/64"]);
        assert!(masqueraded(true, json!({})).is_empty());
        assert!(masqueraded(false, json!({"com.docker.network.bridge.enable_ip_masquerade": "false"})).is_empty());
        let routed = json!({"com.docker.network.bridge.gateway_mode_ipv6": "routed"});
        assert_eq!(masqueraded(false, routed), ["172.18.0.0/16"]);
    }

    #[test]
    fn every_network_is_kept_apart_but_for_those_that_are_open() {
        let apart = |options: serde_json::Value| {
            let ipam = json!({"Config": [{"Subnet": "172.18.0.0/16"}, {"Subnet": "fd00:18::/64"}]});
            texts(&one(json!({"Driver": "bridge", "IPAM": ipam, "Options": options})).unwrap().apart)
        };
        let all = ["172.18.0.0/16", "fd00:18::/64"];
        assert_eq!(apart(json!({"com.docker.network.bridge.enable_ip_masquerade": "false"})), all);
        assert_eq!(apart(json!({"com.docker.network.bridge.gateway_mode_ipv4": "isolated"})), all);
        assert_eq!(apart(json!({"com.docker.network.bridge.gateway_mode_ipv4": "routed"})), all[1..]);
        assert_eq!(apart(json!({"com.docker.network.bridge.gateway_mode_ipv6": "nat-unprotected"})), all[..1]);
    }
}
