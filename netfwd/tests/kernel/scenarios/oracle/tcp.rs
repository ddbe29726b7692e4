//! TCP in its rarer forms (RFC 5382, RFC 7857).

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use etherparse::{NetSlice, SlicedPacket, TcpOptionElement, TransportSlice};
use lab::{Capture, Topology, Wire};

use super::{
    commands::{Attach, Mapping, MaxSegment},
    scenarios,
    stage::{Backend, Family, Stage},
};
use crate::sockets::{PATIENCE, SILENCE, assert_tcp, connect, connect_from, ignore_interruptions, listener};

scenarios! {
    same: [
        a_half_closed_connection_goes_on_the_other_way,
        a_simultaneous_open_succeeds,
        a_connection_is_picked_up_after_its_flow_was_forgotten,
        a_published_connection_is_picked_up_after_its_flow_was_forgotten,
        the_announced_segment_is_clamped,
        the_announced_segment_is_clamped_to_the_mtu,
    ]
    better: [
        an_unsolicited_segment_to_a_containers_port_gets_no_answer: "the host answers with RST" by nft_lets_the_host_reset_an_unsolicited_segment,
        nothing_is_picked_up_unless_asked: "picks up by default, for the whole host" by nft_picks_up_without_being_asked,
    ]
}

fn a_half_closed_connection_goes_on_the_other_way(backend: Backend) {
    let stage = Stage::new(backend);
    let server = listener(stage.lab.client(), 443);
    let mut opener = connect(stage.c(0), (stage.client(), 443).into()).unwrap();
    let (mut accepted, _) = ignore_interruptions(|| server.accept()).unwrap();
    opener.write_all(b"request").unwrap();
    opener.shutdown(Shutdown::Write).unwrap();
    let mut request = Vec::new();
    accepted.read_to_end(&mut request).unwrap();
    assert_eq!(request, b"request");
    for _ in 0..20 {
        accepted.write_all(&[7; 5_000]).unwrap();
    }
    drop(accepted);
    let mut answer = Vec::new();
    opener.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), 100_000);
}

/// A host that exists only as frames: its neighbour knows it, and no kernel answers for it.
struct Ghost {
    wire: Wire,
    address: IpAddr,
}

impl Ghost {
    /// Sends a segment.
    fn send(&self, to: (IpAddr, u16), port: u16, sequence: u32, acknowledgment: Option<u32>, syn: bool) {
        let mut builder = self.wire.ip(self.address, to.0).tcp(port, to.1, sequence, 65_000);
        if syn {
            builder = builder.syn();
        }
        if let Some(number) = acknowledgment {
            builder = builder.ack(number);
        }
        let mut frame = Vec::new();
        builder.write(&mut frame, &[]).unwrap();
        self.wire.send(&frame).unwrap();
    }

    /// The next segment that comes to a port: who sent it, whether it has SYN and ACK.
    fn receive(&self, port: u16) -> Option<((IpAddr, u16), bool, bool)> {
        let seen = self.wire.receive(PATIENCE, |frame| {
            let packet = SlicedPacket::from_ethernet(frame).ok()?;
            let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { return None };
            let source = match packet.net.as_ref()? {
                NetSlice::Ipv4(packet) => packet.header().source_addr().into(),
                NetSlice::Ipv6(packet) => packet.header().source_addr().into(),
                NetSlice::Arp(_) => return None,
            };
            (tcp.destination_port() == port).then(|| ((source, tcp.source_port()), tcp.syn(), tcp.ack()))
        });
        seen.unwrap()
    }
}

/// A ghost beside the client, and one beside the containers.
fn ghosts(stage: &Stage, family: Family) -> (Ghost, Ghost) {
    let addresses = match family {
        Family::V4 => ["192.168.137.77", "172.17.0.77"],
        Family::V6 => ["2001:db8:137::77", "fd00:17::77"],
    };
    let places = [(stage.lab.client(), "ens33"), (stage.c(0), "docker0")];
    for ((netns, interface), address) in places.iter().zip(addresses) {
        let bytes = netns.hardware_address("eth0").unwrap().map(|byte| format!("{byte:02x}"));
        let words = ["ip", "neighbour", "add", address, "lladdr", &bytes.join(":"), "dev", interface];
        stage.lab.host().run(&words).unwrap();
    }
    let [outside, inside] = addresses.map(|address| address.parse().unwrap());
    (Ghost { wire: stage.client_wire(), address: outside }, Ghost { wire: stage.container_wire(0), address: inside })
}

/// RFC 9293 figure 7 through a NAT: both send SYN, both answer with SYN and ACK.
fn a_simultaneous_open_succeeds(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        let (outside, inside) = ghosts(&stage, family);
        inside.send((outside.address, 7_000), 5_000, 100, None, true);
        let (mapped, syn, ack) = outside.receive(7_000).unwrap();
        assert_eq!((mapped.0, syn, ack), (stage.host(), true, false), "{family:?}");
        outside.send(mapped, 7_000, 300, None, true);
        assert_eq!(inside.receive(5_000), Some(((outside.address, 7_000), true, false)), "{family:?}");
        inside.send((outside.address, 7_000), 5_000, 100, Some(301), true);
        assert_eq!(outside.receive(7_000), Some((mapped, true, true)), "{family:?}");
        outside.send(mapped, 7_000, 300, Some(101), true);
        assert_eq!(inside.receive(5_000), Some(((outside.address, 7_000), true, true)), "{family:?}");
        inside.send((outside.address, 7_000), 5_000, 101, Some(301), false);
        assert_eq!(outside.receive(7_000), Some((mapped, false, true)), "{family:?}");
    }
}

fn an_unsolicited_segment_to_a_containers_port_gets_no_answer(backend: Backend) {
    assert_eq!(answers_to_unsolicited_segments(backend), [const { Vec::<String>::new() }; 2]);
}

fn nft_lets_the_host_reset_an_unsolicited_segment() {
    for answers in answers_to_unsolicited_segments(Backend::Nft) {
        assert!(answers.len() == 1 && answers[0].contains("Flags [R.]"), "{answers:?}");
    }
}

/// What comes of a SYN to a container's outside port, for each family.
fn answers_to_unsolicited_segments(backend: Backend) -> [Vec<String>; 2] {
    Stage::new(backend).families().map(|(_, stage)| {
        let _server = stage.tcp_server(stage.lab.client(), 443);
        let _held = connect_from(stage.c(0), 40_000, (stage.client(), 443).into()).unwrap();
        let answers = stage.capture("tcp src port 40000 and not dst port 443");
        let wire = stage.client_wire();
        let mut frame = Vec::new();
        wire.ip(stage.client(), stage.host()).tcp(9_999, 40_000, 1, 1024).syn().write(&mut frame, &[]).unwrap();
        wire.send(&frame).unwrap();
        thread::sleep(SILENCE);
        answers.stop().unwrap().lines().unwrap()
    })
}

/// Exchanges a word over an open connection; false if it does not come within `patience`.
fn exchange(stream: &mut TcpStream, patience: Duration) -> bool {
    stream.set_read_timeout(Some(patience)).unwrap();
    let start = Instant::now();
    let mut answer = [0; 4];
    let answered = stream.write_all(b"ping").is_ok() && stream.read_exact(&mut answer).is_ok();
    assert!(!answered || start.elapsed() < PATIENCE * 2);
    answered
}

fn picking_up(backend: Backend, options: &'static [&'static str]) -> Stage {
    Stage::with(backend, Topology::dual_stack(), &Attach { options, ..Attach::default() })
}

fn a_connection_is_picked_up_after_its_flow_was_forgotten(backend: Backend) {
    for (family, stage) in picking_up(backend, &["--pick-up"]).families() {
        let _server = stage.tcp_server(stage.lab.client(), 443);
        let mut stream = connect(stage.c(0), (stage.client(), 443).into()).unwrap();
        assert!(exchange(&mut stream, PATIENCE));
        stage.forget_flows();
        assert!(exchange(&mut stream, PATIENCE), "{family:?}");
    }
}

fn a_published_connection_is_picked_up_after_its_flow_was_forgotten(backend: Backend) {
    for (family, stage) in picking_up(backend, &["--pick-up"]).families() {
        stage.map(&Mapping::tcp(8080, stage.container(0), 80));
        let _server = stage.tcp_server(stage.c(0), 80);
        let mut stream = connect(stage.lab.client(), (stage.host(), 8080).into()).unwrap();
        assert!(exchange(&mut stream, PATIENCE));
        stage.forget_flows();
        assert!(exchange(&mut stream, PATIENCE), "{family:?}");
    }
}

fn nothing_is_picked_up_unless_asked(backend: Backend) {
    assert!(!is_picked_up_unasked(backend, SILENCE));
}

fn nft_picks_up_without_being_asked() {
    assert!(is_picked_up_unasked(Backend::Nft, PATIENCE));
}

fn is_picked_up_unasked(backend: Backend, patience: Duration) -> bool {
    let stage = picking_up(backend, &[]);
    let _server = stage.tcp_server(stage.lab.client(), 443);
    let mut stream = connect(stage.c(0), (stage.client(), 443).into()).unwrap();
    assert!(exchange(&mut stream, PATIENCE));
    stage.forget_flows();
    exchange(&mut stream, patience)
}

fn the_announced_segment_is_clamped(backend: Backend) {
    let attach = Attach { max_segment: Some(MaxSegment::Bytes(1_220)), ..Attach::default() };
    let all = Stage::with(backend, Topology::dual_stack(), &attach);
    for family in [Family::V4, Family::V6] {
        assert_announced(&all.of_family(family), 1_220);
    }
}

/// What fits at the moment when that is asked for.
fn the_announced_segment_is_clamped_to_the_mtu(backend: Backend) {
    let all = Stage::new(backend);
    all.lab.host().run(&["ip", "link", "set", "dev", "ens33", "mtu", "1400"]).unwrap();
    all.attach("ens33", &Attach { max_segment: Some(MaxSegment::Mtu), ..Attach::default() });
    for (family, expected) in [(Family::V4, 1_360), (Family::V6, 1_340)] {
        assert_announced(&all.of_family(family), expected);
    }
}

/// That both ends of two connections, one that a container makes and one to a mapped port, hear this size of the other.
fn assert_announced(stage: &Stage, expected: u16) {
    stage.map(&Mapping::tcp(8080, stage.container(0), 80));
    let _servers = [stage.tcp_server(stage.c(0), 80), stage.tcp_server(stage.lab.client(), 443)];
    let wires = [stage.capture("tcp"), Capture::start(stage.c(0), "eth0", "tcp").unwrap()];
    assert_tcp(stage.c(0), (stage.client(), 443));
    assert_tcp(stage.lab.client(), (stage.host(), 8080));
    for (wire, sender) in wires.into_iter().zip([stage.host(), stage.client()]) {
        let wire = wire.stop().unwrap();
        assert!(wire.checksums().unwrap().bad.is_empty());
        let announced: Vec<_> = wire.frames().unwrap().iter().filter_map(|frame| announced(frame, sender)).collect();
        assert_eq!(announced, [expected; 2], "of {sender}");
    }
}

/// The segment size that a SYN of `sender` announces.
fn announced(frame: &[u8], sender: IpAddr) -> Option<u16> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let source = match packet.net? {
        NetSlice::Ipv4(ip) => IpAddr::from(ip.header().source_addr()),
        NetSlice::Ipv6(ip) => IpAddr::from(ip.header().source_addr()),
        NetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else { return None };
    if source != sender || !tcp.syn() {
        return None;
    }
    tcp.options_iterator().find_map(|option| match option {
        Ok(TcpOptionElement::MaximumSegmentSize(bytes)) => Some(bytes),
        _ => None,
    })
}
