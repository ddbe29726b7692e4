//! SCTP, GRE and ESP, by frames: not every kernel has sockets for them.

use std::net::IpAddr;

use lab::{Capture, Packets, Wire};

use super::{
    commands::Mapping,
    scenarios,
    stage::{Backend, Family, Stage},
};
use crate::sockets::{PATIENCE, hears};

scenarios! {
    same: [
        sctp_goes_out_with_the_hosts_address_and_a_right_checksum,
        sctp_comes_in_at_a_mapped_port,
        gre_and_esp_go_out_and_come_back,
        the_second_container_with_the_same_gre_or_esp_peer_gets_nothing_through,
        a_datagram_behind_an_ipv6_extension_header_goes_out_and_comes_in,
    ]
    better: []
}

const SCTP: u8 = 132;
/// The filters that see them, and their numbers.
const TUNNELS: [(&str, u8); 2] = [("proto 47", 47), ("proto 50", 50)];
/// To GRE a header for IPv4 (RFC 2784), to ESP an index; and what stands for a packet.
const TUNNELLED: &[u8] = b"\0\0\x08\0something";

/// An INIT chunk (1), or an INIT ACK (2), in an SCTP packet with its checksum (RFC 9260 section 3).
fn sctp(source: u16, destination: u16, chunk: u8) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(source.to_be_bytes());
    packet.extend(destination.to_be_bytes());
    // The peer's tag: none is known to the opener.
    packet.extend(if chunk == 1 { [0; 4] } else { [1; 4] });
    packet.extend([0; 4]);
    packet.extend([chunk, 0, 0, 20, 1, 1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    let checksum = crc32c::crc32c(&packet);
    packet[8..12].copy_from_slice(&checksum.to_le_bytes());
    packet
}

/// The source and destination ports of an SCTP packet whose checksum is right.
fn sctp_ports(packet: &[u8]) -> (u16, u16) {
    let mut zeroed = packet.to_vec();
    zeroed[8..12].fill(0);
    assert_eq!(packet[8..12], crc32c::crc32c(&zeroed).to_le_bytes(), "the checksum");
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    (port(0), port(2))
}

/// Source, destination and payload of each packet of a protocol.
fn packets(packets: &Packets, protocol: u8) -> Vec<(IpAddr, IpAddr, Vec<u8>)> {
    let v4 = packets.ipv4().unwrap().into_iter().filter(|packet| packet.protocol == protocol);
    let v4 = v4.map(|packet| (packet.source.into(), packet.destination.into(), packet.payload));
    let v6 = packets.ipv6().unwrap().into_iter().filter(|packet| packet.protocol == protocol);
    v4.chain(v6.map(|packet| (packet.source.into(), packet.destination.into(), packet.payload))).collect()
}

fn send(wire: &Wire, source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) {
    wire.send(&wire.packet(source, destination, protocol, payload).unwrap()).unwrap();
}

/// Waits for a packet of a protocol: who answers must not be faster.
fn await_protocol(wire: &Wire, protocol: u8) {
    let is_it = |frame: &[u8]| match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.get(23) == Some(&protocol),
        Some([0x86, 0xdd]) => frame.get(20) == Some(&protocol),
        _ => false,
    };
    assert!(wire.receive(PATIENCE, |frame| is_it(frame).then_some(())).unwrap().is_some(), "{protocol}");
}

fn sctp_goes_out_with_the_hosts_address_and_a_right_checksum(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        let (outside, inside) = (stage.capture("sctp"), Capture::start(stage.c(0), "eth0", "sctp").unwrap());
        let client = stage.client_wire();
        send(&stage.container_wire(0), stage.container(0), stage.client(), SCTP, &sctp(5_000, 7_000, 1));
        await_protocol(&client, SCTP);
        send(&client, stage.client(), stage.host(), SCTP, &sctp(7_000, 5_000, 2));
        let out = packets(&outside.stop().unwrap(), SCTP);
        assert_eq!((out[0].0, out[0].1), (stage.host(), stage.client()), "{family:?}");
        assert_eq!(sctp_ports(&out[0].2), (5_000, 7_000));
        let back = packets(&inside.stop().unwrap(), SCTP);
        assert_eq!((back[1].0, back[1].1), (stage.client(), stage.container(0)));
        assert_eq!(sctp_ports(&back[1].2), (7_000, 5_000));
    }
}

fn sctp_comes_in_at_a_mapped_port(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        let mapping = Mapping { protocol: "sctp", ..Mapping::tcp(3_868, stage.container(0), 7_000) };
        stage.map(&mapping);
        let inside = stage.container_wire(0);
        let outside = stage.capture("sctp");
        send(&stage.client_wire(), stage.client(), stage.host(), SCTP, &sctp(5_000, 3_868, 1));
        let arrived = inside.receive(PATIENCE, |frame| {
            let at = if stage.host().is_ipv4() { 34 } else { 54 };
            let packet = frame.get(at..).filter(|packet| packet.len() == 32 && packet[12] == 1)?;
            Some(sctp_ports(packet))
        });
        assert_eq!(arrived.unwrap(), Some((5_000, 7_000)), "{family:?}");
        send(&inside, stage.container(0), stage.client(), SCTP, &sctp(7_000, 5_000, 2));
        let outside = packets(&outside.stop().unwrap(), SCTP);
        assert_eq!((outside[1].0, outside[1].1), (stage.host(), stage.client()));
        assert_eq!(sctp_ports(&outside[1].2), (3_868, 5_000));
    }
}

fn gre_and_esp_go_out_and_come_back(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        for (filter, protocol) in TUNNELS {
            let (outside, inside) = (stage.capture(filter), Capture::start(stage.c(0), "eth0", filter).unwrap());
            let client = stage.client_wire();
            send(&stage.container_wire(0), stage.container(0), stage.client(), protocol, TUNNELLED);
            await_protocol(&client, protocol);
            send(&client, stage.client(), stage.host(), protocol, TUNNELLED);
            let out = packets(&outside.stop().unwrap(), protocol);
            assert_eq!(out[0], (stage.host(), stage.client(), TUNNELLED.to_vec()), "{filter} {family:?}");
            let back = packets(&inside.stop().unwrap(), protocol);
            assert_eq!(back[1], (stage.client(), stage.container(0), TUNNELLED.to_vec()), "{filter} {family:?}");
        }
    }
}

fn the_second_container_with_the_same_gre_or_esp_peer_gets_nothing_through(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        for (filter, protocol) in TUNNELS {
            let outside = stage.capture(filter);
            for number in [0, 1, 0] {
                let payload = [TUNNELLED, &[number]].concat();
                let number = usize::from(number);
                send(&stage.container_wire(number), stage.container(number), stage.client(), protocol, &payload);
            }
            let out = packets(&outside.stop().unwrap(), protocol);
            let senders: Vec<_> = out.iter().map(|(source, _, payload)| (*source, payload.last().copied())).collect();
            assert_eq!(senders, [(stage.host(), Some(0)), (stage.host(), Some(0))], "{filter} {family:?}");
        }
    }
}

/// A frame's datagram behind destination options that say nothing (RFC 8200 section 4.6).
fn with_extension_header(frame: &[u8]) -> Vec<u8> {
    const PAYLOAD: usize = 14 + 40;
    let mut extended = frame[..PAYLOAD].to_vec();
    extended.extend([17, 0, 1, 4, 0, 0, 0, 0]);
    extended.extend(&frame[PAYLOAD..]);
    extended[14 + 6] = 60;
    let length = u16::try_from(extended.len() - PAYLOAD).unwrap();
    extended[14 + 4..14 + 6].copy_from_slice(&length.to_be_bytes());
    extended
}

fn a_datagram_behind_an_ipv6_extension_header_goes_out_and_comes_in(backend: Backend) {
    let stage = Stage::new(backend).of_family(Family::V6);
    stage.map(&Mapping::udp(5300, stage.container(0), 53));
    let (outside, inside) = (stage.udp_server(stage.lab.client(), 53), stage.udp_server(stage.c(0), 53));
    let [container, client] = [stage.c(0), stage.lab.client()].map(|netns| stage.udp(netns, 5353));
    let wire = stage.container_wire(0);
    let frame = wire.udp((stage.container(0), 5353), (stage.client(), 53), b"question").unwrap();
    wire.send(&with_extension_header(&frame)).unwrap();
    assert!(hears(&container, b"question", (stage.client(), 53).into()));
    assert_eq!(outside.peers(), [(stage.host(), 5353).into()]);

    let wire = stage.client_wire();
    let frame = wire.udp((stage.client(), 5353), (stage.host(), 5300), b"question").unwrap();
    wire.send(&with_extension_header(&frame)).unwrap();
    assert!(hears(&client, b"question", (stage.host(), 5300).into()));
    assert_eq!(inside.peers(), [(stage.client(), 5353).into()]);
}
