//! Which outside port an inside endpoint gets, and who may send there (RFC 4787, RFC 5382, RFC 5508, RFC 6888).

for_both_families! {
    rfc4787_req1_one_inside_endpoint_has_one_outside_endpoint_to_all_destinations,
    rfc4787_req3_different_inside_endpoints_have_different_ports_while_there_are_any,
    rfc4787_req3a_a_privileged_port_stays_privileged,
    rfc4787_req4_parity_is_kept_where_that_is_asked_for,
    rfc4787_req5_a_binding_lives_as_long_as_a_connection_holds_it,
    rfc4787_req6_packets_of_both_directions_prolong_a_connection,
    rfc4787_req8_filtering_is_what_was_asked_for,
    rfc4787_req11_a_host_that_is_nearly_full_does_the_same,
    rfc5382_req4_an_unsolicited_syn_to_a_containers_port_is_dropped,
    rfc5508_req1a_an_echo_identifier_is_the_same_towards_all_destinations,
    rfc5508_req8_a_sender_is_told_that_no_port_is_left,
    rfc6888_req4_one_source_has_no_more_ports_than_it_may,
    rfc6888_req8_a_port_goes_to_nobody_else_for_two_minutes,
    ports_that_run_short_are_shared_towards_other_destinations,
    several_ranges_are_used_up_one_and_all,
    a_mapped_port_is_never_chosen,
    a_socket_of_the_host_wins_over_a_binding,
    a_permission_ends_with_the_last_connection_that_it_came_from,
    a_binding_that_has_ended_admits_nobody_before_it_is_removed,
}

#[cfg(test)]
mod generic {
    use std::collections::BTreeSet;

    use netfwd_common::{
        abi::{Endpoint, Filtering, PortChoice, Protocol, Reason},
        verdict::Verdict,
    };

    use crate::{
        frame::{ACK, Content, RST, SYN, SYN_ACK, UDP},
        host::{Cast, Host, destination_of, headers_of, refused},
        world::{MASQUERADE_RULE, Plan, choice, ports},
    };

    /// Servers on the wire.
    fn peers<A: Cast>() -> impl Iterator<Item = Endpoint<A>> + Clone {
        let of = |peer| [53, 80, 443].map(|port| Endpoint::new(peer, port));
        A::PEERS.into_iter().flat_map(of)
    }

    fn filtering<A: Cast>(filtering: Filtering) -> Host<A> {
        Host::with(Plan { filtering, ..Plan::new(100, ports(2000..=2099), 7) })
    }

    /// Also RFC 5382 REQ-1.
    pub(super) fn rfc4787_req1_one_inside_endpoint_has_one_outside_endpoint_to_all_destinations<A: Cast>() {
        for content in [UDP, SYN] {
            for source in [2000, 20000] {
                let mut host = Host::<A>::roomy();
                let first = host.outside_of(content, A::container(source), A::DNS);
                for peer in peers() {
                    assert_eq!(host.outside_of(content, A::container(source), peer), first);
                }
                assert_eq!(host.records(), 7, "six connections and their binding");
            }
        }
    }

    /// Also RFC 5382 REQ-7.
    pub(super) fn rfc4787_req3_different_inside_endpoints_have_different_ports_while_there_are_any<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let sources = A::CONTAINERS.into_iter().flat_map(|it| (1..=50).map(move |n| Endpoint::new(it, 1999 + n)));
        let chosen: Vec<_> = sources.zip(peers().cycle()).map(|(it, peer)| host.outside_of(UDP, it, peer)).collect();
        let distinct: BTreeSet<_> = chosen.iter().map(|outside| outside.port).collect();
        assert_eq!((chosen.len(), distinct.len()), (100, 100), "though most go to different destinations");
    }

    pub(super) fn rfc4787_req3a_a_privileged_port_stays_privileged<A: Cast>() {
        let mut host = Host::<A>::with(Plan::new(1000, PortChoice::default(), 7));
        for container in A::CONTAINERS {
            for port in [1, 500, 1023, 1024, 5000] {
                let outside = host.outside_of(UDP, Endpoint::new(container, port), A::DNS);
                assert_eq!(u16::from_be_bytes(outside.port) < 1024, port < 1024, "{port} becomes {outside:?}");
            }
        }
    }

    pub(super) fn rfc4787_req4_parity_is_kept_where_that_is_asked_for<A: Cast>() {
        for seed in 0..20 {
            let ports = choice(&[2000..=2099], PortChoice::KEEP_PARITY);
            let mut host = Host::<A>::with(Plan::new(1000, ports, seed << 16 | seed));
            for port in 40000..40040 {
                assert_eq!(host.port_of(UDP, port) % 2, port % 2);
            }
        }
    }

    pub(super) fn rfc4787_req5_a_binding_lives_as_long_as_a_connection_holds_it<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let first = host.port_of(UDP, 20000);
        for _ in 0..10 {
            host.wait(299);
            host.sweep();
            assert_eq!(host.port_of(UDP, 20000), first);
        }
        assert_eq!(host.records(), 2);
        host.wait(300);
        host.sweep();
        assert_eq!(host.records(), 1, "the connection has ended");
        assert_eq!(host.port_of(UDP, 20000), first, "and its endpoint has the port still");
    }

    pub(super) fn rfc4787_req6_packets_of_both_directions_prolong_a_connection<A: Cast>() {
        let mut host = Host::<A>::roomy();
        assert_eq!(host.port_of(UDP, 2000), 2000);
        for _ in 0..3 {
            host.wait(299);
            assert_eq!(host.receive(UDP, A::DNS, A::host(2000)).0, Verdict::Translated);
            host.wait(299);
            assert_eq!(host.port_of(UDP, 2000), 2000);
        }
    }

    /// Also RFC 5382 REQ-3: whom an endpoint has sent to, any port of it, a stranger.
    pub(super) fn rfc4787_req8_filtering_is_what_was_asked_for<A: Cast>() {
        let (asked, same_host) = (A::DNS, Endpoint::new(A::PEERS[0], 99));
        let stranger = Endpoint::new(A::PEERS[1], 99);
        for (mode, admitted) in [
            (Filtering::AddressAndPort, &[asked][..]),
            (Filtering::Address, &[asked, same_host]),
            (Filtering::Endpoint, &[asked, same_host, stranger]),
        ] {
            for (content, first) in [(UDP, UDP), (SYN, SYN)] {
                let mut host = filtering::<A>(mode);
                assert_eq!(host.port_of(first, 2000), 2000);
                for peer in [asked, same_host, stranger] {
                    let (verdict, frame) = host.receive(content, peer, A::host(2000));
                    if !admitted.contains(&peer) {
                        assert_eq!(verdict, Verdict::Drop(Reason::Filtered), "{mode:?} {peer:?}");
                        continue;
                    }
                    assert_eq!((verdict, destination_of(&frame)), (Verdict::Translated, A::container(2000)));
                    let answer = if content == SYN { SYN_ACK } else { UDP };
                    assert_eq!(host.outside_of(answer, A::container(2000), peer), A::host(2000));
                }
            }
        }
    }

    pub(super) fn rfc4787_req11_a_host_that_is_nearly_full_does_the_same<A: Cast>() {
        let mut host = Host::<A>::new(400, (2000, 2099), 7);
        let chosen: Vec<_> = (0..90).map(|n| host.port_of(UDP, 20000 + n)).collect();
        for (n, port) in (0..).zip(&chosen) {
            let other = host.outside_of(UDP, A::container(20000 + n), A::CLIENT);
            assert_eq!(other, A::host(*port), "one outside endpoint for each, as at the beginning");
        }
    }

    pub(super) fn rfc5382_req4_an_unsolicited_syn_to_a_containers_port_is_dropped<A: Cast>() {
        for mode in [Filtering::AddressAndPort, Filtering::Address] {
            let mut host = filtering::<A>(mode);
            assert_eq!(host.port_of(SYN, 2000), 2000);
            for content in [SYN, ACK, RST, SYN_ACK] {
                assert_eq!(host.receive(content, A::CLIENT, A::host(2000)).0, Verdict::Drop(Reason::Filtered));
            }
            assert_eq!(host.receive(SYN, A::CLIENT, A::host(2001)).0, Verdict::Pass(Reason::NotOurs), "nobody's port");
        }
    }

    pub(super) fn rfc5508_req1a_an_echo_identifier_is_the_same_towards_all_destinations<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let request = Content::EchoRequest;
        let other = Endpoint::new(A::CONTAINERS[0], 77);
        let chosen = A::PEERS.map(|peer| host.outside_of(request, A::container(77), Endpoint::new(peer, 0)));
        let others = A::PEERS.map(|peer| host.outside_of(request, other, Endpoint::new(peer, 0)));
        assert!(chosen == [A::host(77); 2] && others[0] == others[1] && others[0] != chosen[0]);
        let (verdict, answer) = host.receive(Content::EchoReply, Endpoint::new(A::PEERS[1], 0), others[1]);
        assert_eq!((verdict, destination_of(&answer)), (Verdict::Translated, other));
    }

    pub(super) fn rfc5508_req8_a_sender_is_told_that_no_port_is_left<A: Cast>() {
        let mut host = Host::<A>::new(1000, (2000, 2000), 7);
        assert_eq!(host.port_of(UDP, 20000), 2000);
        let (verdict, answer) = host.send(UDP, A::container(20001), A::DNS);
        assert_eq!(verdict, refused(Reason::PortsExhausted));
        let headers = headers_of::<A>(&answer);
        assert_eq!((headers.source, headers.destination), (A::HOSTS[0], A::CONTAINERS[1]));
        let at = usize::try_from(headers.transport_at).expect("short");
        assert_eq!(answer[at..at + 2], if A::FAMILY == 0 { [3, 13] } else { [1, 1] }, "administratively prohibited");
        // No errors about errors, and none to a stranger.
        assert_eq!(host.send(Content::TimeExceeded, A::container(20001), A::DNS).0, Verdict::Drop(Reason::Unrelated));
    }

    pub(super) fn rfc6888_req4_one_source_has_no_more_ports_than_it_may<A: Cast>() {
        let plan = Plan { max_ports_per_source: 2, ..Plan::new(100, ports(2000..=2099), 7) };
        let mut host = Host::<A>::with(plan);
        let ports = [host.port_of(UDP, 20000), host.port_of(SYN, 20000)];
        for content in [UDP, SYN, Content::EchoRequest] {
            let before = host.0.tables.tuples();
            assert_eq!(host.send(content, A::container(20001), A::DNS).0, refused(Reason::SourceLimit));
            assert_eq!(host.0.tables.tuples(), before);
        }
        for peer in peers() {
            assert_eq!(host.outside_of(UDP, A::container(20000), peer).port, ports[0].to_be_bytes(), "any destination");
        }
        host.outside_of(UDP, Endpoint::new(A::CONTAINERS[0], 20000), A::DNS);
        host.wait(7440);
        host.sweep();
        host.wait(120);
        host.sweep();
        assert_eq!(host.records(), 0);
        host.port_of(UDP, 20001);
    }

    pub(super) fn rfc6888_req8_a_port_goes_to_nobody_else_for_two_minutes<A: Cast>() {
        let mut host = Host::<A>::new(1000, (2000, 2000), 7);
        assert_eq!(host.port_of(UDP, 20000), 2000);
        host.wait(300);
        host.sweep();
        host.wait(119);
        host.sweep();
        assert_eq!(host.receive(UDP, A::CLIENT, A::host(2000)).0, Verdict::Drop(Reason::Filtered), "bound still");
        host.wait(1);
        host.sweep();
        assert_eq!(host.records(), 0);
        assert_eq!(host.port_of(UDP, 20001), 2000);
    }

    pub(super) fn ports_that_run_short_are_shared_towards_other_destinations<A: Cast>() {
        let mut host = Host::<A>::new(1000, (2000, 2001), 7);
        let bound = [host.port_of(UDP, 20000), host.port_of(UDP, 20001)];
        for (n, peer) in (20002..).zip(peers::<A>().skip(1)) {
            let shared = host.outside_of(UDP, A::container(n), peer);
            let (verdict, answer) = host.receive(UDP, peer, shared);
            assert_eq!((verdict, destination_of(&answer)), (Verdict::Translated, A::container(n)));
        }
        for peer in peers() {
            let again = host.outside_of(UDP, A::container(20000), peer);
            let is_taken = host.0.tables.tuples().len() > 1000;
            assert!(!is_taken && [2000, 2001].map(u16::to_be_bytes).contains(&again.port));
        }
        assert_eq!([host.port_of(UDP, 20000), host.port_of(UDP, 20001)], bound, "who had a port keeps it");
        assert_eq!(host.send(UDP, A::container(20009), A::DNS).0, refused(Reason::PortsExhausted));
    }

    pub(super) fn several_ranges_are_used_up_one_and_all<A: Cast>() {
        let ranges = [2000..=2009, 3000..=3000, 4000..=4019, 65535..=65535];
        let mut host = Host::<A>::with(Plan::new(1000, choice(&ranges, 0), 7));
        let chosen: BTreeSet<_> = (0..32).map(|n| host.port_of(UDP, 20000 + n)).collect();
        assert_eq!(chosen, ranges.into_iter().flatten().collect());
        assert_eq!(host.send(UDP, A::container(30000), A::DNS).0, refused(Reason::PortsExhausted));
    }

    pub(super) fn a_mapped_port_is_never_chosen<A: Cast>() {
        let mut host = Host::<A>::new(1000, (8079, 8081), 7);
        let chosen: BTreeSet<_> = [8080, 20000].map(|port| host.port_of(UDP, port)).into();
        assert_eq!(chosen, [8079, 8081].into());
        assert_eq!(host.send(UDP, A::container(20001), A::DNS).0, refused(Reason::PortsExhausted));
        assert_eq!(Host::<A>::new(1000, (9090, 9092), 7).port_of(UDP, 9090), 9092, "mapped on any address");
    }

    pub(super) fn a_socket_of_the_host_wins_over_a_binding<A: Cast>() {
        for mode in [Filtering::AddressAndPort, Filtering::Address, Filtering::Endpoint] {
            let mut host = filtering::<A>(mode);
            assert_eq!(host.port_of(UDP, 2000), 2000);
            host.0.tables.host_listeners.insert((Protocol::UDP, A::host(2000)));
            assert_eq!(host.receive(UDP, A::CLIENT, A::host(2000)).0, Verdict::Pass(Reason::NotOurs));
            assert_eq!(host.receive(UDP, A::DNS, A::host(2000)).0, Verdict::Translated, "what lives goes on");
        }
    }

    pub(super) fn a_permission_ends_with_the_last_connection_that_it_came_from<A: Cast>() {
        let mut host = filtering::<A>(Filtering::Address);
        assert_eq!(host.port_of(UDP, 2000), 2000);
        let other_port = Endpoint::new(A::PEERS[0], 99);
        assert_eq!(host.receive(UDP, other_port, A::host(2000)).0, Verdict::Translated);
        host.wait(300);
        host.sweep();
        assert_eq!(host.receive(UDP, other_port, A::host(2000)).0, Verdict::Drop(Reason::Filtered));
        assert_eq!(host.receive(UDP, A::DNS, A::host(2000)).0, Verdict::Drop(Reason::Filtered));
    }

    pub(super) fn a_binding_that_has_ended_admits_nobody_before_it_is_removed<A: Cast>() {
        let mut host = filtering::<A>(Filtering::Endpoint);
        assert_eq!(host.port_of(UDP, 2000), 2000);
        host.wait(300);
        host.sweep();
        host.wait(120);
        assert_eq!(host.receive(UDP, A::CLIENT, A::host(2000)).0, Verdict::Pass(Reason::NotOurs));
        assert_eq!(host.records(), 0);
        assert_eq!(host.port_of(UDP, 2000), 2000);
        host.0.end_rule(MASQUERADE_RULE);
        assert_eq!(host.receive(UDP, A::CLIENT, A::host(2000)).0, Verdict::Pass(Reason::NotOurs));
    }
}
