//! What a lab consists of: names and addresses, and the `ip` commands that make it.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The interface of every client and container.
pub(crate) const INSIDE_INTERFACE: &str = "eth0";

/// The names and addresses of a lab. The default is the example of the documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The host's interfaces to the outside.
    pub uplinks: Vec<Uplink>,
    /// The host's bridges with their containers.
    pub bridges: Vec<Bridge>,
    /// Whether clients and containers leave the checksum of what they send to the interface, as veths do by default.
    ///
    /// With it, what TCP and UDP send has a partial checksum all the way (`CHECKSUM_PARTIAL`); without it, a complete
    /// one. A translation must keep both right.
    pub checksum_offload: bool,
}

/// An interface of the host to the outside, and the client at its other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// The interface's name.
    pub name: String,
    /// The host's address on it.
    pub address: Ipv4Net,
    /// The client's addresses. It has no route to anywhere else: an untranslated packet gets no answer.
    pub clients: Vec<Ipv4Addr>,
}

/// A bridge of the host and the containers on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// The bridge's name.
    pub name: String,
    /// The host's address on it: the containers' gateway.
    pub address: Ipv4Net,
    /// One address for each container.
    pub containers: Vec<Ipv4Addr>,
}

impl Default for Topology {
    fn default() -> Self {
        let uplink = Uplink {
            name: "ens33".to_owned(),
            address: Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 137, 104), 24),
            clients: vec![Ipv4Addr::new(192, 168, 137, 1)],
        };
        let bridge = Bridge {
            name: "docker0".to_owned(),
            address: Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 1), 16),
            containers: vec![Ipv4Addr::new(172, 17, 0, 2), Ipv4Addr::new(172, 17, 0, 3)],
        };
        Self { uplinks: vec![uplink], bridges: vec![bridge], checksum_offload: true }
    }
}

impl Uplink {
    /// Commands for the host: the uplink, whose other end is in `client_namespace`.
    pub(crate) fn host_commands(&self, client_namespace: &str) -> Vec<String> {
        let Self { name, address, .. } = self;
        vec![
            format!("link add {name} type veth peer name {INSIDE_INTERFACE} netns {client_namespace}"),
            format!("address add {address} broadcast + dev {name}"),
            format!("link set {name} up"),
        ]
    }

    /// Commands for the client.
    pub(crate) fn client_commands(&self) -> Vec<String> {
        let length = self.address.prefix_len();
        let mut commands = vec!["link set lo up".to_owned()];
        commands.extend(
            self.clients
                .iter()
                .map(|client| format!("address add {client}/{length} broadcast + dev {INSIDE_INTERFACE}")),
        );
        commands.push(format!("link set {INSIDE_INTERFACE} up"));
        commands
    }
}

impl Bridge {
    /// Commands for the host: the bridge, and a member for each of `containers` (member's name, namespace).
    pub(crate) fn host_commands(&self, containers: &[(String, String)]) -> Vec<String> {
        let Self { name, address, .. } = self;
        let mut commands = vec![
            format!("link add {name} type bridge"),
            format!("address add {address} broadcast + dev {name}"),
            format!("link set {name} up"),
        ];
        for (member, namespace) in containers {
            commands.push(format!("link add {member} type veth peer name {INSIDE_INTERFACE} netns {namespace}"));
            commands.push(format!("link set {member} master {name} up"));
        }
        commands
    }

    /// Commands for the container with `address`.
    pub(crate) fn container_commands(&self, address: Ipv4Addr) -> Vec<String> {
        let (length, gateway) = (self.address.prefix_len(), self.address.addr());
        vec![
            "link set lo up".to_owned(),
            format!("address add {address}/{length} broadcast + dev {INSIDE_INTERFACE}"),
            format!("link set {INSIDE_INTERFACE} up"),
            format!("route add default via {gateway}"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_gets_an_uplink_with_its_other_end_in_the_clients_namespace() {
        let commands = Topology::default().uplinks[0].host_commands("client");
        assert_eq!(
            commands,
            [
                "link add ens33 type veth peer name eth0 netns client",
                "address add 192.168.137.104/24 broadcast + dev ens33",
                "link set ens33 up",
            ]
        );
    }

    #[test]
    fn a_client_has_all_its_addresses_and_no_route_to_the_containers() {
        let mut uplink = Topology::default().uplinks.remove(0);
        uplink.clients.push(Ipv4Addr::new(192, 168, 137, 2));
        let commands = uplink.client_commands();
        assert_eq!(commands.iter().filter(|command| command.starts_with("address add")).count(), 2);
        assert!(commands.iter().all(|command| !command.contains("route")));
    }

    #[test]
    fn each_container_is_a_member_of_the_bridge_and_routes_through_it() {
        let bridge = &Topology::default().bridges[0];
        let commands = bridge.host_commands(&[("veth1".to_owned(), "c1".to_owned())]);
        assert!(commands.contains(&"link set veth1 master docker0 up".to_owned()));
        let commands = bridge.container_commands(bridge.containers[0]);
        assert_eq!(commands.last().map(String::as_str), Some("route add default via 172.17.0.1"));
    }
}
