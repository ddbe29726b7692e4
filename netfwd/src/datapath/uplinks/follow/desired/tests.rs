use std::net::IpAddr;

use netfwd_common::abi::{self, PortChoice, Role, Rule};
use proptest::{prelude::*, sample::subsequence};

use super::*;
use crate::{datapath::uplinks::Found, host::interfaces::Address};

const UPLINK: u32 = 2;

fn addresses(texts: &[&str]) -> Vec<Address> {
    let address = |text: &&str| {
        // What ends in d is deprecated.
        let net = text.trim_end_matches('d').parse().unwrap();
        Address { net, is_lasting: !text.ends_with('d'), is_lent: false }
    };
    texts.iter().map(address).collect()
}

fn interface(index: u32, name: &str, texts: &[&str]) -> Interface {
    let is_bridge = name.starts_with("br");
    Interface { index, name: name.to_owned(), is_bridge, addresses: addresses(texts), ..Interface::default() }
}

/// A host with an uplink and a bridge, which have these addresses.
fn host(uplink: &[&str], bridge: &[&str]) -> Interfaces {
    Interfaces(vec![interface(UPLINK, "eth0", uplink), interface(3, "br0", bridge)])
}

/// What an attach leaves in maps that were empty.
fn attached(choices: Choices, interfaces: &Interfaces) -> Wanted {
    let empty = Wanted {
        ifindex: UPLINK,
        interface: abi::Interface {
            slot: 0,
            link_header: 14,
            rule: Rule::default(),
            ports: PortChoice::default(),
            max_ports_per_source: 0,
            max_segment: [[0; 2]; 2],
            filtering: 0,
            role: Role::Uplink.number(),
            flags: 0,
            pad: 0,
        },
        choices,
        v4: Networks::default(),
        v6: Networks::default(),
    };
    followed(&empty, interfaces)
}

fn followed(present: &Wanted, interfaces: &Interfaces) -> Wanted {
    desired(present, interfaces.with_index(UPLINK).unwrap(), interfaces).0
}

/// Subnets, and what they are masqueraded with.
fn masqueraded(wanted: &Wanted) -> Vec<String> {
    let v4 = wanted.v4.subnets.iter().map(|(network, address)| format!("{network} {}", address.ip()));
    let v6 = wanted.v6.subnets.iter().map(|(network, address)| format!("{network} {}", address.ip()));
    v4.chain(v6).collect()
}

fn chosen(address: &str) -> Choices {
    Choices { addresses: [address.parse().unwrap()].into(), ..Choices::default() }
}

const BRIDGE: [&str; 2] = ["10.1.0.1/16", "fd00:1::1/64"];
const OLD: [&str; 2] = ["192.0.2.1/24", "2001:db8::1/64"];

#[test]
fn an_address_that_is_gone_gives_way_to_the_uplinks_new_one() {
    let before = attached(Choices::default(), &host(&OLD, &BRIDGE));
    assert_eq!(masqueraded(&before), ["10.1.0.0/16 192.0.2.1", "fd00:1::/64 2001:db8::1"]);
    let after = followed(&before, &host(&["192.0.2.9/24", "2001:db8::9/64"], &BRIDGE));
    assert_eq!(masqueraded(&after), ["10.1.0.0/16 192.0.2.9", "fd00:1::/64 2001:db8::9"]);
}

#[test]
fn an_address_that_is_there_is_kept_whatever_else_comes() {
    let before = attached(Choices::default(), &host(&["192.0.2.1/24", "fd00:9::1/64"], &BRIDGE));
    let more = ["192.0.2.9/24", "192.0.2.1/24", "2001:db8::1/64", "fd00:9::1/64d"];
    assert_eq!(followed(&before, &host(&more, &BRIDGE)), before);
}

#[test]
fn an_address_that_is_about_to_go_is_not_taken() {
    let before = attached(Choices::default(), &host(&OLD, &BRIDGE));
    let after = followed(&before, &host(&["192.0.2.1/24", "2001:db8::8/64d", "2001:db8::9/64"], &BRIDGE));
    assert_eq!(masqueraded(&after), ["10.1.0.0/16 192.0.2.1", "fd00:1::/64 2001:db8::9"]);
}

#[test]
fn without_any_address_nothing_leaves_under_another_name() {
    let before = attached(Choices::default(), &host(&OLD, &BRIDGE));
    assert_eq!(followed(&before, &host(&[], &BRIDGE)), before);
}

#[test]
fn a_chosen_address_is_waited_for() {
    let elsewhere = |texts: &[&str]| {
        let mut interfaces = host(&OLD, &BRIDGE);
        interfaces.0.push(interface(4, "eth1", texts));
        interfaces
    };
    let before = attached(chosen("198.51.100.1"), &elsewhere(&["198.51.100.1/24"]));
    assert_eq!(masqueraded(&before)[0], "10.1.0.0/16 198.51.100.1");
    assert_eq!(followed(&before, &elsewhere(&[])), before);
}

#[test]
fn ipv6_is_masqueraded_as_soon_as_the_uplink_has_it() {
    let before = attached(Choices::default(), &host(&OLD[..1], &BRIDGE));
    assert_eq!(masqueraded(&before), ["10.1.0.0/16 192.0.2.1"]);
    assert_eq!(masqueraded(&followed(&before, &host(&OLD, &BRIDGE))).len(), 2);
}

#[test]
fn the_subnets_of_bridges_are_those_that_attach_would_take() {
    let mut interfaces = host(&OLD, &BRIDGE[..1]);
    let all = attached(Choices::default(), &interfaces);
    let one = attached(Choices { bridges: ["br0".to_owned()].into(), ..Choices::default() }, &interfaces);
    interfaces.0.push(interface(4, "br1", &["10.2.0.1/16"]));
    assert_eq!(masqueraded(&followed(&all, &interfaces)), ["10.1.0.0/16 192.0.2.1", "10.2.0.0/16 192.0.2.1"]);
    assert_eq!(followed(&one, &interfaces), one);
    let given = Choices { subnets: ["10.9.0.0/16".parse().unwrap()].into(), ..Choices::default() };
    let given = attached(given, &interfaces);
    assert_eq!(masqueraded(&followed(&given, &host(&OLD, &[]))), ["10.9.0.0/16 192.0.2.1"]);
    assert_eq!(masqueraded(&followed(&all, &host(&OLD, &[]))), [] as [&str; 0]);
}

#[test]
fn the_subnets_of_a_bridge_that_is_internal_are_not_masqueraded_whenever_it_comes() {
    let mut interfaces = host(&OLD, &BRIDGE[..1]);
    let internal = Choices { internal: ["10.2.0.0/16".parse().unwrap()].into(), ..Choices::default() };
    let before = attached(internal, &interfaces);
    interfaces.0.push(interface(4, "br1", &["10.2.0.1/16"]));
    assert_eq!(followed(&before, &interfaces), before);
}

#[test]
fn a_subnet_that_contains_the_address_stays_as_it_was() {
    let before = attached(Choices::default(), &host(&OLD, &BRIDGE[..1]));
    let mut interfaces = host(&["10.1.0.77/16"], &BRIDGE[..1]);
    interfaces.0.push(interface(4, "br1", &["10.2.0.1/16"]));
    let (wanted, conflicts) = desired(&before, &interfaces.0[0], &interfaces);
    assert_eq!(masqueraded(&wanted), ["10.1.0.0/16 192.0.2.1", "10.2.0.0/16 10.1.0.77"]);
    assert_eq!(conflicts, ["10.1.0.0/16".parse().unwrap()]);
    // A new one is not masqueraded at all.
    let new = attached(Choices::default(), &interfaces);
    assert_eq!(masqueraded(&new), ["10.2.0.0/16 10.1.0.77"]);
}

/// Some of few addresses, so that hosts often have the same ones.
fn some_host() -> impl Strategy<Value = Interfaces> {
    const UPLINKS: [&str; 6] =
        ["192.0.2.1/24", "192.0.2.2/24", "10.1.0.9/16", "2001:db8::1/64", "2001:db8::2/64d", "fd00:1::9/64"];
    const BRIDGES: [&str; 4] = ["10.1.0.1/16", "10.2.0.1/16", "fd00:1::1/64", "fe80::1/64"];
    let bridges = subsequence(&BRIDGES, 0..=BRIDGES.len());
    (subsequence(&UPLINKS, 0..=UPLINKS.len()).prop_shuffle(), bridges).prop_map(|(u, b)| host(&u, &b))
}

fn some_choices() -> impl Strategy<Value = Choices> {
    let address = prop_oneof![Just(None), Just(Some("192.0.2.2")), Just(Some("2001:db8::1"))];
    let subnet = prop_oneof![Just(None), Just(Some("10.7.0.0/16")), Just(Some("fd00:7::/64"))];
    (address, subnet, any::<bool>()).prop_map(|(address, subnet, names_bridge)| Choices {
        addresses: address.map(|text| text.parse().unwrap()).into_iter().collect(),
        subnets: subnet.map(|text| text.parse().unwrap()).into_iter().collect(),
        bridges: names_bridge.then(|| "br0".to_owned()).into_iter().collect(),
        ..Choices::default()
    })
}

proptest! {
    #[test]
    fn following_twice_changes_nothing_more(choices in some_choices(), hosts in prop::collection::vec(some_host(), 1..4)) {
        let mut wanted = attached(choices, &hosts[0]);
        for host in &hosts {
            wanted = followed(&wanted, host);
            prop_assert_eq!(&followed(&wanted, host), &wanted);
        }
    }

    #[test]
    fn a_subnet_moves_only_to_an_address_of_the_host_and_only_from_one_that_is_gone(
        choices in some_choices(), before in some_host(), after in some_host(),
    ) {
        let old = attached(choices.clone(), &before);
        let new = followed(&old, &after);
        let address = |line: &String| line.rsplit(' ').next().unwrap().parse::<IpAddr>().unwrap();
        for line in masqueraded(&new) {
            let (network, now) = (line.split(' ').next().unwrap(), address(&line));
            let then = masqueraded(&old).iter().find(|old| old.split(' ').next() == Some(network)).map(address);
            let is_own = after.with_address(now).is_some() || choices.addresses.contains(&now);
            prop_assert!(is_own || then == Some(now), "{}", line);
            prop_assert!(then.is_none_or(|then| then == now || after.0[0].addresses.iter().all(|own| own.net.addr() != then)), "{}", line);
        }
    }
}

#[test]
fn other_networks_that_were_found_are_masqueraded_beside_what_was_chosen_also_where_some_of_it_is_gone() {
    let choices = Choices { bridges: ["br0", "br-gone"].map(str::to_owned).into(), ..Choices::default() };
    let before = attached(choices, &host(&OLD, &BRIDGE));
    let masqueraded_v4 = |subnet: &str| Found { masqueraded: [subnet.parse().unwrap()].into(), ..Found::default() };
    let with = |found| Wanted { choices: Choices { found, ..before.choices.clone() }, ..before.clone() };
    let after = followed(&with(masqueraded_v4("10.9.0.0/24")), &host(&OLD, &BRIDGE));
    let expected = ["10.1.0.0/16 192.0.2.1", "10.9.0.0/24 192.0.2.1", "fd00:1::/64 2001:db8::1"];
    assert_eq!(masqueraded(&after), expected);
    assert_eq!(masqueraded(&followed(&with(Found::default()), &host(&OLD, &BRIDGE))), masqueraded(&before));
}
