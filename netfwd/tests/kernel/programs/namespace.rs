//! A network namespace with the world's uplink.

use std::{
    fs,
    io::Write as _,
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    panic,
    process::{Command, Stdio},
    thread,
};

use netfwd_common::abi::{V4, V6};
use nix::{
    errno::Errno,
    sched::{CloneFlags, unshare},
    sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, bind, connect, socket},
};

use super::world::{BRIDGE, OTHER_BRIDGE, Place as _, UPLINK};

/// Not the one that the uplink is to have.
const WIRE: u32 = UPLINK + 1;
/// What stands for the bridge's member: its other end.
pub(crate) const MEMBER: u32 = BRIDGE + 1;
/// Its like of the other bridge.
const OTHER_MEMBER: u32 = OTHER_BRIDGE + 1;
const GATEWAY: V4 = [192, 0, 2, 254];
const WIDE_GATEWAY: V6 = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 254];

/// Runs `test` on a thread of its own, in a namespace that goes with it.
pub(crate) fn enter(test: impl FnOnce() + Send) {
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a new network namespace: it takes root");
        make_uplink();
        test();
    };
    thread::scope(|scope| scope.spawn(inside).join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)));
}

/// The host's own connections to port 53 of the second peer, from port 1024: a TCP and a UDP socket in each family.
pub(crate) fn host_sockets() -> [(OwnedFd, UdpSocket); 2] {
    let v4 = [(V4::HOSTS[0], 1024), (V4::PEERS[1], 53)].map(|(it, port)| SocketAddrV4::new(it.into(), port));
    let v6 = [(V6::HOSTS[0], 1024), (V6::PEERS[1], 53)].map(|(it, port)| SocketAddrV6::new(it.into(), port, 0, 0));
    [
        (tcp(AddressFamily::Inet, v4.map(SockaddrIn::from)), udp(v4.map(SocketAddr::V4))),
        (tcp(AddressFamily::Inet6, v6.map(SockaddrIn6::from)), udp(v6.map(SocketAddr::V6))),
    ]
}

fn tcp<S: SockaddrLike>(family: AddressFamily, [local, remote]: [S; 2]) -> OwnedFd {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let tcp = socket(family, SockType::Stream, flags, None).expect("a TCP socket");
    bind(tcp.as_raw_fd(), &local).expect("a free port");
    // Nobody answers: it stays a socket that waits for this peer.
    assert_eq!(connect(tcp.as_raw_fd(), &remote), Err(Errno::EINPROGRESS));
    tcp
}

fn udp([local, remote]: [SocketAddr; 2]) -> UdpSocket {
    let udp = UdpSocket::bind(local).expect("a free port");
    udp.connect(remote).expect("a route to the peer");
    udp
}

/// The uplink with the host's addresses, and a bridge with the containers' networks.
fn make_uplink() {
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("the namespace's own parameter");
    fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").expect("the namespace's own parameter");
    let hosts: Vec<_> = V4::HOSTS.map(IpAddr::from).into_iter().chain(V6::HOSTS.map(IpAddr::from)).collect();
    let prefix = |address: &IpAddr| if address.is_ipv4() { 24 } else { 64 };
    let address = |host| format!("address add {host}/{} dev uplink{}\n", prefix(host), at_once(host));
    let addresses = hosts.iter().map(address).collect::<Vec<_>>().concat();
    // Only they, so that a broken address leads nowhere else than in memory.
    let containers: Vec<_> =
        V4::CONTAINERS.map(IpAddr::from).into_iter().chain(V6::CONTAINERS.map(IpAddr::from)).collect();
    let route = |container| format!("route add {container} dev bridge\n");
    let routes = containers.iter().map(route).collect::<Vec<_>>().concat();
    let neighbours = [IpAddr::from(V4::NEIGHBOUR), IpAddr::from(V6::NEIGHBOUR)];
    let neighbours = neighbours.map(|neighbour| format!("route add {neighbour} dev other\n")).concat();
    let gateways = [IpAddr::from(GATEWAY), IpAddr::from(WIDE_GATEWAY)].map(|gateway| {
        format!(
            "neighbour add {gateway} lladdr 02:00:00:00:00:fe dev uplink nud permanent\n\
             route add default via {gateway}\n"
        )
    });
    ip(&format!(
        "link set lo up\n\
         link add uplink index {UPLINK} type veth peer name wire index {WIRE}\n\
         link add bridge index {BRIDGE} type veth peer name member index {MEMBER}\n\
         link add other index {OTHER_BRIDGE} type veth peer name nobody index {OTHER_MEMBER}\n\
         link set member up\n\
         link set nobody up\n\
         link set wire up\n\
         link set uplink up\n\
         link set bridge up\n\
         link set other up\n\
         {addresses}{routes}{neighbours}{}",
        gateways.concat(),
    ));
}

/// Makes an address one of the host's own.
pub(crate) fn add_address(address: IpAddr) {
    ip(&format!("address add {address} dev lo\n"));
}

/// Without a search for others that have the address.
fn at_once(address: &IpAddr) -> &'static str {
    if address.is_ipv6() { " nodad" } else { "" }
}

fn ip(commands: &str) {
    let mut child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("iproute2");
    child.stdin.take().expect("a pipe").write_all(commands.as_bytes()).expect("ip reads its commands");
    assert!(child.wait().expect("ip ends").success(), "{commands}");
}
