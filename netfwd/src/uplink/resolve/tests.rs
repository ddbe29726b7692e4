use clap::Parser as _;
use netfwd_common::abi::{Filtering, PortChoice};

use super::*;
use crate::{
    commands::attach::Args,
    family::Family as _,
    host::interfaces::{Address, Ipv6},
    uplink::Found,
};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn interface(index: u32, name: &str, addresses: &[&str]) -> Interface {
    let address = |text: &&str| {
        let net: ipnet::IpNet = text.parse().unwrap();
        Address { net, is_lasting: !crate::host::interfaces::is_link_local(net), is_lent: false }
    };
    Interface {
        index,
        name: name.to_owned(),
        link_type: 1,
        is_bridge: name.starts_with("br"),
        mtu: 1500,
        addresses: addresses.iter().map(address).collect(),
        ipv6: Some(Ipv6::default()),
        ..Interface::default()
    }
}

fn host() -> Interfaces {
    Interfaces(vec![
        interface(2, "eth0", &["192.0.2.1/24", "192.0.2.9/24", "2001:db8::1/64", "fe80::1/64"]),
        interface(3, "br0", &["10.1.0.1/16"]),
        interface(4, "br1", &["10.2.0.1/16", "fd00:2::1/64", "fe80::1/64"]),
        interface(5, "br2", &["fe80::1/64"]),
        Interface { master: Some(3), ..interface(6, "eth1", &[]) },
        interface(7, "eth2", &["198.51.100.1/24"]),
    ])
}

fn resolved(line: &str, interfaces: &Interfaces) -> Result<Resolved> {
    let words = ["attach"].into_iter().chain(line.split(' '));
    resolve(&Options::from(&Line::try_parse_from(words).unwrap().args), interfaces, InUse::default())
}

fn wanted(line: &str) -> Wanted {
    resolved(line, &host()).unwrap().request.wanted
}

fn failure(line: &str, interfaces: &Interfaces) -> String {
    let Err(error) = resolved(line, interfaces) else { panic!("{line} succeeds") };
    error.to_string()
}

fn subnets(line: &str) -> Vec<String> {
    let Wanted { v4, v6, .. } = wanted(line);
    let v4 = v4.subnets.iter().map(|(network, _)| network.to_string());
    v4.chain(v6.subnets.iter().map(|(network, _)| network.to_string())).collect()
}

/// The hosts' interfaces with a changed eth2, which has no IPv6 address.
fn with_eth2(change: impl Fn(&mut Interface)) -> Interfaces {
    let mut interfaces = host();
    interfaces.0.iter_mut().filter(|interface| interface.name == "eth2").for_each(change);
    interfaces
}

#[test]
fn the_subnets_of_all_bridges_are_masqueraded_unless_some_are_given() {
    assert_eq!(subnets("eth0"), ["10.1.0.0/16", "10.2.0.0/16", "fd00:2::/64"]);
    assert_eq!(subnets("eth0 --bridge br1"), ["10.2.0.0/16", "fd00:2::/64"]);
    let line = "eth0 --bridge br0 --subnet 10.9.0.0/24 --subnet 10.1.0.0/16 --subnet fd00:9::/64";
    assert_eq!(subnets(line), ["10.1.0.0/16", "10.9.0.0/24", "fd00:9::/64"]);
    assert_eq!(subnets("eth0 --subnet fd00:9::/64"), ["fd00:9::/64"]);
}

#[test]
fn a_bridge_that_is_the_uplink_is_not_masqueraded() {
    assert_eq!(subnets("br0"), ["10.2.0.0/16"]);
}

#[test]
fn the_addresses_are_the_primary_ones_unless_given() {
    let addresses = |line| {
        let Wanted { v4, v6, .. } = wanted(line);
        (v4.subnets[0].1.ip().to_string(), v6.subnets[0].1.ip().to_string())
    };
    assert_eq!(addresses("eth0"), ("192.0.2.1".to_owned(), "2001:db8::1".to_owned()));
    let other = addresses("eth0 --address 192.0.2.9 --address fd00:2::1 --bridge br0 --subnet fd00:7::/64");
    assert_eq!(other, ("192.0.2.9".to_owned(), "fd00:2::1".to_owned()));
}

#[test]
fn an_address_must_be_the_hosts_and_one_a_family() {
    let text = failure("eth0 --address 192.0.2.7", &host());
    assert_eq!(text, "192.0.2.7 is no address of this host; eth0 has 192.0.2.1, 192.0.2.9");
    let text = failure("eth2 --address 2001:db8::7", &host());
    assert_eq!(text, "2001:db8::7 is no address of this host; eth2 has no IPv6 address");
    let text = failure("eth0 --address 192.0.2.1 --address 192.0.2.9", &host());
    assert_eq!(text, "192.0.2.1 and 192.0.2.9 are two IPv4 addresses: give one");
}

#[test]
fn without_an_ipv6_address_ipv6_is_left_out_unless_it_was_asked_for() {
    let resolved = resolved("eth2", &host()).unwrap();
    assert_eq!(resolved.request.wanted.v6.subnets, []);
    let note = "does not masquerade fd00:2::/64: eth2 has no global IPv6 address: add one with";
    assert!(resolved.notes[0].starts_with(note), "{:?}", resolved.notes);
    assert!(failure("eth2 --subnet fd00:2::/64", &host()).starts_with("eth2 has no global IPv6 address: add one"));
}

#[test]
fn why_there_is_no_ipv6_address_is_told() {
    let line = "eth2 --subnet fd00:2::/64";
    let disabled = with_eth2(|eth2| eth2.ipv6 = Some(Ipv6 { is_disabled: true, hears_routers: false }));
    let text = failure(line, &disabled);
    assert!(text.contains("IPv6 is disabled on eth2 (net.ipv6.conf.eth2.disable_ipv6 is 1): run `sysctl"), "{text}");
    assert!(failure(line, &with_eth2(|eth2| eth2.ipv6 = None)).contains("the interface's MTU is below 1280"));
    let passing = Address { net: "2001:db8::5/64".parse().unwrap(), is_lasting: false, is_lent: true };
    let text = failure(line, &with_eth2(|eth2| eth2.addresses.push(passing)));
    assert!(text.contains("eth2's IPv6 address 2001:db8::5 is tentative, deprecated or temporary"), "{text}");
}

#[test]
fn what_cannot_be_attached_to_is_refused() {
    assert!(failure("eth9", &host()).contains("there are eth0, br0"));
    assert!(failure("br2", &host()).contains("br2 has no IPv4 address: add one"));
    assert!(failure("eth1", &host()).contains("member of br0, so attach to br0"));
    assert!(failure("eth0 --bridge eth1", &host()).contains("not a bridge; there are br0, br1, br2"));
    assert!(failure("eth0 --bridge br2", &host()).contains("no subnet"));
    let bare = Interfaces(host().0.into_iter().take(1).collect());
    assert!(failure("eth0", &bare).contains("no bridge with an address"));
}

#[test]
fn the_hosts_own_subnet_is_not_masqueraded() {
    assert!(failure("eth0 --subnet 0.0.0.0/0", &host()).contains("the host's own traffic"));
    assert!(failure("eth0 --subnet 2001:db8::/32", &host()).contains("contains 2001:db8::1"));
}

#[test]
fn options_become_what_the_hooks_know() {
    let usual = wanted("eth0").interface;
    assert_eq!((usual.ports, usual.filtering()), (PortChoice::default(), Filtering::AddressAndPort));
    assert_eq!((usual.max_ports_per_source, usual.max_segment), (0, [[0; 2]; 2]));
    assert_eq!(usual.flags, abi::Interface::FAST_PATH);
    let line =
        "eth0 --filtering endpoint --max-ports-per-source 100 --pick-up --clamp-mss mtu --parity --fast-path off";
    let chosen = wanted(line).interface;
    assert_eq!((chosen.filtering(), chosen.max_ports_per_source), (Filtering::Endpoint, 100));
    assert_eq!((chosen.max_segment.map(u16::from_be_bytes), chosen.flags), ([1460, 1440], abi::Interface::PICK_UP));
    assert!(ports::keeps_parity(&chosen.ports));
}

#[test]
fn segments_of_ipv6_are_as_much_smaller_as_its_header_is_larger() {
    assert_eq!(segments(Clamp::Bytes(1400), 1500), [1400, 1380]);
    assert_eq!(segments(Clamp::Bytes(536), 1500), [536, 1220]);
    assert_eq!(segments(Clamp::Mtu, 65_536), [65_496, 65_476]);
}

#[test]
fn the_networks_of_an_uplink_are_isolated_if_asked_for() {
    let chosen = wanted("eth0 --isolate").interface;
    assert_eq!(chosen.flags, abi::Interface::FAST_PATH | abi::Interface::ISOLATE);
}

#[test]
fn an_internal_network_is_not_masqueraded() {
    let all = subnets("eth0");
    let first = all[0].as_str();
    assert_eq!(subnets(&format!("eth0 --internal {first}")), all[1..]);
    let message = failure("eth0 --subnet 10.50.0.0/16 --internal 10.50.7.0/24", &host());
    assert!(message.contains("--subnet 10.50.0.0/16 is to be masqueraded"), "{message}");
}

#[test]
fn exclusions_are_of_their_family() {
    let Wanted { v4, v6, .. } = wanted("eth0 --no-masquerade 10.0.0.0/8 --no-masquerade fc00::/7");
    assert_eq!(v4.exclusions, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(v6.exclusions, ["fc00::/7".parse().unwrap()]);
}

#[test]
fn an_uplink_is_told_by_options_that_make_it_so() {
    for line in [
        "eth0",
        "eth0 --bridge br0 --subnet 10.9.0.0/24 --subnet fd00:9::/64 --no-masquerade 10.0.0.0/8 --no-masquerade ::/0",
        "eth0 --address 192.0.2.9 --ports 1024-65535 --parity --filtering address --max-ports-per-source 3",
        "eth0 --subnet 10.9.0.0/24 --isolate --internal 172.30.0.0/16 --internal fd00:30::/64",
        "eth0 --parity --pick-up --fast-path off --xdp auto --hook tc --no-host-access --max-flows 9",
        "eth0 --clamp-mss mtu",
        "eth0 --clamp-mss 536",
        "eth0 --clamp-mss 1460",
    ] {
        let request = resolved(line, &host()).unwrap().request;
        let again = resolve(&Options::from(&request), &host(), InUse::default()).unwrap().request;
        let parts = |request: &Request| (request.wanted.clone(), request.hook, request.max_flows, request.host_access);
        assert_eq!(parts(&again), parts(&request), "{line}");
    }
}

/// What is masqueraded of the subnets that were found, and what is said of the others.
fn found(uplink: &str, subnets: &[&str]) -> Result<(Vec<String>, Vec<String>)> {
    let masqueraded = subnets.iter().map(|text| text.parse().unwrap()).collect();
    let options = Options { found: Found { masqueraded, ..Found::default() }, ..Options::new(uplink) };
    let Resolved { request, notes } = resolve(&options, &host(), InUse::default())?;
    let Wanted { v4, v6, .. } = request.wanted;
    let v4 = v4.subnets.iter().map(|(subnet, _)| subnet.to_string());
    Ok((v4.chain(v6.subnets.iter().map(|(subnet, _)| subnet.to_string())).collect(), notes))
}

#[test]
fn a_subnet_that_was_found_and_cannot_be_masqueraded_keeps_no_other_from_it() {
    let (subnets, notes) = found("eth2", &["10.1.0.0/16", "fd00:2::/64", "198.51.0.0/16"]).unwrap();
    assert_eq!(subnets, ["10.1.0.0/16"]);
    assert!(notes.iter().any(|note| note.starts_with("does not masquerade fd00:2::/64: eth2 has no")), "{notes:?}");
    assert!(notes.iter().any(|note| note.starts_with("does not masquerade 198.51.0.0/16: ")), "{notes:?}");
    assert!(found("eth1", &["10.1.0.0/16"]).is_err(), "nothing is left");
}

#[test]
fn an_address_in_use_is_kept_while_the_uplink_has_it_and_no_other_was_chosen() {
    let address = |line: &str, in_use: [u8; 4]| {
        let words = ["attach"].into_iter().chain(line.split(' '));
        let options = Options::from(&Line::try_parse_from(words).unwrap().args);
        let in_use = InUse { v4: Some(in_use), v6: None };
        resolve(&options, &host(), in_use).unwrap().request.wanted.v4.subnets[0].1
    };
    assert_eq!(address("eth0", [192, 0, 2, 9]), [192, 0, 2, 9]);
    assert_eq!(address("eth0", [192, 0, 2, 7]), [192, 0, 2, 1], "it is gone");
    assert_eq!(address("eth0 --address 192.0.2.1", [192, 0, 2, 9]), [192, 0, 2, 1]);
}

#[test]
fn what_is_isolated_is_kept_apart_also_where_it_cannot_be_masqueraded() {
    let apart = |line: &str| resolved(line, &host()).unwrap().request.wanted.choices.apart;
    assert_eq!(apart("eth2 --isolate"), ["fd00:2::/64".parse().unwrap()].into());
    assert_eq!(apart("eth2"), [].into());
}
