use anyhow::anyhow;
use netfwd_common::abi::{self, PortChoice, Role, Rule};

use super::*;
use crate::{
    datapath::uplinks::{Change, Choices, Wanted},
    host::interfaces::{Address, Interface},
};

const ADDRESS: &str = "192.0.2.1";
const SUBNET: &str = "10.1.0.0/16";

fn interface(index: u32, name: &str, address: Option<&str>) -> Interface {
    let net = |text: &str| format!("{text}/24").parse().unwrap();
    let addresses = address.map(|text| Address { net: net(text), is_lasting: true, is_lent: false });
    Interface { index, name: name.to_owned(), addresses: addresses.into_iter().collect(), ..Interface::default() }
}

/// The uplink 2, which masquerades a subnet.
fn uplink(choices: Choices, done: anyhow::Result<Option<Report>>) -> Followed {
    let interface = abi::Interface {
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
    };
    let subnets = vec![(SUBNET.parse().unwrap(), [192, 0, 2, 1])];
    let v4 = Networks { subnets, exclusions: Vec::new() };
    let wanted = Wanted { ifindex: 2, interface, choices, v4, v6: Networks::default() };
    let interface = self::interface(2, "eth0", None);
    let request = Request { interface, wanted, hook: None, max_flows: [None; 2], host_access: true };
    Followed { request, conflicts: Vec::new(), done }
}

fn round(uplinks: Vec<Followed>) -> Round {
    let interfaces = Interfaces(vec![interface(2, "eth0", Some(ADDRESS)), interface(3, "eth1", None)]);
    Round { interfaces, uplinks, ..Round::default() }
}

fn usual() -> Round {
    round(vec![uplink(Choices::default(), Ok(None))])
}

fn lines(teller: &mut Teller, round: &Round) -> Vec<Line> {
    teller.round(Some(round)).lines
}

#[test]
fn who_is_followed_is_told_when_that_changes() {
    let mut teller = Teller::default();
    assert_eq!(teller.round(None).lines, ["nothing is attached: waits for `netfwd attach IFACE`"]);
    assert_eq!(teller.round(None), Told::default());
    assert_eq!(lines(&mut teller, &usual()), ["follows eth0"]);
    assert_eq!(teller.round(Some(&usual())), Told::default());
    assert_eq!(teller.round(None).lines, ["nothing is attached any more: waits for `netfwd attach IFACE`"]);
}

#[test]
fn an_uplink_that_is_gone_has_the_name_that_it_had() {
    let mut teller = Teller::default();
    teller.round(Some(&usual()));
    let gone = Round { forgotten: vec![3], ..usual() };
    let expected = "forgot the uplink eth1, which is gone: attach it again when it is back";
    assert_eq!(lines(&mut teller, &gone), [expected]);
}

#[test]
fn an_address_that_is_gone_or_back_is_told_if_it_is_in_use() {
    let mut teller = Teller::default();
    teller.round(Some(&usual()));
    let gone = |flows| Changed { gone: [(ADDRESS.parse().unwrap(), flows)].into(), ..Changed::default() };
    let ended = "ended 1 flow of 192.0.2.1, which is no address of this host any more";
    let expected = [ended, "drops new flows of 10.1.0.0/16 until eth0 has an IPv4 address"];
    assert_eq!(lines(&mut teller, &Round { addresses: gone(1), ..usual() }), expected);
    let chosen = Choices { addresses: [ADDRESS.parse().unwrap()].into(), ..Choices::default() };
    let chosen = round(vec![uplink(chosen, Ok(None))]);
    let expected = "drops new flows of 10.1.0.0/16 until 192.0.2.1, which was chosen with --address, is an address of \
                    this host again";
    assert_eq!(lines(&mut teller, &Round { addresses: gone(0), ..chosen }), [expected]);
    let back = Changed { new: [ADDRESS.parse().unwrap()].into(), ..Changed::default() };
    let expected = ["masquerades 10.1.0.0/16 as 192.0.2.1 again"];
    assert_eq!(lines(&mut teller, &Round { addresses: back, ..usual() }), expected);
    let others = ["192.0.2.8", "192.0.2.9"].map(|text| text.parse().unwrap());
    let addresses = Changed { gone: [(others[0], 0)].into(), new: [others[1]].into() };
    assert_eq!(lines(&mut teller, &Round { addresses, ..usual() }), [] as [&str; 0]);
}

#[test]
fn an_address_that_was_gone_before_is_told_at_first() {
    let bare = Round { interfaces: Interfaces(vec![interface(2, "eth0", None)]), ..usual() };
    let mut teller = Teller::default();
    let expected = ["follows eth0", "drops new flows of 10.1.0.0/16 until eth0 has an IPv4 address"];
    assert_eq!(lines(&mut teller, &bare), expected);
    assert_eq!(lines(&mut teller, &bare), [] as [&str; 0]);
}

#[test]
fn what_changed_is_told_as_attach_does_and_once() {
    let mut teller = Teller::default();
    teller.round(Some(&usual()));
    let (network, [before, after]) =
        (SUBNET.parse().unwrap(), ["192.0.2.9", ADDRESS].map(|text| text.parse().unwrap()));
    let report = Report { changes: vec![Change::MoveSubnet { network, before, after }], ..Report::default() };
    let moved = round(vec![uplink(Choices::default(), Ok(Some(report)))]);
    let addresses = Changed { gone: [(before, 0)].into(), new: [after].into() };
    let expected = ["masquerades 10.1.0.0/16 as 192.0.2.1, no longer as 192.0.2.9"];
    assert_eq!(lines(&mut teller, &Round { addresses, ..moved }), expected);
}

#[test]
fn a_failure_or_conflict_that_lasts_is_told_once() {
    let mut teller = Teller::default();
    let failed = || round(vec![uplink(Choices::default(), Err(anyhow!("no memory").context("cannot write")))]);
    assert_eq!(teller.round(Some(&failed())).failures, ["cannot follow eth0: cannot write: no memory"]);
    assert_eq!(teller.round(Some(&failed())), Told::default());
    teller.round(Some(&usual()));
    assert_eq!(teller.round(Some(&failed())).failures.len(), 1, "it is new again");
    assert_eq!(teller.failure("x".to_owned()).failures, ["x"]);
    assert_eq!(teller.failure("x".to_owned()), Told::default());

    let conflicting = || {
        let uplink = Followed { conflicts: vec![SUBNET.parse().unwrap()], ..uplink(Choices::default(), Ok(None)) };
        round(vec![uplink])
    };
    assert_eq!(teller.round(Some(&conflicting())).warnings.len(), 1);
    assert_eq!(teller.round(Some(&conflicting())), Told::default());
}

#[test]
fn what_becomes_of_the_configuration_is_told() {
    let mut teller = Teller::default();
    teller.round(Some(&usual()));
    assert_eq!(config(None).lines, ["took up the configuration"]);
    let error = anyhow!("netfwd.toml:1:1: unknown key");
    let failure = "the configuration goes on as it was: netfwd.toml:1:1: unknown key";
    assert_eq!(config(Some(&error)).failures, [failure]);
    let names = vec!["eth1".to_owned()];
    let detached = Look { detached: Some((names.clone(), Ok(()))), set_timeouts: true, ..Look::default() };
    let told = teller.look(&Look { round: Some(usual()), ..detached });
    let lines =
        ["detached from eth1, which the configuration has no more", "set the timeouts as the configuration says"];
    assert_eq!(told.lines, lines);
    let staying =
        || Look { detached: Some((names.clone(), Err(anyhow!("busy")))), round: Some(usual()), ..Look::default() };
    assert_eq!(teller.look(&staying()).failures, ["cannot detach from eth1: busy"]);
    assert_eq!(teller.look(&staying()), Told::default(), "it is told once");
}

#[test]
fn that_docker_is_lost_is_told_once_and_that_it_is_back() {
    let mut teller = Teller::default();
    assert_eq!(teller.docker(), Told::default());
    assert_eq!(teller.no_docker("it is gone".to_owned()).failures, ["it is gone"]);
    assert_eq!(teller.no_docker("it is gone".to_owned()), Told::default());
    assert_eq!(teller.docker().lines, ["Docker answers again"]);
    assert_eq!(teller.docker(), Told::default());
    assert_eq!(teller.no_docker("it is gone".to_owned()).failures, ["it is gone"]);
}
