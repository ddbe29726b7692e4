//! The fast path, and what is known of where containers are.

for_both_families! {
    what_arrives_goes_straight_to_the_container,
    what_a_router_has_something_to_say_to_is_the_stacks,
    without_a_fast_path_everything_is_the_stacks,
    a_known_flow_leaves_straight_to_the_next_hop,
    what_a_member_may_not_send_straight_goes_on_as_it_is,
    a_known_flow_between_containers_goes_straight_to_the_other_one,
    a_containers_place_is_what_it_announces,
    an_address_that_does_not_lead_to_the_bridge_is_not_believed,
    an_address_that_is_announced_for_another_is_forgotten,
}

#[cfg(test)]
mod generic {
    use netfwd_common::{
        abi::{Interface, Member, Reason, Side, Target},
        fast,
        neighbour::{self, Announce},
        pipeline::{self, Hook},
        scratch::Scratch,
        tables::Tables as _,
        verdict::Verdict,
    };

    use crate::{
        frame::{Content, Frame, SYN, UDP},
        host::{Cast, Host, TURNED_BACK, destination_of, source_of},
        world::{BRIDGE, UPLINK},
    };

    const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 1];
    /// The members behind which the containers are, and the containers' Ethernet addresses.
    const MEMBERS: [(u32, [u8; 6]); 2] = [(11, [2, 0, 0, 0, 0, 11]), (12, [2, 0, 0, 0, 0, 12])];
    const LINK: usize = 14;

    /// A host with a fast path.
    fn fast<A: Cast>() -> Host<A> {
        let mut host = Host::<A>::roomy();
        host.0.tables.interfaces.values_mut().for_each(|interface| interface.flags |= Interface::FAST_PATH);
        for ((member, address), container) in MEMBERS.into_iter().zip(A::CONTAINERS) {
            host.0.tables.members.insert(member, Member::new(BRIDGE, GATEWAY));
            host.0.tables.set_target(&container, &Target::new(member, address, GATEWAY));
        }
        host
    }

    fn arrive<A: Cast>(host: &Host<A>, mut frame: Vec<u8>) -> (Verdict, Vec<u8>) {
        let (tables, now) = (&host.0.tables, host.0.now);
        let hook = Hook { ifindex: UPLINK, side: Side::Outside, interface: &tables.interfaces[&UPLINK], now };
        (pipeline::ingress(&mut frame, tables, &hook, &mut Scratch::new()), frame)
    }

    fn leave<A: Cast>(host: &Host<A>, member: u32, mut frame: Vec<u8>) -> (Verdict, Vec<u8>) {
        frame[..6].copy_from_slice(&GATEWAY);
        (fast::member(&mut frame, &host.0.tables, member, host.0.now, &mut Scratch::new()), frame)
    }

    fn hops<A: Cast>(frame: &mut [u8]) -> &mut u8 {
        &mut frame[LINK + usize::try_from(A::HOPS_AT).unwrap()]
    }

    /// What the stack would make of the IP packet when it forwards it.
    fn forwarded<A: Cast>(mut frame: Vec<u8>) -> Vec<u8> {
        *hops::<A>(&mut frame) -= 1;
        if let Some(at) = A::CHECKSUM_AT {
            // RFC 1141: the checksum goes up by what the word goes down.
            let at = LINK + usize::try_from(at).unwrap();
            let checksum = u16::from_be_bytes([frame[at], frame[at + 1]]);
            let (sum, carry) = checksum.overflowing_add(0x0100);
            frame[at..at + 2].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
        }
        frame.split_off(LINK)
    }

    pub(super) fn what_arrives_goes_straight_to_the_container<A: Cast>() {
        for content in [SYN, UDP] {
            let frame = Frame::new(content, A::CLIENT, A::MAPPED).bytes();
            let (verdict, through_the_stack) = Host::<A>::roomy().receive(content, A::CLIENT, A::MAPPED);
            assert_eq!(verdict, Verdict::Translated);
            let (verdict, straight) = arrive(&fast::<A>(), frame);
            assert_eq!(verdict, Verdict::ToContainer(MEMBERS[0].0));
            assert_eq!((&straight[..6], &straight[6..12]), (&MEMBERS[0].1[..], &GATEWAY[..]));
            assert_eq!(straight[LINK..], forwarded::<A>(through_the_stack));
        }
    }

    pub(super) fn what_a_router_has_something_to_say_to_is_the_stacks<A: Cast>() {
        let frame = Frame::new(UDP, A::CLIENT, A::MAPPED);
        let mut last_hop = frame.bytes();
        *hops::<A>(&mut last_hop) = 1;
        let long = Frame { payload: vec![0; 1500], ..frame.clone() }.bytes();
        let first_fragment = frame.fragments(8).remove(0);
        let with_options = (A::FAMILY == 0).then(|| Frame { ip_options: 1, ..frame.clone() }.bytes());
        for frame in [last_hop, long, first_fragment].into_iter().chain(with_options) {
            let before = frame.clone();
            let (verdict, after) = arrive(&fast::<A>(), frame);
            assert_eq!((verdict, destination_of(&after)), (Verdict::Translated, A::TARGET));
            assert_eq!(hops::<A>(&mut after.clone()), hops::<A>(&mut before.clone()), "the stack takes one");
        }
        let unknown = fast::<A>();
        unknown.0.tables.remove_target(&A::CONTAINERS[0]);
        assert_eq!(arrive(&unknown, frame.bytes()).0, Verdict::Translated);
    }

    pub(super) fn without_a_fast_path_everything_is_the_stacks<A: Cast>() {
        let mut host = fast::<A>();
        host.0.tables.interfaces.values_mut().for_each(|interface| interface.flags = 0);
        assert_eq!(arrive(&host, Frame::new(UDP, A::CLIENT, A::MAPPED).bytes()).0, Verdict::Translated);
        assert_eq!(host.send(UDP, A::container(2000), A::DNS).0, Verdict::Translated);
        let known = Frame::new(UDP, A::container(2000), A::DNS).bytes();
        assert_eq!(leave(&host, MEMBERS[1].0, known).0, Verdict::Pass(Reason::NotOurs));
    }

    pub(super) fn a_known_flow_leaves_straight_to_the_next_hop<A: Cast>() {
        let mut host = fast::<A>();
        let (_, through_the_stack) = host.send(UDP, A::container(2000), A::DNS);
        let (verdict, straight) = leave(&host, MEMBERS[1].0, Frame::new(UDP, A::container(2000), A::DNS).bytes());
        assert_eq!(verdict, Verdict::ToNeighbour(UPLINK));
        assert_eq!(straight[LINK..], forwarded::<A>(through_the_stack));
        // So does an answer of a mapped port.
        assert_eq!(arrive(&host, Frame::new(SYN, A::CLIENT, A::MAPPED).bytes()).0, Verdict::ToContainer(MEMBERS[0].0));
        let (verdict, answer) = leave(&host, MEMBERS[0].0, Frame::new(SYN, A::TARGET, A::CLIENT).bytes());
        assert_eq!((verdict, source_of(&answer)), (Verdict::ToNeighbour(UPLINK), A::MAPPED));
    }

    pub(super) fn what_a_member_may_not_send_straight_goes_on_as_it_is<A: Cast>() {
        let mut host = fast::<A>();
        assert_eq!(host.send(UDP, A::container(2000), A::DNS).0, Verdict::Translated);
        let known = Frame::new(UDP, A::container(2000), A::DNS);
        let mut last_hop = known.bytes();
        *hops::<A>(&mut last_hop) = 1;
        let cases = [
            (MEMBERS[1].0, Frame::new(UDP, A::container(2001), A::DNS).bytes(), "a flow that is not known"),
            (MEMBERS[0].0, known.bytes(), "from where its sender is not"),
            (MEMBERS[1].0, last_hop, "without hops to spare"),
            (MEMBERS[1].0, Frame { payload: vec![0; 1500], ..known.clone() }.bytes(), "larger than the link carries"),
            (99, known.bytes(), "from no member"),
        ];
        for (member, mut frame, why) in cases {
            frame[..6].copy_from_slice(&GATEWAY);
            assert_eq!(leave(&host, member, frame.clone()), (Verdict::Pass(Reason::NotOurs), frame), "{why}");
        }
        let mut to_a_neighbour = known.bytes();
        to_a_neighbour[..6].copy_from_slice(&MEMBERS[0].1);
        let before = to_a_neighbour.clone();
        let (tables, now) = (&host.0.tables, host.0.now);
        let verdict = fast::member(&mut to_a_neighbour, tables, MEMBERS[1].0, now, &mut Scratch::new());
        assert_eq!((verdict, to_a_neighbour), (Verdict::Pass(Reason::NotOurs), before));
    }

    pub(super) fn a_known_flow_between_containers_goes_straight_to_the_other_one<A: Cast>() {
        let mut host = fast::<A>();
        let client = A::container(2000);
        let (verdict, asked) = host.turn(UDP, client, A::MAPPED);
        assert_eq!(verdict, TURNED_BACK, "this hook has no fast path");
        let (verdict, again) = leave(&host, MEMBERS[1].0, Frame::new(UDP, client, A::MAPPED).bytes());
        assert_eq!(verdict, Verdict::ToContainer(MEMBERS[0].0));
        assert_eq!(again[LINK..], forwarded::<A>(asked.clone()));
        let (verdict, answer) = leave(&host, MEMBERS[0].0, Frame::new(UDP, A::TARGET, source_of(&asked)).bytes());
        assert_eq!((verdict, source_of(&answer)), (Verdict::ToContainer(MEMBERS[1].0), A::MAPPED));
    }

    /// What a container says of its address.
    fn announcement<A: Cast>(address: A, sender: [u8; 6]) -> Vec<u8> {
        let link = [&[0xff; 6], &sender[..]].concat();
        if A::FAMILY == 0 {
            let arp = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1];
            return [&link, &arp[..], &sender, address.as_ref(), &[0; 10]].concat();
        }
        let header = [0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255];
        let advertisement = [136, 0, 0, 0, 0x60, 0, 0, 0];
        [&link, &header[..], address.as_ref(), &[0xff; 16], &advertisement, address.as_ref()].concat()
    }

    fn place<A: Cast>(host: &Host<A>, address: A) -> Option<(u32, [u8; 6])> {
        host.0.tables.target(&address).map(|target| (target.member, target.container))
    }

    pub(super) fn a_containers_place_is_what_it_announces<A: Cast + Announce>() {
        let host = fast::<A>();
        let container = A::CONTAINERS[0];
        let elsewhere = [2, 0, 0, 0, 0, 99];
        let learn = |frame: &Vec<u8>| neighbour::learn(frame, &host.0.tables, MEMBERS[1].0, &mut Scratch::new());
        learn(&Frame::new(UDP, A::TARGET, A::DNS).bytes());
        learn(&Frame::new(Content::EchoRequest, A::TARGET, A::DNS).bytes());
        assert_eq!(place(&host, container), Some(MEMBERS[0]), "an ordinary packet announces nothing");
        learn(&announcement(container, elsewhere));
        assert_eq!(place(&host, container), Some((MEMBERS[1].0, elsewhere)));
    }

    pub(super) fn an_address_that_does_not_lead_to_the_bridge_is_not_believed<A: Cast + Announce>() {
        let host = fast::<A>();
        for address in [A::PEERS[0], A::HOSTS[0], A::UNSPECIFIED] {
            let frame = announcement(address, MEMBERS[0].1);
            neighbour::learn(&frame, &host.0.tables, MEMBERS[0].0, &mut Scratch::new());
            assert_eq!(place(&host, address), None);
        }
    }

    pub(super) fn an_address_that_is_announced_for_another_is_forgotten<A: Cast + Announce>() {
        let host = fast::<A>();
        let container = A::CONTAINERS[0];
        let forget = |frame: &Vec<u8>| neighbour::forget(frame, &host.0.tables, &mut Scratch::new());
        forget(&announcement(container, MEMBERS[0].1));
        assert_eq!(place(&host, container), Some(MEMBERS[0]), "it says what is known");
        forget(&announcement(container, [2, 0, 0, 0, 0, 99]));
        assert_eq!(place(&host, container), None);
    }
}
