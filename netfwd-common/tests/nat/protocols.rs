//! TCP's ways (RFC 5382, RFC 7857, RFC 6146), SCTP, and protocols without ports.

for_both_families! {
    rfc5382_req2_a_simultaneous_open_is_translated,
    rfc5382_req2_a_half_closed_connection_goes_on,
    rfc7857_a_reset_is_translated_and_does_not_end_the_connection_at_once,
    rfc7857_resets_prolong_no_life,
    rfc6146_a_segment_after_a_reset_revives_the_connection,
    a_connection_is_picked_up_midstream_where_that_is_asked_for,
    a_protocol_without_ports_is_translated_by_its_addresses,
    one_container_at_a_time_speaks_such_a_protocol_with_a_peer,
    an_sctp_association_is_translated_with_its_ports,
    an_echo_is_answered_to_whom_has_asked,
}

#[cfg(test)]
mod generic {
    use std::sync::atomic::Ordering::Relaxed;

    use netfwd_common::{
        abi::{Endpoint, Reason, Side},
        conntrack::{Phase, State},
        tables::Tables as _,
        verdict::Verdict,
    };

    use crate::{
        frame::{ACK, Content, FIN, Frame, RST, SYN, SYN_ACK, UDP, tcp},
        host::{Cast, Host, destination_of, refused, source_of},
        world::{Plan, ports},
    };

    /// The phase of the connection that a packet from the container to the server belongs to.
    fn phase<A: Cast>(host: &Host<A>) -> Phase {
        let tuples = host.0.tables.tuples();
        let (tuple, slot) = tuples.iter().find(|(tuple, _)| tuple.is_on(Side::Inside)).expect("a connection");
        let record = host.0.tables.connection(slot.number).expect("its record");
        State(record.state.load(Relaxed)).phase(tuple.protocol)
    }

    fn out<A: Cast>(host: &mut Host<A>, content: Content) {
        assert_eq!(host.outside_of(content, A::container(2000), A::DNS), A::host(2000));
    }

    fn back<A: Cast>(host: &mut Host<A>, content: Content) {
        let (verdict, frame) = host.receive(content, A::DNS, A::host(2000));
        assert_eq!((verdict, destination_of(&frame)), (Verdict::Translated, A::container(2000)));
    }

    fn established<A: Cast>() -> Host<A> {
        let mut host = Host::roomy();
        out(&mut host, SYN);
        back(&mut host, SYN_ACK);
        out(&mut host, ACK);
        assert_eq!(phase(&host), Phase::Established);
        host
    }

    pub(super) fn rfc5382_req2_a_simultaneous_open_is_translated<A: Cast>() {
        let mut host = Host::<A>::roomy();
        out(&mut host, SYN);
        back(&mut host, SYN);
        out(&mut host, SYN_ACK);
        back(&mut host, SYN_ACK);
        out(&mut host, ACK);
        assert_eq!(phase(&host), Phase::Established);
    }

    pub(super) fn rfc5382_req2_a_half_closed_connection_goes_on<A: Cast>() {
        let mut host = established::<A>();
        back(&mut host, FIN);
        for _ in 0..3 {
            host.wait(7439);
            out(&mut host, ACK);
            assert_eq!(phase(&host), Phase::HalfClosed);
        }
        out(&mut host, FIN);
        back(&mut host, ACK);
        assert_eq!(phase(&host), Phase::Closing);
    }

    pub(super) fn rfc7857_a_reset_is_translated_and_does_not_end_the_connection_at_once<A: Cast>() {
        let mut host = established::<A>();
        back(&mut host, RST);
        host.wait(239);
        host.sweep();
        assert_eq!(host.records(), 2);
        host.wait(1);
        host.sweep();
        assert_eq!(host.records(), 1);
    }

    pub(super) fn rfc7857_resets_prolong_no_life<A: Cast>() {
        let mut host = established::<A>();
        for _ in 0..3 {
            back(&mut host, RST);
            out(&mut host, RST);
            host.wait(79);
        }
        host.wait(3);
        host.sweep();
        assert_eq!(host.records(), 1);
    }

    pub(super) fn rfc6146_a_segment_after_a_reset_revives_the_connection<A: Cast>() {
        let mut host = established::<A>();
        back(&mut host, RST);
        assert_eq!(phase(&host), Phase::Reset);
        out(&mut host, ACK);
        assert_eq!(phase(&host), Phase::Established);
    }

    pub(super) fn a_connection_is_picked_up_midstream_where_that_is_asked_for<A: Cast>() {
        let picking_up = Plan { picks_up: true, ..Plan::new(100, ports(2000..=2099), 7) };
        for content in [ACK, FIN, SYN_ACK, tcp(0x18)] {
            let mut host = Host::<A>::with(picking_up.clone());
            out(&mut host, content);
            back(&mut host, ACK);
            out(&mut host, ACK);
            let (verdict, frame) = host.receive(content, A::CLIENT, A::MAPPED);
            assert_eq!((verdict, destination_of(&frame)), (Verdict::Translated, A::TARGET));
            assert_eq!(host.outside_of(ACK, A::TARGET, A::CLIENT), A::MAPPED);
            let mut host = Host::<A>::roomy();
            assert_eq!(host.send(content, A::container(2000), A::DNS).0, Verdict::Drop(Reason::NotNewOutbound));
            assert_eq!(host.receive(content, A::CLIENT, A::MAPPED).0, Verdict::Pass(Reason::NotNewInbound));
        }
        let mut host = Host::<A>::with(picking_up);
        assert_eq!(host.send(RST, A::container(2000), A::DNS).0, Verdict::Drop(Reason::NotNewOutbound));
        assert_eq!(host.receive(RST, A::CLIENT, A::MAPPED).0, Verdict::Pass(Reason::NotNewInbound));
        assert_eq!(host.send(Content::EchoReply, A::container(7), A::DNS).0, Verdict::Drop(Reason::NotNewOutbound));
    }

    pub(super) fn a_protocol_without_ports_is_translated_by_its_addresses<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let peer = Endpoint::new(A::PEERS[0], 0);
        assert_eq!(host.outside_of(Content::Gre, A::container(0), peer), A::host(0));
        let (verdict, frame) = host.receive(Content::Gre, peer, A::host(0));
        assert_eq!((verdict, destination_of(&frame)), (Verdict::Translated, A::container(0)));
        assert_eq!(host.records(), 1, "without a binding");
        host.wait(600);
        assert_eq!(host.receive(Content::Gre, peer, A::host(0)).0, Verdict::Pass(Reason::NotOurs));
    }

    pub(super) fn one_container_at_a_time_speaks_such_a_protocol_with_a_peer<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let other = Endpoint::new(A::CONTAINERS[0], 0);
        let [near, far] = A::PEERS.map(|peer| Endpoint::new(peer, 0));
        assert_eq!(host.outside_of(Content::Gre, A::container(0), near), A::host(0));
        assert_eq!(host.send(Content::Gre, other, near).0, refused(Reason::PortsExhausted));
        assert_eq!(host.outside_of(Content::Gre, other, far), A::host(0));
        let (verdict, frame) = host.receive(Content::Gre, far, A::host(0));
        assert_eq!((verdict, destination_of(&frame)), (Verdict::Translated, other));
        host.wait(600);
        assert_eq!(host.outside_of(Content::Gre, other, near), A::host(0), "when the other one has ended");
    }

    pub(super) fn an_sctp_association_is_translated_with_its_ports<A: Cast>() {
        for (port, kept) in [(2000, true), (20000, false)] {
            let mut host = Host::<A>::roomy();
            let outside = host.outside_of(Content::Sctp(1), A::container(port), A::DNS);
            assert_eq!(outside == A::host(port), kept);
            let (verdict, frame) = host.receive(Content::Sctp(2), A::DNS, outside);
            assert_eq!((verdict, destination_of(&frame)), (Verdict::Translated, A::container(port)));
            assert_eq!(host.outside_of(Content::Sctp(10), A::container(port), A::DNS), outside);
        }
    }

    pub(super) fn an_echo_is_answered_to_whom_has_asked<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let other = Endpoint::new(A::CONTAINERS[0], 9);
        for asking in [A::container(9), other] {
            let outside = host.outside_of(Content::EchoRequest, asking, A::DNS);
            let (verdict, reply) = host.receive(Content::EchoReply, A::DNS, outside);
            assert_eq!((verdict, destination_of(&reply)), (Verdict::Translated, asking));
        }
        let unasked = host.receive(Content::EchoReply, A::DNS, A::host(99)).0;
        assert_eq!(unasked, Verdict::Pass(Reason::NotOurs));
        // A request from outside is the host's own business, whoever has the identifier.
        let request = Frame::new(Content::EchoRequest, Endpoint::new(A::PEERS[0], 9), A::host(0)).bytes();
        assert_eq!(host.meet(Side::Outside, request).0, Verdict::Pass(Reason::NotOurs));
        assert_eq!(source_of::<A>(&host.send(UDP, A::container(1), A::DNS).1).address, A::HOSTS[0]);
    }
}
