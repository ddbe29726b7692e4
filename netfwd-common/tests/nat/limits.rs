//! What happens at the limits: no port left, no room left, a rule gone, an address forged.

for_both_families! {
    a_short_range_is_used_to_its_last_port_and_then_packets_are_refused,
    every_port_of_a_range_can_be_chosen,
    a_source_port_in_the_range_is_kept_and_one_outside_it_is_not,
    a_tuple_that_a_socket_of_the_host_receives_is_never_chosen,
    a_packet_of_the_host_moves_only_if_a_translated_connection_has_its_tuple,
    a_full_table_never_evicts_an_assured_connection,
    a_flood_of_first_packets_evicts_only_its_own,
    a_rule_that_ends_takes_its_connections_with_it_at_once,
    a_rule_that_begins_anew_does_not_revive_its_old_connections,
    a_rule_that_begins_anew_makes_new_bindings_at_once,
    a_connection_lives_as_long_as_its_state_says_and_no_longer,
    a_new_handshake_takes_the_place_of_a_closed_connection_and_only_of_that,
    what_never_was_a_handshake_lives_no_longer_than_a_half_open_connection,
    a_longer_range_is_not_exhausted_by_one_connection,
    generation_0_is_never_in_force,
    the_unspecified_address_is_no_address_of_the_host,
    the_reaper_needs_no_packet_to_end_what_has_ended,
    inside_addresses_forged_on_the_wire_match_nothing,
    what_cannot_be_translated_is_dropped_from_a_container_and_passed_from_the_host,
    no_host_rule_is_needed_while_nothing_of_the_host_moves,
    an_address_that_is_gone_opens_nothing_more,
    an_excluded_destination_is_reached_as_it_is,
    a_port_mapped_on_a_loopback_address_is_for_the_host_alone,
}

#[cfg(test)]
mod generic {
    use std::collections::BTreeSet;

    use netfwd_common::{
        abi::{Endpoint, FlowEvent, Mapping, Protocol, Reason, Rule, Side, Tuple},
        conntrack,
        verdict::Verdict,
    };

    use crate::{
        frame::{ACK, Content, FIN, Frame, RST, SYN, SYN_ACK, UDP, tcp},
        host::{Cast, Host, SECOND, destination_of, refused, source_of},
        world::{ANY_RULE, EXACT_RULE, HOST_RULE, MASQUERADE_RULE},
    };

    /// Builds a packet between two ends.
    type Build<'b, A> = &'b dyn Fn(Endpoint<A>, Endpoint<A>) -> Vec<u8>;

    pub(super) fn a_short_range_is_used_to_its_last_port_and_then_packets_are_refused<A: Cast>() {
        for (span, seed) in (1..=64_u16).flat_map(|span| [(span, 0), (span, 0x1234_5678), (span, u32::MAX)]) {
            let mut host = Host::<A>::new(1000, (2000, 1999 + span), seed);
            let ports: Vec<_> = (0..span).map(|n| host.port_of(UDP, 20000 + n)).collect();
            let each_once: BTreeSet<_> = ports.iter().copied().collect();
            assert_eq!((each_once, ports.len()), ((2000..=1999 + span).collect(), usize::from(span)));

            let before = host.0.tables.tuples();
            assert_eq!(host.send(UDP, A::container(30000), A::DNS).0, refused(Reason::PortsExhausted));
            assert_eq!(host.0.tables.tuples(), before, "existing connections do not notice");
            assert_eq!(host.port_of(UDP, 20000), ports[0], "and go on as they were");
        }
    }

    pub(super) fn every_port_of_a_range_can_be_chosen<A: Cast>() {
        let ports = |seed| Host::<A>::new(2, (2000, 2099), seed).port_of(UDP, 20000);
        assert_eq!((0..100).map(ports).collect::<BTreeSet<_>>(), (2000..=2099).collect());
    }

    pub(super) fn a_source_port_in_the_range_is_kept_and_one_outside_it_is_not<A: Cast>() {
        let mut host = Host::<A>::roomy();
        assert_eq!(host.port_of(UDP, 2042), 2042);
        assert_eq!(host.port_of(SYN, 2042), 2042);
        assert!((2000..=2099).contains(&host.port_of(UDP, 1999)));
        assert!((2000..=2099).contains(&host.port_of(UDP, 2100)));
        assert_eq!(host.port_of(Content::EchoRequest, 5), 5, "identifiers have no range");
    }

    pub(super) fn a_tuple_that_a_socket_of_the_host_receives_is_never_chosen<A: Cast>() {
        let mut host = Host::<A>::new(1000, (2000, 2001), 7);
        let reply = Tuple::new(Protocol::UDP, Side::Outside, A::DNS, A::host(2000));
        host.0.tables.host_sockets.insert(reply);
        assert_eq!(host.port_of(UDP, 2000), 2001);
        assert_eq!(host.send(UDP, A::container(2001), A::DNS).0, refused(Reason::PortsExhausted));
        let mut host = Host::<A>::new(1000, (2000, 2001), 7);
        host.0.tables.host_listeners.insert((Protocol::UDP, A::host(2000)));
        assert_eq!((host.port_of(UDP, 2000), host.port_of(SYN, 2000)), (2001, 2000));
        assert_eq!(host.send(UDP, A::container(2001), A::DNS).0, refused(Reason::PortsExhausted));
    }

    pub(super) fn a_packet_of_the_host_moves_only_if_a_translated_connection_has_its_tuple<A: Cast>() {
        let mut host = Host::<A>::roomy();
        assert_eq!(host.port_of(UDP, 2042), 2042);
        assert_eq!(host.send(UDP, A::host(2041), A::DNS).0, Verdict::Pass(Reason::NotOurs));
        let (verdict, sent) = host.send(UDP, A::host(2042), A::DNS);
        assert_eq!(verdict, Verdict::Translated);
        assert_ne!(source_of::<A>(&sent).port, A::host(2042).port);
        let (verdict, answer) = host.receive(UDP, A::DNS, source_of(&sent));
        assert_eq!((verdict, destination_of(&answer)), (Verdict::Translated, A::host(2042)));
        let (verdict, answer) = host.receive(UDP, A::DNS, A::host(2042));
        assert_eq!((verdict, destination_of(&answer)), (Verdict::Translated, A::container(2042)));
    }

    /// RFC 6888 REQ-11.
    pub(super) fn a_full_table_never_evicts_an_assured_connection<A: Cast>() {
        let mut host = Host::<A>::new(8, (2000, 2099), 7);
        for port in 2000..2004 {
            assert_eq!(host.port_of(UDP, port), port);
            assert_eq!(host.receive(UDP, A::DNS, A::host(port)).0, Verdict::Translated);
        }
        let before = host.0.tables.tuples();
        for port in 2010..2050_u16 {
            assert_eq!(host.send(UDP, A::container(port), A::DNS).0, Verdict::Drop(Reason::TableFull));
            let client = Endpoint { port: port.to_be_bytes(), ..A::CLIENT };
            assert_eq!(host.receive(SYN, client, A::MAPPED).0, Verdict::Drop(Reason::TableFull));
        }
        assert_eq!(host.0.tables.tuples(), before);
        assert_eq!(host.0.tables.events(FlowEvent::Evicted), 0);
    }

    pub(super) fn a_flood_of_first_packets_evicts_only_its_own<A: Cast>() {
        let mut host = Host::<A>::new(8, (2000, 2099), 7);
        assert_eq!(host.send(SYN, A::container(2000), A::DNS).0, Verdict::Translated);
        assert_eq!(host.receive(SYN_ACK, A::DNS, A::host(2000)).0, Verdict::Translated);
        assert_eq!(host.send(ACK, A::container(2000), A::DNS).0, Verdict::Translated);
        for port in 40000..40500_u16 {
            let client = Endpoint { port: port.to_be_bytes(), ..A::CLIENT };
            assert_eq!(host.receive(SYN, client, A::MAPPED).0, Verdict::Translated);
        }
        assert_eq!(host.0.tables.events(FlowEvent::Evicted), 500 - 6);
        assert_eq!(host.send(ACK, A::container(2000), A::DNS).0, Verdict::Translated);
        assert_eq!(host.records(), 8);
    }

    pub(super) fn a_rule_that_ends_takes_its_connections_with_it_at_once<A: Cast>() {
        let mut host = Host::<A>::roomy();
        assert_eq!(host.receive(UDP, A::CLIENT, A::MAPPED).0, Verdict::Translated);
        assert_eq!(host.send(UDP, A::TARGET, A::CLIENT).0, Verdict::Translated);
        assert_eq!(host.port_of(UDP, 2042), 2042);

        host.0.end_rule(EXACT_RULE);
        assert_eq!(host.receive(UDP, A::CLIENT, A::MAPPED).0, Verdict::Pass(Reason::NotOurs));
        assert_eq!(host.records(), 2, "the packet that found it ended removed it");
        assert_eq!(host.port_of(UDP, 2042), 2042, "another rule's connection stays");

        host.0.end_rule(MASQUERADE_RULE);
        assert_eq!(host.receive(UDP, A::DNS, A::host(2042)).0, Verdict::Pass(Reason::NotOurs));
        assert_eq!(host.send(UDP, A::container(2042), A::DNS).0, Verdict::Pass(Reason::NotOurs));
        assert_eq!(host.records(), 0, "its binding, too");
        assert_eq!(host.0.tables.events(FlowEvent::Ended), 2);
    }

    pub(super) fn a_rule_that_begins_anew_does_not_revive_its_old_connections<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let mapped = Endpoint::new(A::HOSTS[1], 9090);
        assert_eq!(host.receive(SYN, A::CLIENT, mapped).0, Verdict::Translated);
        host.0.start_rule(ANY_RULE);
        assert_eq!(host.receive(ACK, A::CLIENT, mapped).0, Verdict::Pass(Reason::NotNewInbound));
        assert_eq!(host.send(SYN_ACK, A::TARGET, A::CLIENT).0, Verdict::Drop(Reason::NotNewOutbound));
        assert_eq!(host.records(), 0);
    }

    pub(super) fn a_rule_that_begins_anew_makes_new_bindings_at_once<A: Cast>() {
        let mut host = Host::<A>::new(1000, (2000, 2000), 7);
        assert_eq!(host.port_of(UDP, 20000), 2000);
        host.0.start_rule(MASQUERADE_RULE);
        let other = Endpoint::new(A::PEERS[1], 53);
        assert_eq!(host.outside_of(UDP, A::container(20000), other), A::host(2000));
        assert_eq!(host.port_of(UDP, 20000), 2000);
        host.sweep();
        assert_eq!(host.records(), 3, "a binding and two connections");
    }

    pub(super) fn a_connection_lives_as_long_as_its_state_says_and_no_longer<A: Cast>() {
        let half_open = [(Side::Inside, SYN)];
        let open = [(Side::Inside, SYN), (Side::Outside, SYN_ACK), (Side::Inside, ACK)];
        let closed = [&open[..], &[(Side::Inside, FIN), (Side::Outside, FIN)]].concat();
        let reset = [&open[..], &[(Side::Outside, RST)]].concat();
        let half_closed = [&open[..], &[(Side::Outside, FIN)]].concat();
        for (packets, seconds) in [
            (&[(Side::Inside, UDP)][..], 300), // RFC 4787 REQ-5
            (&[(Side::Inside, UDP), (Side::Outside, UDP)], 300),
            (&[(Side::Inside, Content::EchoRequest)], 60), // RFC 5508 REQ-2
            (&[(Side::Inside, Content::Sctp(1))], 240),
            (&[(Side::Inside, Content::Sctp(1)), (Side::Outside, Content::Sctp(2))], 7440),
            (&half_open, 240), // RFC 5382 REQ-5, and all that follow
            (&open, 7440),
            (&half_closed, 7440),
            (&closed, 240),
            (&reset, 240),
        ] {
            let mut host = Host::<A>::roomy();
            for (side, content) in packets {
                host.0.now += 1;
                let (source, destination) = match side {
                    Side::Inside => (A::container(2000), A::DNS),
                    Side::Outside | Side::Bridge | Side::Binding | Side::Permission | Side::Account => {
                        (A::DNS, A::host(2000))
                    }
                };
                assert_eq!(host.meet(*side, Frame::new(*content, source, destination).bytes()).0, Verdict::Translated);
            }
            host.0.now += seconds * SECOND - 1;
            host.sweep();
            assert_eq!(host.records(), 2, "{packets:?} live {seconds} s");
            host.0.now += 1;
            host.sweep();
            assert_eq!(host.records(), 1, "{packets:?} live {seconds} s, their binding longer");
        }
    }

    pub(super) fn a_new_handshake_takes_the_place_of_a_closed_connection_and_only_of_that<A: Cast>() {
        for (closing, made) in [(&[RST][..], 2), (&[FIN], 1), (&[], 1)] {
            let mut host = Host::<A>::roomy();
            assert_eq!(host.port_of(SYN, 2000), 2000);
            for content in [&[SYN_ACK], closing].concat() {
                assert_eq!(host.receive(content, A::DNS, A::host(2000)).0, Verdict::Translated);
            }
            assert_eq!(host.port_of(SYN, 2000), 2000, "the port is free again");
            assert_eq!(host.0.tables.events(FlowEvent::Created), made, "{closing:?}");
            assert_eq!(host.records(), 2);
        }
    }

    pub(super) fn what_never_was_a_handshake_lives_no_longer_than_a_half_open_connection<A: Cast>() {
        for packets in [
            &[(Side::Outside, SYN), (Side::Outside, FIN)][..],
            &[(Side::Outside, SYN), (Side::Inside, RST), (Side::Outside, ACK)],
        ] {
            let mut host = Host::<A>::roomy();
            for (side, content) in packets {
                let (source, destination) =
                    if *side == Side::Inside { (A::TARGET, A::CLIENT) } else { (A::CLIENT, A::MAPPED) };
                assert_eq!(host.meet(*side, Frame::new(*content, source, destination).bytes()).0, Verdict::Translated);
            }
            host.wait(240);
            host.sweep();
            assert_eq!(host.records(), 0, "{packets:?}");
        }
        let syn_fin = Host::<A>::roomy().receive(tcp(0x03), A::CLIENT, A::MAPPED).0;
        assert_eq!(syn_fin, Verdict::Pass(Reason::NotNewInbound));
    }

    pub(super) fn a_longer_range_is_not_exhausted_by_one_connection<A: Cast>() {
        for span in 65..=127_u16 {
            for start in 0..u32::from(span) {
                let random = u32::from(span) << 16 | start;
                let mut host = Host::<A>::new(4, (2000, 1999 + span), random);
                let first = host.port_of(UDP, 20000);
                host.0.tables.seed.set(random);
                assert_ne!(host.port_of(UDP, 20001), first);
            }
        }
    }

    pub(super) fn generation_0_is_never_in_force<A: Cast>() {
        let mut host = Host::<A>::roomy();
        host.0.tables.generations.insert(EXACT_RULE, 0);
        host.0.tables.mappings.values_mut().for_each(|mapping| mapping.rule.generation = 0);
        assert_eq!(host.receive(UDP, A::CLIENT, A::MAPPED).0, Verdict::Pass(Reason::NotOurs));
    }

    pub(super) fn the_unspecified_address_is_no_address_of_the_host<A: Cast>() {
        let verdict = Host::<A>::roomy().receive(UDP, A::CLIENT, Endpoint::new(A::UNSPECIFIED, 9090)).0;
        assert_eq!(verdict, Verdict::Pass(Reason::NotOurs));
    }

    pub(super) fn the_reaper_needs_no_packet_to_end_what_has_ended<A: Cast>() {
        let mut host = Host::<A>::roomy();
        assert_eq!(host.receive(UDP, A::CLIENT, A::MAPPED).0, Verdict::Translated);
        conntrack::sweep(&host.0.tables, 0, host.0.now);
        assert_eq!(host.records(), 1);
        host.0.end_rule(EXACT_RULE);
        conntrack::sweep(&host.0.tables, 0, host.0.now);
        assert_eq!(host.records(), 0);
        assert_eq!(host.0.tables.free_slots(), [0]);
    }

    pub(super) fn inside_addresses_forged_on_the_wire_match_nothing<A: Cast>() {
        let mut host = Host::<A>::roomy();
        assert_eq!(host.receive(UDP, A::CLIENT, A::MAPPED).0, Verdict::Translated);
        assert_eq!(host.port_of(UDP, 2042), 2042);
        for (source, destination) in [
            (A::TARGET, A::CLIENT),       // the mapping's answer before it is translated
            (A::CLIENT, A::TARGET),       // the mapping's request after it was
            (A::container(2042), A::DNS), // the masqueraded request before
            (A::DNS, A::container(2042)), // its answer after
        ] {
            let forged = host.receive(UDP, source, destination).0;
            assert_eq!(forged, Verdict::Pass(Reason::NotOurs), "{source:?} {destination:?}");
            let forged = host.turn(UDP, source, destination).0;
            assert_eq!(forged, Verdict::Pass(Reason::NotOurs), "{source:?} {destination:?} on a bridge");
        }
        let (verdict, frame) = host.receive(UDP, A::container(2042), A::MAPPED);
        assert_eq!((verdict, destination_of(&frame)), (Verdict::Translated, A::TARGET), "a client like any other");
    }

    pub(super) fn what_cannot_be_translated_is_dropped_from_a_container_and_passed_from_the_host<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let frame = |content, source, destination| Frame::new(content, source, destination).bytes();
        let altered = |content, at: usize, to: u8| {
            let network = if A::FAMILY == 0 { 34 } else { 54 };
            move |source: Endpoint<A>, destination: Endpoint<A>| {
                let mut bytes = frame(content, source, destination);
                bytes[network + at] = to;
                bytes
            }
        };
        let protocol = |number: u8| {
            move |source: Endpoint<A>, destination: Endpoint<A>| {
                let mut bytes = frame(UDP, source, destination);
                bytes[if A::FAMILY == 0 { 23 } else { 20 }] = number;
                bytes
            }
        };
        let plain = |content| move |source, destination| frame(content, source, destination);
        let cases: [(Build<'_, A>, Reason); 8] = [
            (&plain(Content::TimeExceeded), Reason::Unrelated),
            (&altered(Content::EchoRequest, 0, 137), Reason::UnsupportedIcmp),
            (&plain(Content::EchoReply), Reason::NotNewOutbound),
            (&plain(SYN_ACK), Reason::NotNewOutbound),
            (&plain(Content::Sctp(2)), Reason::NotNewOutbound),
            (&protocol(33), Reason::UnsupportedProtocol),
            (&protocol(136), Reason::UnsupportedProtocol),
            (&protocol(6), Reason::Truncated),
        ];
        for (build, reason) in cases {
            let verdict = host.meet(Side::Inside, build(A::container(2000), A::DNS)).0;
            assert_eq!(verdict, Verdict::Drop(reason));
            for (side, source, destination) in
                [(Side::Inside, A::host(2000), A::DNS), (Side::Outside, A::DNS, A::host(2000))]
            {
                assert_eq!(host.meet(side, build(source, destination)).0, Verdict::Pass(Reason::NotOurs), "{reason:?}");
            }
        }
    }

    pub(super) fn no_host_rule_is_needed_while_nothing_of_the_host_moves<A: Cast>() {
        let mut host = Host::<A>::roomy();
        host.0.end_rule(HOST_RULE);
        assert_eq!(host.send(UDP, A::host(2000), A::DNS).0, Verdict::Pass(Reason::NotOurs));
    }

    pub(super) fn an_address_that_is_gone_opens_nothing_more<A: Cast>() {
        let mut host = Host::<A>::roomy();
        host.0.tables.local.clear();
        assert_eq!(host.send(UDP, A::container(2000), A::DNS).0, Verdict::Drop(Reason::AddressGone));
        assert_eq!(host.receive(UDP, A::CLIENT, Endpoint::new(A::HOSTS[1], 9090)).0, Verdict::Pass(Reason::NotOurs));
    }

    pub(super) fn an_excluded_destination_is_reached_as_it_is<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let excluded = Endpoint::new(A::EXCLUDED, 53);
        for content in [UDP, SYN, ACK, Content::EchoRequest, Content::Gre, Content::TimeExceeded] {
            let verdict = host.send(content, A::container(2000), excluded).0;
            assert_eq!(verdict, Verdict::Pass(Reason::Excluded), "{content:?}");
        }
        // What came from there through a mapping is answered by it all the same.
        assert_eq!(host.receive(UDP, excluded, A::MAPPED).0, Verdict::Translated);
        let (verdict, answer) = host.send(UDP, A::TARGET, excluded);
        assert_eq!((verdict, source_of(&answer)), (Verdict::Translated, A::MAPPED));
        host.0.end_rule(HOST_RULE);
        assert_eq!(host.outside_of(UDP, A::container(2000), excluded), A::host(2000));
    }

    pub(super) fn a_port_mapped_on_a_loopback_address_is_for_the_host_alone<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let rule = Rule { id: EXACT_RULE, generation: host.0.tables.generations[&EXACT_RULE] };
        let mapped = Endpoint::new(A::LOOPBACK, 7070);
        for protocol in [Protocol::TCP, Protocol::UDP] {
            host.0.tables.mappings.insert((protocol, mapped), Mapping::new(rule, 7070, 7070, A::TARGET));
        }
        for content in [SYN, ACK, UDP] {
            assert_eq!(host.receive(content, A::CLIENT, mapped).0, Verdict::Drop(Reason::RemoteToLoopback));
        }
        assert_eq!(host.turn(UDP, A::container(20000), mapped).0, Verdict::Drop(Reason::RemoteToLoopback));
        let other = Endpoint::new(A::LOOPBACK, 7071);
        assert_eq!(host.receive(UDP, A::CLIENT, other).0, Verdict::Pass(Reason::NotOurs));
        assert_eq!(host.records(), 0);
    }
}
