//! From containers through the host's address back to containers (RFC 4787 REQ-9, RFC 5382 REQ-8, RFC 5508 REQ-7).

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use lab::{Capture, Topology};

use super::{
    commands::{Attach, Mapping},
    scenarios,
    stage::{Backend, Stage},
};
use crate::sockets::{PATIENCE, SILENCE, assert_tcp, echoes, hears};

scenarios! {
    same: [
        an_answer_comes_back_through_the_hairpin_with_right_checksums,
        a_port_unreachable_comes_back_through_the_hairpin,
        containers_and_clients_use_one_mapping_at_once,
        no_rule_route_or_hairpin_mode_is_needed,
    ]
    better: [
        containers_reach_each_others_outside_ports_once_both_have_sent: "translates nothing there; the host answers"
            by nft_reaches_no_outside_port_of_a_container,
        containers_reach_each_others_outside_ports_at_once_if_so_asked: "translates nothing there; the host answers"
            by nft_reaches_no_outside_port_of_a_container,
    ]
}

fn without_offload() -> Topology {
    Topology { checksum_offload: false, ..Topology::dual_stack() }
}

fn an_answer_comes_back_through_the_hairpin_with_right_checksums(backend: Backend) {
    for (_, stage) in Stage::of(backend, without_offload()).families() {
        stage.map(&Mapping::tcp(8080, stage.container(0), 80));
        let server = stage.tcp_server(stage.c(0), 80);
        let [asking, answering] = [1, 0].map(|number| Capture::start(stage.c(number), "eth0", "tcp").unwrap());
        assert_tcp(stage.c(1), (stage.host(), 8080));
        let peer = server.peers()[0].ip();
        assert_ne!(peer, stage.container(1), "the answer would not come back through the host");
        assert!([stage.host(), stage.gateway(0)].contains(&peer), "{peer} is not the host's");
        for capture in [asking, answering] {
            let checksums = capture.stop().unwrap().checksums().unwrap();
            assert!(checksums.complete >= 6 && checksums.bad.is_empty(), "{checksums:?}");
        }
    }
}

fn a_port_unreachable_comes_back_through_the_hairpin(backend: Backend) {
    for (family, stage) in Stage::of(backend, without_offload()).families() {
        stage.map(&Mapping::udp(5300, stage.container(0), 53));
        let errors = Capture::start(stage.c(1), "eth0", "icmp or icmp6[0] = 1").unwrap();
        for container in [1, 0] {
            let socket = stage.connected_udp(stage.c(container), (stage.host(), 5300).into());
            socket.send(b"question").unwrap();
            let error = socket.recv(&mut [0; 64]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "container {container}, {family:?}");
        }
        let errors = errors.stop().unwrap();
        let sources: Vec<IpAddr> = match stage.host() {
            IpAddr::V4(_) => errors.ipv4().unwrap().iter().map(|packet| packet.source.into()).collect(),
            IpAddr::V6(_) => errors.ipv6().unwrap().iter().map(|packet| packet.source.into()).collect(),
        };
        assert_eq!(sources, [stage.host()], "only what was asked answers");
        let checksums = errors.checksums().unwrap();
        assert!(checksums.bad.is_empty() && checksums.quoted.is_empty(), "{checksums:?}");
    }
}

fn containers_and_clients_use_one_mapping_at_once(backend: Backend) {
    for (_, stage) in Stage::new(backend).families() {
        stage.map(&Mapping::udp(5300, stage.container(0), 53));
        let _echo = stage.udp_server(stage.c(0), 53);
        // The same source port everywhere.
        let sockets = [stage.lab.client(), stage.c(1)].map(|netns| stage.udp(netns, 40_000));
        for _ in 0..3 {
            assert!(sockets.iter().all(|socket| echoes(socket, (stage.host(), 5300).into())));
        }
    }
}

/// A socket of each container, with an outside port that is the same as its own.
fn with_outside_ports(stage: &Stage) -> [(UdpSocket, SocketAddr); 2] {
    let echo = stage.udp_server(stage.lab.client(), 53);
    let sockets = [(0, 6_000), (1, 6_001)].map(|(number, port)| {
        let socket = stage.udp(stage.c(number), port);
        assert!(echoes(&socket, (stage.client(), 53).into()));
        (socket, SocketAddr::new(stage.host(), port))
    });
    assert_eq!(echo.peers(), sockets.each_ref().map(|(_, outside)| *outside));
    sockets
}

/// RFC 4787 REQ-8 and REQ-9: who sends first makes way for the other one, as between two NATs.
fn containers_reach_each_others_outside_ports_once_both_have_sent(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        let [(first, at_first), (second, at_second)] = with_outside_ports(&stage);
        first.send_to(b"too early", at_second).unwrap();
        second.set_read_timeout(Some(SILENCE)).unwrap();
        assert!(!hears(&second, b"too early", at_first), "{family:?}");
        second.set_read_timeout(Some(PATIENCE)).unwrap();
        second.send_to(b"hello", at_first).unwrap();
        assert!(hears(&first, b"hello", at_second), "{family:?}");
        first.send_to(b"hello too", at_second).unwrap();
        assert!(hears(&second, b"hello too", at_first), "{family:?}");
    }
}

fn containers_reach_each_others_outside_ports_at_once_if_so_asked(backend: Backend) {
    let attach = Attach { options: &["--filtering", "endpoint"], ..Attach::default() };
    for (family, stage) in Stage::with(backend, Topology::dual_stack(), &attach).families() {
        let [(first, at_first), (second, at_second)] = with_outside_ports(&stage);
        first.send_to(b"hello", at_second).unwrap();
        assert!(hears(&second, b"hello", at_first), "{family:?}");
        second.send_to(b"hello too", at_first).unwrap();
        assert!(hears(&first, b"hello too", at_second), "{family:?}");
    }
}

fn nft_reaches_no_outside_port_of_a_container() {
    for (family, stage) in Stage::new(Backend::Nft).families() {
        let [(first, at_first), (second, at_second)] = with_outside_ports(&stage);
        for _ in 0..2 {
            first.send_to(b"hello", at_second).unwrap();
            second.send_to(b"hello", at_first).unwrap();
        }
        for (socket, sender) in [(first, at_second), (second, at_first)] {
            socket.set_read_timeout(Some(SILENCE)).unwrap();
            assert!(!hears(&socket, b"hello", sender), "{family:?}");
        }
    }
}

fn no_rule_route_or_hairpin_mode_is_needed(backend: Backend) {
    let configuration = |stage: &Stage| {
        let commands = [
            "ip rule",
            "ip -6 rule",
            "ip route show table all type unicast",
            "ip -6 route show table all type unicast",
        ];
        commands.map(|command| {
            let words: Vec<_> = command.split(' ').collect();
            stage.lab.host().run(&words).unwrap().stdout
        })
    };
    for (_, stage) in Stage::new(backend).families() {
        let before = configuration(&stage);
        stage.map(&Mapping::tcp(8080, stage.container(0), 80));
        let _server = stage.tcp_server(stage.c(0), 80);
        assert_tcp(stage.c(1), (stage.host(), 8080));
        assert_tcp(stage.c(0), (stage.host(), 8080));
        assert_eq!(configuration(&stage), before);
        let members = stage.lab.host().run(&["ip", "-d", "link", "show", "master", "docker0"]).unwrap().stdout;
        assert_eq!(members.matches("hairpin off").count(), 2, "{members}");
    }
}
