//! Fragments (RFC 4787 REQ-14, RFC 791, RFC 8200 section 4.5).

for_both_families! {
    rfc4787_req14_fragments_are_translated_in_order,
    rfc4787_req14_fragments_are_translated_in_any_order,
    rfc4787_req14a_what_is_held_back_is_bounded,
    a_held_fragment_waits_no_longer_than_its_time,
    a_datagram_with_the_number_of_an_old_one_is_another_one,
    the_later_fragments_of_an_ended_connection_are_dropped,
    fragments_of_what_is_not_ours_pass,
    a_later_fragment_from_outside_goes_on_and_is_kept,
    fragments_of_a_protocol_without_ports_need_no_first_one,
    a_dropped_first_fragment_takes_the_others_with_it,
}

#[cfg(test)]
mod generic {
    use netfwd_common::{
        abi::{Endpoint, Reason, Side},
        memory::Held,
        verdict::Verdict,
    };

    use crate::{
        frame::{Content, Frame, SYN, UDP},
        host::{Cast, Host, TURNED_BACK, destination_of, headers_of, source_of},
        packets::framed,
        witness,
        world::EXACT_RULE,
    };

    /// A datagram of 3 or 4 fragments.
    fn datagram<A: Cast>(content: Content, source: Endpoint<A>, destination: Endpoint<A>) -> Vec<Vec<u8>> {
        Frame { payload: (0..60).collect(), ..Frame::new(content, source, destination) }.fragments(24)
    }

    /// Meets fragments, and what they let go; returns what went on.
    fn meet<A: Cast>(host: &mut Host<A>, side: Side, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
        let mut gone_on = Vec::new();
        for frame in frames {
            let (verdict, after) = host.meet(side, frame);
            if matches!(verdict, Verdict::Translated | Verdict::Redirected(_)) {
                gone_on.push(after);
            }
            let released = host.0.held.take_released();
            gone_on.extend(released.into_iter().map(|frame| {
                let (verdict, after) = host.meet(side, frame);
                assert!(matches!(verdict, Verdict::Translated | Verdict::Redirected(_)), "{verdict:?}");
                after
            }));
        }
        gone_on
    }

    /// The datagram that fragments make: its ends, if all are there and all is right.
    fn reassembled<A: Cast>(fragments: &[Vec<u8>], content: Content) -> (Endpoint<A>, Endpoint<A>) {
        let mut parts: Vec<_> = fragments
            .iter()
            .map(|frame| {
                let headers = headers_of::<A>(frame);
                let at = if A::FAMILY == 0 { 20 } else { 56 };
                let field = u16::from_be_bytes([frame[at], frame[at + 1]]);
                let offset = if A::FAMILY == 0 { (field & 0x1fff) * 8 } else { field & 0xfff8 };
                let data = &frame[usize::try_from(headers.transport_at).expect("short")..];
                assert_eq!(headers.source, headers_of::<A>(&fragments[0]).source);
                (offset, data.to_vec())
            })
            .collect();
        parts.sort();
        let headers = headers_of::<A>(&fragments[0]);
        let whole = parts.into_iter().flat_map(|(_, data)| data).collect::<Vec<_>>();
        let ip = A::ip(headers.source, headers.destination, content.protocol::<A>(), 0, &whole);
        witness::endpoints(&framed::<A>(&ip))
    }

    /// All orders of as many fragments.
    fn orders(count: usize) -> Vec<Vec<usize>> {
        if count == 0 {
            return vec![Vec::new()];
        }
        let shorter = orders(count - 1);
        let with = |at: usize| shorter.iter().map(move |order| [&order[..at], &[count - 1], &order[at..]].concat());
        (0..count).flat_map(with).collect()
    }

    pub(super) fn rfc4787_req14_fragments_are_translated_in_order<A: Cast>() {
        for content in [UDP, SYN, Content::EchoRequest] {
            let mut host = Host::<A>::roomy();
            let sent = meet(&mut host, Side::Inside, datagram(content, A::container(2000), A::DNS));
            let (source, destination) = reassembled::<A>(&sent, content);
            assert_eq!(source, A::host(2000));
            assert_eq!(destination.address, A::DNS.address);
            assert_eq!(host.0.held.count(), 0);
        }
    }

    pub(super) fn rfc4787_req14_fragments_are_translated_in_any_order<A: Cast>() {
        for content in [UDP, Content::BareUdp, SYN] {
            for order in orders(datagram(content, A::container(2000), A::DNS).len()) {
                let in_order =
                    |fragments: Vec<Vec<u8>>| order.iter().map(move |at| fragments[*at].clone()).collect::<Vec<_>>();
                // Out, back, in and turned back.
                let mut host = Host::<A>::roomy();
                let sent = meet(&mut host, Side::Inside, in_order(datagram(content, A::container(2000), A::DNS)));
                assert_eq!(reassembled(&sent, content), (A::host(2000), A::DNS), "{order:?}");
                let answer = if content == SYN { crate::frame::SYN_ACK } else { content };
                let received = meet(&mut host, Side::Outside, in_order(datagram(answer, A::DNS, A::host(2000))));
                assert_eq!(reassembled(&received, answer), (A::DNS, A::container(2000)), "{order:?}");
                let asked = meet(&mut host, Side::Outside, in_order(datagram(content, A::CLIENT, A::MAPPED)));
                assert_eq!(reassembled(&asked, content), (A::CLIENT, A::TARGET), "{order:?}");
                let turned = meet(&mut host, Side::Bridge, in_order(datagram(content, A::container(2000), A::MAPPED)));
                assert_eq!(reassembled(&turned, content), (A::host(2000), A::TARGET), "{order:?}");
            }
        }
    }

    pub(super) fn rfc4787_req14a_what_is_held_back_is_bounded<A: Cast>() {
        let mut host = Host::<A>::roomy();
        host.0.held = Held::new(100);
        let long = Frame { payload: vec![7; 16 * 12], ..Frame::new(UDP, A::container(2000), A::DNS) }.fragments(16);
        let (first, later) = long.split_first().expect("thirteen");
        for (number, fragment) in later.iter().enumerate() {
            let reason = if number < 8 { Reason::FragmentHeld } else { Reason::Fragment };
            assert_eq!(host.meet(Side::Inside, fragment.clone()).0, Verdict::Drop(reason), "{number}");
        }
        assert_eq!(meet(&mut host, Side::Inside, [first.clone()]).len(), 9);
        // A flood of other datagrams takes the places of the oldest ones.
        let mut host = Host::<A>::roomy();
        let fragments = datagram(UDP, A::container(2000), A::DNS);
        for fragment in &fragments[1..] {
            assert_eq!(host.meet(Side::Inside, fragment.clone()).0, Verdict::Drop(Reason::FragmentHeld));
        }
        for peer in 0..4 {
            let flood = datagram(UDP, A::container(1), Endpoint::new(A::CONTAINERS[0], peer)).remove(1);
            drop(host.meet(Side::Inside, flood));
        }
        assert_eq!(host.0.held.count(), 4);
        assert_eq!(meet(&mut host, Side::Inside, [fragments[0].clone()]).len(), 1, "the first one alone");
    }

    pub(super) fn a_held_fragment_waits_no_longer_than_its_time<A: Cast>() {
        for (seconds, count) in [(1, 3), (2, 1)] {
            let mut host = Host::<A>::roomy();
            let fragments = datagram(UDP, A::container(2000), A::DNS);
            let count = count.min(fragments.len());
            for fragment in &fragments[1..] {
                assert_eq!(host.meet(Side::Inside, fragment.clone()).0, Verdict::Drop(Reason::FragmentHeld));
            }
            host.wait(seconds);
            assert_eq!(meet(&mut host, Side::Inside, [fragments[0].clone()]).len(), count, "after {seconds} s");
        }
        let mut host = Host::<A>::roomy();
        let fragments = datagram(UDP, A::container(2000), A::DNS);
        assert_eq!(host.meet(Side::Inside, fragments[0].clone()).0, Verdict::Translated);
        host.wait(2);
        assert_eq!(host.meet(Side::Inside, fragments[1].clone()).0, Verdict::Drop(Reason::FragmentHeld));
    }

    pub(super) fn a_datagram_with_the_number_of_an_old_one_is_another_one<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let old = datagram(UDP, A::container(2000), A::DNS);
        assert_eq!(meet(&mut host, Side::Inside, old).len(), 3);
        host.wait(2);
        let mut new = datagram(UDP, A::container(2001), A::DNS);
        new.reverse();
        let sent = meet(&mut host, Side::Inside, new);
        assert_eq!(reassembled(&sent, UDP), (A::host(2001), A::DNS));
    }

    pub(super) fn the_later_fragments_of_an_ended_connection_are_dropped<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let fragments = datagram(UDP, A::CLIENT, A::MAPPED);
        assert_eq!(host.meet(Side::Outside, fragments[0].clone()).0, Verdict::Translated);
        host.0.end_rule(EXACT_RULE);
        assert_eq!(host.meet(Side::Outside, fragments[1].clone()).0, Verdict::Drop(Reason::Fragment));
        host.0.start_rule(EXACT_RULE);
        assert_eq!(host.receive(UDP, A::DNS, A::MAPPED).0, Verdict::Translated);
        assert_eq!(host.meet(Side::Outside, fragments[1].clone()).0, Verdict::Drop(Reason::Fragment));
    }

    pub(super) fn fragments_of_what_is_not_ours_pass<A: Cast>() {
        let mut host = Host::<A>::roomy();
        for (side, source, destination) in [
            (Side::Inside, A::host(53), A::DNS),
            (Side::Outside, A::DNS, A::host(53)),
            (Side::Bridge, A::container(1), A::host(53)),
        ] {
            for fragment in datagram(UDP, source, destination) {
                assert_eq!(host.meet(side, fragment).0, Verdict::Pass(Reason::NotOurs));
            }
        }
        for fragment in datagram(UDP, A::container(1), Endpoint::new(A::EXCLUDED, 53)) {
            assert!(matches!(host.meet(Side::Inside, fragment).0, Verdict::Pass(_)));
        }
    }

    pub(super) fn a_later_fragment_from_outside_goes_on_and_is_kept<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let to_host = datagram(UDP, A::DNS, A::host(53));
        for fragment in to_host.iter().skip(1).chain([&to_host[0]]) {
            let (verdict, after) = host.meet(Side::Outside, fragment.clone());
            assert!(matches!(verdict, Verdict::Pass(Reason::FragmentAhead | Reason::NotOurs)) && after == *fragment);
        }
        assert_eq!(host.0.held.take_released(), Vec::<Vec<u8>>::new(), "they have gone on already");
        let turned = datagram(UDP, A::container(2000), A::MAPPED);
        assert_eq!(host.meet(Side::Bridge, turned[1].clone()).0, Verdict::Pass(Reason::FragmentAhead));
        assert_eq!(host.meet(Side::Bridge, turned[0].clone()).0, TURNED_BACK);
        assert_eq!(host.0.held.take_released(), [turned[1].clone()]);
    }

    pub(super) fn fragments_of_a_protocol_without_ports_need_no_first_one<A: Cast>() {
        let mut host = Host::<A>::roomy();
        for fragment in datagram(Content::Gre, A::container(0), Endpoint::new(A::PEERS[0], 0)).into_iter().rev() {
            let (verdict, sent) = host.meet(Side::Inside, fragment);
            assert_eq!((verdict, source_of::<A>(&sent)), (Verdict::Translated, A::host(0)));
            assert_eq!(destination_of::<A>(&sent).address, A::PEERS[0]);
        }
    }

    pub(super) fn a_dropped_first_fragment_takes_the_others_with_it<A: Cast>() {
        let mut host = Host::<A>::roomy();
        let fragments = datagram(crate::frame::ACK, A::container(2000), A::DNS);
        let verdicts: Vec<_> = fragments.into_iter().map(|fragment| host.meet(Side::Inside, fragment).0).collect();
        assert_eq!(verdicts[0], Verdict::Drop(Reason::NotNewOutbound));
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Drop(_))), "{verdicts:?}");
        assert_eq!(host.0.held.take_released(), Vec::<Vec<u8>>::new());
    }
}
