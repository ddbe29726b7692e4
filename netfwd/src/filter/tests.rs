use netfwd_common::abi::{Side, V6};

use super::*;

fn flow() -> Flow<V4> {
    let endpoint = |text: &str| {
        let (address, port) = text.split_once(':').unwrap();
        Endpoint::new(address.parse::<std::net::Ipv4Addr>().unwrap().octets(), port.parse().unwrap())
    };
    let tuple = |side, source, destination| Tuple::new(Protocol::TCP, side, endpoint(source), endpoint(destination));
    let mut flow = Flow::empty();
    flow.connection.original = tuple(Side::Outside, "192.0.2.9:40000", "192.0.2.1:8080");
    flow.connection.reply = tuple(Side::Inside, "172.17.0.2:80", "192.0.2.9:40000");
    flow
}

fn matches(source: &str, destination: &str) -> bool {
    let parse = |text: &str| if text.is_empty() { vec![] } else { vec![text.parse().unwrap()] };
    Filter { source: parse(source), destination: parse(destination), ..Filter::default() }.matches(&flow())
}

#[test]
fn no_filter_matches_all() {
    assert!(Filter::default().matches(&flow()));
}

#[test]
fn an_endpoint_matches_before_or_after_translation() {
    assert!(matches("192.0.2.9", "") && matches("192.0.2.0/24:40000", ""));
    assert!(matches("", "192.0.2.1:8080") && matches("", "172.17.0.2:80") && matches("", ":80"));
    assert!(!matches("172.17.0.2", "") && !matches("", "192.0.2.1:80") && !matches("192.0.2.9", ":81"));
}

#[test]
fn protocol_and_state_must_be_the_same() {
    let with_protocol = |protocol| Filter { protocol: Some(protocol), ..Filter::default() };
    assert!(with_protocol(Protocol::TCP).matches(&flow()) && !with_protocol(Protocol::UDP).matches(&flow()));
    let with_state = |state| Filter { states: vec![state], ..Filter::default() };
    assert!(with_state(Phase::SynSent).matches(&flow()) && !with_state(Phase::Established).matches(&flow()));
}

#[test]
fn what_is_no_endpoint_is_refused() {
    for text in [
        "",
        ":",
        "192.0.2.1:x",
        "192.0.2.1/33",
        "192.0.2",
        "192.0.2.1:65536",
        "[192.0.2.1]:80",
        "[fd00::1",
        "fd00::1]",
        "[fd00::1]80",
        "[]:80",
        "fd00::/129",
        "[fd00::1]:",
        ":80-",
        ":90-80",
    ] {
        assert_eq!(text.parse::<EndpointFilter>(), Err(FilterError), "{text}");
    }
}

#[test]
fn ipv6_is_in_brackets_where_a_port_follows() {
    let endpoint = Endpoint::new(*b"\xfd\x00\0\x01\0\0\0\0\0\0\0\0\0\0\0\x02", 80);
    for text in
        ["fd00:1::2", "[fd00:1::2]", "[fd00:1::2]:80", "fd00:1::/64", "[fd00:1::/64]:80", "[fd00:1::]/64:80", ":80"]
    {
        assert!(text.parse::<EndpointFilter>().unwrap().matches(endpoint), "{text}");
    }
    for text in ["fd00:1::3", "[fd00:1::2]:81", "fd00:2::/64", "0.0.0.0/0", ":81"] {
        assert!(!text.parse::<EndpointFilter>().unwrap().matches(endpoint), "{text}");
    }
}

#[test]
fn ports_are_one_or_a_range() {
    assert!(matches(":39999-40000", "192.0.2.1:8080-8090") && matches("", ":0-80"));
    assert!(!matches(":40001-40010", "") && !matches("", ":81-8079"));
    for text in ["", "-", "80-", "90-80", "65536", "a"] {
        assert_eq!(text.parse::<PortFilter>(), Err(PortError), "{text}");
    }
}

#[test]
fn filters_of_one_end_must_hold_for_one_endpoint() {
    let filters = |texts: [&str; 2]| texts.map(|text| text.parse().unwrap()).to_vec();
    let destination = |texts| Filter { destination: filters(texts), ..Filter::default() }.matches(&flow());
    assert!(destination(["172.17.0.2", ":80"]) && destination(["192.0.2.1", ":8080"]));
    assert!(!destination(["172.17.0.2", ":8080"]));
}

#[test]
fn an_end_of_one_tuple_is_not_that_of_the_other() {
    let ends = |source: &str| Ends { source: Some(source.parse().unwrap()), destination: None };
    let original = |source| Filter { original: ends(source), ..Filter::default() }.matches(&flow());
    let reply = |source| Filter { reply: ends(source), ..Filter::default() }.matches(&flow());
    assert!(original("192.0.2.9") && !original("172.17.0.2"));
    assert!(reply("172.17.0.2:80") && !reply("192.0.2.9"));
    let reply = Ends { source: None, destination: Some(":40000".parse().unwrap()) };
    assert!(Filter { reply, ..Filter::default() }.matches(&flow()));
}

#[test]
fn a_family_is_that_of_the_addresses() {
    let with = |family| Filter { family: Some(family), ..Filter::default() };
    assert!(with(Version::Ipv4).matches(&flow()) && !with(Version::Ipv6).matches(&flow()));
    assert!(with(Version::Ipv6).matches(&Flow::<V6>::empty()));
}

#[test]
fn a_status_is_what_the_flags_say() {
    let matches = |status, flags| {
        let mut flow = flow();
        flow.connection.state |= flags;
        Filter { status: Some(status), ..Filter::default() }.matches(&flow)
    };
    assert!(matches(Status::Unreplied, 0) && matches(Status::Unassured, State::REPLIED));
    assert!(matches(Status::Replied, State::REPLIED) && matches(Status::Assured, State::ASSURED));
    assert!(!matches(Status::Replied, 0) && !matches(Status::Assured, State::REPLIED));
    assert!(!matches(Status::Unreplied, State::REPLIED) && !matches(Status::Unassured, State::ASSURED));
}

#[test]
fn the_translated_end_is_the_one_that_differs_between_the_tuples() {
    let with = |nat| Filter { nat: Some(nat), ..Filter::default() };
    let mapped = flow();
    let mut masqueraded = flow();
    masqueraded.connection.reply.source = masqueraded.connection.original.destination;
    masqueraded.connection.reply.destination.port = [0, 9];
    let mut hairpin = flow();
    hairpin.connection.reply.destination.port = [0, 9];
    assert!(with(Nat::Destination).matches(&mapped) && with(Nat::Source).matches(&masqueraded));
    assert!(with(Nat::Both).matches(&hairpin));
    assert!(!with(Nat::Source).matches(&mapped) && !with(Nat::Destination).matches(&hairpin));
}

#[test]
fn an_interface_and_a_rule_are_those_that_made_it() {
    let mut flow = flow();
    (flow.connection.interface, flow.connection.rule) = (7, Rule { id: 3, generation: 2 });
    let interface = |index| Filter { interface: Some(index), ..Filter::default() };
    assert!(interface(7).matches(&flow) && !interface(8).matches(&flow));
    let rule = |generation| Filter { rules: Some([Rule { id: 3, generation }].into()), ..Filter::default() };
    assert!(rule(2).matches(&flow) && !rule(1).matches(&flow));
}
