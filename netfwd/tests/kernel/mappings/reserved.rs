//! Mapped ports are kept from the host's own sockets, and given back.

use std::{fs, net::UdpSocket};

use aya::maps::lpm_trie::Key;
use lab::Lab;
use netfwd::datapath::{maps::Maps, pin::PinDir};
use netfwd_common::abi::{self, Address as _, Endpoint, MappingKey, Protocol, Rule, V4};

use super::attached;
use crate::support::{refused, said};

const LIST: &str = "net/ipv4/ip_local_reserved_ports";

fn set(lab: &Lab, ports: &str) {
    lab.host().sysctl(LIST, ports).unwrap();
}

fn reserved(lab: &Lab) -> String {
    let list = lab.host().enter(netfwd::host::ports::reserved).unwrap().unwrap();
    list.to_string()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn mapped_ports_are_reserved_until_they_are_unmapped_and_others_stay() {
    let lab = attached();
    set(&lab, "100,8003-8004");
    said(&lab, &["map", "8000-8010:172.17.0.2:80-90", "53:172.17.0.2:53/tcp+udp", "100:[fd00::2]:80"]);
    assert_eq!(reserved(&lab), "53,100,8000-8010");
    said(&lab, &["unmap", "53", "100"]);
    assert_eq!(reserved(&lab), "53,100,8000-8010", "53/udp is mapped still, and 100 was reserved before");
    said(&lab, &["unmap", "53/udp"]);
    said(&lab, &["map", "--replace", "8008-8020:172.17.0.2:88-100"]);
    assert_eq!(reserved(&lab), "100,8003-8004,8008-8020");
    said(&lab, &["map", "--replace", "8020:172.17.0.3:80"]);
    assert_eq!(reserved(&lab), "100,8003-8004,8020");
    said(&lab, &["detach", "ens33"]);
    assert_eq!(reserved(&lab), "100,8003-8004");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_kernel_gives_a_mapped_port_to_no_socket() {
    let lab = attached();
    lab.host().sysctl("net/ipv4/ip_local_port_range", "40000 40001").unwrap();
    said(&lab, &["map", "40000:172.17.0.2:80"]);
    let bind = || UdpSocket::bind("0.0.0.0:0").and_then(|socket| Ok((socket.local_addr()?.port(), socket)));
    let (port, _socket) = lab.host().enter(bind).unwrap().unwrap();
    assert_eq!(port, 40001);
    lab.host().enter(bind).unwrap().unwrap_err();
    said(&lab, &["detach", "--all"]);
    assert_eq!(lab.host().enter(bind).unwrap().unwrap().0, 40000);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_long_list_of_an_administrator_stays_whole() {
    let lab = attached();
    let odd: Vec<_> = (1_u16..=9_999).step_by(2).map(|port| port.to_string()).collect();
    let odd = odd.join(",");
    // More than a page: the kernel takes it in parts.
    lab.host().enter(|| fs::write(format!("/proc/sys/{LIST}"), &odd)).unwrap().unwrap();
    assert_eq!(reserved(&lab), odd);
    said(&lab, &["map", "20000:172.17.0.2:80"]);
    assert_eq!(reserved(&lab), format!("{odd},20000"));
    said(&lab, &["unmap", "--all"]);
    assert_eq!(reserved(&lab), odd);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_a_killed_map_has_reserved_is_given_back_with_the_next_change() {
    let lab = attached();
    set(&lab, "5300-5303");
    let mut maps = Maps::open(&PinDir::new(lab.pin_dir())).unwrap();
    let rule = Rule { id: 9, generation: 77 };
    let mut mapping = abi::Mapping::new(rule, 5300, 5301, Endpoint::new([172, 17, 0, 2], 5353));
    mapping.flags = abi::Mapping::<V4>::RESERVED;
    let key = MappingKey::new(Protocol::UDP, V4::UNSPECIFIED, 5300_u16.to_be_bytes());
    maps.v4.mappings.insert(&Key::new(MappingKey::<V4>::BITS - 1, key), mapping, 0).unwrap();
    said(&lab, &["map", "80:172.17.0.2:80"]);
    assert_eq!(reserved(&lab), "80,5302-5303");
    assert_eq!(maps.v4.mappings.keys().count(), 1);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_refused_mapping_reserves_nothing() {
    let lab = attached();
    said(&lab, &["map", "8080:172.17.0.2:80"]);
    refused(&lab, &["map", "8081:172.17.0.2:80", "8080:172.17.0.3:80"], 1);
    refused(&lab, &["unmap", "8080", "8081"], 1);
    assert_eq!(reserved(&lab), "8080");
}
