//! The host's own traffic: untouched, and never mixed up with a container's.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use lab::{Capture, Lab, Topology, UdpEcho};

use super::{PATIENCE, attached, client, connect, echoes, host, ignore_interruptions, listener, udp};
use crate::{sockets::connect_from, support::said};

/// Accepts one connection in `server` and checks that both ends hear each other; the address that the server sees.
fn converse(server: &TcpListener, mut stream: TcpStream) -> SocketAddr {
    let (mut accepted, peer) = ignore_interruptions(|| server.accept()).unwrap();
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"ping").unwrap();
    let mut heard = [0; 4];
    accepted.read_exact(&mut heard).unwrap();
    accepted.write_all(&heard).unwrap();
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"ping");
    peer
}

fn flows(lab: &Lab) -> String {
    said(lab, &["flows", "--count"]).trim().to_owned()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_hosts_own_connections_are_untouched() {
    let topology = Topology::default();
    let lab = attached(&topology);
    said(&lab, &["map", "8080:172.17.0.2:80"]);
    let wire = Capture::start(lab.client(), "eth0", "tcp[tcpflags] & tcp-syn != 0 or udp").unwrap();

    let ssh = listener(lab.host(), 22);
    let peer = converse(&ssh, connect(lab.client(), (host(&topology), 22).into()).unwrap());
    assert_eq!(peer.ip(), client(&topology));

    let server = listener(lab.client(), 443);
    let stream = connect(lab.host(), (client(&topology), 443).into()).unwrap();
    let local = stream.local_addr().unwrap();
    assert_eq!(converse(&server, stream), local, "neither address nor port changes");

    let dns = UdpEcho::start(lab.client(), 53).unwrap();
    let asking = udp(lab.host(), 0);
    assert!(echoes(&asking, (client(&topology), 53).into()));
    assert_eq!(dns.peers()[0].port(), asking.local_addr().unwrap().port());

    assert!(wire.stop().unwrap().lines().unwrap().len() >= 6);
    assert_eq!(flows(&lab), "0", "the host's own traffic makes no flow");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_containers_flow_never_takes_the_tuple_of_a_host_connection() {
    let topology = Topology::default();
    let lab = attached(&topology);
    let server = listener(lab.client(), 443);
    let target = (client(&topology), 443).into();
    let of_the_host = connect_from(lab.host(), 40_000, target).unwrap();
    let of_the_container = connect_from(&lab.containers()[0], 40_000, target).unwrap();

    // Accepted in the order of their handshakes.
    assert_eq!(converse(&server, of_the_host), (host(&topology), 40_000).into());
    let peer = converse(&server, of_the_container);
    assert_eq!(peer.ip(), host(&topology));
    assert_ne!(peer.port(), 40_000);

    let dns = UdpEcho::start(lab.client(), 53).unwrap();
    let of_the_host = udp(lab.host(), 40_001);
    let of_the_container = udp(&lab.containers()[0], 40_001);
    assert!(echoes(&of_the_container, (client(&topology), 53).into()));
    assert!(echoes(&of_the_host, (client(&topology), 53).into()));
    assert_ne!(dns.peers()[0].port(), 40_001);
    assert_eq!(dns.peers()[1].port(), 40_001);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_host_connection_gives_way_to_a_containers_flow_that_was_first() {
    let topology = Topology::default();
    let lab = attached(&topology);
    let server = listener(lab.client(), 443);
    let target = (client(&topology), 443).into();
    let of_the_container = connect_from(&lab.containers()[0], 40_000, target).unwrap();
    let of_the_host = connect_from(lab.host(), 40_000, target).unwrap();
    assert_eq!(converse(&server, of_the_container), (host(&topology), 40_000).into());
    let peer = converse(&server, of_the_host);
    assert_eq!(peer.ip(), host(&topology));
    assert_ne!(peer.port(), 40_000, "the answers could not be told apart");
}
