//! When the outside ports run short.

use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
};

use lab::Topology;

use super::{
    commands::Attach,
    scenarios,
    stage::{Backend, Family, Stage},
};
use crate::sockets::{SILENCE, echoes, ignore_interruptions, is_unanswered};

scenarios! {
    same: [
        ports_are_chosen_from_the_range_that_was_given,
        a_port_is_shared_between_destinations_when_there_is_no_other,
        flows_go_on_when_the_ports_are_used_up,
    ]
    better: [
        who_gets_no_port_hears_so_at_once: "drops what gets no port, and says nothing" by nft_says_nothing_to_who_gets_no_port,
        several_ranges_of_ports_are_used_up: "uses the first range alone" by nft_uses_up_one_range,
        one_container_cannot_take_all_ports: "has no such limit" by nft_lets_one_container_take_all_ports,
    ]
}

const PORTS: Attach =
    Attach { address: None, exclusion: None, ports: Some((40_000, 40_003)), max_segment: None, options: &[] };

fn with_four_ports(backend: Backend, options: &'static [&'static str]) -> Stage {
    Stage::with(backend, Topology::dual_stack(), &Attach { options, ..PORTS })
}

/// Four flows to the same destination, each from an endpoint of its own.
fn four_flows(stage: &Stage, port: u16) -> Vec<UdpSocket> {
    let sockets: Vec<_> = (0..4).map(|_| stage.udp(stage.c(0), 0)).collect();
    assert!(sockets.iter().all(|socket| echoes(socket, (stage.client(), port).into())));
    sockets
}

fn ports_are_chosen_from_the_range_that_was_given(backend: Backend) {
    for (family, stage) in with_four_ports(backend, &[]).families() {
        let echo = stage.udp_server(stage.lab.client(), 53);
        let _flows = four_flows(&stage, 53);
        let mut ports: Vec<_> = echo.peers().iter().map(SocketAddr::port).collect();
        ports.sort_unstable();
        assert_eq!(ports, [40_000, 40_001, 40_002, 40_003], "{family:?}");
    }
}

fn several_ranges_of_ports_are_used_up(backend: Backend) {
    let options = &["--ports", "40000-40001,50000-50001"];
    for (family, stage) in
        Stage::with(backend, Topology::dual_stack(), &Attach { options, ..Attach::default() }).families()
    {
        let echo = stage.udp_server(stage.lab.client(), 53);
        let _flows = four_flows(&stage, 53);
        let mut ports: Vec<_> = echo.peers().iter().map(SocketAddr::port).collect();
        ports.sort_unstable();
        assert_eq!(ports, [40_000, 40_001, 50_000, 50_001], "{family:?}");
    }
}

fn a_port_is_shared_between_destinations_when_there_is_no_other(backend: Backend) {
    for (family, stage) in with_four_ports(backend, &[]).families() {
        let _servers = [53, 54, 55].map(|port| stage.udp_server(stage.lab.client(), port));
        let flows = [53, 54, 55].map(|port| (port, four_flows(&stage, port)));
        for (port, sockets) in &flows {
            assert!(sockets.iter().all(|socket| echoes(socket, (stage.client(), *port).into())), "{family:?}");
        }
    }
}

fn flows_go_on_when_the_ports_are_used_up(backend: Backend) {
    for (family, stage) in with_four_ports(backend, &[]).families() {
        let echo = stage.udp_server(stage.lab.client(), 53);
        let target = (stage.client(), 53).into();
        let flows = four_flows(&stage, 53);
        let fifth = stage.udp(stage.c(1), 0);
        assert!(is_unanswered(&fifth, target));
        for _ in 0..2 {
            assert!(flows.iter().all(|socket| echoes(socket, target)), "{family:?}");
        }
        let peers = echo.peers();
        assert!(peers.chunks(4).all(|chunk| chunk == &peers[..4]), "each keeps its port: {peers:?}");
    }
}

fn nft_says_nothing_to_who_gets_no_port() {
    for (family, stage) in with_four_ports(Backend::Nft, &[]).families() {
        let _echo = stage.udp_server(stage.lab.client(), 53);
        let target = (stage.client(), 53).into();
        let _flows = four_flows(&stage, 53);
        let fifth = stage.connected_udp(stage.c(1), target);
        fifth.set_read_timeout(Some(SILENCE)).unwrap();
        fifth.send(b"question").unwrap();
        let error = ignore_interruptions(|| fifth.recv(&mut [0; 64])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{family:?}: {error}");
    }
}

/// A rule takes one range. One for another range is never come to.
fn nft_uses_up_one_range() {
    let stage = Stage::new(Backend::Nft);
    let masquerade = "oifname ens33 ip protocol udp masquerade to";
    let chain = "type nat hook postrouting priority 90;";
    let rules = format!("{masquerade} :40000-40001; {masquerade} :50000-50001;");
    stage.lab.host().run(&["nft", &format!("table ip ranges {{\nchain leaving {{ {chain} {rules} }}\n}}")]).unwrap();
    let _echo = stage.udp_server(stage.lab.client(), 53);
    let target = (stage.client(), 53).into();
    let sockets: Vec<_> = (0..3).map(|_| stage.udp(stage.c(0), 0)).collect();
    assert!(echoes(&sockets[0], target) && echoes(&sockets[1], target));
    assert!(is_unanswered(&sockets[2], target));
}

fn nft_lets_one_container_take_all_ports() {
    for (family, stage) in with_four_ports(Backend::Nft, &[]).families() {
        let _echo = stage.udp_server(stage.lab.client(), 53);
        let _flows = four_flows(&stage, 53);
        assert!(is_unanswered(&stage.udp(stage.c(1), 0), (stage.client(), 53).into()), "{family:?}");
    }
}

/// ICMP 3/13 (RFC 5508 REQ-8), 1/1 of IPv6.
fn who_gets_no_port_hears_so_at_once(backend: Backend) {
    let all = with_four_ports(backend, &[]);
    for (family, expected) in [(Family::V4, ErrorKind::HostUnreachable), (Family::V6, ErrorKind::PermissionDenied)] {
        let stage = all.of_family(family);
        let _echo = stage.udp_server(stage.lab.client(), 53);
        let target = (stage.client(), 53).into();
        let flows = four_flows(&stage, 53);
        let fifth = stage.connected_udp(stage.c(1), target);
        fifth.send(b"question").unwrap();
        let error = ignore_interruptions(|| fifth.recv(&mut [0; 64])).unwrap_err();
        assert_eq!(error.kind(), expected, "{error}");
        assert!(flows.iter().all(|socket| echoes(socket, target)));
    }
}

fn one_container_cannot_take_all_ports(backend: Backend) {
    for (family, stage) in with_four_ports(backend, &["--max-ports-per-source", "2"]).families() {
        let _echo = stage.udp_server(stage.lab.client(), 53);
        let target = (stage.client(), 53).into();
        let sockets: Vec<_> = (0..3).map(|_| stage.udp(stage.c(0), 0)).collect();
        assert!(echoes(&sockets[0], target) && echoes(&sockets[1], target), "{family:?}");
        assert!(is_unanswered(&sockets[2], target), "{family:?}");
        assert!(echoes(&stage.udp(stage.c(1), 0), target), "the other container has its own");
    }
}
