//! ICMP errors both ways, and what lives on them: traceroute, path MTU discovery, refused datagrams.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    thread,
};

use etherparse::{
    Icmpv4Type, Icmpv6Type,
    icmpv4::{DestUnreachableHeader, TimeExceededCode},
    icmpv6::{DestUnreachableCode, TimeExceededCode as TimeExceededCode6},
};
use lab::{Capture, Netns, Topology, Wire, tcp_ask};

use super::{
    commands::{Attach, Mapping},
    scenarios,
    stage::{Backend, Family, Stage},
};
use crate::sockets::{PATIENCE, connect, echoes, ignore_interruptions};

scenarios! {
    same: [
        traceroute_from_a_container_shows_every_hop,
        traceroute_to_a_mapped_port_shows_the_host_and_no_container,
        tracepath_from_a_container_finds_the_path_mtu,
        a_container_learns_the_path_mtu_of_what_it_sends,
        a_container_learns_the_path_mtu_of_what_it_answers,
        a_client_learns_the_path_mtu_to_a_container,
        a_container_hears_that_a_port_is_closed_outside,
        a_client_hears_that_a_mapped_port_is_closed,
        an_error_neither_ends_nor_changes_a_flow,
        rfc5508_req3d_extensions_of_an_error_stay_as_they_are,
    ]
    better: []
}

/// Less than any link of the lab lets through.
const PATH_MTU: u16 = 1300;
const TRANSFER: usize = 200_000;

fn behind_a_router(backend: Backend) -> Stage {
    attached_behind_a_router(backend, &Attach::default())
}

fn attached_behind_a_router(backend: Backend, attach: &Attach) -> Stage {
    let topology = Topology { checksum_offload: false, ..Topology::dual_stack().with_router() };
    Stage::with(backend, topology, attach)
}

/// Makes `netns` forward only small packets to `network`.
fn narrow(netns: &Netns, network: &str, interface: &str) {
    // Those that the kernel makes by itself for an address.
    let metric = if network.contains(':') { "256" } else { "0" };
    let mtu = PATH_MTU.to_string();
    let route = ["ip", "route", "change", network, "dev", interface, "metric", metric, "mtu", "lock", &mtu];
    netns.run(&route).unwrap();
}

fn narrow_to_the_client(stage: &Stage, family: Family) {
    let network = if family == Family::V4 { "198.51.100.0/24" } else { "2001:db8:198::/64" };
    narrow(stage.lab.router().unwrap(), network, "eth1");
}

/// The path MTU that `netns` has learnt, if any.
pub(super) fn learnt(netns: &Netns, target: IpAddr) -> Option<u16> {
    let route = netns.run(&["ip", "route", "get", &target.to_string()]).unwrap().stdout;
    let mut words = route.split_whitespace();
    words.find(|&word| word == "mtu")?;
    words.next()?.parse().ok()
}

/// Sends much from `from` to a server at `target`, which is reached as `port` in `to`.
pub(super) fn transfer(stage: &Stage, from: &Netns, target: (IpAddr, u16), to: &Netns, port: u16) {
    let any = stage.any();
    let server = to.enter(|| TcpListener::bind((any, port))).unwrap().unwrap();
    let received = thread::spawn(move || {
        let (mut stream, _) = ignore_interruptions(|| server.accept()).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        received.len()
    });
    let mut stream = connect(from, target.into()).unwrap();
    stream.write_all(&vec![7; TRANSFER]).unwrap();
    drop(stream);
    assert_eq!(received.join().unwrap(), TRANSFER);
}

fn traceroute(netns: &Netns, target: IpAddr, options: &[&str]) -> Vec<String> {
    let target = target.to_string();
    // As root, of which it is part, it may send without waiting; one query a hop.
    let words = [&["traceroute", "-n", "-q1", "-w2", "-N3", "-m6"], options, &[&target]].concat();
    let trace = netns.run(&words).unwrap().stdout;
    let hop = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
    trace.lines().skip(1).filter_map(hop).collect()
}

fn traceroute_from_a_container_shows_every_hop(backend: Backend) {
    for (family, stage) in behind_a_router(backend).families() {
        let wire = stage.capture("icmp or icmp6 or udp or tcp");
        let router = if family == Family::V4 { "192.168.137.1" } else { "2001:db8:137::1" };
        let hops = [stage.gateway(0).to_string(), router.to_owned(), stage.client().to_string()];
        for method in ["-I", "-U", "-T"] {
            let trace = traceroute(stage.c(0), stage.client(), &[method]);
            assert_eq!(trace, hops, "{method} {family:?}");
        }
        let checksums = wire.stop().unwrap().checksums().unwrap();
        assert!(checksums.bad.is_empty() && checksums.quoted.is_empty(), "{checksums:?}");
    }
}

fn traceroute_to_a_mapped_port_shows_the_host_and_no_container(backend: Backend) {
    for (family, stage) in behind_a_router(backend).families() {
        stage.map(&Mapping::udp(5300, stage.container(0), 53));
        stage.map(&Mapping::tcp(8080, stage.container(0), 80));
        let wire = stage.capture("icmp or icmp6");
        let router = if family == Family::V4 { "198.51.100.254" } else { "2001:db8:198::fe" };
        for options in [["-U", "-p5300"], ["-T", "-p8080"]] {
            let trace = traceroute(stage.lab.client(), stage.host(), &options);
            assert_eq!(trace[0], router, "{trace:?}");
            assert!(trace.len() >= 2 && trace[1..].iter().all(|hop| *hop == stage.host().to_string()), "{trace:?}");
        }
        let checksums = wire.stop().unwrap().checksums().unwrap();
        assert!(checksums.bad.is_empty() && checksums.quoted.is_empty(), "{checksums:?}");
    }
}

fn tracepath_from_a_container_finds_the_path_mtu(backend: Backend) {
    for (family, stage) in behind_a_router(backend).families() {
        narrow_to_the_client(&stage, family);
        let target = stage.client().to_string();
        let said = stage.c(0).run(&["tracepath", "-n", "-m", "6", &target]).unwrap().stdout;
        assert!(said.contains(&format!("Resume: pmtu {PATH_MTU} hops 3")), "{said}");
    }
}

fn a_container_learns_the_path_mtu_of_what_it_sends(backend: Backend) {
    for (family, stage) in behind_a_router(backend).families() {
        narrow_to_the_client(&stage, family);
        transfer(&stage, stage.c(0), (stage.client(), 443), stage.lab.client(), 443);
        assert_eq!(learnt(stage.c(0), stage.client()), Some(PATH_MTU), "{family:?}");
    }
}

fn a_container_learns_the_path_mtu_of_what_it_answers(backend: Backend) {
    for (family, stage) in behind_a_router(backend).families() {
        narrow_to_the_client(&stage, family);
        stage.map(&Mapping::tcp(8080, stage.container(0), 80));
        let _server = stage.tcp_server(stage.c(0), 80);
        let mut stream = connect(stage.lab.client(), (stage.host(), 8080).into()).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || writer.write_all(&vec![7; TRANSFER]).unwrap());
        stream.read_exact(&mut vec![0; TRANSFER]).unwrap();
        writing.join().unwrap();
        assert_eq!(learnt(stage.c(0), stage.client()), Some(PATH_MTU), "{family:?}");
    }
}

fn a_client_learns_the_path_mtu_to_a_container(backend: Backend) {
    // The MTU of a route is the stack's to know; that of a link, the fast path's too.
    let attach = Attach { options: &["--fast-path", "off"], ..Attach::default() };
    for (family, stage) in attached_behind_a_router(backend, &attach).families() {
        stage.map(&Mapping::tcp(8080, stage.container(0), 80));
        let network = if family == Family::V4 { "172.17.0.0/16" } else { "fd00:17::/64" };
        narrow(stage.lab.host(), network, "docker0");
        let wire = stage.capture("icmp or icmp6");
        transfer(&stage, stage.lab.client(), (stage.host(), 8080), stage.c(0), 80);
        assert_eq!(learnt(stage.lab.client(), stage.host()), Some(PATH_MTU), "{family:?}");
        let checksums = wire.stop().unwrap().checksums().unwrap();
        assert!(checksums.bad.is_empty() && checksums.quoted.is_empty(), "{checksums:?}");
    }
}

/// Asks until it is refused: the first answer may be of a neighbour that is not known yet.
#[track_caller]
fn assert_refused(socket: &UdpSocket) {
    socket.send(b"question").unwrap();
    let error = ignore_interruptions(|| socket.recv(&mut [0; 64])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

fn a_container_hears_that_a_port_is_closed_outside(backend: Backend) {
    for (_, stage) in Stage::new(backend).families() {
        assert_refused(&stage.connected_udp(stage.c(0), (stage.client(), 9).into()));
        let answer = tcp_ask(stage.c(0), (stage.client(), 9).into(), b"question", PATIENCE);
        assert_eq!(answer.unwrap().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}

fn a_client_hears_that_a_mapped_port_is_closed(backend: Backend) {
    let topology = Topology { checksum_offload: false, ..Topology::dual_stack() };
    for (_, stage) in Stage::of(backend, topology).families() {
        stage.map(&Mapping::udp(5300, stage.container(0), 53));
        let wire = stage.capture("icmp or icmp6[0] = 1");
        assert_refused(&stage.connected_udp(stage.lab.client(), (stage.host(), 5300).into()));
        let wire = wire.stop().unwrap();
        let host = stage.host().to_string();
        let lines = wire.lines().unwrap();
        // Both who says it, and what it is about, are the host's address.
        assert!(lines.len() == 1 && lines[0].matches(&host).count() == 2, "{lines:?}");
        let checksums = wire.checksums().unwrap();
        assert!(checksums.bad.is_empty() && checksums.quoted.is_empty(), "{checksums:?}");
    }
}

/// Errors about a datagram that a container has sent, as a router would send them, or an attacker.
fn errors_about(stage: &Stage, source: SocketAddr, target: SocketAddr) -> Vec<Vec<u8>> {
    let wire = stage.client_wire();
    let quoted = wire.udp((source.ip(), source.port()), (target.ip(), target.port()), b"question").unwrap();
    let quoted = &quoted[14..];
    let mut frames = Vec::new();
    let ip = || wire.ip(stage.client(), stage.host());
    let mut add = |build: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = Vec::new();
        build(&mut frame);
        frames.push(frame);
    };
    if stage.host().is_ipv4() {
        let unreachable = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Host);
        let exceeded = Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit);
        add(&|frame| ip().icmpv4(unreachable.clone()).write(frame, quoted).unwrap());
        add(&|frame| ip().icmpv4(exceeded.clone()).write(frame, quoted).unwrap());
    } else {
        let unreachable = Icmpv6Type::DestinationUnreachable(DestUnreachableCode::Address);
        let exceeded = Icmpv6Type::TimeExceeded(TimeExceededCode6::HopLimitExceeded);
        add(&|frame| ip().icmpv6(unreachable).write(frame, quoted).unwrap());
        add(&|frame| ip().icmpv6(exceeded).write(frame, quoted).unwrap());
    }
    frames
}

fn an_error_neither_ends_nor_changes_a_flow(backend: Backend) {
    for (_, stage) in Stage::new(backend).families() {
        let echo = stage.udp_server(stage.lab.client(), 53);
        let (socket, target) = (stage.udp(stage.c(0), 5353), SocketAddr::new(stage.client(), 53));
        assert!(echoes(&socket, target));
        let wire = stage.client_wire();
        let arriving = Capture::start(stage.c(0), "eth0", "icmp or icmp6[0] = 1 or icmp6[0] = 3").unwrap();
        for frame in errors_about(&stage, echo.peers()[0], target) {
            wire.send(&frame).unwrap();
        }
        let arriving = arriving.stop().unwrap();
        let lines = arriving.lines().unwrap();
        let container = stage.container(0).to_string();
        assert!(lines.len() == 2 && lines.iter().all(|line| line.contains(&container)), "{lines:?}");
        let checksums = arriving.checksums().unwrap();
        assert!(checksums.bad.is_empty() && checksums.quoted.is_empty(), "{checksums:?}");
        assert!(echoes(&socket, target));
        let peers = echo.peers();
        assert_eq!(peers[0], peers[1]);
    }
}

/// What an RFC 4884 error appends: version 2, a checksum that must stay, and an object of an interface's name.
const EXTENSION: [u8; 20] = *b"\x20\0\x12\x34\0\x10\x02\x0a\x0c\x01nothing\0\0\0";
/// Bytes of the quoted packet before it.
const PADDED: usize = 128;

/// Time exceeded, with an extension (RFC 4884 sections 4.2 and 4.4), about a datagram that a container has sent.
fn extended_error(stage: &Stage, wire: &Wire, source: SocketAddr, target: SocketAddr) -> Vec<u8> {
    let quoted = wire.udp((source.ip(), source.port()), (target.ip(), target.port()), b"question").unwrap();
    let mut content = quoted[14..].to_vec();
    content.resize(PADDED, 0);
    content.extend(EXTENSION);
    let (mut frame, ip) = (Vec::new(), wire.ip(stage.client(), stage.host()));
    // The length is of 32-bit words, in ICMPv6 of 64-bit words.
    if stage.host().is_ipv4() {
        ip.icmpv4_raw(11, 0, [0, 32, 0, 0]).write(&mut frame, &content).unwrap();
    } else {
        ip.icmpv6_raw(3, 0, [16, 0, 0, 0]).write(&mut frame, &content).unwrap();
    }
    frame
}

fn rfc5508_req3d_extensions_of_an_error_stay_as_they_are(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        let echo = stage.udp_server(stage.lab.client(), 53);
        let (socket, target) = (stage.udp(stage.c(0), 5353), SocketAddr::new(stage.client(), 53));
        assert!(echoes(&socket, target));
        let arriving = Capture::start(stage.c(0), "eth0", "icmp or icmp6[0] = 3").unwrap();
        let wire = stage.client_wire();
        let sent = extended_error(&stage, &wire, echo.peers()[0], target);
        wire.send(&sent).unwrap();
        let arriving = arriving.stop().unwrap();
        let frames = arriving.frames().unwrap();
        assert_eq!(frames.len(), 1, "{family:?}");
        let container = stage.container(0).to_string();
        assert_eq!(arriving.lines().unwrap()[0].matches(&container).count(), 1, "{family:?}");
        // Padding and extension follow the quoted datagram: 8 bytes of UDP, and 8 of content.
        let after = sent.len() - EXTENSION.len() - PADDED + if family == Family::V4 { 36 } else { 56 };
        assert_eq!(frames[0][after..], sent[after..], "{family:?}");
        let checksums = arriving.checksums().unwrap();
        assert!(checksums.bad.is_empty() && checksums.quoted.is_empty(), "{checksums:?}");
    }
}
