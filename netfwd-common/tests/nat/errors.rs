//! ICMP errors about connections (RFC 5508 section 4, RFC 4787 REQ-12, RFC 5382 REQ-9 and REQ-10).

for_both_families! {
    rfc5508_req4_an_error_from_outside_reaches_the_container,
    rfc5508_req5_an_error_from_inside_leaves_with_the_hosts_address,
    rfc5508_req10_a_router_reports_under_its_own_address_outside_and_the_hosts_inside,
    rfc5508_req6_an_error_neither_prolongs_nor_ends_a_connection,
    an_error_that_is_not_for_the_quoted_sender_is_not_ours,
    an_error_about_no_connection_passes_to_the_host_and_does_not_leave_a_container,
    an_error_about_an_ended_connection_is_about_none,
    an_error_about_an_echo_carries_its_identifier,
    an_error_about_a_short_quote_is_translated,
    rfc5508_req3d_extensions_of_an_error_stay_as_they_are,
}

#[cfg(test)]
mod generic {
    use netfwd_common::{
        abi::{Endpoint, Reason, Side},
        parse::Headers,
        verdict::Verdict,
    };

    use crate::{
        frame::{Content, Frame, LINK, SYN, UDP, error_about},
        host::{Cast, Host, headers_of, source_of},
        packets::{framed, ip},
        world::EXACT_RULE,
    };

    fn quote_of<A: Cast>(error: &[u8]) -> Headers<A> {
        let outer = headers_of::<A>(error);
        let mut inner = Headers::EMPTY;
        A::parse_quoted(error, outer.transport_at + 8, outer.end_at, &mut inner).expect("a quote");
        inner
    }

    /// The endpoints of a quoted packet.
    fn quoted<A: Cast>(error: &[u8]) -> (Endpoint<A>, Endpoint<A>) {
        let tuple = quote_of::<A>(error).tuple(Side::Inside).expect("a quote with ports");
        (tuple.source, tuple.destination)
    }

    fn ends<A: Cast>(error: &[u8]) -> (A, A) {
        let headers = headers_of::<A>(error);
        (headers.source, headers.destination)
    }

    pub(super) fn rfc5508_req4_an_error_from_outside_reaches_the_container<A: Cast>() {
        for content in [UDP, SYN, Content::Sctp(1)] {
            let mut host = Host::<A>::roomy();
            let (_, sent) = host.send(content, A::container(20000), A::DNS);
            let error = error_about(&sent, A::DNS.address, A::HOSTS[0]);
            let (verdict, error) = host.meet(Side::Outside, error);
            assert_eq!(verdict, Verdict::Translated);
            assert_eq!(ends(&error), (A::DNS.address, A::CONTAINERS[1]));
            assert_eq!(quoted(&error), (A::container(20000), A::DNS));
        }
        // About the answer of a mapped port.
        let mut host = Host::<A>::roomy();
        assert_eq!(host.receive(UDP, A::CLIENT, A::MAPPED).0, Verdict::Translated);
        let (_, answer) = host.send(UDP, A::TARGET, A::CLIENT);
        let (verdict, error) = host.meet(Side::Outside, error_about(&answer, A::CLIENT.address, A::HOSTS[0]));
        assert_eq!((verdict, ends(&error)), (Verdict::Translated, (A::CLIENT.address, A::TARGET.address)));
        assert_eq!(quoted(&error), (A::TARGET, A::CLIENT));
    }

    pub(super) fn rfc5508_req5_an_error_from_inside_leaves_with_the_hosts_address<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let (_, asked) = host.receive(UDP, A::CLIENT, A::MAPPED);
        let (verdict, error) = host.meet(Side::Inside, error_about(&asked, A::TARGET.address, A::CLIENT.address));
        assert_eq!((verdict, ends(&error)), (Verdict::Translated, (A::HOSTS[0], A::CLIENT.address)));
        assert_eq!(quoted(&error), (A::CLIENT, A::MAPPED));
        // About an answer to a masqueraded request.
        let outside = host.outside_of(UDP, A::container(20000), A::DNS);
        let (_, answer) = host.receive(UDP, A::DNS, outside);
        let (verdict, error) = host.meet(Side::Inside, error_about(&answer, A::CONTAINERS[1], A::DNS.address));
        assert_eq!((verdict, ends(&error)), (Verdict::Translated, (A::HOSTS[0], A::DNS.address)));
        assert_eq!(quoted(&error), (A::DNS, outside));
    }

    pub(super) fn rfc5508_req10_a_router_reports_under_its_own_address_outside_and_the_hosts_inside<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let (_, sent) = host.send(UDP, A::container(20000), A::DNS);
        let (verdict, error) = host.meet(Side::Outside, error_about(&sent, A::PEERS[1], A::HOSTS[0]));
        assert_eq!((verdict, ends(&error)), (Verdict::Translated, (A::PEERS[1], A::CONTAINERS[1])));
        let (_, asked) = host.receive(UDP, A::CLIENT, A::MAPPED);
        for (router, seen) in [(A::CONTAINERS[1], A::HOSTS[0]), (A::HOSTS[1], A::HOSTS[1])] {
            let (verdict, error) = host.meet(Side::Inside, error_about(&asked, router, A::CLIENT.address));
            assert_eq!((verdict, ends(&error)), (Verdict::Translated, (seen, A::CLIENT.address)));
        }
    }

    /// Also RFC 4787 REQ-12 and RFC 5382 REQ-10.
    pub(super) fn rfc5508_req6_an_error_neither_prolongs_nor_ends_a_connection<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let (_, sent) = host.send(UDP, A::container(20000), A::DNS);
        let before = host.lives();
        host.wait(299);
        for _ in 0..3 {
            let error = error_about(&sent, A::DNS.address, A::HOSTS[0]);
            assert_eq!(host.meet(Side::Outside, error).0, Verdict::Translated);
        }
        assert_eq!(host.lives(), before);
        host.wait(1);
        host.sweep();
        assert_eq!(host.records(), 1, "its binding");
    }

    pub(super) fn an_error_that_is_not_for_the_quoted_sender_is_not_ours<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let (_, sent) = host.send(UDP, A::container(20000), A::DNS);
        let astray = error_about(&sent, A::DNS.address, A::HOSTS[1]);
        assert_eq!(host.meet(Side::Outside, astray).0, Verdict::Pass(Reason::NotOurs));
        let (_, asked) = host.receive(UDP, A::CLIENT, A::MAPPED);
        let astray = error_about(&asked, A::TARGET.address, A::DNS.address);
        assert_eq!(host.meet(Side::Inside, astray).0, Verdict::Drop(Reason::Unrelated));
    }

    pub(super) fn an_error_about_no_connection_passes_to_the_host_and_does_not_leave_a_container<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let own = framed::<A>(&ip(UDP, [A::host(2000), A::DNS], 0, b"the host's own"));
        let error = error_about(&own, A::DNS.address, A::HOSTS[0]);
        assert_eq!(host.meet(Side::Outside, error).0, Verdict::Pass(Reason::NotOurs));
        let other = framed::<A>(&ip(UDP, [A::DNS, A::container(9)], 0, b"never seen"));
        let error = error_about(&other, A::CONTAINERS[1], A::DNS.address);
        assert_eq!(host.meet(Side::Inside, error).0, Verdict::Drop(Reason::Unrelated));
        let error = error_about(&other, A::HOSTS[0], A::DNS.address);
        assert_eq!(host.meet(Side::Inside, error).0, Verdict::Pass(Reason::NotOurs));
    }

    pub(super) fn an_error_about_an_ended_connection_is_about_none<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let (_, asked) = host.receive(UDP, A::CLIENT, A::MAPPED);
        host.0.end_rule(EXACT_RULE);
        let error = error_about(&asked, A::TARGET.address, A::CLIENT.address);
        assert_eq!(host.meet(Side::Inside, error).0, Verdict::Drop(Reason::Unrelated));
    }

    /// RFC 5508 REQ-3.
    pub(super) fn an_error_about_an_echo_carries_its_identifier<A: Cast>() {
        let mut host = Host::<A>::roomy();
        host.outside_of(Content::EchoRequest, Endpoint::new(A::CONTAINERS[0], 77), A::DNS);
        let (_, sent) = host.send(Content::EchoRequest, A::container(77), A::DNS);
        assert_ne!(source_of::<A>(&sent).port, [0, 77]);
        let (verdict, error) = host.meet(Side::Outside, error_about(&sent, A::PEERS[1], A::HOSTS[0]));
        assert_eq!((verdict, quoted::<A>(&error).0), (Verdict::Translated, A::container(77)));
    }

    pub(super) fn an_error_about_a_short_quote_is_translated<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let (_, sent) = host.send(SYN, A::container(20000), A::DNS);
        let shortest = LINK + if A::FAMILY == 0 { 28 } else { 48 };
        for (length, is_enough) in [(shortest - 1, false), (shortest, true), (shortest + 9, true)] {
            let error = error_about(&sent[..length], A::DNS.address, A::HOSTS[0]);
            let verdict = host.meet(Side::Outside, error).0;
            assert_eq!(verdict == Verdict::Translated, is_enough, "{length} bytes: {verdict:?}");
        }
    }

    /// RFC 4884: what is quoted is filled up to 128 bytes, or cut there, and extensions follow.
    pub(super) fn rfc5508_req3d_extensions_of_an_error_stay_as_they_are<A: Cast>() {
        const EXTENSION: &[u8] = &[0x20, 0, 0x9f, 0xff, 0, 8, 1, 1, 0, 0x01, 0xe1, 0x40];
        let quote = |mut frame: Vec<u8>| {
            frame.resize(LINK + 128, 0);
            [frame.as_slice(), EXTENSION].concat()
        };
        for (content, payload) in [(UDP, 7), (UDP, 600), (SYN, 0), (SYN, 600)] {
            let mut host = Host::<A>::roomy();
            let frame = Frame { payload: vec![5; payload], ..Frame::new(content, A::container(20000), A::DNS) }.bytes();
            let (_, sent) = host.meet(Side::Inside, frame.clone());
            let error = error_about(&quote(sent), A::PEERS[1], A::HOSTS[0]);
            // As if it had been about what the container has sent, its checksum too.
            let expected = error_about(&quote(frame), A::PEERS[1], A::CONTAINERS[1]);
            assert_eq!(host.meet(Side::Outside, error), (Verdict::Translated, expected), "{content:?} {payload}");
        }
    }
}
