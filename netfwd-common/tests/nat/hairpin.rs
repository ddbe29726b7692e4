//! From a container to a port of the host that belongs to a container (RFC 4787 REQ-9, RFC 5382 REQ-8).

for_both_families! {
    a_mapped_port_is_reached_from_its_bridge_and_answers_come_back,
    a_container_reaches_itself_through_a_mapped_port,
    rfc4787_req9a_containers_see_each_others_outside_endpoints,
    rfc4787_req9_a_container_is_let_in_to_a_binding_once_that_has_sent_to_it,
    a_filtered_connection_is_not_prolonged_by_its_sender,
    by_address_all_containers_are_let_in_that_appear_with_an_address_that_was_sent_to,
    the_uplink_of_a_binding_says_who_is_let_in,
    who_is_not_masqueraded_is_let_in_by_nobody_but_everybodys_binding,
    a_binding_that_is_made_on_a_bridge_counts_for_the_limit_of_the_uplink,
    a_mapped_port_is_open_to_containers_whatever_the_filtering,
    a_container_reaches_itself_through_its_own_outside_port,
    rfc5508_req7_an_error_about_what_was_turned_back_is_turned_back,
    a_sender_that_is_not_there_is_not_let_in,
    what_is_not_for_a_containers_port_goes_on,
    a_target_without_a_route_is_not_reached,
    a_socket_of_the_host_wins_over_a_binding_on_a_bridge_too,
}

#[cfg(test)]
mod generic {
    use netfwd_common::{
        abi::{Endpoint, Filtering, Protocol, Reason, Side},
        verdict::Verdict,
    };

    use crate::{
        frame::{ACK, Content, SYN, SYN_ACK, UDP, error_about},
        host::{Cast, Host, TURNED_BACK, destination_of, headers_of, source_of},
        world::{Plan, UPLINK, ports},
    };

    fn answering(content: Content) -> Content {
        if content == SYN { SYN_ACK } else { content }
    }

    pub(super) fn a_mapped_port_is_reached_from_its_bridge_and_answers_come_back<A: Cast>() {
        for (content, mapped) in [(SYN, A::MAPPED), (UDP, A::MAPPED), (UDP, Endpoint::new(A::HOSTS[1], 9090))] {
            let mut host = Host::<A>::roomy();
            let client = A::container(2000);
            let (verdict, asked) = host.turn(content, client, mapped);
            assert_eq!((verdict, destination_of(&asked)), (TURNED_BACK, A::TARGET));
            let seen: Endpoint<A> = source_of(&asked);
            assert_eq!(seen.address, mapped.address, "the server answers to the host, not to its neighbour");
            let (verdict, answer) = host.turn(answering(content), A::TARGET, seen);
            assert_eq!((verdict, source_of(&answer), destination_of(&answer)), (TURNED_BACK, mapped, client));
            assert_eq!(host.records(), 1);
        }
    }

    pub(super) fn a_container_reaches_itself_through_a_mapped_port<A: Cast>() {
        for port in [80, 2000, 8080] {
            let mut host = Host::<A>::roomy();
            let client = Endpoint::new(A::CONTAINERS[0], port);
            let (verdict, asked) = host.turn(UDP, client, A::MAPPED);
            assert_eq!((verdict, destination_of(&asked)), (TURNED_BACK, A::TARGET));
            let (verdict, answer) = host.turn(UDP, A::TARGET, source_of(&asked));
            assert_eq!((verdict, source_of(&answer), destination_of(&answer)), (TURNED_BACK, A::MAPPED, client));
        }
    }

    /// A host that filters in some way.
    fn filtering<A: Cast>(filtering: Filtering) -> Host<A> {
        Host::with(Plan { filtering, ..Plan::new(1000, ports(2000..=2099), 7) })
    }

    /// A packet from the bridge is let in: whom it reaches, and as whose.
    #[track_caller]
    fn turned<A: Cast>(host: &mut Host<A>, content: Content, from: Endpoint<A>, to: Endpoint<A>) -> [Endpoint<A>; 2] {
        let (verdict, arrived) = host.turn(content, from, to);
        assert_eq!(verdict, TURNED_BACK);
        [source_of(&arrived), destination_of(&arrived)]
    }

    #[track_caller]
    fn is_filtered<A: Cast>(host: &mut Host<A>, content: Content, from: Endpoint<A>, to: Endpoint<A>) {
        assert_eq!(host.turn(content, from, to).0, Verdict::Drop(Reason::Filtered));
    }

    pub(super) fn rfc4787_req9a_containers_see_each_others_outside_endpoints<A: Cast>() {
        let mut host = filtering(Filtering::Endpoint);
        let (one, two) = (Endpoint::new(A::CONTAINERS[0], 20000), A::container(20000));
        let [outside_one, outside_two] = [one, two].map(|it| host.outside_of(UDP, it, A::DNS));
        assert_eq!(turned(&mut host, UDP, one, outside_two), [outside_one, two]);
        assert_eq!(turned(&mut host, UDP, two, outside_one), [outside_two, one]);
        assert_eq!(host.outside_of(UDP, one, A::CLIENT), outside_one, "the same as towards everybody");
    }

    /// Whoever sends first is not let in, but makes way for the other one, as two do who are behind different NATs.
    pub(super) fn rfc4787_req9_a_container_is_let_in_to_a_binding_once_that_has_sent_to_it<A: Cast>() {
        for (filter, content) in
            [(Filtering::AddressAndPort, UDP), (Filtering::Address, UDP), (Filtering::Address, SYN)]
        {
            let mut host = filtering(filter);
            let (one, two) = (Endpoint::new(A::CONTAINERS[0], 20000), A::container(20000));
            let [outside_one, outside_two] = [one, two].map(|it| host.outside_of(content, it, A::DNS));
            let records = host.records();
            for _ in 0..3 {
                is_filtered(&mut host, content, one, outside_two);
            }
            assert!(host.records() > records, "it is remembered");
            assert_eq!(turned(&mut host, content, two, outside_one), [outside_two, one]);
            assert_eq!(turned(&mut host, answering(content), one, outside_two), [outside_one, two]);
        }
    }

    pub(super) fn a_filtered_connection_is_not_prolonged_by_its_sender<A: Cast>() {
        let mut host = filtering(Filtering::AddressAndPort);
        let (one, two) = (Endpoint::new(A::CONTAINERS[0], 20000), A::container(20000));
        let [outside_one, outside_two] = [one, two].map(|it| host.outside_of(UDP, it, A::DNS));
        is_filtered(&mut host, UDP, one, outside_two);
        let before = host.lives();
        host.wait(100);
        is_filtered(&mut host, UDP, one, outside_two);
        assert_eq!(host.lives(), before);
        host.wait(200);
        // What was to make way has ended, and the other one is now the first.
        host.outside_of(UDP, one, A::DNS);
        is_filtered(&mut host, UDP, two, outside_one);
    }

    pub(super) fn by_address_all_containers_are_let_in_that_appear_with_an_address_that_was_sent_to<A: Cast>() {
        let mut host = filtering(Filtering::Address);
        let (one, other, two) =
            (Endpoint::new(A::CONTAINERS[0], 20000), Endpoint::new(A::CONTAINERS[0], 20001), A::container(20000));
        let [outside_one, outside_other, outside_two] = [one, other, two].map(|it| host.outside_of(UDP, it, A::DNS));
        is_filtered(&mut host, UDP, two, outside_one);
        assert_eq!(turned(&mut host, UDP, other, outside_two), [outside_other, two]);
    }

    pub(super) fn the_uplink_of_a_binding_says_who_is_let_in<A: Cast>() {
        let (one, two) = (Endpoint::new(A::CONTAINERS[0], 20000), A::container(20000));
        for (of_the_bridge, of_the_uplink) in
            [(Filtering::Endpoint, Filtering::AddressAndPort), (Filtering::AddressAndPort, Filtering::Endpoint)]
        {
            let mut host = filtering(of_the_bridge);
            host.0.tables.interfaces.get_mut(&UPLINK).expect("the uplink").filtering = of_the_uplink.number();
            let outside = host.outside_of(UDP, two, A::DNS);
            let is_let_in = host.turn(UDP, one, outside).0 == TURNED_BACK;
            assert_eq!(is_let_in, of_the_uplink == Filtering::Endpoint);
        }
    }

    pub(super) fn who_is_not_masqueraded_is_let_in_by_nobody_but_everybodys_binding<A: Cast>() {
        for filter in [Filtering::AddressAndPort, Filtering::Address, Filtering::Endpoint] {
            let mut host = filtering(filter);
            let outside = host.outside_of(UDP, A::container(20000), A::DNS);
            host.0.tables.masquerades.remove(&(UPLINK, A::CONTAINERS[0]));
            let records = host.records();
            let verdict = host.turn(UDP, Endpoint::new(A::CONTAINERS[0], 20000), outside).0;
            if filter == Filtering::Endpoint {
                assert_eq!(verdict, TURNED_BACK);
            } else {
                assert_eq!((verdict, host.records()), (Verdict::Drop(Reason::Filtered), records));
            }
        }
    }

    pub(super) fn a_binding_that_is_made_on_a_bridge_counts_for_the_limit_of_the_uplink<A: Cast>() {
        let mut host = filtering(Filtering::Endpoint);
        host.0.tables.interfaces.get_mut(&UPLINK).expect("the uplink").max_ports_per_source = 2;
        let outside = host.outside_of(UDP, A::container(20000), A::DNS);
        let verdicts = [1, 2, 3].map(|port| host.turn(UDP, Endpoint::new(A::CONTAINERS[0], port), outside).0);
        assert_eq!(verdicts, [TURNED_BACK, TURNED_BACK, Verdict::Drop(Reason::SourceLimit)]);
    }

    pub(super) fn a_mapped_port_is_open_to_containers_whatever_the_filtering<A: Cast>() {
        for filter in [Filtering::AddressAndPort, Filtering::Address, Filtering::Endpoint] {
            let mut host = filtering(filter);
            let [seen, target] = turned(&mut host, UDP, A::container(2000), A::MAPPED);
            assert_eq!(target, A::TARGET);
            assert_eq!(turned(&mut host, UDP, A::TARGET, seen), [A::MAPPED, A::container(2000)]);
        }
    }

    pub(super) fn a_container_reaches_itself_through_its_own_outside_port<A: Cast>() {
        for port in [2000, 20000] {
            let mut host = Host::<A>::roomy();
            let own = A::container(port);
            let outside = host.outside_of(UDP, own, A::DNS);
            let (verdict, asked) = host.turn(UDP, own, outside);
            assert_eq!((verdict, destination_of(&asked)), (TURNED_BACK, own));
            let (verdict, answer) = host.turn(UDP, own, source_of(&asked));
            assert_eq!((verdict, source_of(&answer), destination_of(&answer)), (TURNED_BACK, outside, own));
        }
    }

    pub(super) fn rfc5508_req7_an_error_about_what_was_turned_back_is_turned_back<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let client = A::container(2000);
        let (_, asked) = host.turn(UDP, client, A::MAPPED);
        let (_, answer) = host.turn(UDP, A::TARGET, source_of(&asked));
        for (about, reporter, receiver) in [(&asked, A::TARGET, client), (&answer, client, A::TARGET)] {
            let seen = source_of::<A>(about).address;
            let (verdict, error) = host.meet(Side::Bridge, error_about(about, reporter.address, seen));
            assert_eq!(verdict, TURNED_BACK);
            let headers = headers_of::<A>(&error);
            assert_eq!((headers.source, headers.destination), (A::HOSTS[0], receiver.address));
        }
    }

    pub(super) fn a_sender_that_is_not_there_is_not_let_in<A: Cast>() {
        let mut host = Host::<A>::roomy();
        for forged in [A::DNS, A::host(2000), Endpoint::new(A::HOSTS[1], 2000)] {
            assert_eq!(host.turn(UDP, forged, A::MAPPED).0, Verdict::Pass(Reason::NotOurs), "{forged:?}");
        }
        assert_eq!(host.records(), 0);
    }

    pub(super) fn what_is_not_for_a_containers_port_goes_on<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let client = A::container(2000);
        for (content, destination) in [
            (UDP, A::host(53)),                  // the host itself
            (UDP, A::DNS),                       // the outside: the uplink's business
            (UDP, A::TARGET),                    // a neighbour
            (ACK, A::MAPPED),                    // opens nothing
            (Content::EchoRequest, A::host(0)),  // is answered by the host
            (Content::TimeExceeded, A::host(0)), // about nothing
            (Content::Gre, A::host(0)),
            (Content::Sctp(1), A::MAPPED),
        ] {
            assert_eq!(host.turn(content, client, destination).0, Verdict::Pass(Reason::NotOurs), "{content:?}");
        }
        assert_eq!(host.records(), 0);
    }

    pub(super) fn a_target_without_a_route_is_not_reached<A: Cast>() {
        let mut host = Host::<A>::roomy();
        host.0.tables.routes.remove(&A::TARGET.address);
        assert_eq!(host.turn(UDP, A::container(2000), A::MAPPED).0, Verdict::Drop(Reason::Unroutable));
    }

    pub(super) fn a_socket_of_the_host_wins_over_a_binding_on_a_bridge_too<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let outside = host.outside_of(UDP, A::container(2000), A::DNS);
        host.0.tables.host_listeners.insert((Protocol::UDP, outside));
        let verdict = host.turn(UDP, Endpoint::new(A::CONTAINERS[0], 2000), outside).0;
        assert_eq!(verdict, Verdict::Pass(Reason::NotOurs));
    }
}
