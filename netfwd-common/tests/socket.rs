//! Host access: which endpoints of the host lead a socket to a container, and what it is told of its peer.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use netfwd_common::{
    abi::{Endpoint, Mapping, Protocol, Rule, SocketPeer, V4, V6},
    socket::{self, Mappings, Request, Tables},
};

const COOKIE: u64 = 7;
const DEAD_RULE: Rule = Rule { id: 1, generation: 2 };

#[derive(Default)]
struct Host {
    v4: HashMap<(Protocol, Endpoint<V4>), Mapping<V4>>,
    v6: HashMap<(Protocol, Endpoint<V6>), Mapping<V6>>,
    addresses: HashSet<V6>,
    peers: RefCell<HashMap<SocketPeer, Endpoint<V6>>>,
}

impl Mappings<V4> for Host {
    fn mapping(&self, protocol: Protocol, host: Endpoint<V4>) -> Option<&Mapping<V4>> {
        self.v4.get(&(protocol, host))
    }
}

impl Mappings<V6> for Host {
    fn mapping(&self, protocol: Protocol, host: Endpoint<V6>) -> Option<&Mapping<V6>> {
        self.v6.get(&(protocol, host))
    }
}

impl Tables for Host {
    fn is_host_address(&self, address: V6) -> bool {
        self.addresses.contains(&address)
    }

    fn is_in_force(&self, rule: Rule) -> bool {
        rule != DEAD_RULE
    }

    fn remember(&self, peer: SocketPeer, asked: Endpoint<V6>) {
        self.peers.borrow_mut().insert(peer, asked);
    }

    fn asked(&self, peer: SocketPeer) -> Option<Endpoint<V6>> {
        self.peers.borrow().get(&peer).copied()
    }
}

impl Host {
    /// A host with an address of each family.
    fn new() -> Self {
        let addresses = ["192.0.2.1", "2001:db8::1"].map(|address| wide(address.parse().unwrap()));
        Self { addresses: addresses.into(), ..Self::default() }
    }

    /// With TCP mappings, each `HOST CONTAINER`.
    fn with(mut self, mappings: &[&str]) -> Self {
        for mapping in mappings {
            let (host, container) = mapping.split_once(' ').unwrap();
            self.add(host.parse().unwrap(), container.parse().unwrap(), Rule { id: 1, generation: 1 });
        }
        self
    }

    fn add(&mut self, host: SocketAddr, container: SocketAddr, rule: Rule) {
        let (first, tcp) = (host.port(), Protocol::TCP);
        match (host.ip(), container.ip()) {
            (IpAddr::V4(host), IpAddr::V4(target)) => {
                let mapping = Mapping::new(rule, first, first, Endpoint::new(target.octets(), container.port()));
                self.v4.insert((tcp, Endpoint::new(host.octets(), first)), mapping);
            }
            (IpAddr::V6(host), IpAddr::V6(target)) => {
                let mapping = Mapping::new(rule, first, first, Endpoint::new(target.octets(), container.port()));
                self.v6.insert((tcp, Endpoint::new(host.octets(), first)), mapping);
            }
            _ => unreachable!("{host} and {container} are of different families"),
        }
    }

    /// Where a socket that asks for `destination` is connected to.
    fn connect(&self, destination: &str) -> Option<String> {
        socket::connect(self, &request(destination)).map(text)
    }

    /// Where a datagram for `destination` is sent to.
    fn send(&self, destination: &str) -> Option<String> {
        socket::send(self, &request(destination)).map(text)
    }

    /// What the socket is told of its peer.
    fn peer(&self, container: &str, is_v4_only: bool) -> Option<String> {
        socket::answer(self, SocketPeer::new(COOKIE, endpoint(container)), is_v4_only).map(text)
    }
}

fn request(destination: &str) -> Request {
    let (protocol, destination) = (Protocol::TCP, endpoint(destination));
    Request { socket: COOKIE, protocol, source: [0; 16], interface: 0, destination }
}

fn wide(address: IpAddr) -> V6 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn endpoint(text: &str) -> Endpoint<V6> {
    let address: SocketAddr = text.parse().unwrap();
    Endpoint::new(wide(address.ip()), address.port())
}

fn text(endpoint: Endpoint<V6>) -> String {
    let address = Ipv6Addr::from(endpoint.address);
    SocketAddr::new(address.into(), u16::from_be_bytes(endpoint.port)).to_string()
}

#[test]
fn a_mapping_of_any_address_serves_every_address_of_the_host() {
    let host = Host::new().with(&["0.0.0.0:8080 172.17.0.2:80"]);
    for own in ["127.0.0.1", "127.5.5.5", "192.0.2.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::ffff:192.0.2.1]"] {
        assert_eq!(host.connect(&format!("{own}:8080")), Some("[::ffff:172.17.0.2]:80".to_owned()), "{own}");
    }
    for other in ["192.0.2.2:8080", "127.0.0.1:8081", "172.17.0.2:80", "[2001:db8::2]:8080"] {
        assert_eq!(host.connect(other), None, "{other}");
    }
}

#[test]
fn a_mapping_of_one_address_serves_it_alone_and_goes_before_any() {
    let host = Host::new().with(&["127.0.0.1:8080 172.17.0.2:80", "[::1]:8080 [fd00::2]:80"]);
    assert_eq!(host.connect("127.0.0.1:8080"), Some("[::ffff:172.17.0.2]:80".to_owned()));
    assert_eq!(host.connect("[::1]:8080"), Some("[fd00::2]:80".to_owned()));
    for other in ["127.0.0.2:8080", "192.0.2.1:8080", "[2001:db8::1]:8080"] {
        assert_eq!(host.connect(other), None, "{other}");
    }
    let host = host.with(&["0.0.0.0:8080 172.17.0.3:80"]);
    assert_eq!(host.connect("127.0.0.1:8080"), Some("[::ffff:172.17.0.2]:80".to_owned()));
    assert_eq!(host.connect("192.0.2.1:8080"), Some("[::ffff:172.17.0.3]:80".to_owned()));
}

#[test]
fn an_address_that_is_not_the_hosts_now_is_left_alone() {
    let host = Host::new().with(&["192.0.2.9:8080 172.17.0.2:80"]);
    assert_eq!(host.connect("192.0.2.9:8080"), None, "another host may have it");
}

#[test]
fn an_ipv6_endpoint_is_served_by_ipv6_mappings_first() {
    let host = Host::new().with(&["0.0.0.0:8080 172.17.0.2:80"]);
    for own in ["[::1]:8080", "[::]:8080", "[2001:db8::1]:8080"] {
        assert_eq!(host.connect(own), Some("[::ffff:172.17.0.2]:80".to_owned()), "{own}");
    }
    let host = host.with(&["[::]:8080 [fd00::2]:80"]);
    assert_eq!(host.connect("[::1]:8080"), Some("[fd00::2]:80".to_owned()));
    assert_eq!(host.connect("[::ffff:127.0.0.1]:8080"), Some("[::ffff:172.17.0.2]:80".to_owned()));
}

#[test]
fn a_mapping_of_one_ipv4_address_serves_no_ipv6_address() {
    let host = Host::new().with(&["127.0.0.1:8080 172.17.0.2:80"]);
    assert_eq!(host.connect("[::1]:8080"), None);
    assert_eq!(host.connect("[::ffff:127.0.0.1]:8080"), Some("[::ffff:172.17.0.2]:80".to_owned()));
}

#[test]
fn a_datagram_crosses_no_families() {
    let host = Host::new().with(&["0.0.0.0:53 172.17.0.2:5353"]);
    assert_eq!(host.send("127.0.0.1:53"), Some("[::ffff:172.17.0.2]:5353".to_owned()));
    assert_eq!(host.send("[::1]:53"), None, "the kernel would refuse it");
    assert_eq!(host.with(&["[::]:53 [fd00::2]:5353"]).send("[::1]:53"), Some("[fd00::2]:5353".to_owned()));
}

#[test]
fn a_socket_whose_answers_would_go_astray_is_left_alone() {
    let host = Host::new().with(&["0.0.0.0:8080 172.17.0.2:80", "[::]:9090 [fd00::2]:90"]);
    let from = |source: &str, destination: &str| {
        let request = Request { source: wide(source.parse().unwrap()), ..request(destination) };
        socket::connect(&host, &request).is_some()
    };
    assert!(from("192.0.2.1", "127.0.0.1:8080") && from("2001:db8::1", "[::1]:9090"));
    assert!(!from("127.0.0.1", "127.0.0.1:8080") && !from("::1", "[::1]:9090"));
    assert!(!from("2001:db8::1", "[::1]:8080"), "from an IPv6 address to an IPv4 one");
    let bound = Request { interface: 2, ..request("127.0.0.1:8080") };
    assert_eq!(socket::connect(&host, &bound), None);
    assert_eq!(host.peers.borrow().len(), 2, "of those that were connected");
}

#[test]
fn only_the_mappings_protocol_and_life_count() {
    let mut host = Host::new().with(&["0.0.0.0:8080 172.17.0.2:80"]);
    let udp = Request { protocol: Protocol::UDP, ..request("127.0.0.1:8080") };
    assert_eq!(socket::connect(&host, &udp), None);
    host.add("127.0.0.1:8080".parse().unwrap(), "172.17.0.3:80".parse().unwrap(), DEAD_RULE);
    assert_eq!(host.connect("127.0.0.1:8080"), Some("[::ffff:172.17.0.2]:80".to_owned()));
}

#[test]
fn a_range_keeps_its_order() {
    let mut host = Host::new();
    let mapping = Mapping::new(Rule { id: 1, generation: 1 }, 8000, 8010, Endpoint::new([172, 17, 0, 2], 9000));
    host.v4.insert((Protocol::TCP, Endpoint::new([0; 4], 8003)), mapping);
    assert_eq!(host.connect("127.0.0.1:8003"), Some("[::ffff:172.17.0.2]:9003".to_owned()));
}

#[test]
fn a_socket_is_told_the_endpoint_that_it_asked_for() {
    let host = Host::new().with(&["0.0.0.0:53 172.17.0.2:5353", "0.0.0.0:80 172.17.0.2:8080"]);
    assert_eq!(host.peer("172.17.0.2:5353", true), None);
    host.connect("127.0.0.1:53").unwrap();
    host.connect("0.0.0.0:80").unwrap();
    assert_eq!(host.peer("172.17.0.2:5353", true), Some("[::ffff:127.0.0.1]:53".to_owned()));
    assert_eq!(host.peer("172.17.0.2:8080", true), Some("[::ffff:127.0.0.1]:80".to_owned()));
    assert_eq!(host.peer("172.17.0.3:53", true), None);
    let other = SocketPeer::new(COOKIE + 1, endpoint("172.17.0.2:5353"));
    assert_eq!(socket::answer(&host, other, true), None, "another socket has asked for nothing");
    host.send("192.0.2.1:53").unwrap();
    assert_eq!(host.peer("172.17.0.2:5353", true), Some("[::ffff:192.0.2.1]:53".to_owned()), "the last one counts");
}

#[test]
fn an_ipv4_peer_gets_no_ipv6_name() {
    let host = Host::new().with(&["0.0.0.0:8080 172.17.0.2:80"]);
    host.connect("[::1]:8080").unwrap();
    assert_eq!(host.peer("172.17.0.2:80", false), Some("[::1]:8080".to_owned()));
    assert_eq!(host.peer("172.17.0.2:80", true), None);
}
