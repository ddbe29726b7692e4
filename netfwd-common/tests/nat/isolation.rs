//! Container networks that are kept apart (docs/nat-behaviour.md, isolation).

for_both_families! {
    what_comes_for_a_container_past_the_nat_is_dropped,
    without_isolation_all_of_it_passes,
    what_a_container_sends_to_another_bridge_is_dropped,
    what_stays_on_a_bridge_and_what_leaves_by_an_uplink_passes,
    the_hosts_own_addresses_are_reached_on_all_bridges,
    mapped_ports_of_isolated_containers_are_reached,
    answers_of_what_a_container_has_sent_out_come_back,
    excluded_networks_reach_containers_by_their_own_addresses,
    routers_on_the_way_to_excluded_networks_report_to_containers,
    a_broken_quote_is_no_report,
    every_fragment_is_dropped,
    of_what_cannot_be_parsed_the_stack_decides,
    from_an_internal_network_nothing_is_forwarded,
    from_an_internal_network_no_mapped_port_is_reached,
    a_network_that_becomes_internal_keeps_no_connection,
}

#[cfg(test)]
mod generic {
    use netfwd_common::{
        abi::{Endpoint, Reason, Side},
        verdict::Verdict,
    };

    use crate::{
        frame::{ACK, Content, Frame, SYN, SYN_ACK, UDP, error_about},
        host::{Cast, Host, TURNED_BACK, destination_of},
        world::{HOST_RULE, Plan, ports},
    };

    const ISOLATED: Verdict = Verdict::Drop(Reason::Isolated);
    const NOT_OURS: Verdict = Verdict::Pass(Reason::NotOurs);
    const CONTENTS: [Content; 9] = [
        SYN,
        ACK,
        UDP,
        Content::BareUdp,
        Content::EchoRequest,
        Content::EchoReply,
        Content::TimeExceeded,
        Content::Sctp(1),
        Content::Gre,
    ];

    fn plan() -> Plan {
        Plan { isolates: true, ..Plan::new(1000, ports(2000..=2099), 7) }
    }

    fn isolating<A: Cast>() -> Host<A> {
        Host::with(plan())
    }

    fn internal<A: Cast>() -> Host<A> {
        Host::with(Plan { is_internal: true, ..plan() })
    }

    fn neighbour<A: Cast>() -> Endpoint<A> {
        Endpoint::new(A::NEIGHBOUR, 80)
    }

    pub(super) fn what_comes_for_a_container_past_the_nat_is_dropped<A: Cast>() {
        let mut host = isolating::<A>();
        for content in CONTENTS {
            for (from, to) in [(A::CLIENT, A::TARGET), (A::CLIENT, neighbour()), (neighbour(), A::TARGET)] {
                assert_eq!(host.receive(content, from, to).0, ISOLATED, "{content:?} {from:?}");
            }
        }
        assert_eq!(host.records(), 0);
    }

    pub(super) fn without_isolation_all_of_it_passes<A: Cast>() {
        let mut host = Host::<A>::roomy();
        for content in CONTENTS {
            assert_eq!(host.receive(content, A::CLIENT, A::TARGET).0, NOT_OURS, "{content:?}");
            assert_eq!(host.turn(content, A::TARGET, neighbour()).0, NOT_OURS, "{content:?}");
        }
    }

    pub(super) fn what_a_container_sends_to_another_bridge_is_dropped<A: Cast>() {
        let mut host = isolating::<A>();
        for content in CONTENTS {
            for from in [A::TARGET, A::CLIENT, A::host(80)] {
                assert_eq!(host.turn(content, from, neighbour()).0, ISOLATED, "{content:?} {from:?}");
            }
        }
    }

    pub(super) fn what_stays_on_a_bridge_and_what_leaves_by_an_uplink_passes<A: Cast>() {
        let mut host = isolating::<A>();
        for content in CONTENTS {
            assert_eq!(host.turn(content, A::container(80), A::TARGET).0, NOT_OURS, "{content:?}");
            assert_eq!(host.turn(content, A::TARGET, A::DNS).0, NOT_OURS, "{content:?}");
        }
        // A prefix that is wider than the bridges' networks has addresses on the outside, too.
        host.0.tables.isolated.insert(A::DNS.address);
        assert_eq!(host.turn(UDP, A::TARGET, A::DNS).0, NOT_OURS);
        assert_eq!(host.receive(UDP, A::CLIENT, A::DNS).0, NOT_OURS);
    }

    pub(super) fn the_hosts_own_addresses_are_reached_on_all_bridges<A: Cast>() {
        let mut host = isolating::<A>();
        // To where the kernel delivers itself, it has no route by which it forwards.
        let gateway = Endpoint::new(A::HOSTS[1], 53);
        host.0.tables.isolated.insert(gateway.address);
        for content in CONTENTS {
            assert_eq!(host.turn(content, A::TARGET, gateway).0, NOT_OURS, "{content:?}");
            assert_eq!(host.receive(content, A::CLIENT, gateway).0, NOT_OURS, "{content:?}");
        }
    }

    pub(super) fn mapped_ports_of_isolated_containers_are_reached<A: Cast>() {
        let mut host = isolating::<A>();
        for (content, answer) in [(SYN, SYN_ACK), (UDP, UDP)] {
            let (verdict, frame) = host.receive(content, A::CLIENT, A::MAPPED);
            assert_eq!((verdict, destination_of(&frame)), (Verdict::Translated, A::TARGET));
            assert_eq!(host.turn(answer, A::TARGET, A::CLIENT).0, NOT_OURS, "translated when it leaves");
            assert_eq!(host.send(answer, A::TARGET, A::CLIENT).0, Verdict::Translated);
            assert_eq!(host.turn(content, A::container(2000), A::MAPPED).0, TURNED_BACK);
        }
    }

    pub(super) fn answers_of_what_a_container_has_sent_out_come_back<A: Cast>() {
        let mut host = isolating::<A>();
        let outside = host.outside_of(UDP, A::container(2000), A::DNS);
        assert_eq!(host.receive(UDP, A::DNS, outside).0, Verdict::Translated);
        let (_, sent) = host.send(UDP, A::container(2000), A::DNS);
        let error = error_about(&sent, A::CLIENT.address, outside.address);
        assert_eq!(host.meet(Side::Outside, error).0, Verdict::Translated);
    }

    pub(super) fn excluded_networks_reach_containers_by_their_own_addresses<A: Cast>() {
        let mut host = isolating::<A>();
        let office = Endpoint::new(A::EXCLUDED, 443);
        for content in CONTENTS {
            assert_eq!(host.receive(content, office, A::TARGET).0, NOT_OURS, "{content:?}");
        }
        assert_eq!(host.turn(UDP, office, neighbour()).0, ISOLATED, "not from there");
        host.0.end_rule(HOST_RULE);
        assert_eq!(host.receive(UDP, office, A::TARGET).0, ISOLATED);
    }

    /// An error about what a container has sent to an address, from a router on the wire.
    fn report<A: Cast>(host: &mut Host<A>, to: Endpoint<A>) -> Verdict {
        let sent = Frame::new(UDP, A::TARGET, to).bytes();
        host.meet(Side::Outside, error_about(&sent, A::PEERS[0], A::TARGET.address)).0
    }

    pub(super) fn routers_on_the_way_to_excluded_networks_report_to_containers<A: Cast>() {
        let mut host = isolating::<A>();
        assert_eq!(report(&mut host, Endpoint::new(A::EXCLUDED, 443)), NOT_OURS);
        assert_eq!(report(&mut host, A::CLIENT), ISOLATED);
        let of_another = Frame::new(UDP, A::container(80), Endpoint::new(A::EXCLUDED, 443)).bytes();
        let error = error_about(&of_another, A::PEERS[0], A::TARGET.address);
        assert_eq!(host.meet(Side::Outside, error).0, ISOLATED, "about another one's packet");
    }

    pub(super) fn a_broken_quote_is_no_report<A: Cast>() {
        let mut host = isolating::<A>();
        assert_eq!(report(&mut host, Endpoint::new(A::EXCLUDED, 443)), NOT_OURS);
        assert_eq!(host.receive(Content::TimeExceeded, A::CLIENT, A::TARGET).0, ISOLATED);
    }

    pub(super) fn every_fragment_is_dropped<A: Cast>() {
        for order in [[0, 1, 2], [2, 1, 0]] {
            let mut host = isolating::<A>();
            let direct = Frame { payload: vec![7; 40], ..Frame::new(UDP, A::CLIENT, A::TARGET) }.fragments(16);
            let across = Frame { payload: vec![7; 40], ..Frame::new(UDP, A::TARGET, neighbour()) }.fragments(16);
            for at in order {
                assert_eq!(host.meet(Side::Outside, direct[at].clone()).0, ISOLATED, "{at}");
                assert_eq!(host.meet(Side::Bridge, across[at].clone()).0, ISOLATED, "{at}");
            }
            assert_eq!(host.0.held.take_released(), Vec::<Vec<u8>>::new());
        }
    }

    pub(super) fn of_what_cannot_be_parsed_the_stack_decides<A: Cast>() {
        for mut host in [isolating::<A>(), internal::<A>()] {
            assert_eq!(host.receive(UDP, A::CLIENT, A::TARGET).0, ISOLATED);
            assert_eq!(host.turn(UDP, A::TARGET, neighbour()).0, ISOLATED);
            let broken = Frame::new(UDP, A::CLIENT, A::TARGET).bytes()[..20].to_vec();
            for side in [Side::Outside, Side::Bridge] {
                assert_eq!(host.meet(side, broken.clone()).0, Verdict::Pass(Reason::Malformed));
            }
        }
    }

    pub(super) fn from_an_internal_network_nothing_is_forwarded<A: Cast>() {
        let mut host = internal::<A>();
        for content in CONTENTS {
            for to in [A::DNS, neighbour(), Endpoint::new(A::EXCLUDED, 443)] {
                assert_eq!(host.turn(content, A::TARGET, to).0, ISOLATED, "{content:?} {to:?}");
            }
            for to in [A::host(53), A::container(80)] {
                assert_eq!(host.turn(content, A::TARGET, to).0, NOT_OURS, "{content:?} {to:?}");
            }
        }
    }

    pub(super) fn from_an_internal_network_no_mapped_port_is_reached<A: Cast>() {
        let mut host = internal::<A>();
        assert_eq!(host.turn(UDP, A::container(2000), A::MAPPED).0, NOT_OURS);
        assert_eq!(host.records(), 0);
    }

    pub(super) fn a_network_that_becomes_internal_keeps_no_connection<A: Cast>() {
        let mut host = isolating::<A>();
        assert_eq!(host.turn(UDP, A::container(2000), A::MAPPED).0, TURNED_BACK);
        host.0.plan.is_internal = true;
        assert_eq!(host.turn(UDP, A::container(2000), A::MAPPED).0, NOT_OURS);
    }
}
