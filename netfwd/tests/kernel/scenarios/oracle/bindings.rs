//! Endpoint-independent mapping, and the filtering that was asked for (RFC 4787 REQ-1, REQ-8; RFC 5382 REQ-1, REQ-3).

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use lab::{StunServer, Topology, UdpEcho, stun};

use super::{
    commands::Attach,
    scenarios,
    stage::{Backend, Stage},
};
use crate::sockets::{PATIENCE, SILENCE, connect_from, echoes, hears, udp_at};

scenarios! {
    same: [
        a_source_port_is_kept_if_it_is_free,
        two_containers_never_share_a_port_towards_one_server,
        a_privileged_source_port_stays_privileged,
        stun_reports_independent_mapping_and_port_dependent_filtering,
    ]
    better: [
        one_socket_keeps_its_port_towards_everybody: "shares a port between endpoints, and then gives one of them a second"
            by nft_gives_a_socket_a_second_port,
        one_connecting_port_is_seen_the_same_by_all_servers: "shares a port between endpoints, and then gives one of them a second"
            by nft_gives_a_connecting_port_a_second_one,
        parity_is_kept_if_so_asked: "chooses without regard to parity" by nft_changes_parity,
        stun_reports_independent_filtering: "has no such filtering" by nft_filters_by_port,
        stun_reports_address_dependent_filtering: "has no such filtering" by nft_filters_by_port,
        anybody_may_send_to_an_endpoint_if_so_asked: "has no such filtering" by nft_lets_no_stranger_in,
    ]
}

/// The client of the default with a second address, for each family.
fn two_addresses() -> Topology {
    let mut topology = Topology::dual_stack();
    let uplink = &mut topology.uplinks[0];
    uplink.clients.push(Ipv4Addr::new(192, 168, 137, 2));
    uplink.ipv6.as_mut().unwrap().others.push("2001:db8:137::2".parse().unwrap());
    topology
}

fn second_client(stage: &Stage) -> IpAddr {
    let wanted = stage.client().is_ipv4();
    stage.topology.uplinks[0].clients().filter(|address| address.is_ipv4() == wanted).nth(1).unwrap()
}

fn with_filtering(backend: Backend, options: &'static [&'static str]) -> Stage {
    Stage::with(backend, two_addresses(), &Attach { options, ..Attach::default() })
}

fn a_source_port_is_kept_if_it_is_free(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        let echo = stage.udp_server(stage.lab.client(), 53);
        assert!(echoes(&stage.udp(stage.c(0), 5353), (stage.client(), 53).into()), "{family:?}");
        assert_eq!(echo.peers(), [(stage.host(), 5353).into()]);
    }
}

fn two_containers_never_share_a_port_towards_one_server(backend: Backend) {
    for (_, stage) in Stage::new(backend).families() {
        let echo = stage.udp_server(stage.lab.client(), 53);
        let sockets = [0, 1].map(|number| stage.udp(stage.c(number), 5353));
        for _ in 0..2 {
            assert!(sockets.iter().all(|socket| echoes(socket, (stage.client(), 53).into())));
        }
        let peers = echo.peers();
        assert_ne!(peers[0], peers[1]);
        assert_eq!(peers[..2], peers[2..], "each keeps its own");
    }
}

fn a_privileged_source_port_stays_privileged(backend: Backend) {
    for (_, stage) in Stage::new(backend).families() {
        let echo = stage.udp_server(stage.lab.client(), 53);
        for number in [0, 1] {
            assert!(echoes(&stage.udp(stage.c(number), 700), (stage.client(), 53).into()));
        }
        let ports: Vec<_> = echo.peers().iter().map(SocketAddr::port).collect();
        assert!(ports[0] == 700 && ports[1] != 700 && ports[1] < 1024, "{ports:?}");
    }
}

/// The ports at which three servers see: the first container at the first server, the second container at the second
/// server, and the first container there. Both have the same source port.
fn seen_ports(stage: &Stage, mut send: impl FnMut(usize, SocketAddr) -> u16) -> [u16; 3] {
    let [first, second] = [stage.client(), second_client(stage)].map(|address| SocketAddr::new(address, 53));
    [(0, first), (1, second), (0, second)].map(|(container, server)| send(container, server))
}

fn one_socket_keeps_its_port_towards_everybody(backend: Backend) {
    for seen in ports_of_sockets(backend) {
        assert_eq!(seen[0], seen[2], "one endpoint, one port: {seen:?}");
        assert_ne!(seen[0], seen[1], "one port, one endpoint: {seen:?}");
    }
}

fn nft_gives_a_socket_a_second_port() {
    for seen in ports_of_sockets(Backend::Nft) {
        assert!(seen[0] == seen[1] && seen[0] != seen[2], "{seen:?}");
    }
}

/// What servers see of sockets, for each family.
fn ports_of_sockets(backend: Backend) -> [[u16; 3]; 2] {
    Stage::of(backend, two_addresses()).families().map(|(_, stage)| {
        let servers = [stage.client(), second_client(&stage)].map(|address| {
            let address = SocketAddr::new(address, 53);
            (address, UdpEcho::start_at(stage.lab.client(), address).unwrap())
        });
        let sockets = [0, 1].map(|container| stage.udp(stage.c(container), 5353));
        seen_ports(&stage, |container, target| {
            assert!(echoes(&sockets[container], target), "{target}");
            let (_, server) = servers.iter().find(|(address, _)| *address == target).unwrap();
            server.peers().last().unwrap().port()
        })
    })
}

fn one_connecting_port_is_seen_the_same_by_all_servers(backend: Backend) {
    for seen in ports_of_connections(backend) {
        assert_eq!(seen[0], seen[2], "one endpoint, one port: {seen:?}");
        assert_ne!(seen[0], seen[1], "one port, one endpoint: {seen:?}");
    }
}

fn nft_gives_a_connecting_port_a_second_one() {
    for seen in ports_of_connections(Backend::Nft) {
        assert!(seen[0] == seen[1] && seen[0] != seen[2], "{seen:?}");
    }
}

/// What servers see of TCP connections from one port, for each family.
fn ports_of_connections(backend: Backend) -> [[u16; 3]; 2] {
    Stage::of(backend, two_addresses()).families().map(|(_, stage)| {
        let server = stage.tcp_server(stage.lab.client(), 53);
        let mut connections = Vec::new();
        seen_ports(&stage, |container, target| {
            let mut stream = connect_from(stage.c(container), 40_000, target).unwrap();
            // It is accepted once it answers.
            stream.write_all(b"?").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            connections.push(stream);
            server.peers().last().unwrap().port()
        })
    })
}

/// RFC 4787 REQ-4.
fn parity_is_kept_if_so_asked(backend: Backend) {
    for (port, seen) in ports_of_both_containers(backend) {
        assert_eq!(seen % 2, port % 2, "{port} became {seen}");
    }
}

fn nft_changes_parity() {
    let ports = ports_of_both_containers(Backend::Nft);
    // By chance it would stay once in 65,536 runs.
    assert!(ports.iter().any(|(port, seen)| seen % 2 != port % 2), "{ports:?}");
}

/// Source ports that both containers use, and what becomes of them.
fn ports_of_both_containers(backend: Backend) -> Vec<(u16, u16)> {
    let attach = Attach { options: &["--parity"], ..Attach::default() };
    let stages = Stage::with(backend, two_addresses(), &attach).families();
    let ports = stages.iter().flat_map(|(_, stage)| {
        let echo = UdpEcho::start_at(stage.lab.client(), (stage.client(), 53).into()).unwrap();
        let sent = (5_352..5_360).flat_map(|port| [(0, port), (1, port)]);
        let ports = sent.map(|(number, port)| {
            assert!(echoes(&stage.udp(stage.c(number), port), (stage.client(), 53).into()));
            (port, echo.peers().last().unwrap().port())
        });
        ports.collect::<Vec<_>>()
    });
    ports.collect()
}

fn stun_summary(stage: &Stage) -> String {
    let _server = StunServer::start(stage.lab.client(), stage.client(), second_client(stage)).unwrap();
    stun(stage.c(0), stage.client()).unwrap().summary
}

fn stun_reports_independent_mapping_and_port_dependent_filtering(backend: Backend) {
    let stage = with_filtering(backend, &[]);
    let summary = stun_summary(&stage);
    assert!(summary.starts_with("Independent Mapping, Port Dependent Filter, preserves ports"), "{summary}");
}

fn stun_reports_independent_filtering(backend: Backend) {
    let stage = with_filtering(backend, &["--filtering", "endpoint"]);
    let summary = stun_summary(&stage);
    assert!(summary.starts_with("Independent Mapping, Independent Filter, preserves ports"), "{summary}");
}

fn stun_reports_address_dependent_filtering(backend: Backend) {
    let stage = with_filtering(backend, &["--filtering", "address"]);
    let summary = stun_summary(&stage);
    assert!(summary.starts_with("Independent Mapping, Address Dependent Filter, preserves ports"), "{summary}");
}

fn nft_filters_by_port() {
    stun_reports_independent_mapping_and_port_dependent_filtering(Backend::Nft);
}

fn anybody_may_send_to_an_endpoint_if_so_asked(backend: Backend) {
    assert_eq!(strangers_are_heard(backend, PATIENCE), [true; 2]);
}

fn nft_lets_no_stranger_in() {
    assert_eq!(strangers_are_heard(Backend::Nft, SILENCE), [false; 2]);
}

/// Whether a container hears whom it has not asked within some time, for each family.
fn strangers_are_heard(backend: Backend, timeout: Duration) -> [bool; 2] {
    with_filtering(backend, &["--filtering", "endpoint"]).families().map(|(_, stage)| {
        let echo = UdpEcho::start_at(stage.lab.client(), (stage.client(), 53).into()).unwrap();
        let socket = stage.udp(stage.c(0), 5353);
        assert!(echoes(&socket, (stage.client(), 53).into()));
        let stranger = udp_at(stage.lab.client(), (second_client(&stage), 9_999).into());
        stranger.send_to(b"hello", echo.peers()[0]).unwrap();
        socket.set_read_timeout(Some(timeout)).unwrap();
        hears(&socket, b"hello", (second_client(&stage), 9_999).into())
    })
}
