//! What a lab consists of: names and addresses, and the `ip` commands that make it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The interface of every client and container, and the one of a router towards the host.
pub(crate) const INSIDE_INTERFACE: &str = "eth0";
/// Its number, which the other end's must not be: the kernel takes a veth whose peer has the same number in another
/// namespace for an ordinary interface, and lets it wait for up to a second until it is ready.
const INSIDE_INDEX: u32 = 1001;
/// The interface of a router towards the client.
pub(crate) const FAR_INTERFACE: &str = "eth1";

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
    /// The same of IPv6, if it is used at all.
    pub ipv6: Option<Ipv6>,
    /// What is between the host and the client, if they are no neighbours.
    pub router: Option<Router>,
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
    /// The same of IPv6, if it is used at all.
    pub ipv6: Option<Ipv6>,
}

/// The IPv6 addresses of an interface of the host and of those at its other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipv6 {
    /// The host's address.
    pub address: Ipv6Net,
    /// The client's addresses, or one for each container.
    pub others: Vec<Ipv6Addr>,
}

/// A router between the host, whose default route goes through it, and the client, whose default route does too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    /// Its addresses on the uplink's network, at most one of each family.
    pub near: Vec<IpNet>,
    /// Its addresses on the client's network, at most one of each family.
    pub far: Vec<IpNet>,
}

impl Default for Topology {
    fn default() -> Self {
        Self { uplinks: vec![Uplink::default()], bridges: vec![Bridge::default()], checksum_offload: true }
    }
}

impl Default for Uplink {
    fn default() -> Self {
        Self {
            name: "ens33".to_owned(),
            address: Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 137, 104), 24),
            clients: vec![Ipv4Addr::new(192, 168, 137, 1)],
            ipv6: None,
            router: None,
        }
    }
}

impl Default for Bridge {
    fn default() -> Self {
        Self {
            name: "docker0".to_owned(),
            address: Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 1), 16),
            containers: vec![Ipv4Addr::new(172, 17, 0, 2), Ipv4Addr::new(172, 17, 0, 3)],
            ipv6: None,
        }
    }
}

impl Topology {
    /// The default with IPv6: `2001:db8:137::104` on the uplink, `fd00:17::/64` on the bridge.
    ///
    /// IPv6 is not silent: captures of everything also show its neighbour discovery and multicast listeners' reports.
    #[must_use]
    pub fn dual_stack() -> Self {
        let mut topology = Self::default();
        let outside = |host| Ipv6Addr::new(0x2001, 0xdb8, 0x137, 0, 0, 0, 0, host);
        let inside = |host| Ipv6Addr::new(0xfd00, 0x17, 0, 0, 0, 0, 0, host);
        let ipv6 = |address, others| Some(Ipv6 { address: Ipv6Net::new_assert(address, 64), others });
        topology.uplinks[0].ipv6 = ipv6(outside(0x104), vec![outside(1)]);
        topology.bridges[0].ipv6 = ipv6(inside(1), vec![inside(2), inside(3)]);
        topology
    }

    /// The same, with the client of the first uplink behind a router: 198.51.100.1 and `2001:db8:198::1`.
    #[must_use]
    pub fn with_router(mut self) -> Self {
        let uplink = &mut self.uplinks[0];
        let network = |clients: &[IpAddr], length| {
            clients.first().map(|address| IpNet::new_assert(*address, length)).into_iter().collect::<Vec<_>>()
        };
        let clients: Vec<_> = uplink.clients.iter().copied().map(IpAddr::from).collect();
        let mut router =
            Router { near: network(&clients, 24), far: vec![IpNet::new_assert([198, 51, 100, 254].into(), 24)] };
        uplink.clients = vec![Ipv4Addr::new(198, 51, 100, 1)];
        if let Some(ipv6) = &mut uplink.ipv6 {
            let far = |host| Ipv6Addr::new(0x2001, 0xdb8, 0x198, 0, 0, 0, 0, host);
            let clients: Vec<_> = ipv6.others.iter().copied().map(IpAddr::from).collect();
            router.near.extend(network(&clients, 64));
            router.far.push(IpNet::new_assert(far(0xfe).into(), 64));
            ipv6.others = vec![far(1)];
        }
        uplink.router = Some(router);
        self
    }

    /// Whether anything in it has an IPv6 address.
    pub(crate) fn has_ipv6(&self) -> bool {
        let uplinks = self.uplinks.iter().any(|uplink| uplink.ipv6.is_some());
        uplinks || self.bridges.iter().any(|bridge| bridge.ipv6.is_some())
    }
}

impl Uplink {
    /// The client's addresses of both families.
    pub fn clients(&self) -> impl Iterator<Item = IpAddr> {
        let ipv6 = self.ipv6.iter().flat_map(|ipv6| ipv6.others.iter().copied().map(IpAddr::from));
        self.clients.iter().copied().map(IpAddr::from).chain(ipv6)
    }

    /// Commands for the host: the uplink, whose other end is in `namespace`.
    pub(crate) fn host_commands(&self, namespace: &str) -> Vec<String> {
        let name = &self.name;
        let mut commands = vec![veth(name, namespace)];
        commands.extend(self.networks().map(|network| add_address(network, name)));
        commands.push(format!("link set {name} up"));
        commands.extend(self.router.iter().flat_map(|router| router.near.iter().map(default_route)));
        commands
    }

    /// Commands for the client.
    pub(crate) fn client_commands(&self) -> Vec<String> {
        let networks = self.router.as_ref().map_or_else(|| self.networks().collect(), |router| router.far.clone());
        let length = |address: IpAddr| {
            let same_family = networks.iter().find(|network| network.addr().is_ipv4() == address.is_ipv4());
            same_family.map_or(0, IpNet::prefix_len)
        };
        let mut commands = vec!["link set lo up".to_owned()];
        commands.extend(self.clients().map(|client| {
            let address = IpNet::new_assert(client, length(client));
            add_address(address, INSIDE_INTERFACE)
        }));
        commands.push(format!("link set {INSIDE_INTERFACE} up"));
        commands.extend(self.router.iter().flat_map(|router| router.far.iter().map(default_route)));
        commands
    }

    /// The host's networks on it, with the host's addresses.
    fn networks(&self) -> impl Iterator<Item = IpNet> {
        networks(self.address, self.ipv6.as_ref())
    }
}

impl Router {
    /// Commands for the router, whose interface to the host exists, and whose client is in `namespace`.
    pub(crate) fn commands(&self, namespace: &str) -> Vec<String> {
        let mut commands = vec!["link set lo up".to_owned(), veth(FAR_INTERFACE, namespace)];
        for (interface, networks) in [(INSIDE_INTERFACE, &self.near), (FAR_INTERFACE, &self.far)] {
            commands.extend(networks.iter().map(|network| add_address(*network, interface)));
            commands.push(format!("link set {interface} up"));
        }
        commands
    }
}

impl Bridge {
    /// Commands for the host: the bridge, and a member for each of `containers` (member's name, namespace).
    pub(crate) fn host_commands(&self, containers: &[(String, String)]) -> Vec<String> {
        let name = &self.name;
        let mut commands = vec![format!("link add {name} type bridge")];
        commands.extend(self.networks().map(|network| add_address(network, name)));
        commands.push(format!("link set {name} up"));
        for (member, namespace) in containers {
            commands.push(veth(member, namespace));
            commands.push(format!("link set {member} master {name} up"));
        }
        commands
    }

    /// Commands for the container `number`, counted from 0.
    pub(crate) fn container_commands(&self, number: usize) -> Vec<String> {
        let mut commands = vec!["link set lo up".to_owned()];
        let addresses = self.addresses(number);
        commands.extend(addresses.zip(self.networks()).map(|(address, network)| {
            let address = IpNet::new_assert(address, network.prefix_len());
            add_address(address, INSIDE_INTERFACE)
        }));
        commands.push(format!("link set {INSIDE_INTERFACE} up"));
        commands.extend(self.networks().map(|network| default_route(&network)));
        commands
    }

    /// The host's networks on it, with the host's addresses.
    fn networks(&self) -> impl Iterator<Item = IpNet> {
        networks(self.address, self.ipv6.as_ref())
    }

    /// The addresses of container `number`, in the order of the networks.
    fn addresses(&self, number: usize) -> impl Iterator<Item = IpAddr> {
        let ipv6 = self.ipv6.as_ref().and_then(|ipv6| ipv6.others.get(number));
        self.containers.get(number).copied().map(IpAddr::from).into_iter().chain(ipv6.copied().map(IpAddr::from))
    }
}

fn networks(ipv4: Ipv4Net, ipv6: Option<&Ipv6>) -> impl Iterator<Item = IpNet> {
    [ipv4.into()].into_iter().chain(ipv6.map(|ipv6| ipv6.address.into()))
}

fn veth(interface: &str, namespace: &str) -> String {
    format!("link add {interface} type veth peer name {INSIDE_INTERFACE} index {INSIDE_INDEX} netns {namespace}")
}

fn add_address(address: IpNet, interface: &str) -> String {
    // Without duplicate address detection, an address can be used at once.
    let option = if address.addr().is_ipv4() { "broadcast +" } else { "nodad" };
    format!("address add {address} {option} dev {interface}")
}

fn default_route(gateway: &IpNet) -> String {
    format!("route add default via {}", gateway.addr())
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
                "link add ens33 type veth peer name eth0 index 1001 netns client",
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
        let commands = bridge.container_commands(0);
        assert_eq!(commands.last().map(String::as_str), Some("route add default via 172.17.0.1"));
    }

    #[test]
    fn addresses_of_ipv6_are_added_beside_those_of_ipv4() {
        let topology = Topology::dual_stack();
        let host = topology.uplinks[0].host_commands("client");
        assert!(host.contains(&"address add 2001:db8:137::104/64 nodad dev ens33".to_owned()), "{host:?}");
        let container = topology.bridges[0].container_commands(1);
        assert!(container.contains(&"address add fd00:17::3/64 nodad dev eth0".to_owned()), "{container:?}");
        assert!(container.contains(&"route add default via fd00:17::1".to_owned()), "{container:?}");
        assert!(topology.has_ipv6() && !Topology::default().has_ipv6());
    }

    #[test]
    fn a_router_takes_the_clients_place_as_the_hosts_neighbour() {
        let uplink = Topology::dual_stack().with_router().uplinks.remove(0);
        let host = uplink.host_commands("router");
        assert!(host.contains(&"route add default via 2001:db8:137::1".to_owned()), "{host:?}");
        let router = uplink.router.as_ref().unwrap().commands("client");
        assert!(router.contains(&"address add 192.168.137.1/24 broadcast + dev eth0".to_owned()), "{router:?}");
        assert!(
            router.contains(&"link add eth1 type veth peer name eth0 index 1001 netns client".to_owned()),
            "{router:?}"
        );
        let client = uplink.client_commands();
        assert!(client.contains(&"address add 2001:db8:198::1/64 nodad dev eth0".to_owned()), "{client:?}");
        assert!(client.contains(&"route add default via 198.51.100.254".to_owned()), "{client:?}");
    }
}
