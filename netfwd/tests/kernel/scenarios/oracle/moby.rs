//! moby's own cases of published ports (`integration/networking/port_mapping_linux_test.go`), under moby's names.
//!
//! `DirectRoutingOpenPorts` and `DirectRemoteAccessOnExposedPort` are about filtering of what is routed to a
//! container's own address: neither translator filters here. `Proxy4To6` needs a proxy between the families.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lab::{Capture, Netns, TcpEcho, tcp_ask};

use super::{
    commands::Mapping,
    scenarios,
    stage::{Backend, Family, Stage, two_bridges},
};
use crate::sockets::{SILENCE, assert_tcp, echoes};

scenarios! {
    same: [
        access_published_port_from_host,
        access_published_port_from_remote_host,
        access_published_port_from_ctr,
        access_published_port_from_another_network,
        port_mapped_hairpin_tcp,
        port_mapped_hairpin_udp,
        access_port_published_on_loopback_address,
        mix_any_with_specific_host_addrs,
        port_mapping_on_distinct_loopback_addrs,
        restart_userland_proxy_under_2_msl,
        published_ranges,
        access_published_port_directly_when_nothing_filters,
    ]
    better: [
        access_published_port_from_host_on_ipv6_loopback: "cannot translate to `[::1]`; Docker starts a proxy process"
            by nft_does_not_serve_the_ipv6_loopback_address,
    ]
}

fn published(stage: &Stage) -> TcpEcho {
    stage.map(&Mapping::tcp(8080, stage.container(0), 80));
    stage.tcp_server(stage.c(0), 80)
}

/// That nobody answers at `target`, or somebody refuses.
#[track_caller]
fn assert_no_tcp(from: &Netns, target: (IpAddr, u16)) {
    let answer = tcp_ask(from, target.into(), b"question", SILENCE).unwrap();
    assert!(answer.is_err(), "{target:?} answered");
}

fn access_published_port_from_host(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        let _server = published(&stage);
        assert_tcp(stage.lab.host(), (stage.host(), 8080));
        if family == Family::V4 {
            assert_tcp(stage.lab.host(), (stage.loopback(), 8080));
        }
    }
}

fn access_published_port_from_host_on_ipv6_loopback(backend: Backend) {
    let stage = Stage::new(backend).of_family(Family::V6);
    let _server = published(&stage);
    assert_tcp(stage.lab.host(), (stage.loopback(), 8080));
    let echo = stage.udp_server(stage.c(1), 53);
    stage.map(&Mapping::udp(5300, stage.container(1), 53));
    assert!(echoes(&stage.udp(stage.lab.host(), 0), (stage.loopback(), 5300).into()), "{:?}", echo.peers());
}

fn nft_does_not_serve_the_ipv6_loopback_address() {
    let stage = Stage::new(Backend::Nft).of_family(Family::V6);
    let _server = published(&stage);
    assert_tcp(stage.lab.host(), (stage.host(), 8080));
    assert_no_tcp(stage.lab.host(), (stage.loopback(), 8080));
}

fn access_published_port_from_remote_host(backend: Backend) {
    for (_, stage) in Stage::new(backend).families() {
        let server = published(&stage);
        assert_tcp(stage.lab.client(), (stage.host(), 8080));
        assert_eq!(server.peers()[0].ip(), stage.client(), "the client's own address");

        stage.map(&Mapping::udp(5300, stage.container(1), 53));
        let echo = stage.udp_server(stage.c(1), 53);
        let asking = stage.udp(stage.lab.client(), 0);
        assert!(echoes(&asking, (stage.host(), 5300).into()));
        assert_eq!(echo.peers(), [SocketAddr::new(stage.client(), asking.local_addr().unwrap().port())]);
    }
}

fn access_published_port_from_ctr(backend: Backend) {
    for (_, stage) in Stage::new(backend).families() {
        let _server = published(&stage);
        assert_tcp(stage.c(1), (stage.host(), 8080));
    }
}

fn access_published_port_from_another_network(backend: Backend) {
    for (_, stage) in Stage::of(backend, two_bridges()).families() {
        let _server = published(&stage);
        for address in [stage.host(), stage.gateway(1)] {
            assert_tcp(stage.c(2), (address, 8080));
        }
    }
}

fn port_mapped_hairpin_tcp(backend: Backend) {
    for (_, stage) in Stage::of(backend, two_bridges()).families() {
        let _server = published(&stage);
        // From its own network, from another one, and from itself.
        for container in [1, 2, 0] {
            assert_tcp(stage.c(container), (stage.host(), 8080));
        }
    }
}

fn port_mapped_hairpin_udp(backend: Backend) {
    for (family, stage) in Stage::of(backend, two_bridges()).families() {
        stage.map(&Mapping::udp(5300, stage.container(0), 53));
        let _echo = stage.udp_server(stage.c(0), 53);
        for container in [1, 2, 0] {
            let asking = stage.udp(stage.c(container), 0);
            assert!(echoes(&asking, (stage.host(), 5300).into()), "from container {container}, {family:?}");
        }
    }
}

fn access_port_published_on_loopback_address(backend: Backend) {
    let stage = Stage::new(backend);
    stage.map(&Mapping::tcp(8080, stage.container(0), 80).at(stage.loopback()));
    let server = stage.tcp_server(stage.c(0), 80);
    assert_tcp(stage.lab.host(), (stage.loopback(), 8080));
    assert_eq!(server.peers().len(), 1);

    assert_no_tcp(stage.lab.host(), (stage.host(), 8080));
    assert_no_tcp(stage.lab.client(), (stage.host(), 8080));
    assert_no_tcp(stage.c(1), (stage.gateway(0), 8080));
    // Neighbours can put any address on the wire.
    for (wire, source) in [(stage.client_wire(), stage.client()), (stage.container_wire(1), stage.container(1))] {
        let mut frame = Vec::new();
        wire.ip(source, stage.loopback()).tcp(40_000, 8080, 1, 1024).syn().write(&mut frame, &[]).unwrap();
        let bridge = Capture::start(stage.c(0), "eth0", "tcp port 80 or tcp port 8080").unwrap();
        wire.send(&frame).unwrap();
        assert_eq!(bridge.stop().unwrap().lines().unwrap(), Vec::<String>::new());
    }
}

fn mix_any_with_specific_host_addrs(backend: Backend) {
    let stage = Stage::new(backend);
    let [first, second] = [0, 1].map(|number| stage.container(number));
    stage.map(&Mapping::tcp(8080, first, 80));
    stage.map(&Mapping::udp(8080, second, 80).at(stage.host()));
    stage.map(&Mapping::tcp(8081, second, 80).at(stage.loopback()));
    let (tcp, udp) = (stage.tcp_server(stage.c(0), 80), stage.udp_server(stage.c(1), 80));
    assert_tcp(stage.lab.client(), (stage.host(), 8080));
    assert!(echoes(&stage.udp(stage.lab.client(), 0), (stage.host(), 8080).into()));
    assert_eq!((tcp.peers().len(), udp.peers().len()), (1, 1));
    let other = stage.tcp_server(stage.c(1), 80);
    assert_tcp(stage.lab.host(), (stage.loopback(), 8081));
    assert_tcp(stage.lab.host(), (stage.loopback(), 8080));
    assert_eq!((tcp.peers().len(), other.peers().len()), (2, 1));
}

fn port_mapping_on_distinct_loopback_addrs(backend: Backend) {
    let stage = Stage::new(backend);
    let servers = [0, 1].map(|number| {
        let address = IpAddr::from(Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(number).unwrap()));
        stage.map(&Mapping::tcp(8080, stage.container(number), 80).at(address));
        (address, stage.tcp_server(stage.c(number), 80))
    });
    for (address, server) in &servers {
        assert_tcp(stage.lab.host(), (*address, 8080));
        assert_eq!(server.peers().len(), 1);
    }
    assert_no_tcp(stage.lab.host(), (stage.loopback(), 8080));
}

fn restart_userland_proxy_under_2_msl(backend: Backend) {
    let stage = Stage::new(backend);
    let mapping = Mapping::tcp(8080, stage.container(0), 80);
    for _ in 0..3 {
        stage.map(&mapping);
        let server = stage.tcp_server(stage.c(0), 80);
        assert_tcp(stage.lab.client(), (stage.host(), 8080));
        drop(server);
        stage.unmap(&mapping);
    }
    assert_no_tcp(stage.lab.client(), (stage.host(), 8080));
}

fn published_ranges(backend: Backend) {
    for (_, stage) in Stage::new(backend).families() {
        let container = stage.container(0);
        stage.map(&Mapping::range((8000, 8010), container, (8000, 8010)));
        stage.map(&Mapping::range((9000, 9010), container, (80, 90)));
        for (outside, inside) in [(8000, 8000), (8007, 8007), (8010, 8010), (9000, 80), (9003, 83), (9010, 90)] {
            let server = stage.tcp_server(stage.c(0), inside);
            assert_tcp(stage.lab.client(), (stage.host(), outside));
            assert_eq!(server.peers()[0].ip(), stage.client());
        }
        for outside in [7999, 8011, 8999, 9011] {
            assert_no_tcp(stage.lab.client(), (stage.host(), outside));
        }
    }
}

/// What `DirectRoutingOpenPorts` sees without Docker's filter: packets that are routed to the container reach it.
fn access_published_port_directly_when_nothing_filters(backend: Backend) {
    let stage = Stage::new(backend);
    let _server = published(&stage);
    let wire = stage.client_wire();
    let mut frame = Vec::new();
    wire.ip(stage.client(), stage.container(0)).tcp(40_000, 80, 1, 1024).syn().write(&mut frame, &[]).unwrap();
    let seen = Capture::start(stage.c(0), "eth0", "tcp dst port 80").unwrap();
    wire.send(&frame).unwrap();
    assert_eq!(seen.stop().unwrap().ipv4().unwrap().len(), 1);
}
