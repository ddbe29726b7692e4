//! What leaves a masqueraded subnet, and its answers.

use netfwd_common::abi::{Endpoint, Reason, Side, V4};

use super::{
    super::{
        datapath::{Datapath, Outcome},
        frame::{ACK, Content, Frame, SYN, SYN_ACK, UDP},
        namespace,
        world::{Plan, ports},
    },
    CONTAINER, CONTAINERS, Case,
    Expected::{Becomes, Changes, Drops, Passes},
    HOSTS, MASQUERADED, PEERS, SERVER, TC_ACT_REDIRECT, TC_ACT_UNSPEC, UDP_WITHOUT_CHECKSUM, changed, check, frame,
    plan,
};

const TOTAL_LENGTH_AT: usize = 14 + 3;
const PROTOCOL_AT: usize = 14 + 9;
const ICMP_TYPE_AT: usize = 14 + 20;
const DCCP: u8 = 33;

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_leaves_a_masqueraded_subnet_has_the_hosts_address() {
    let leaves = |name, kind| {
        Case::first(name, Side::Inside, frame(kind, CONTAINER, SERVER), Becomes(frame(kind, MASQUERADED, SERVER)))
    };
    let fragment = |source| Frame { payload: vec![7; 64], ..frame(UDP, source, SERVER) }.fragments(16).remove(0);
    let ip_options = |source| Frame { ip_options: 3, ..frame(UDP, source, SERVER) };
    let tcp_options = |source| Frame { ip_options: 10, ..frame(Content::Tcp(0x02, 10), source, SERVER) };
    let empty = |source| Frame { payload: Vec::new(), ..frame(UDP, source, SERVER) };
    check(&[
        leaves("TCP", SYN),
        leaves("UDP", UDP),
        leaves("UDP without a checksum", UDP_WITHOUT_CHECKSUM),
        leaves("echo request", Content::EchoRequest),
        leaves("SCTP", Content::Sctp(1)),
        leaves("GRE", Content::Gre),
        Case::first("first fragment", Side::Inside, fragment(CONTAINER), Changes(fragment(MASQUERADED))),
        Case::first("IP options", Side::Inside, ip_options(CONTAINER), Becomes(ip_options(MASQUERADED))),
        Case::first("all options", Side::Inside, tcp_options(CONTAINER), Becomes(tcp_options(MASQUERADED))),
        Case::first("no payload", Side::Inside, empty(CONTAINER), Becomes(empty(MASQUERADED))),
        Case::after(
            "the same again",
            vec![(Side::Inside, frame(UDP, CONTAINER, SERVER))],
            Side::Inside,
            frame(UDP, CONTAINER, SERVER),
            Becomes(frame(UDP, MASQUERADED, SERVER)),
        ),
    ]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn answers_to_a_masqueraded_subnet_come_back_to_the_container() {
    let answered = |name, first, answer| {
        Case::after(
            name,
            vec![(Side::Inside, frame(first, CONTAINER, SERVER))],
            Side::Outside,
            frame(answer, SERVER, MASQUERADED),
            Becomes(frame(answer, SERVER, CONTAINER)),
        )
    };
    let established =
        vec![(Side::Inside, frame(SYN, CONTAINER, SERVER)), (Side::Outside, frame(SYN_ACK, SERVER, MASQUERADED))];
    let acknowledged = Becomes(frame(ACK, MASQUERADED, SERVER));
    check(&[
        answered("TCP", SYN, SYN_ACK),
        answered("UDP", UDP, UDP),
        answered("UDP without a checksum", UDP, UDP_WITHOUT_CHECKSUM),
        answered("echo reply", Content::EchoRequest, Content::EchoReply),
        Case::after("ACK", established, Side::Inside, frame(ACK, CONTAINER, SERVER), acknowledged),
    ]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_cannot_be_masqueraded_is_not_leaked() {
    let [udp, echo] = [UDP, Content::EchoRequest].map(|content| frame(content, CONTAINER, SERVER));
    let drops = |name, frame: Vec<u8>, reason| Case::first(name, Side::Inside, frame, Drops(reason));
    let of_kind = |kind| frame(kind, CONTAINER, SERVER).bytes();
    check(&[
        drops("later fragment", udp.fragments(8)[1].clone(), Reason::FragmentHeld),
        drops("DCCP", changed(&udp, &[(PROTOCOL_AT, DCCP)]), Reason::UnsupportedProtocol),
        drops("ICMP error about nothing", of_kind(Content::TimeExceeded), Reason::Unrelated),
        drops("ICMP timestamp", changed(&echo, &[(ICMP_TYPE_AT, 13)]), Reason::UnsupportedIcmp),
        drops("half a UDP header", changed(&udp, &[(TOTAL_LENGTH_AT, 24)]), Reason::Truncated),
        drops("TCP of no connection", of_kind(ACK), Reason::NotNewOutbound),
        drops("SYN-ACK of no connection", of_kind(SYN_ACK), Reason::NotNewOutbound),
        drops("echo reply to nobody", of_kind(Content::EchoReply), Reason::NotNewOutbound),
    ]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_inside_addresses_of_a_connection_match_nothing_on_the_wire() {
    let opened = || vec![(Side::Inside, frame(UDP, CONTAINER, SERVER))];
    let not_ours = || Passes(Reason::NotOurs);
    check(&[
        Case::after("answer", opened(), Side::Outside, frame(UDP, SERVER, CONTAINER), not_ours()),
        Case::after("question", opened(), Side::Outside, frame(UDP, CONTAINER, SERVER), not_ours()),
        Case::after("answer that leaves", opened(), Side::Inside, frame(UDP, SERVER, MASQUERADED), not_ours()),
        Case::first("answer to nothing", Side::Outside, frame(UDP, SERVER, MASQUERADED), not_ours()),
    ]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_port_that_the_host_or_a_connection_has_is_not_given_again() {
    namespace::enter(|| {
        let (mut datapath, plan) = (Datapath::load(), Plan { ports: ports(1024..=1025), ..plan() });
        let _sockets = namespace::host_sockets();
        for kind in [SYN, UDP] {
            datapath.begin(&plan, &plan.tables::<V4>());
            let (resolver, other) = (Endpoint::new(PEERS[1], 53), Endpoint::new(PEERS[0], 53));
            let [first, second] = CONTAINERS.map(|container| Endpoint::new(container, 1024));
            let meet = |source, destination| datapath.meet(Side::Inside, &frame(kind, source, destination).bytes());
            let [taken, free] = [1024, 1025].map(|port| Endpoint::new(HOSTS[0], port));
            let translated = |frame: Frame<V4>| Outcome { action: TC_ACT_UNSPEC, frame: frame.bytes() };
            assert_eq!(meet(first, resolver), translated(frame(kind, free, resolver)), "the host's socket");
            assert_eq!(meet(first, other), translated(frame(kind, taken, other)), "another peer");
            assert_eq!(meet(second, other), translated(frame(kind, free, other)), "the first container's port");
            assert_eq!(meet(second, resolver).action, TC_ACT_REDIRECT, "the container is told");
            let dropped = datapath.counters(Side::Inside);
            assert!(dropped.iter().any(|(reason, _)| *reason == Reason::PortsExhausted), "{dropped:?}");
        }
    });
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_flow_of_the_host_that_would_take_a_containers_tuple_is_moved() {
    namespace::enter(|| {
        let (mut datapath, plan) = (Datapath::load(), Plan { ports: ports(40_000..=40_001), ..plan() });
        datapath.begin(&plan, &plan.tables::<V4>());
        let moved = Endpoint::new(HOSTS[0], 40_001);
        let meet = |side, frame: Frame<V4>| datapath.meet(side, &frame.bytes()).frame;
        assert_eq!(meet(Side::Inside, frame(UDP, CONTAINER, SERVER)), frame(UDP, MASQUERADED, SERVER).bytes());
        assert_eq!(meet(Side::Inside, frame(UDP, MASQUERADED, SERVER)), frame(UDP, moved, SERVER).bytes());
        assert_eq!(meet(Side::Outside, frame(UDP, SERVER, moved)), frame(UDP, SERVER, MASQUERADED).bytes());
        assert_eq!(meet(Side::Outside, frame(UDP, SERVER, MASQUERADED)), frame(UDP, SERVER, CONTAINER).bytes());
    });
}
