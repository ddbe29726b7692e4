//! Changes under traffic.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use lab::UdpEcho;

use super::{
    commands::{Attach, Mapping},
    scenarios,
    stage::{Backend, Family, Stage},
};
use crate::sockets::{PATIENCE, SILENCE, connect, echoes, is_unanswered};

scenarios! {
    same: [
        an_unchanged_mapping_keeps_its_flows_while_others_change,
        a_container_keeps_its_flows_while_mappings_change,
        a_replaced_address_of_the_uplink_is_used_for_new_flows,
    ]
    better: [
        moby_53384_and_8795_a_udp_flow_follows_its_mapping_at_once: "the flow stays with the container that it had"
            by nft_leaves_a_udp_flow_with_the_old_container,
        an_unmapped_udp_flow_ends_at_once: "the flow goes on as long as it is used" by nft_lets_an_unmapped_udp_flow_go_on,
        an_unmapped_tcp_connection_ends_at_once: "the connection goes on" by nft_lets_an_unmapped_tcp_connection_go_on,
    ]
}

fn moby_53384_and_8795_a_udp_flow_follows_its_mapping_at_once(backend: Backend) {
    assert_eq!(heard_by_both_containers(backend), [(3, 3); 2]);
}

fn nft_leaves_a_udp_flow_with_the_old_container() {
    assert_eq!(heard_by_both_containers(Backend::Nft), [(6, 0); 2]);
}

/// How many datagrams of one flow each container hears when half of them come after the mapping has been changed from
/// the first to the second, for each family.
fn heard_by_both_containers(backend: Backend) -> [(usize, usize); 2] {
    Stage::new(backend).families().map(|(_, stage)| {
        // Host and container ports differ: moby compares the wrong one.
        stage.map(&Mapping::udp(5300, stage.container(0), 53));
        let [first, second] = [0, 1].map(|number| stage.udp_server(stage.c(number), 53));
        let (socket, target) = (stage.udp(stage.lab.client(), 40_000), (stage.host(), 5300).into());
        for _ in 0..3 {
            assert!(echoes(&socket, target));
        }
        stage.replace(&Mapping::udp(5300, stage.container(1), 53));
        for _ in 0..3 {
            assert!(echoes(&socket, target));
        }
        (first.peers().len(), second.peers().len())
    })
}

fn an_unmapped_udp_flow_ends_at_once(backend: Backend) {
    for (socket, target, server) in unmapped_udp_flows(&Stage::new(backend)) {
        assert!(is_unanswered(&socket, target), "{target}");
        assert_eq!(server.peers().len(), 1);
    }
}

fn nft_lets_an_unmapped_udp_flow_go_on() {
    for (socket, target, _server) in unmapped_udp_flows(&Stage::new(Backend::Nft)) {
        assert!(echoes(&socket, target), "{target}");
    }
}

/// Both ends of a flow whose mapping was removed, for each family.
fn unmapped_udp_flows(stage: &Stage) -> [(UdpSocket, SocketAddr, UdpEcho); 2] {
    stage.families().map(|(family, stage)| {
        let (port, container_port) = if family == Family::V4 { (5300, 53) } else { (5301, 54) };
        let mapping = Mapping::udp(port, stage.container(0), container_port);
        stage.map(&mapping);
        let server = stage.udp_server(stage.c(0), container_port);
        let (socket, target) = (stage.udp(stage.lab.client(), 0), (stage.host(), port).into());
        assert!(echoes(&socket, target));
        stage.unmap(&mapping);
        (socket, target, server)
    })
}

fn an_unmapped_tcp_connection_ends_at_once(backend: Backend) {
    assert!(!unmapped_tcp_goes_on(backend, SILENCE));
}

fn nft_lets_an_unmapped_tcp_connection_go_on() {
    assert!(unmapped_tcp_goes_on(Backend::Nft, PATIENCE));
}

/// Whether a connection is answered within some time after its mapping was removed.
fn unmapped_tcp_goes_on(backend: Backend, timeout: Duration) -> bool {
    let stage = Stage::new(backend);
    let mapping = Mapping::tcp(8080, stage.container(0), 80);
    stage.map(&mapping);
    let _server = stage.tcp_server(stage.c(0), 80);
    let mut stream = connect(stage.lab.client(), (stage.host(), 8080).into()).unwrap();
    let mut answer = [0; 4];
    stream.write_all(b"ping").unwrap();
    stream.read_exact(&mut answer).unwrap();
    stage.unmap(&mapping);
    stream.write_all(b"ping").unwrap();
    stream.set_read_timeout(Some(timeout)).unwrap();
    stream.read_exact(&mut answer).is_ok()
}

fn an_unchanged_mapping_keeps_its_flows_while_others_change(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        stage.map(&Mapping::tcp(8080, stage.container(0), 80));
        stage.map(&Mapping::udp(5300, stage.container(0), 53));
        let (_server, echo) = (stage.tcp_server(stage.c(0), 80), stage.udp_server(stage.c(0), 53));
        let mut stream = connect(stage.lab.client(), (stage.host(), 8080).into()).unwrap();
        let (socket, target) = (stage.udp(stage.lab.client(), 40_000), (stage.host(), 5300).into());
        let mut check = || {
            let mut answer = [0; 4];
            stream.write_all(b"ping").unwrap();
            stream.read_exact(&mut answer).unwrap();
            assert!(echoes(&socket, target), "{family:?}");
        };
        check();
        let other = Mapping::tcp(8081, stage.container(1), 80);
        stage.map(&other);
        check();
        stage.replace(&Mapping::tcp(8081, stage.container(0), 80));
        check();
        stage.unmap(&other);
        check();
        assert_eq!(echo.peers().len(), 4);
    }
}

fn a_container_keeps_its_flows_while_mappings_change(backend: Backend) {
    for (_, stage) in Stage::new(backend).families() {
        let echo = stage.udp_server(stage.lab.client(), 53);
        let (socket, target) = (stage.udp(stage.c(0), 5353), (stage.client(), 53).into());
        let mapping = Mapping::udp(5300, stage.container(0), 53);
        assert!(echoes(&socket, target));
        stage.map(&mapping);
        assert!(echoes(&socket, target));
        stage.unmap(&mapping);
        assert!(echoes(&socket, target));
        let peers = echo.peers();
        assert!(peers.len() == 3 && peers.iter().all(|peer| *peer == peers[0]), "{peers:?}");
    }
}

fn a_replaced_address_of_the_uplink_is_used_for_new_flows(backend: Backend) {
    let cases = [
        (Family::V4, "192.168.137.104/24", "192.168.137.110/24"),
        (Family::V6, "2001:db8:137::104/64", "2001:db8:137::110/64"),
    ];
    let all = Stage::new(backend);
    for (family, old, new) in cases {
        let stage = all.of_family(family);
        let echo = stage.udp_server(stage.lab.client(), 53);
        let target = (stage.client(), 53).into();
        let early = stage.udp(stage.c(0), 5353);
        assert!(echoes(&early, target));
        stage.lab.host().run(&["ip", "address", "del", old, "dev", "ens33"]).unwrap();
        stage.lab.host().run(&["ip", "address", "add", new, "dev", "ens33"]).unwrap();
        stage.attach("ens33", &Attach::default());
        assert!(echoes(&stage.udp(stage.c(0), 5354), target), "{family:?}");
        let new: IpAddr = new.split('/').next().unwrap().parse().unwrap();
        // The old flow cannot go on with an address that is gone.
        assert!(echoes(&early, target), "{family:?}");
        assert_eq!(echo.peers(), [(stage.host(), 5353).into(), (new, 5354).into(), (new, 5353).into()]);
    }
}
