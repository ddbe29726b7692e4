//! What is not netfwd's to translate.

use etherparse::PacketBuilder;
use netfwd_common::abi::{Endpoint, Reason, Side, V4};

use super::{
    super::{
        datapath::Datapath,
        frame::{ACK, Content, SYN, UDP},
        namespace,
    },
    CLIENT, CONTAINER, Case,
    Expected::Passes,
    HOSTS, MAPPED, MASQUERADED, SERVER, TC_ACT_UNSPEC, changed, check, frame, plan,
};

const LOOPBACK: u32 = 1;

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn other_protocols_and_broken_headers_pass_on_both_sides() {
    let udp = frame(UDP, CONTAINER, SERVER);
    let frames = [
        ("IPv6 of nobody", ipv6(), Reason::NotOurs),
        ("ARP", arp(), Reason::OtherFamily),
        ("VLAN", changed(&udp, &[(12, 0x81), (13, 0x00)]), Reason::OtherFamily),
        ("a header of 16 bytes", changed(&udp, &[(14, 0x44)]), Reason::Malformed),
        ("IP version 6 in an IPv4 frame", changed(&udp, &[(14, 0x65)]), Reason::Malformed),
        ("longer than the frame", changed(&udp, &[(16, 0xff)]), Reason::Malformed),
        ("shorter than its header", changed(&udp, &[(17, 19)]), Reason::Malformed),
    ];
    let both = frames.into_iter().flat_map(|(name, bytes, reason)| {
        [Side::Inside, Side::Outside].map(|side| Case::first(name, side, bytes.clone(), Passes(reason)))
    });
    check(&both.collect::<Vec<_>>());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_hosts_own_traffic_passes() {
    let host = Endpoint::new(HOSTS[0], 33_000);
    let not_ours = || Passes(Reason::NotOurs);
    let leaves = |name, kind| Case::first(name, Side::Inside, frame(kind, host, SERVER), not_ours());
    let arrives = |name, kind| Case::first(name, Side::Outside, frame(kind, CLIENT, host), not_ours());
    let (to_mapped, from_host) = (frame(UDP, CLIENT, MAPPED), frame(UDP, host, SERVER));
    let to_host = frame(UDP, CLIENT, host);
    check(&[
        leaves("SYN", SYN),
        leaves("mid-stream TCP", ACK),
        leaves("UDP", UDP),
        leaves("ICMP error", Content::TimeExceeded),
        Case::first("a fragment leaves", Side::Inside, changed(&from_host, &[(20, 0x20)]), not_ours()),
        Case::first("GRE leaves", Side::Inside, changed(&from_host, &[(23, 47)]), not_ours()),
        arrives("SYN arrives", SYN),
        arrives("UDP arrives", UDP),
        arrives("echo request arrives", Content::EchoRequest),
        arrives("ICMP error arrives", Content::TimeExceeded),
        Case::first("a fragment arrives", Side::Outside, changed(&to_host, &[(20, 0x20)]), not_ours()),
        Case::first("GRE arrives", Side::Outside, changed(&to_mapped, &[(23, 47)]), not_ours()),
        Case::first("echo reply arrives", Side::Outside, frame(Content::EchoReply, SERVER, MASQUERADED), not_ours()),
    ]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn another_interface_is_left_alone() {
    namespace::enter(|| {
        let (mut datapath, plan) = (Datapath::load(), plan());
        datapath.begin(&plan, &plan.tables::<V4>());
        for (side, frame) in
            [(Side::Inside, frame(UDP, CONTAINER, SERVER).bytes()), (Side::Outside, frame(UDP, CLIENT, MAPPED).bytes())]
        {
            let outcome = datapath.meet_on(LOOPBACK, side, &frame);
            assert_eq!((outcome.action, outcome.frame), (TC_ACT_UNSPEC, frame));
            assert_eq!(datapath.counters(side), []);
        }
        assert!(datapath.tuples::<V4>().is_empty());
    });
}

fn ipv6() -> Vec<u8> {
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6([0xfd; 16], [0xfe; 16], 64).udp(40_000, 53);
    builder.write(&mut bytes, b"netfwd").expect("a frame of few bytes fits");
    bytes
}

fn arp() -> Vec<u8> {
    let mut bytes = frame(UDP, CONTAINER, SERVER).bytes();
    bytes[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    bytes
}
