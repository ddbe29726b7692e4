//! What comes to mapped ports, and its answers.

use netfwd_common::abi::{Endpoint, Reason, Side, V4};

use super::{
    super::frame::{ACK, Content, Frame, SYN, SYN_ACK, UDP},
    CLIENT, CONTAINERS, Case,
    Expected::{Becomes, Passes},
    HOSTS, LOOPBACK, MAPPED, PEERS, TARGET, UDP_WITHOUT_CHECKSUM, changed, check, frame,
};

/// Mapped to the target's next port, on any local address.
const MAPPED_ON_ALL: Endpoint<V4> = Endpoint::new(HOSTS[1], 9091);
const NEXT_TARGET: Endpoint<V4> = Endpoint::new(CONTAINERS[0], 81);

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_comes_to_a_mapped_port_goes_to_the_container() {
    let comes = |name, kind, to, target| {
        Case::first(name, Side::Outside, frame(kind, CLIENT, to), Becomes(frame(kind, CLIENT, target)))
    };
    let options = |to| Frame { ip_options: 2, ..frame(Content::Tcp(0x02, 5), CLIENT, to) };
    let privileged = Endpoint::new(PEERS[0], 53);
    check(&[
        comes("TCP", SYN, MAPPED, TARGET),
        comes("UDP", UDP, MAPPED, TARGET),
        comes("UDP without a checksum", UDP_WITHOUT_CHECKSUM, MAPPED, TARGET),
        comes("any local address", UDP, MAPPED_ON_ALL, NEXT_TARGET),
        comes("any local address, TCP", SYN, MAPPED_ON_ALL, NEXT_TARGET),
        Case::first("options", Side::Outside, options(MAPPED), Becomes(options(TARGET))),
        Case::first(
            "a client's low port",
            Side::Outside,
            frame(UDP, privileged, MAPPED),
            Becomes(frame(UDP, privileged, TARGET)),
        ),
    ]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn answers_of_a_mapped_port_come_from_the_hosts_address() {
    let answered = |name, (first, answer), (to, target)| {
        Case::after(
            name,
            vec![(Side::Outside, frame(first, CLIENT, to))],
            Side::Inside,
            frame(answer, target, CLIENT),
            Becomes(frame(answer, to, CLIENT)),
        )
    };
    let tcp = (SYN, SYN_ACK);
    check(&[
        answered("TCP", tcp, (MAPPED, TARGET)),
        answered("UDP", (UDP, UDP), (MAPPED, TARGET)),
        answered("UDP without a checksum", (UDP, UDP_WITHOUT_CHECKSUM), (MAPPED, TARGET)),
        answered("any local address", tcp, (MAPPED_ON_ALL, NEXT_TARGET)),
        Case::after(
            "the client goes on",
            vec![(Side::Outside, frame(SYN, CLIENT, MAPPED))],
            Side::Outside,
            frame(ACK, CLIENT, MAPPED),
            Becomes(frame(ACK, CLIENT, TARGET)),
        ),
    ]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_opens_nothing_at_a_mapped_port_is_the_hosts() {
    let passes = |name, kind, to, reason| Case::first(name, Side::Outside, frame(kind, CLIENT, to), Passes(reason));
    let elsewhere = |address| Endpoint { address, ..MAPPED_ON_ALL };
    let opened = vec![(Side::Outside, frame(UDP, CLIENT, MAPPED))];
    check(&[
        passes("mid-stream TCP", ACK, MAPPED, Reason::NotNewInbound),
        passes("SYN-ACK", SYN_ACK, MAPPED, Reason::NotNewInbound),
        passes("another port", UDP, Endpoint::new(HOSTS[0], 8081), Reason::NotOurs),
        passes("another address", UDP, Endpoint { address: HOSTS[1], ..MAPPED }, Reason::NotOurs),
        passes("not the host's address", UDP, elsewhere(PEERS[0]), Reason::NotOurs),
        passes("multicast", UDP, elsewhere([224, 0, 0, 251]), Reason::NotOurs),
        passes("broadcast", UDP, elsewhere([255; 4]), Reason::NotOurs),
        passes("loopback", UDP, elsewhere(LOOPBACK), Reason::NotOurs),
        Case::after(
            "a forged answer on the wire",
            opened,
            Side::Outside,
            frame(UDP, TARGET, CLIENT),
            Passes(Reason::NotOurs),
        ),
    ]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_broadcast_to_the_uplinks_subnet_goes_to_no_container() {
    let to_all = frame(UDP, CLIENT, Endpoint { address: [192, 0, 2, 255], ..MAPPED_ON_ALL });
    let on_the_wire = changed(&to_all, &[0, 1, 2, 3, 4, 5].map(|at| (at, 0xff)));
    check(&[Case::first("broadcast", Side::Outside, on_the_wire, Passes(Reason::NotOurs))]);
}
