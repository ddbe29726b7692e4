//! Whole labs with real clients: what users see.

mod builds;
mod expiry;
mod host;
mod limits;
mod load;
mod localhost;
mod main_job;
mod oracle;

use std::{net::Ipv4Addr, os::fd::AsRawFd as _};

use lab::{Capture, Lab, Netns, Packets, Topology};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket};

use crate::{
    sockets::{PATIENCE, connect, echoes, ignore_interruptions, listener, udp},
    support::{lab, said},
};

/// A lab with netfwd attached to the first uplink.
fn attached(topology: &Topology) -> Lab {
    let lab = lab(topology);
    said(&lab, &["attach", &topology.uplinks[0].name]);
    lab
}

/// The host's address on the first uplink.
fn host(topology: &Topology) -> Ipv4Addr {
    topology.uplinks[0].address.addr()
}

/// The client's first address on the first uplink.
fn client(topology: &Topology) -> Ipv4Addr {
    topology.uplinks[0].clients[0]
}

/// A capture of everything with an inside address, where the client would see it.
fn capture_leaks(lab: &Lab, topology: &Topology) -> Capture {
    Capture::start(lab.client(), "eth0", &format!("net {}", topology.bridges[0].address.trunc())).unwrap()
}

/// That nothing leaked.
fn assert_no_leak(leaks: Capture) {
    let leaked = leaks.stop().unwrap().lines().unwrap();
    assert!(leaked.is_empty(), "untranslated packets on the wire: {leaked:#?}");
}

/// That every captured checksum is right, of at least one packet.
fn assert_checksums(packets: &Packets) {
    let checksums = packets.checksums().unwrap();
    assert!(checksums.complete + checksums.partial + checksums.absent > 0, "{checksums:?}");
    assert!(checksums.bad.is_empty(), "{:#?}", checksums.bad);
}

/// Sends an IP packet that is made here but for what the kernel fills in: length, checksum and source (raw(7)).
fn send_raw(netns: &Netns, target: Ipv4Addr, protocol: u8, payload: &[u8]) {
    let [a, b, c, d] = target.octets();
    let header = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 0, 0, 0, 0, a, b, c, d];
    let send = || {
        let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)?;
        sendto(raw.as_raw_fd(), &[&header, payload].concat(), &SockaddrIn::new(a, b, c, d, 0), MsgFlags::empty())
    };
    netns.enter(send).unwrap().unwrap();
}
