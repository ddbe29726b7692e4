//! `netfwd attach --isolate`: who reaches a container by its own address. The witnesses are captures in the container, and
//! its sockets.

mod control;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use lab::{Bridge, Capture, Ipv6, Lab, Netns, TcpEcho, Topology, UdpEcho, Wire, ping, tcp_ask, udp_ask};

use crate::{
    sockets::{PATIENCE, SILENCE, assert_tcp},
    support::{json, lab, said},
};

const UPLINK: &str = "ens33";
/// The containers on docker0, br1 and br2.
const ONE: [usize; 2] = [0, 1];
const TWO: usize = 2;
const INTERNAL: [usize; 2] = [3, 4];
const ISOLATE: [&str; 7] = ["attach", UPLINK, "--isolate", "--internal", "172.19.0.0/16", "--internal", "fd00:19::/64"];

fn bridge(name: &str, number: u8, containers: u8) -> Bridge {
    let inside = |host: u8| Ipv6Addr::new(0xfd00, 0x10 + u16::from(number), 0, 0, 0, 0, 0, host.into());
    let containers = 2..2 + containers;
    Bridge {
        name: name.to_owned(),
        address: Ipv4Net::new([172, 10 + number, 0, 1].into(), 16).unwrap(),
        containers: containers.clone().map(|host| [172, 10 + number, 0, host].into()).collect(),
        ipv6: Some(Ipv6 { address: Ipv6Net::new(inside(1), 64).unwrap(), others: containers.map(inside).collect() }),
    }
}

/// Three bridges, and a client that has routes to all of them.
fn two_families() -> Lab {
    let mut topology = Topology::dual_stack();
    topology.bridges.extend([bridge("br1", 8, 1), bridge("br2", 9, 2)]);
    let lab = lab(&topology);
    for (network, gateway) in [("172.16.0.0/12", "192.168.137.104"), ("fd00::/16", "2001:db8:137::104")] {
        lab.client().run(&["ip", "route", "add", network, "via", gateway]).unwrap();
    }
    lab.host().enable_forwarding().unwrap();
    lab
}

/// One family's addresses.
struct Place {
    host: IpAddr,
    client: IpAddr,
    /// The host's on docker0, br1 and br2.
    gateways: [IpAddr; 3],
    containers: [IpAddr; 5],
}

fn places() -> [Place; 2] {
    let v4 = |a, b, c, d| IpAddr::from(Ipv4Addr::new(a, b, c, d));
    let outside = |host| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0x137, 0, 0, 0, 0, host));
    let v6 = |net, host| IpAddr::from(Ipv6Addr::new(0xfd00, net, 0, 0, 0, 0, 0, host));
    [
        Place {
            host: v4(192, 168, 137, 104),
            client: v4(192, 168, 137, 1),
            gateways: [17, 18, 19].map(|net| v4(172, net, 0, 1)),
            containers: [(17, 2), (17, 3), (18, 2), (19, 2), (19, 3)].map(|(net, host)| v4(172, net, 0, host)),
        },
        Place {
            host: outside(0x104),
            client: outside(1),
            gateways: [0x17, 0x18, 0x19].map(|net| v6(net, 1)),
            containers: [(0x17, 2), (0x17, 3), (0x18, 2), (0x19, 2), (0x19, 3)].map(|(net, host)| v6(net, host)),
        },
    ]
}

/// How many packets from `source` the container sees of everything that `from` can send to it.
fn seen(lab: &Lab, (from, source): (&Netns, IpAddr), place: &Place, container: usize) -> usize {
    let (netns, to) = (&lab.containers()[container], place.containers[container]);
    let _servers =
        (UdpEcho::start_at(netns, (to, 53).into()).unwrap(), TcpEcho::start(netns, (to, 80).into()).unwrap());
    let capture = Capture::start(netns, "eth0", &format!("src host {source}")).unwrap();
    drop(tcp_ask(from, (to, 80).into(), b"SYN", SILENCE).unwrap());
    udp_ask(from, (to, 53).into(), b"datagram", SILENCE).unwrap();
    udp_ask(from, (to, 53).into(), &[7; 4000], SILENCE).unwrap();
    ping(from, to, 1, 0.2).unwrap();
    capture.stop().unwrap().lines().unwrap().len()
}

fn client<'l>(lab: &'l Lab, place: &Place) -> (&'l Netns, IpAddr) {
    (lab.client(), place.client)
}

fn container<'l>(lab: &'l Lab, place: &Place, number: usize) -> (&'l Netns, IpAddr) {
    (&lab.containers()[number], place.containers[number])
}

fn isolated(lab: &Lab, kind: &str, name: &str) -> u64 {
    let stats = json(lab, &["stats"]);
    let all = stats[kind].as_array().unwrap();
    let one = all.iter().find(|one| one["interface"]["name"] == name).unwrap();
    one["ingress"]["dropped"]["reasons"]["isolated"]["packets"].as_u64().unwrap()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_is_sent_from_outside_to_a_containers_own_address_is_dropped() {
    let lab = two_families();
    said(&lab, &["attach", UPLINK]);
    for place in places() {
        assert!(seen(&lab, client(&lab, &place), &place, ONE[0]) >= 6, "it comes through without");
    }
    said(&lab, &ISOLATE);
    for place in places() {
        for to in [ONE[0], TWO, INTERNAL[0]] {
            let before = isolated(&lab, "uplinks", UPLINK);
            assert_eq!(seen(&lab, client(&lab, &place), &place, to), 0, "{to}");
            // A SYN, a datagram, three fragments, and an echo request.
            assert!(isolated(&lab, "uplinks", UPLINK) - before >= 6);
        }
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn containers_on_different_bridges_do_not_reach_each_other() {
    let lab = two_families();
    said(&lab, &["attach", UPLINK]);
    for place in places() {
        assert!(seen(&lab, container(&lab, &place, ONE[0]), &place, TWO) >= 6, "it comes through without");
    }
    said(&lab, &ISOLATE);
    for place in places() {
        for (from, to, bridge) in [
            (ONE[0], TWO, "docker0"),
            (TWO, ONE[1], "br1"),
            (ONE[0], INTERNAL[0], "docker0"),
            (INTERNAL[0], TWO, "br2"),
        ] {
            let before = isolated(&lab, "bridges", bridge);
            assert_eq!(seen(&lab, container(&lab, &place, from), &place, to), 0, "{from} {to}");
            assert!(isolated(&lab, "bridges", bridge) - before >= 6, "{from} {to}");
        }
        assert!(seen(&lab, container(&lab, &place, ONE[0]), &place, ONE[1]) >= 6, "neighbours do");
        assert!(seen(&lab, container(&lab, &place, INTERNAL[0]), &place, INTERNAL[1]) >= 6, "neighbours do");
    }
}

/// A frame with tags of priority 0 and VLAN 0: to whom it goes, they mean nothing (IEEE 802.1Q).
fn tagged(frame: &[u8], tags: usize) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [addresses, &[0x81, 0, 0, 0].repeat(tags), rest].concat()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_priority_tag_opens_no_way() {
    let lab = two_families();
    // How many of the tagged datagrams arrive, by tags.
    let arriving = |place: &Place, from: (&Netns, IpAddr), bridge: &str| {
        let wire = Wire::open(from.0, "eth0", (lab.host(), bridge)).unwrap();
        let frame = wire.udp((from.1, 5353), (place.containers[TWO], 53), b"datagram").unwrap();
        [1, 2, 3, 4].map(|tags| {
            let capture = Capture::start(&lab.containers()[TWO], "eth0", &format!("src host {}", from.1)).unwrap();
            wire.send(&tagged(&frame, tags)).unwrap();
            capture.stop().unwrap().lines().unwrap().len()
        })
    };
    said(&lab, &["attach", UPLINK]);
    for place in places() {
        let passing = arriving(&place, container(&lab, &place, ONE[0]), "docker0");
        assert_eq!(passing[..2], [1, 1], "the stack takes them for untagged ones");
    }
    said(&lab, &ISOLATE);
    for place in places() {
        for (from, interface) in [(container(&lab, &place, ONE[0]), "docker0"), (client(&lab, &place), UPLINK)] {
            assert_eq!(arriving(&place, from, interface), [0; 4]);
        }
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn isolated_containers_reach_the_host_the_outside_and_mapped_ports() {
    let lab = two_families();
    said(&lab, &ISOLATE);
    for place in places() {
        let to = place.containers[TWO];
        let target = if to.is_ipv4() { format!("8080:{to}:80") } else { format!("8080:[{to}]:80") };
        said(&lab, &["map", &target]);
        let _mapped = TcpEcho::start(&lab.containers()[TWO], (to, 80).into()).unwrap();
        let _host = TcpEcho::start(lab.host(), (place.gateways[1], 53).into()).unwrap();
        let outside = TcpEcho::start(lab.client(), (place.client, 443).into()).unwrap();
        let [one, _] = ONE.map(|number| &lab.containers()[number]);
        assert_tcp(one, (place.gateways[1], 53));
        assert!(ping(one, place.gateways[1], 1, 0.2).unwrap().complete());
        assert_tcp(&lab.containers()[INTERNAL[0]], (place.gateways[1], 53));
        assert_tcp(one, (place.client, 443));
        assert_eq!(outside.peers()[0].ip(), place.host);
        assert!(ping(one, place.client, 1, 0.2).unwrap().complete());
        for asked in [place.host, place.gateways[1]] {
            assert_tcp(one, (asked, 8080));
        }
        assert_tcp(lab.client(), (place.host, 8080));
    }
    assert_eq!((isolated(&lab, "uplinks", UPLINK), isolated(&lab, "bridges", "docker0")), (0, 0));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn from_an_internal_network_neither_the_outside_nor_a_mapped_port_is_reached() {
    let lab = two_families();
    said(&lab, &ISOLATE);
    for place in places() {
        let to = place.containers[TWO];
        let target = if to.is_ipv4() { format!("8080:{to}:80") } else { format!("8080:[{to}]:80") };
        said(&lab, &["map", &target]);
        let mapped = TcpEcho::start(&lab.containers()[TWO], (to, 80).into()).unwrap();
        let from = &lab.containers()[INTERNAL[0]];
        let refused = tcp_ask(from, (place.host, 8080).into(), b"", PATIENCE).unwrap();
        assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused, "by the host");
        assert_eq!(mapped.peers(), []);
        let wire = Capture::start(lab.client(), "eth0", &format!("host {}", place.containers[INTERNAL[0]])).unwrap();
        assert_eq!(udp_ask(from, (place.client, 53).into(), b"", SILENCE).unwrap(), None);
        assert!(!ping(from, place.client, 1, 0.2).unwrap().complete());
        assert_eq!(wire.stop().unwrap().lines().unwrap(), Vec::<String>::new());
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn networks_that_are_not_masqueraded_towards_reach_isolated_containers() {
    let lab = two_families();
    let excluded = ["--no-masquerade", "192.168.137.0/24", "--no-masquerade", "2001:db8:137::/64"];
    said(&lab, &[&ISOLATE[..], &excluded].concat());
    for place in places() {
        let of_the_client = TcpEcho::start(lab.client(), (place.client, 443).into()).unwrap();
        let server = TcpEcho::start(&lab.containers()[ONE[0]], (place.containers[ONE[0]], 80).into()).unwrap();
        assert_tcp(&lab.containers()[ONE[0]], (place.client, 443));
        assert_tcp(lab.client(), (place.containers[ONE[0]], 80));
        assert_eq!(of_the_client.peers()[0].ip(), place.containers[ONE[0]]);
        assert_eq!(server.peers()[0].ip(), place.client);
    }
}
