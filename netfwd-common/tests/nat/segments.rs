//! The largest TCP segment that an end announces is lowered on its way.

for_both_families! {
    a_segment_size_is_lowered_wherever_it_stands,
    options_without_a_sensible_segment_size_are_left_alone,
    handshakes_in_both_directions_announce_what_fits,
    a_handshake_that_announces_nothing_goes_as_it_is,
}

#[cfg(test)]
mod generic {
    use netfwd_common::{
        abi::{Endpoint, Side},
        memory::MemoryTables,
        mss,
        verdict::Verdict,
    };

    use crate::{
        frame::{Content, Ip},
        host::{Cast, Host, destination_of, headers_of, source_of},
        packets::framed,
        world::{Plan, ports},
    };

    const SYN: u8 = 0x02;
    const SYN_ACK: u8 = 0x12;
    const ACK: u8 = 0x10;
    const FIN: u8 = 0x11;
    /// What stands before the option, if anything: 0, 1, 2, 3, 10 and 36 bytes.
    const BEFORE: [&[u8]; 6] = [&[], &[1], &[1, 1], &[3, 3, 7], &[8, 10, 0, 0, 0, 0, 0, 0, 0, 0], &[1; 36]];

    fn announcing(before: &[u8], size: u16) -> Vec<u8> {
        [before, &[2, 4], &size.to_be_bytes()].concat()
    }

    /// A segment with TCP options.
    fn segment<A: Ip>(flags: u8, options: &[u8], payload: &[u8], ends: [Endpoint<A>; 2]) -> Vec<u8> {
        let words = options.len().div_ceil(4);
        let (content, [source, destination]) = (Content::Tcp(flags, words), ends);
        let mut segment = content.bytes(source, destination, payload);
        segment[20..20 + words * 4].fill(0);
        segment[20..20 + options.len()].copy_from_slice(options);
        content.seal(source.address, destination.address, &mut segment);
        framed::<A>(&A::ip(source.address, destination.address, 6, 0, &segment))
    }

    /// Whether the segment size of a frame was lowered to `max`.
    fn is_lowered<A: Cast>(frame: &mut [u8], max: u16) -> Option<bool> {
        let headers = headers_of::<A>(frame);
        mss::clamp(frame, &MemoryTables::new(1), &headers, max.to_be_bytes())
    }

    fn ends<A: Ip>() -> [Endpoint<A>; 2] {
        [A::ENDS[0], A::ENDS[1]]
    }

    pub(super) fn a_segment_size_is_lowered_wherever_it_stands<A: Cast>() {
        let sizes = [(1460, 1360, 1360), (1360, 1360, 1360), (536, 1360, 536), (0xff00, 0x00ff, 0x00ff)];
        for (before, (size, max, expected)) in BEFORE.iter().flat_map(|before| sizes.map(|sizes| (before, sizes))) {
            let of = |size| segment::<A>(SYN, &announcing(before, size), b"data", ends());
            let mut frame = of(size);
            assert_eq!(is_lowered::<A>(&mut frame, max), Some(size > max), "{before:?} {size} {max}");
            assert_eq!(frame, of(expected), "{before:?} {size} {max}");
        }
    }

    pub(super) fn options_without_a_sensible_segment_size_are_left_alone<A: Cast>() {
        let options: [&[u8]; 9] = [
            &[],
            &[1; 40],
            &[0, 2, 4, 0xff, 0xff],
            &[3, 0, 2, 4, 0xff, 0xff],
            &[3, 1, 2, 4, 0xff, 0xff],
            &[2, 3, 0xff, 0xff],
            &[8, 40, 2, 4, 0xff, 0xff],
            &[1, 1, 1, 2],
            &[1, 1, 2, 4],
        ];
        for options in options {
            let whole = segment::<A>(SYN, options, &[2, 4, 0xff, 0xff], ends());
            let mut frame = whole.clone();
            assert_eq!(is_lowered::<A>(&mut frame, 256), Some(false), "{options:?}");
            assert_eq!(frame, whole);
        }
        for (flags, expected) in [(SYN, true), (SYN_ACK, true), (ACK, false), (FIN, false)] {
            let mut frame = segment::<A>(flags, &announcing(&[], 0xffff), b"", ends());
            assert_eq!(is_lowered::<A>(&mut frame, 256), Some(expected), "{flags:#x}");
        }
    }

    /// A host that clamps IPv4 to 1360 bytes and IPv6 to 1340.
    fn clamping<A: Cast>() -> (Host<A>, u16) {
        let max_segment = [1360, 1340];
        let plan = Plan { max_segment, ..Plan::new(1000, ports(2000..=2099), 7) };
        (Host::with(plan), max_segment[A::FAMILY])
    }

    /// Where a translated segment came from and where it goes to.
    fn new_ends<A: Cast>(frame: &[u8]) -> [Endpoint<A>; 2] {
        [source_of(frame), destination_of(frame)]
    }

    /// Both parts of two handshakes: one that a container begins, and one with a mapped port.
    pub(super) fn handshakes_in_both_directions_announce_what_fits<A: Cast>() {
        for before in BEFORE {
            let (mut host, max) = clamping::<A>();
            let mut meet = |side, flags, ends| {
                let of = |size, ends| segment::<A>(flags, &announcing(before, size), b"", ends);
                let (verdict, arrived) = host.meet(side, of(9000, ends));
                assert_eq!(verdict, Verdict::Translated);
                let ends = new_ends(&arrived);
                assert_eq!(arrived, of(max, ends), "{side:?} {flags:#x} {before:?}");
                ends
            };
            let [outside, _] = meet(Side::Inside, SYN, [A::container(20000), A::DNS]);
            meet(Side::Outside, SYN_ACK, [A::DNS, outside]);
            meet(Side::Outside, SYN, [A::CLIENT, A::MAPPED]);
            meet(Side::Inside, SYN_ACK, [A::TARGET, A::CLIENT]);
        }
    }

    pub(super) fn a_handshake_that_announces_nothing_goes_as_it_is<A: Cast>() {
        let (mut host, max) = clamping::<A>();
        for (number, options) in [&[][..], &[1, 1, 3, 3, 7], &announcing(&[4, 2], max)].into_iter().enumerate() {
            let of = |ends| segment::<A>(SYN, options, b"", ends);
            let source = A::container(20000 + u16::try_from(number).expect("few"));
            let (verdict, arrived) = host.meet(Side::Inside, of([source, A::DNS]));
            assert_eq!((verdict, &arrived), (Verdict::Translated, &of(new_ends(&arrived))), "{options:?}");
        }
    }
}
