//! Several uplinks and bridges, and with which address containers go out.

use std::net::{IpAddr, SocketAddr};

use lab::ping;

use super::{
    commands::{Attach, Mapping},
    scenarios,
    stage::{Backend, Family, Stage, two_bridges, two_uplinks},
};
use crate::sockets::{assert_tcp, echoes};

scenarios! {
    same: [
        each_uplink_masquerades_with_its_own_address,
        what_came_in_on_an_uplink_is_answered_with_the_address_it_came_to,
        one_uplink_answers_for_the_address_of_another,
        traffic_between_bridges_keeps_its_addresses,
        the_asked_for_address_is_used,
        excluded_destinations_see_the_containers_own_address,
        every_family_pings_out,
        neighbours_are_found_again_after_they_were_forgotten,
    ]
    better: []
}

fn each_uplink_masquerades_with_its_own_address(backend: Backend) {
    for (family, stage) in Stage::of(backend, two_uplinks()).families() {
        let socket = stage.udp(stage.c(0), 5353);
        for number in [0, 1] {
            let echo = stage.udp_server(&stage.lab.clients()[number], 53);
            assert!(echoes(&socket, (stage.client_on(number), 53).into()), "{family:?}");
            assert_eq!(echo.peers()[0].ip(), stage.host_on(number));
        }
    }
}

fn what_came_in_on_an_uplink_is_answered_with_the_address_it_came_to(backend: Backend) {
    for (family, stage) in Stage::of(backend, two_uplinks()).families() {
        stage.map(&Mapping::tcp(8080, stage.container(0), 80));
        stage.map(&Mapping::udp(5300, stage.container(0), 53));
        let (server, _echo) = (stage.tcp_server(stage.c(0), 80), stage.udp_server(stage.c(0), 53));
        for number in [1, 0] {
            let client = &stage.lab.clients()[number];
            assert_tcp(client, (stage.host_on(number), 8080));
            assert!(echoes(&stage.udp(client, 0), (stage.host_on(number), 5300).into()), "{family:?}");
        }
        let peers: Vec<_> = server.peers().iter().map(SocketAddr::ip).collect();
        assert_eq!(peers, [stage.client_on(1), stage.client_on(0)]);
    }
}

/// A client of the first uplink asks at the address of the second: the host is one.
fn one_uplink_answers_for_the_address_of_another(backend: Backend) {
    for (_, stage) in Stage::of(backend, two_uplinks()).families() {
        stage.map(&Mapping::tcp(8080, stage.container(0), 80));
        let _server = stage.tcp_server(stage.c(0), 80);
        let (other, host) = (stage.host_on(1).to_string(), stage.host().to_string());
        stage.lab.client().run(&["ip", "route", "add", &other, "via", &host]).unwrap();
        assert_tcp(stage.lab.client(), (stage.host_on(1), 8080));
    }
}

fn traffic_between_bridges_keeps_its_addresses(backend: Backend) {
    for (family, stage) in Stage::of(backend, two_bridges()).families() {
        for (from, to) in [(0, 2), (2, 0), (0, 1)] {
            let echo = stage.udp_server(stage.c(to), 53);
            let socket = stage.udp(stage.c(from), 5353);
            assert!(echoes(&socket, (stage.container(to), 53).into()), "{from} to {to}, {family:?}");
            assert_eq!(echo.peers(), [(stage.container(from), 5353).into()]);
        }
    }
}

fn the_asked_for_address_is_used(backend: Backend) {
    let all = Stage::new(backend);
    for (family, address) in [(Family::V4, "192.168.137.105/24"), (Family::V6, "2001:db8:137::105/64")] {
        let stage = all.of_family(family);
        stage.lab.host().run(&["ip", "address", "add", address, "dev", "ens33"]).unwrap();
        let address: IpAddr = address.split('/').next().unwrap().parse().unwrap();
        stage.attach("ens33", &Attach { address: Some(address), ..Attach::default() });
        let echo = stage.udp_server(stage.lab.client(), 53);
        assert!(echoes(&stage.udp(stage.c(0), 5353), (stage.client(), 53).into()), "{family:?}");
        assert_eq!(echo.peers(), [(address, 5353).into()]);
    }
}

fn excluded_destinations_see_the_containers_own_address(backend: Backend) {
    let cases = [
        (Family::V4, "192.168.137.0/24", "172.17.0.0/16", "10.9.0.2"),
        (Family::V6, "2001:db8:137::/64", "fd00:17::/64", "2001:db8:9::2"),
    ];
    let all = Stage::of(backend, two_uplinks());
    for (family, exclusion, subnet, other) in cases {
        let stage = all.of_family(family);
        for uplink in ["ens33", "ens34"] {
            stage.attach(uplink, &Attach { exclusion: Some(exclusion), ..Attach::default() });
        }
        let host = stage.host().to_string();
        stage.lab.client().run(&["ip", "route", "add", subnet, "via", &host]).unwrap();
        let socket = stage.udp(stage.c(0), 5353);
        let echo = stage.udp_server(stage.lab.client(), 53);
        assert!(echoes(&socket, (stage.client(), 53).into()), "{family:?}");
        assert_eq!(echo.peers(), [(stage.container(0), 5353).into()]);
        // The others still see the host's.
        let echo = stage.udp_server(&stage.lab.clients()[1], 53);
        assert!(echoes(&socket, SocketAddr::new(other.parse().unwrap(), 53)));
        assert_eq!(echo.peers(), [(stage.host_on(1), 5353).into()]);
    }
}

fn every_family_pings_out(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        let wire = stage.capture("icmp or icmp6[0] = 128 or icmp6[0] = 129");
        for number in [0, 1] {
            assert!(ping(stage.c(number), stage.client(), 3, 0.01).unwrap().complete(), "{family:?}");
        }
        let wire = wire.stop().unwrap();
        let host = stage.host().to_string();
        let lines = wire.lines().unwrap();
        assert!(lines.len() == 12 && lines.iter().all(|line| line.contains(&host)), "{lines:?}");
        assert!(wire.checksums().unwrap().bad.is_empty());
    }
}

fn neighbours_are_found_again_after_they_were_forgotten(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        let netns = [stage.lab.host(), stage.lab.client(), stage.c(0), stage.c(1)];
        for _ in 0..2 {
            assert!(ping(stage.c(0), stage.client(), 1, 0.1).unwrap().complete(), "{family:?}");
            assert!(ping(stage.lab.host(), stage.client(), 1, 0.1).unwrap().complete(), "{family:?}");
            assert!(ping(stage.lab.client(), stage.host(), 1, 0.1).unwrap().complete(), "{family:?}");
            assert!(ping(stage.c(1), stage.gateway(0), 1, 0.1).unwrap().complete(), "{family:?}");
            for netns in netns {
                netns.run(&["ip", "neighbour", "flush", "all"]).unwrap();
            }
        }
    }
}
