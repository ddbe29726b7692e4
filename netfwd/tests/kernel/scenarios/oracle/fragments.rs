//! Fragments in any order (RFC 4787 REQ-14).

use std::net::{IpAddr, SocketAddr, UdpSocket};

use lab::{Wire, fragments};

use super::{
    commands::Mapping,
    scenarios,
    stage::{Backend, Stage},
};
use crate::sockets::hears;

scenarios! {
    same: [
        large_datagrams_go_out_and_come_back,
        large_datagrams_come_in_and_are_answered,
        fragments_in_reverse_order_go_out,
        fragments_in_reverse_order_come_in,
        a_flood_of_lone_fragments_does_not_stop_a_flow,
    ]
    better: []
}

const SIZE: usize = 4_000;
const FRAGMENT: usize = 1_400;

fn content(first: u8) -> Vec<u8> {
    (0..SIZE).map(|number| (number % 251) as u8 ^ first).collect()
}

/// Sends a large datagram and waits for its echo.
fn echoes_much(socket: &UdpSocket, target: SocketAddr, first: u8) -> bool {
    socket.send_to(&content(first), target).unwrap();
    hears(socket, &content(first), target)
}

/// Sends `source`'s large datagram to `target` in reverse order.
fn send_reversed(wire: &Wire, source: (IpAddr, u16), target: (IpAddr, u16), identification: u16) {
    let frame = wire.udp(source, target, &content(1)).unwrap();
    for fragment in fragments(&frame, FRAGMENT, identification).unwrap().iter().rev() {
        wire.send(fragment).unwrap();
    }
}

fn large_datagrams_go_out_and_come_back(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        let echo = stage.udp_server(stage.lab.client(), 53);
        let socket = stage.udp(stage.c(0), 0);
        for first in 0..3 {
            assert!(echoes_much(&socket, (stage.client(), 53).into(), first), "{family:?}");
        }
        assert!(echo.peers().iter().all(|peer| peer.ip() == stage.host()));
    }
}

fn large_datagrams_come_in_and_are_answered(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        stage.map(&Mapping::udp(5300, stage.container(0), 53));
        let echo = stage.udp_server(stage.c(0), 53);
        let socket = stage.udp(stage.lab.client(), 0);
        for first in 0..3 {
            assert!(echoes_much(&socket, (stage.host(), 5300).into(), first), "{family:?}");
        }
        assert!(echo.peers().iter().all(|peer| peer.ip() == stage.client()));
    }
}

fn fragments_in_reverse_order_go_out(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        let _echo = stage.udp_server(stage.lab.client(), 53);
        let (socket, wire) = (stage.udp(stage.c(0), 5353), stage.container_wire(0));
        for identification in 1..4 {
            send_reversed(&wire, (stage.container(0), 5353), (stage.client(), 53), identification);
            assert!(hears(&socket, &content(1), (stage.client(), 53).into()), "{family:?}");
        }
    }
}

fn fragments_in_reverse_order_come_in(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        stage.map(&Mapping::udp(5300, stage.container(0), 53));
        let _echo = stage.udp_server(stage.c(0), 53);
        let (socket, wire) = (stage.udp(stage.lab.client(), 5353), stage.client_wire());
        for identification in 1..4 {
            send_reversed(&wire, (stage.client(), 5353), (stage.host(), 5300), identification);
            assert!(hears(&socket, &content(1), (stage.host(), 5300).into()), "{family:?}");
        }
    }
}

fn a_flood_of_lone_fragments_does_not_stop_a_flow(backend: Backend) {
    for (family, stage) in Stage::new(backend).families() {
        stage.map(&Mapping::udp(5300, stage.container(0), 53));
        let _echo = stage.udp_server(stage.c(0), 53);
        let (socket, wire) = (stage.udp(stage.lab.client(), 5353), stage.client_wire());
        let target = (stage.host(), 5300).into();
        assert!(echoes_much(&socket, target, 1));
        let frame = wire.udp((stage.client(), 5353), (stage.host(), 5300), &[7; 64]).unwrap();
        for identification in 1_000..3_000 {
            wire.send(&fragments(&frame, 32, identification).unwrap()[1]).unwrap();
        }
        // The datagram, its echo, and in reverse order.
        assert!(echoes_much(&socket, target, 2), "{family:?}");
        send_reversed(&wire, (stage.client(), 5353), (stage.host(), 5300), 50_000);
        assert!(hears(&socket, &content(1), target), "{family:?}");
    }
}
