//! A network namespace with the world's uplink.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    panic,
    process::{Command, Stdio},
    thread,
};

use netfwd_common::abi::V4;
use nix::{
    errno::Errno,
    sched::{CloneFlags, unshare},
    sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket},
};

use super::world::{HOSTS, PEERS, UPLINK};

/// Not the one that the uplink is to have.
const WIRE: u32 = UPLINK + 1;
const GATEWAY: V4 = [192, 0, 2, 254];

/// Runs `test` on a thread of its own, in a namespace that goes with it.
pub(crate) fn enter(test: impl FnOnce() + Send) {
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a new network namespace: it takes root");
        make_uplink();
        test();
    };
    thread::scope(|scope| scope.spawn(inside).join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)));
}

/// The host's own connections to port 53 of the second peer, from port 1024: a TCP and a UDP socket.
pub(crate) fn host_sockets() -> (OwnedFd, UdpSocket) {
    let (local, remote) = (SocketAddrV4::new(HOSTS[0].into(), 1024), SocketAddrV4::new(PEERS[1].into(), 53));
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let tcp = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a TCP socket");
    bind(tcp.as_raw_fd(), &SockaddrIn::from(local)).expect("a free port");
    // Nobody answers: it stays a socket that waits for this peer.
    assert_eq!(connect(tcp.as_raw_fd(), &SockaddrIn::from(remote)), Err(Errno::EINPROGRESS));
    let udp = UdpSocket::bind(local).expect("a free port");
    udp.connect(remote).expect("a route to the peer");
    (tcp, udp)
}

fn make_uplink() {
    let gateway = Ipv4Addr::from(GATEWAY);
    let addresses = HOSTS.map(|host| format!("address add {}/24 dev uplink\n", Ipv4Addr::from(host))).concat();
    ip(&format!(
        "link set lo up\n\
         link add uplink index {UPLINK} type veth peer name wire index {WIRE}\n\
         link set wire up\n\
         link set uplink up\n\
         {addresses}\
         neighbour add {gateway} lladdr 02:00:00:00:00:fe dev uplink nud permanent\n\
         route add default via {gateway}\n"
    ));
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("the namespace's own parameter");
}

fn ip(commands: &str) {
    let mut child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("iproute2");
    child.stdin.take().expect("a pipe").write_all(commands.as_bytes()).expect("ip reads its commands");
    assert!(child.wait().expect("ip ends").success(), "{commands}");
}
