//! What cannot be translated: refused, counted, and never leaked.

use std::{thread, time::Instant};

use lab::{Capture, Lab, Topology, UdpEcho, Wire};

use super::{assert_no_leak, attached, capture_leaks, client, echoes, host, send_raw, udp};
use crate::{
    sockets::{PATIENCE, SILENCE, is_unanswered},
    support::{json, lab, said},
};

/// Where packets are counted, in the statistics' JSON.
const EGRESS: &str = "/uplinks/0/egress";
const INGRESS: &str = "/uplinks/0/ingress";
const BRIDGE: &str = "/bridges/0/ingress";

/// Packets that a hook dropped for a reason.
fn dropped(lab: &Lab, hook: &str, reason: &str) -> u64 {
    let stats = json(lab, &["stats"]);
    stats.pointer(hook).unwrap()["dropped"]["reasons"][reason]["packets"].as_u64().unwrap()
}

/// That a hook dropped some packets for a reason. They may still be on their way.
#[track_caller]
fn assert_dropped(lab: &Lab, hook: &str, reason: &str, expected: u64) {
    let deadline = Instant::now() + PATIENCE;
    while dropped(lab, hook, reason) < expected && Instant::now() < deadline {
        thread::sleep(SILENCE);
    }
    assert_eq!(dropped(lab, hook, reason), expected, "{reason}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn containers_with_the_same_port_get_different_ones() {
    let topology = Topology::default();
    let lab = attached(&topology);
    let server = UdpEcho::start(lab.client(), 53).unwrap();
    let sockets = [0, 1].map(|number| udp(&lab.containers()[number], 5353));
    for _ in 0..3 {
        assert!(sockets.iter().all(|socket| echoes(socket, (client(&topology), 53).into())));
    }
    let peers = server.peers();
    assert_eq!(peers[0], (host(&topology), 5353).into());
    assert_ne!(peers[1], peers[0]);
    assert!(peers.chunks(2).all(|pair| pair == &peers[..2]), "a flow keeps its port: {peers:?}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn when_the_ports_are_used_up_new_flows_are_dropped_and_counted_and_others_go_on() {
    let topology = Topology::default();
    let lab = lab(&topology);
    said(&lab, &["attach", "ens33", "--ports", "40000-40001"]);
    let server = UdpEcho::start(lab.client(), 53).unwrap();
    let leaks = capture_leaks(&lab, &topology);
    let target = (client(&topology), 53).into();
    let [first, second, third] = [1_000, 2_000, 3_000].map(|port| udp(&lab.containers()[0], port));
    assert!(echoes(&first, target) && echoes(&second, target));
    assert!(is_unanswered(&third, target));
    assert!(echoes(&first, target) && echoes(&second, target));
    let mut ports: Vec<_> = server.peers().iter().map(std::net::SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports, [40_000, 40_001]);
    assert_dropped(&lab, EGRESS, "ports-exhausted", 1);
    assert_no_leak(leaks);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_cannot_be_translated_is_dropped_and_counted() {
    let topology = Topology::default();
    let lab = attached(&topology);
    let leaks = capture_leaks(&lab, &topology);
    let (container, client) = (&lab.containers()[0], client(&topology));
    // An authentication header covers the addresses (RFC 4302).
    send_raw(container, client, 51, &[0; 24]);
    // A timestamp request is neither an echo nor an error.
    send_raw(container, client, 1, &[13, 0, 0xf2, 0xff, 0, 0, 0, 0]);
    // An acknowledgement of nothing.
    send_raw(container, client, 6, &[0, 80, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0, 64, 0, 0, 0, 0]);
    for reason in ["unsupported-protocol", "unsupported-icmp", "not-new-outbound"] {
        assert_dropped(&lab, EGRESS, reason, 1);
    }
    assert_no_leak(leaks);
}

/// Loopback addresses are for the host alone, but everybody on a link can put them on the wire.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_is_sent_from_outside_to_a_port_mapped_on_a_loopback_address_is_dropped_and_counted() {
    let topology = Topology::dual_stack();
    let lab = attached(&topology);
    said(&lab, &["map", "127.0.0.1:5300:172.17.0.2:53/udp", "127.8.8.8:5300:172.17.0.2:53/udp"]);
    said(&lab, &["map", "[::1]:5300:[fd00:17::2]:53/udp"]);
    let container = Capture::start(&lab.containers()[0], "eth0", "udp port 53 or udp port 5300").unwrap();
    let outside = Wire::open(lab.client(), "eth0", (lab.host(), "ens33")).unwrap();
    let inside = Wire::open(&lab.containers()[1], "eth0", (lab.host(), "docker0")).unwrap();
    for (wire, hook, v4, v6) in
        [(outside, INGRESS, "192.168.137.1", "2001:db8:137::1"), (inside, BRIDGE, "172.17.0.3", "fd00:17::3")]
    {
        for (source, destination) in [(v4, "127.0.0.1"), (v4, "127.8.8.8"), (v6, "::1")] {
            let [source, destination] = [source, destination].map(|address| address.parse().unwrap());
            wire.send(&wire.udp((source, 40_000), (destination, 5300), b"question").unwrap()).unwrap();
        }
        assert_dropped(&lab, hook, "remote-to-loopback", 3);
        // Of a port that is not mapped there the host's stack takes care.
        let [source, other] = [v4, "127.0.0.2"].map(|address| address.parse().unwrap());
        wire.send(&wire.udp((source, 40_000), (other, 5300), b"question").unwrap()).unwrap();
    }
    assert!(container.stop().unwrap().lines().unwrap().is_empty());
    for hook in [INGRESS, BRIDGE] {
        assert_eq!(dropped(&lab, hook, "remote-to-loopback"), 3, "{hook}");
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_full_table_refuses_new_flows_and_keeps_those_that_were_answered() {
    let topology = Topology::default();
    let lab = lab(&topology);
    said(&lab, &["attach", "ens33", "--max-flows", "8"]);
    let _server = UdpEcho::start(lab.client(), 53).unwrap();
    let answered = (client(&topology), 53).into();
    let sockets: Vec<_> = (0..4).map(|_| udp(&lab.containers()[0], 0)).collect();
    // A connection takes a place, and the binding of its sender another one. Three that nobody answers, then one that
    // is answered: it takes the last two.
    for socket in &sockets[1..] {
        assert!(is_unanswered(socket, (client(&topology), 9).into()));
    }
    assert!(echoes(&sockets[0], answered));
    // More that are answered push out those that are not.
    for socket in &sockets[1..] {
        assert!(echoes(socket, answered));
    }
    assert_eq!(json(&lab, &["stats"])["flows"]["evicted"], 3);
    // Now all four are answered, and hold their bindings: there is no place for a fifth, and none of them loses its own.
    assert!(is_unanswered(&udp(&lab.containers()[1], 0), answered));
    assert!(sockets.iter().all(|socket| echoes(socket, answered)));
    assert_dropped(&lab, EGRESS, "table-full", 1);
}
