//! An uplink that is narrower than the bridges (RFC 4787 REQ-13): the host's stack answers or fragments, and the
//! translator must not be in its way.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Instant,
};

use etherparse::{NetSlice, SlicedPacket};
use lab::{Capture, Packets, Topology};

use super::{
    icmp::{learnt, transfer},
    scenarios,
    stage::{Backend, Family, Stage},
};
use crate::sockets::{PATIENCE, SILENCE, hears};

scenarios! {
    same: [
        rfc4787_req13_a_container_learns_the_mtu_of_a_narrower_uplink,
        rfc4787_req13a_the_hosts_fragments_leave_translated_and_in_order,
    ]
    better: []
}

const UPLINK_MTU: u16 = 1_400;
/// What fits through the bridge and not through the uplink.
const LARGE: usize = 1_440;

fn with_a_narrow_uplink(backend: Backend) -> Stage {
    let topology = Topology { checksum_offload: false, ..Topology::dual_stack() };
    let stage = Stage::of(backend, topology);
    stage.lab.host().run(&["ip", "link", "set", "dev", "ens33", "mtu", &UPLINK_MTU.to_string()]).unwrap();
    stage
}

fn rfc4787_req13_a_container_learns_the_mtu_of_a_narrower_uplink(backend: Backend) {
    for (family, stage) in with_a_narrow_uplink(backend).families() {
        let server = stage.udp(stage.lab.client(), 53);
        let said = Capture::start(stage.c(0), "eth0", "icmp[0] = 3 or icmp6[0] = 2").unwrap();
        let socket = stage.connected_udp(stage.c(0), (stage.client(), 53).into());
        socket.send(&[7; LARGE]).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while learnt(stage.c(0), stage.client()).is_none() && Instant::now() < deadline {
            thread::sleep(SILENCE);
        }
        assert_eq!(learnt(stage.c(0), stage.client()), Some(UPLINK_MTU), "{family:?}");
        let said = said.stop().unwrap();
        let lines = said.lines().unwrap();
        let expected = [stage.gateway(0).to_string(), stage.container(0).to_string(), format!("mtu {UPLINK_MTU}")];
        assert!(lines.len() == 1 && expected.iter().all(|word| lines[0].contains(word)), "{lines:?}");
        let checksums = said.checksums().unwrap();
        assert!(checksums.bad.is_empty() && checksums.quoted.is_empty(), "{checksums:?}");

        // It knows now, and sends what fits.
        socket.take_error().unwrap();
        socket.send(&[8; LARGE]).unwrap();
        let sender = (stage.host(), socket.local_addr().unwrap().port()).into();
        assert!(hears(&server, &[8; LARGE], sender), "{family:?}");
        // TCP does not need to be told what to do.
        transfer(&stage, stage.c(1), (stage.client(), 443), stage.lab.client(), 443);
        assert_eq!(learnt(stage.c(1), stage.client()), Some(UPLINK_MTU), "{family:?}");
    }
}

/// Routers fragment nothing in IPv6.
fn rfc4787_req13a_the_hosts_fragments_leave_translated_and_in_order(backend: Backend) {
    let stage = with_a_narrow_uplink(backend).of_family(Family::V4);
    // Its packets may be fragmented.
    stage.c(0).sysctl("net/ipv4/ip_no_pmtu_disc", "1").unwrap();
    let (server, socket) = (stage.udp(stage.lab.client(), 53), stage.udp(stage.c(0), 5353));
    // The second one comes in fragments: they are fragmented again, or put together before.
    for (size, least) in [(LARGE, 2), (2_900, 3)] {
        let wire = stage.capture("ip and not icmp");
        let content = vec![9; size];
        socket.send_to(&content, (stage.client(), 53)).unwrap();
        assert!(hears(&server, &content, (stage.host(), 5353).into()), "{size} bytes");
        let pieces = pieces(&wire.stop().unwrap());
        assert!(pieces.len() >= least, "{pieces:?}");
        let mut next = 0;
        for piece in &pieces {
            assert_eq!((IpAddr::V4(piece.source), piece.identification), (stage.host(), pieces[0].identification));
            assert_eq!(piece.offset, next, "in order, and nothing is missing: {pieces:?}");
            next += piece.length;
        }
        assert_eq!(next, size + 8, "with the UDP header: {pieces:?}");
    }
}

/// A fragment: where it belongs in its datagram, in bytes.
#[derive(Debug)]
struct Piece {
    source: Ipv4Addr,
    identification: u16,
    offset: usize,
    length: usize,
}

fn pieces(packets: &Packets) -> Vec<Piece> {
    let piece = |frame: &Vec<u8>| match SlicedPacket::from_ethernet(frame).ok()?.net? {
        NetSlice::Ipv4(packet) => {
            let header = packet.header();
            Some(Piece {
                source: header.source_addr(),
                identification: header.identification(),
                offset: header.fragments_offset().byte_offset().into(),
                length: packet.payload().payload.len(),
            })
        }
        NetSlice::Ipv6(_) | NetSlice::Arp(_) => None,
    };
    packets.frames().unwrap().iter().filter_map(piece).collect()
}
