//! Changes under traffic.

use std::{
    io::{Read as _, Write as _},
    net::IpAddr,
};

use super::{
    commands::{Attach, Mapping},
    scenarios,
    stage::{Backend, Family, Stage},
};
use crate::sockets::{SILENCE, connect, echoes, is_unanswered};

scenarios! {
    same: [
        an_unchanged_mapping_keeps_its_flows_while_others_change,
        a_container_keeps_its_flows_while_mappings_change,
        a_replaced_address_of_the_uplink_is_used_for_new_flows,
    ]
    better: [
        moby_53384_and_8795_a_udp_flow_follows_its_mapping_at_once: "the flow stays with the container that it had",
        an_unmapped_udp_flow_ends_at_once: "the flow goes on as long as it is used",
        an_unmapped_tcp_connection_ends_at_once: "the connection goes on",
    ]
}

fn moby_53384_and_8795_a_udp_flow_follows_its_mapping_at_once(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
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
        assert_eq!((first.peers().len(), second.peers().len()), (3, 3), "{family:?}");
    }
}

fn an_unmapped_udp_flow_ends_at_once(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        let mapping = Mapping::udp(5300, stage.container(0), 53);
        stage.map(&mapping);
        let echo = stage.udp_server(stage.c(0), 53);
        let (socket, target) = (stage.udp(stage.lab.client(), 40_000), (stage.host(), 5300).into());
        assert!(echoes(&socket, target));
        stage.unmap(&mapping);
        assert!(is_unanswered(&socket, target), "{family:?}");
        assert_eq!(echo.peers().len(), 1);
    }
}

fn an_unmapped_tcp_connection_ends_at_once(backend: Backend) {
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
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    assert!(stream.read_exact(&mut answer).is_err());
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
