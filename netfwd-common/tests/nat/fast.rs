//! The fast path, and what is known of where containers are.

for_both_families! {
    what_arrives_goes_straight_to_the_container,
    what_arrives_for_a_known_flow_does_so_in_one_go,
    what_is_not_plain_is_left_to_the_pipeline,
    a_changed_route_takes_effect_within_a_second,
    what_a_router_has_something_to_say_to_is_the_stacks,
    without_a_fast_path_everything_is_the_stacks,
    a_known_flow_leaves_straight_to_the_next_hop,
    what_a_member_may_not_send_straight_goes_on_as_it_is,
    a_known_flow_between_containers_goes_straight_to_the_other_one,
    what_is_kept_apart_does_not_take_the_fast_path,
    a_containers_place_is_what_it_announces,
    an_address_that_does_not_lead_to_the_bridge_is_not_believed,
    an_address_that_is_announced_for_another_is_forgotten,
}

#[cfg(test)]
mod laws {
    use netfwd_common::abi::{Side, V4, V6};
    use proptest::{collection::vec, prelude::*};

    use super::generic::Twins;
    use crate::{frame::Frame, strategies, world::Plan};

    proptest! {
        #![proptest_config(strategies::config())]

        #[test]
        fn the_fast_path_does_what_the_pipeline_does(plan in strategies::plan(), frames in frames::<V4>()) {
            live_through(plan, frames);
        }

        #[test]
        fn the_fast_path_does_what_the_pipeline_does_for_ipv6(plan in strategies::plan(), frames in frames::<V6>()) {
            live_through(plan, frames);
        }
    }

    type Step<A> = (Side, Frame<A>, u64);

    fn frames<A: super::generic::Family>() -> impl Strategy<Value = Vec<Step<A>>> {
        let frame = |side| (Just(side), strategies::frame::<A>(side), prop_oneof![9 => Just(0), 1 => 1..200_u64]);
        vec(prop_oneof![frame(Side::Outside), frame(Side::Inside)], 1..60)
    }

    fn live_through<A: super::generic::Family>(plan: Plan, frames: Vec<Step<A>>) {
        let mut twins = Twins::<A>::new(plan);
        for (side, frame, seconds) in frames {
            twins.wait(seconds);
            // Again, when its connection is known; and its answer.
            for _ in 0..2 {
                let answer = twins.meet(side, &frame);
                if let Some((side, answer)) = answer {
                    twins.meet(side, &answer);
                }
            }
        }
    }
}

#[cfg(test)]
mod generic {
    use netfwd_common::{
        abi::{Endpoint, Gateway, Interface, Member, Reason, Side, Target},
        fast::{self, Sent},
        memory::InMemory,
        neighbour::{self, Announce},
        pipeline::{self, Hook},
        scratch::Scratch,
        tables::Tables as _,
        verdict::Verdict,
    };

    use crate::{
        frame::{ACK, Content, FIN, Frame, RST, SYN, UDP, error_about},
        host::{Cast, Host, TURNED_BACK, destination_of, source_of},
        world::{BRIDGE, BRIDGE_SLOT, EXACT_RULE, Plan, UPLINK, UPLINK_SLOT},
    };

    const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 1];
    /// The members behind which the containers are, and the containers' Ethernet addresses.
    const MEMBERS: [(u32, [u8; 6]); 2] = [(11, [2, 0, 0, 0, 0, 11]), (12, [2, 0, 0, 0, 0, 12])];
    const LINK: usize = 14;

    /// A host with a fast path.
    fn fast<A: Cast + InMemory>() -> Host<A> {
        let mut host = Host::<A>::roomy();
        speed_up(&mut host);
        host
    }

    fn speed_up<A: Cast + InMemory>(host: &mut Host<A>) {
        host.0.tables.interfaces.values_mut().for_each(|interface| interface.flags |= Interface::FAST_PATH);
        for ((member, address), container) in MEMBERS.into_iter().zip(A::CONTAINERS) {
            host.0.tables.members.insert(member, Member::new(BRIDGE, GATEWAY));
            host.0.tables.set_target(&Target::new(container, member, address, GATEWAY));
        }
    }

    /// A family whose packets take the fast path.
    pub(super) trait Family: Cast + InMemory {}

    impl<A: Cast + InMemory> Family for A {}

    /// Two hosts that meet the same packets; one has a fast path.
    pub(super) struct Twins<A> {
        fast: Host<A>,
        slow: Host<A>,
    }

    impl<A: Family> Twins<A> {
        pub(super) fn new(plan: Plan) -> Self {
            let mut fast = Host::with(plan.clone());
            speed_up(&mut fast);
            Self { fast, slow: Host::with(plan) }
        }

        pub(super) fn wait(&mut self, seconds: u64) {
            self.fast.wait(seconds);
            self.slow.wait(seconds);
        }

        /// Both must do the same with a frame. Returns the answer to what became of it, and where that is met.
        pub(super) fn meet(&mut self, side: Side, frame: &Frame<A>) -> Option<(Side, Frame<A>)> {
            let mut bytes = frame.bytes();
            let (sent, mut side) = (self.send(side, frame.source.address, &mut bytes), side);
            let (is_translated, after) = if let Some(sent) = sent {
                if side == Side::Inside && matches!(sent, Verdict::ToContainer(_)) {
                    side = Side::Bridge;
                }
                let (verdict, through_the_stack) = self.slow.meet(side, frame.bytes());
                let expected = [Verdict::Translated, TURNED_BACK].contains(&verdict);
                assert!(expected, "{verdict:?} and {sent:?} of {frame:?}");
                assert_eq!(bytes[LINK..], forwarded::<A>(through_the_stack.clone()), "{frame:?}");
                (true, through_the_stack)
            } else {
                let (slow, fast) = (self.slow.meet(side, frame.bytes()), self.fast.meet(side, frame.bytes()));
                assert_eq!(slow, fast, "{frame:?}");
                (slow.0 == Verdict::Translated, slow.1)
            };
            assert_eq!(self.fast.lives(), self.slow.lives());
            assert_eq!(self.fast.0.tables.tuples(), self.slow.0.tables.tuples());
            for rule in 0..4 {
                let counter = |host: &Host<A>| host.0.tables.rule_counter(rule);
                assert_eq!(counter(&self.fast), counter(&self.slow));
            }
            let is_answered =
                is_translated && matches!(frame.content, Content::Udp | Content::BareUdp | Content::Tcp(..));
            is_answered.then(|| {
                let other = if side == Side::Outside { Side::Inside } else { Side::Outside };
                let (source, destination) = (destination_of::<A>(&after), source_of::<A>(&after));
                let content = if let Content::Tcp(..) = frame.content { ACK } else { frame.content };
                (if side == Side::Bridge { Side::Inside } else { other }, Frame::new(content, source, destination))
            })
        }

        /// How a frame ends on the fast path, if it takes it.
        fn send(&self, side: Side, source: A, frame: &mut Vec<u8>) -> Option<Verdict> {
            let (tables, now) = (&self.fast.0.tables, self.fast.0.now);
            if side == Side::Outside {
                return fast::arrive(frame, tables, UPLINK, now).map(|sent| sent.verdict);
            }
            frame[..6].copy_from_slice(&GATEWAY);
            let member = tables.target(&source).map_or(99, |target| target.member);
            fast::leave(frame, tables, member, now).map(|sent| sent.verdict)
        }
    }

    fn arrive<A: Cast + InMemory>(host: &Host<A>, mut frame: Vec<u8>) -> (Verdict, Vec<u8>) {
        let (tables, now) = (&host.0.tables, host.0.now);
        let hook = Hook { ifindex: UPLINK, side: Side::Outside, interface: &tables.interfaces[&UPLINK], now };
        (pipeline::ingress(&mut frame, tables, &hook, &mut Scratch::new()), frame)
    }

    /// The same for a flow that is known.
    fn arrive_again<A: Cast + InMemory>(host: &Host<A>, mut frame: Vec<u8>) -> (Option<Sent<'_>>, Vec<u8>) {
        (fast::arrive(&mut frame, &host.0.tables, UPLINK, host.0.now), frame)
    }

    fn leave<A: Cast + InMemory>(host: &Host<A>, member: u32, mut frame: Vec<u8>) -> (Option<Sent<'_>>, Vec<u8>) {
        frame[..6].copy_from_slice(&GATEWAY);
        (fast::leave(&mut frame, &host.0.tables, member, host.0.now), frame)
    }

    fn to_container<'t>(member: u32, slot: u32) -> Sent<'t> {
        Sent { verdict: Verdict::ToContainer(member), gateway: None, slot, is_egress: false }
    }

    fn to_neighbour(gateway: &Gateway) -> Sent<'_> {
        let verdict = Verdict::ToNeighbour(UPLINK);
        Sent { verdict, gateway: Some(gateway), slot: UPLINK_SLOT, is_egress: true }
    }

    /// The next hop to those who are their own.
    fn oneself<A: Cast + InMemory>(to: Endpoint<A>) -> Gateway {
        Gateway { family: 0, address: [to.address.word(); 4] }
    }

    fn hops<A: Cast + InMemory>(frame: &mut [u8]) -> &mut u8 {
        &mut frame[LINK + usize::try_from(A::HOPS_AT).unwrap()]
    }

    /// What the stack would make of the IP packet when it forwards it.
    fn forwarded<A: Cast + InMemory>(mut frame: Vec<u8>) -> Vec<u8> {
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

    pub(super) fn what_arrives_goes_straight_to_the_container<A: Cast + InMemory>() {
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

    pub(super) fn what_a_router_has_something_to_say_to_is_the_stacks<A: Cast + InMemory>() {
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

    pub(super) fn without_a_fast_path_everything_is_the_stacks<A: Cast + InMemory>() {
        let mut host = fast::<A>();
        host.0.tables.interfaces.values_mut().for_each(|interface| interface.flags = 0);
        let frame = Frame::new(UDP, A::CLIENT, A::MAPPED).bytes();
        assert_eq!(arrive(&host, frame.clone()).0, Verdict::Translated);
        assert_eq!(arrive_again(&host, frame.clone()), (None, frame));
        assert_eq!(host.send(UDP, A::container(2000), A::DNS).0, Verdict::Translated);
        let known = Frame::new(UDP, A::container(2000), A::DNS).bytes();
        assert_eq!(leave(&host, MEMBERS[1].0, known).0, None);
    }

    pub(super) fn what_arrives_for_a_known_flow_does_so_in_one_go<A: Cast + InMemory>() {
        for (first, content) in [(SYN, ACK), (SYN, FIN), (SYN, RST), (UDP, UDP), (UDP, Content::BareUdp)] {
            let frame = Frame::new(content, A::CLIENT, A::MAPPED).bytes();
            let (mut host, mut other) = (fast::<A>(), Host::<A>::roomy());
            assert_eq!(
                arrive(&host, Frame::new(first, A::CLIENT, A::MAPPED).bytes()).0,
                Verdict::ToContainer(MEMBERS[0].0)
            );
            assert_eq!(other.receive(first, A::CLIENT, A::MAPPED).0, Verdict::Translated);
            host.wait(1);
            other.wait(1);
            let (verdict, through_the_stack) = other.meet(Side::Outside, frame.clone());
            assert_eq!(verdict, Verdict::Translated);
            let (sent, straight) = arrive_again(&host, frame);
            assert_eq!(sent, Some(to_container(MEMBERS[0].0, UPLINK_SLOT)), "{content:?}");
            assert_eq!((&straight[..6], &straight[6..12]), (&MEMBERS[0].1[..], &GATEWAY[..]));
            assert_eq!(straight[LINK..], forwarded::<A>(through_the_stack), "{content:?}");
            assert_eq!(host.lives(), other.lives(), "{content:?}");
            let rule = |host: &Host<A>| host.0.tables.rule_counter(EXACT_RULE);
            assert_eq!(rule(&host), rule(&other));
        }
    }

    pub(super) fn what_is_not_plain_is_left_to_the_pipeline<A: Cast + InMemory>() {
        let mut host = fast::<A>();
        for first in [SYN, UDP] {
            assert_eq!(
                arrive(&host, Frame::new(first, A::CLIENT, A::MAPPED).bytes()).0,
                Verdict::ToContainer(MEMBERS[0].0)
            );
        }
        let known = Frame::new(UDP, A::CLIENT, A::MAPPED);
        let mut last_hop = known.bytes();
        *hops::<A>(&mut last_hop) = 1;
        let mut of_no_ip = known.bytes();
        of_no_ip[12] ^= 1;
        let mut longer_than_it_is = known.bytes();
        longer_than_it_is.truncate(known.bytes().len() - 1);
        let mut frames = vec![
            (Frame::new(SYN, A::CLIENT, A::MAPPED).bytes(), "it may open another connection"),
            (last_hop, "without hops to spare"),
            (Frame { payload: vec![0; 1500], ..known.clone() }.bytes(), "larger than the link carries"),
            (known.fragments(8).remove(0), "a first fragment"),
            (known.fragments(8).remove(1), "a later fragment"),
            (of_no_ip, "no IP packet"),
            (longer_than_it_is, "cut off"),
            (error_about(&known.bytes(), A::PEERS[0], A::HOSTS[0]), "an ICMP error"),
            (Frame::new(UDP, A::DNS, A::MAPPED).bytes(), "of no flow that is known"),
        ];
        if A::FAMILY == 0 {
            frames.push((Frame { ip_options: 1, ..known.clone() }.bytes(), "with options"));
        }
        for (frame, why) in frames {
            assert_eq!(arrive_again(&host, frame.clone()), (None, frame), "{why}");
        }
        let elsewhere = fast::arrive(&mut known.bytes(), &host.0.tables, UPLINK + 1, host.0.now);
        assert_eq!(elsewhere, None, "at another uplink");
        host.wait(10_000);
        assert_eq!(arrive_again(&host, known.bytes()), (None, known.bytes()), "its flow has expired");
    }

    pub(super) fn a_known_flow_leaves_straight_to_the_next_hop<A: Cast + InMemory>() {
        let mut host = fast::<A>();
        let (_, through_the_stack) = host.send(UDP, A::container(2000), A::DNS);
        let (sent, straight) = leave(&host, MEMBERS[1].0, Frame::new(UDP, A::container(2000), A::DNS).bytes());
        assert_eq!(sent, Some(to_neighbour(&oneself(A::DNS))));
        assert_eq!(straight[LINK..], forwarded::<A>(through_the_stack));
        // So does an answer of a mapped port.
        assert_eq!(arrive(&host, Frame::new(SYN, A::CLIENT, A::MAPPED).bytes()).0, Verdict::ToContainer(MEMBERS[0].0));
        let (sent, answer) = leave(&host, MEMBERS[0].0, Frame::new(ACK, A::TARGET, A::CLIENT).bytes());
        assert_eq!((sent, source_of(&answer)), (Some(to_neighbour(&oneself(A::CLIENT))), A::MAPPED));
    }

    pub(super) fn a_changed_route_takes_effect_within_a_second<A: Cast + InMemory>() {
        let mut host = fast::<A>();
        assert_eq!(host.send(UDP, A::container(2000), A::DNS).0, Verdict::Translated);
        let known = Frame::new(UDP, A::container(2000), A::DNS).bytes();
        let elsewhere = Gateway { family: 2, address: [7; 4] };
        assert_eq!(leave(&host, MEMBERS[1].0, known.clone()).0, Some(to_neighbour(&oneself(A::DNS))));
        host.0.tables.gateways.insert(A::DNS.address, Some((elsewhere, 1500)));
        assert_eq!(leave(&host, MEMBERS[1].0, known.clone()).0, Some(to_neighbour(&oneself(A::DNS))), "remembered");
        host.wait(1);
        assert_eq!(leave(&host, MEMBERS[1].0, known.clone()).0, Some(to_neighbour(&elsewhere)));
        let length = u32::try_from(known.len() - LINK).unwrap();
        for (mtu, carries) in [(length, true), (length - 1, false)] {
            host.0.tables.gateways.insert(A::DNS.address, Some((elsewhere, mtu)));
            host.wait(1);
            assert_eq!(leave(&host, MEMBERS[1].0, known.clone()).0.is_some(), carries, "a route's MTU");
        }
        host.0.tables.gateways.insert(A::DNS.address, None);
        host.wait(1);
        let (sent, frame) = leave(&host, MEMBERS[1].0, known.clone());
        assert_eq!((sent, &frame[6..]), (None, &known[6..]), "without a route it is the stack's");
    }

    pub(super) fn what_a_member_may_not_send_straight_goes_on_as_it_is<A: Cast + InMemory>() {
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
            assert_eq!(leave(&host, member, frame.clone()), (None, frame), "{why}");
        }
        let mut to_a_neighbour = known.bytes();
        to_a_neighbour[..6].copy_from_slice(&MEMBERS[0].1);
        let before = to_a_neighbour.clone();
        let sent = fast::leave(&mut to_a_neighbour, &host.0.tables, MEMBERS[1].0, host.0.now);
        assert_eq!((sent, to_a_neighbour), (None, before));
    }

    pub(super) fn a_known_flow_between_containers_goes_straight_to_the_other_one<A: Cast + InMemory>() {
        let mut host = fast::<A>();
        let client = A::container(2000);
        let (verdict, asked) = host.turn(UDP, client, A::MAPPED);
        assert_eq!(verdict, TURNED_BACK, "this hook has no fast path");
        let (sent, again) = leave(&host, MEMBERS[1].0, Frame::new(UDP, client, A::MAPPED).bytes());
        assert_eq!(sent, Some(to_container(MEMBERS[0].0, BRIDGE_SLOT)));
        assert_eq!(again[LINK..], forwarded::<A>(asked.clone()));
        let (sent, answer) = leave(&host, MEMBERS[0].0, Frame::new(UDP, A::TARGET, source_of(&asked)).bytes());
        assert_eq!((sent, source_of(&answer)), (Some(to_container(MEMBERS[1].0, BRIDGE_SLOT)), A::MAPPED));
    }

    /// What a container says of its address.
    fn announcement<A: Cast + InMemory>(address: A, sender: [u8; 6]) -> Vec<u8> {
        let link = [&[0xff; 6], &sender[..]].concat();
        if A::FAMILY == 0 {
            let arp = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1];
            return [&link, &arp[..], &sender, address.as_ref(), &[0; 10]].concat();
        }
        let header = [0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255];
        let advertisement = [136, 0, 0, 0, 0x60, 0, 0, 0];
        [&link, &header[..], address.as_ref(), &[0xff; 16], &advertisement, address.as_ref()].concat()
    }

    fn place<A: Cast + InMemory>(host: &Host<A>, address: A) -> Option<(u32, [u8; 6])> {
        host.0.tables.target(&address).map(|target| (target.member, target.ends()[0]))
    }

    pub(super) fn what_is_kept_apart_does_not_take_the_fast_path<A: Cast + InMemory>() {
        let mut host = Host::<A>::with(Plan { isolates: true, ..Host::<A>::roomy().0.plan });
        speed_up(&mut host);
        // Both ends have flows that are known, with these ports; and it is known where the receivers are.
        host.0.tables.set_target(&Target::new(A::NEIGHBOUR, 13, [2, 0, 0, 0, 0, 13], GATEWAY));
        assert_eq!(arrive(&host, Frame::new(UDP, A::CLIENT, A::MAPPED).bytes()).0, Verdict::ToContainer(MEMBERS[0].0));
        assert_eq!(host.send(UDP, A::TARGET, A::DNS).0, Verdict::Translated);
        let neighbour = Endpoint::new(A::NEIGHBOUR, 80);
        let direct = Frame::new(UDP, A::CLIENT, A::TARGET).bytes();
        let across = Frame::new(UDP, A::TARGET, neighbour).bytes();
        assert_eq!(arrive_again(&host, direct.clone()).0, None);
        assert_eq!(leave(&host, MEMBERS[0].0, across.clone()).0, None);
        let isolated = Verdict::Drop(Reason::Isolated);
        assert_eq!((host.meet(Side::Outside, direct).0, host.meet(Side::Bridge, across).0), (isolated, isolated));
    }

    pub(super) fn a_containers_place_is_what_it_announces<A: Cast + InMemory + Announce>() {
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

    pub(super) fn an_address_that_does_not_lead_to_the_bridge_is_not_believed<A: Cast + InMemory + Announce>() {
        let host = fast::<A>();
        for address in [A::PEERS[0], A::HOSTS[0], A::UNSPECIFIED] {
            let frame = announcement(address, MEMBERS[0].1);
            neighbour::learn(&frame, &host.0.tables, MEMBERS[0].0, &mut Scratch::new());
            assert_eq!(place(&host, address), None);
        }
    }

    pub(super) fn an_address_that_is_announced_for_another_is_forgotten<A: Cast + InMemory + Announce>() {
        let host = fast::<A>();
        let container = A::CONTAINERS[0];
        let forget = |frame: &Vec<u8>| neighbour::forget(frame, &host.0.tables, &mut Scratch::new());
        forget(&announcement(container, MEMBERS[0].1));
        assert_eq!(place(&host, container), Some(MEMBERS[0]), "it says what is known");
        forget(&announcement(container, [2, 0, 0, 0, 0, 99]));
        assert_eq!(place(&host, container), None);
    }
}
