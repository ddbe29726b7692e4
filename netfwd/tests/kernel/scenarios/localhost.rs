//! Processes of the host reach mapped ports at the host's own addresses: what docker-proxy was for.

mod control;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket},
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use lab::{Capture, Lab, Netns, Topology, UdpEcho, WebServer, curl};
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn6, connect as connect_socket, setsockopt, socket, sockopt,
    },
};
use tempfile::TempDir;

use super::{attached, client, connect, echoes, host, ignore_interruptions, listener, udp};
use crate::sockets::{SILENCE, is_unanswered, udp_at};
use crate::support::said;

const TICK: Duration = Duration::from_millis(5);
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// The container sees the host's address on the bridge, as with docker-proxy.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);
const MAPPINGS: [&str; 3] = ["map", "8080:172.17.0.2:80", "5300:172.17.0.2:53/udp"];

/// A lab with netfwd attached, and a TCP and a UDP port mapped.
fn mapped(topology: &Topology) -> Lab {
    let lab = attached(topology);
    said(&lab, &MAPPINGS);
    lab
}

/// A server that tells each client its address. It ends when dropped.
struct Greeter {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Greeter {
    fn start(server: TcpListener) -> Self {
        server.set_nonblocking(true).unwrap();
        let end = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&end);
        let thread = thread::spawn(move || {
            while !is_over.load(Relaxed) {
                match server.accept() {
                    // Some clients do not listen.
                    Ok((mut stream, peer)) => drop(write!(stream, "{}", peer.ip())),
                    Err(_) => thread::sleep(TICK),
                }
            }
        });
        Self { end, thread: Some(thread) }
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        self.end.store(true, Relaxed);
        self.thread.take().unwrap().join().ok();
    }
}

/// A web server in the first container that serves "the page".
fn web_server(lab: &Lab) -> (WebServer, TempDir) {
    let page = tempfile::tempdir().unwrap();
    fs::write(page.path().join("index.html"), "the page").unwrap();
    (WebServer::start(&lab.containers()[0], 80, page.path()).unwrap(), page)
}

/// What a server that one connects to says.
fn hear(netns: &Netns, target: SocketAddr) -> String {
    let mut heard = String::new();
    connect(netns, target).unwrap().read_to_string(&mut heard).unwrap();
    heard
}

fn is_refused(netns: &Netns, target: SocketAddr) -> bool {
    connect(netns, target).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Turns IPv6 on for the host's loopback interface, which gives it its address.
fn with_ipv6_loopback(lab: &Lab) {
    lab.host().sysctl("net/ipv6/conf/lo/disable_ipv6", "0").unwrap();
}

fn v6(netns: &Netns) -> UdpSocket {
    udp_at(netns, (Ipv6Addr::UNSPECIFIED, 0).into())
}

/// Whether a socket that is connected hears its own datagram's echo.
fn is_echoed(socket: &UdpSocket) -> bool {
    socket.send(b"question").unwrap();
    let mut buffer = [0; 64];
    ignore_interruptions(|| socket.recv(&mut buffer)).is_ok_and(|length| &buffer[..length] == b"question")
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_process_of_the_host_reaches_a_mapped_tcp_port() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    let (server, _page) = web_server(&lab);
    let own = [LOOPBACK, Ipv4Addr::new(127, 8, 8, 8), host(&topology), GATEWAY, Ipv4Addr::UNSPECIFIED];
    for address in own {
        assert_eq!(curl(lab.host(), &format!("http://{address}:8080/"), &[]).unwrap(), "the page", "{address}");
    }
    assert_eq!(server.askers().unwrap(), [GATEWAY; 5]);
    assert!(curl(lab.host(), "http://127.0.0.1:8081/", &[]).is_err(), "another port");
    assert_eq!(said(&lab, &["flows", "--count"]).trim(), "0", "no packet is translated");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_peer_of_a_connection_is_the_one_that_was_asked_for() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    let server = listener(&lab.containers()[0], 80);
    for address in [LOOPBACK, host(&topology)] {
        let stream = connect(lab.host(), (address, 8080).into()).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), (address, 8080).into());
        // The kernel's own view, by another program.
        let seen = lab.host().run(&["ss", "-Htn", "dst", "172.17.0.2:80"]).unwrap().stdout;
        assert!(seen.contains("172.17.0.2:80"), "{seen}");
        drop(ignore_interruptions(|| server.accept()).unwrap());
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn udp_answers_come_from_the_address_that_was_asked() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    let dns = UdpEcho::start(&lab.containers()[0], 53).unwrap();
    let unconnected = udp(lab.host(), 0);
    for address in [LOOPBACK, host(&topology), GATEWAY] {
        // Checks where the answer comes from, too.
        assert!(echoes(&unconnected, (address, 5300).into()), "{address}");
        let connected = udp(lab.host(), 0);
        connected.connect((address, 5300)).unwrap();
        assert!(is_echoed(&connected), "{address}");
        assert_eq!(connected.peer_addr().unwrap(), (address, 5300).into());
        connected.send(b"question").unwrap();
        let mut buffer = [0; 64];
        let (_, sender) = ignore_interruptions(|| connected.recv_from(&mut buffer)).unwrap();
        assert_eq!(sender, (address, 5300).into());
    }
    assert!(dns.peers().iter().all(|peer| peer.ip() == IpAddr::V4(GATEWAY)), "{:?}", dns.peers());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_socket_that_speaks_to_others_too_is_not_confused() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    let _dns = UdpEcho::start(&lab.containers()[0], 53).unwrap();
    let _other = UdpEcho::start(lab.client(), 53).unwrap();
    let socket = udp(lab.host(), 0);
    for _ in 0..2 {
        assert!(echoes(&socket, (LOOPBACK, 5300).into()));
        assert!(echoes(&socket, (client(&topology), 53).into()));
    }
    // Another socket asks the container itself, and is told so.
    assert!(echoes(&udp(lab.host(), 0), (topology.bridges[0].containers[0], 53).into()));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn ipv6_sockets_reach_ipv4_mappings() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    with_ipv6_loopback(&lab);
    let _server = Greeter::start(listener(&lab.containers()[0], 80));
    let _dns = UdpEcho::start(&lab.containers()[0], 53).unwrap();
    for address in ["::1".to_owned(), "::ffff:127.0.0.1".to_owned(), format!("::ffff:{}", host(&topology))] {
        let target: SocketAddr = format!("[{address}]:8080").parse().unwrap();
        assert_eq!(hear(lab.host(), target), GATEWAY.to_string(), "{address}");
        assert_eq!(connect(lab.host(), target).unwrap().peer_addr().unwrap(), target);
        let target = SocketAddr::new(target.ip(), 5300);
        let connected = v6(lab.host());
        connected.connect(target).unwrap();
        assert!(is_echoed(&connected), "{address}");
        assert_eq!(connected.peer_addr().unwrap(), target);
    }
    assert!(echoes(&v6(lab.host()), "[::ffff:127.0.0.1]:5300".parse().unwrap()));
    // The kernel cannot send a datagram for an IPv6 destination to an IPv4 one: nobody is there.
    let socket = v6(lab.host());
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    assert!(!socket.send_to(b"question", "[::1]:5300").is_ok_and(|_| socket.recv(&mut [0; 64]).is_ok()));
}

/// Gives the bridge and its first container IPv6 addresses.
fn with_ipv6_bridge(lab: &Lab) {
    with_ipv6_loopback(lab);
    for (netns, interface, address) in
        [(lab.host(), "docker0", "fd00:17::1/64"), (&lab.containers()[0], "eth0", "fd00:17::2/64")]
    {
        netns.sysctl(&format!("net/ipv6/conf/{interface}/disable_ipv6"), "0").unwrap();
        netns.run(&["ip", "address", "add", address, "dev", interface, "nodad"]).unwrap();
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn ipv6_mappings_are_reached_at_ipv6_addresses() {
    let lab = mapped(&Topology::default());
    with_ipv6_bridge(&lab);
    said(&lab, &["map", "[::]:8080:[fd00:17::2]:80", "[::]:5300:[fd00:17::2]:53/udp"]);
    let container = &lab.containers()[0];
    let _server = Greeter::start(container.enter(|| TcpListener::bind("[::]:80")).unwrap().unwrap());
    let dns = udp_at(container, (Ipv6Addr::UNSPECIFIED, 53).into());
    let answer = |mut ask: Box<dyn FnMut() + '_>| {
        ask();
        let mut buffer = [0; 64];
        let (length, peer) = ignore_interruptions(|| dns.recv_from(&mut buffer)).unwrap();
        dns.send_to(&buffer[..length], peer).unwrap();
    };
    for address in ["::1", "fd00:17::1", "::"] {
        let target: SocketAddr = format!("[{address}]:8080").parse().unwrap();
        assert_eq!(hear(lab.host(), target), "fd00:17::1", "{address}");
        let asked = SocketAddr::new(if address == "::" { Ipv6Addr::LOCALHOST.into() } else { target.ip() }, 5300);
        let (unconnected, mut buffer) = (v6(lab.host()), [0; 64]);
        answer(Box::new(|| assert!(unconnected.send_to(b"question", (target.ip(), 5300)).is_ok())));
        assert_eq!(ignore_interruptions(|| unconnected.recv_from(&mut buffer)).unwrap(), (8, asked));
        let connected = v6(lab.host());
        connected.connect((target.ip(), 5300)).unwrap();
        answer(Box::new(|| assert!(connected.send(b"question").is_ok())));
        assert_eq!(ignore_interruptions(|| connected.recv_from(&mut buffer)).unwrap(), (8, asked));
        assert_eq!(connected.peer_addr().unwrap(), asked);
    }
    // IPv4 goes on to its own mapping: the same server, which hears IPv4 as well.
    assert_eq!(hear(lab.host(), (LOOPBACK, 8080).into()), format!("::ffff:{GATEWAY}"));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_mapping_of_a_loopback_address_serves_it_alone() {
    let topology = Topology::default();
    let lab = attached(&topology);
    said(&lab, &["map", "127.0.0.1:8080:172.17.0.2:80"]);
    with_ipv6_loopback(&lab);
    let _server = Greeter::start(listener(&lab.containers()[0], 80));
    assert_eq!(hear(lab.host(), (LOOPBACK, 8080).into()), GATEWAY.to_string());
    for other in ["127.0.0.2:8080".to_owned(), format!("{}:8080", host(&topology)), "[::1]:8080".to_owned()] {
        assert!(is_refused(lab.host(), other.parse().unwrap()), "{other}");
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_mapping_of_one_address_serves_it_alone() {
    let topology = Topology::default();
    let lab = attached(&topology);
    said(&lab, &["map", &format!("{}:8080:172.17.0.2:80", host(&topology))]);
    let _server = Greeter::start(listener(&lab.containers()[0], 80));
    assert_eq!(hear(lab.host(), (host(&topology), 8080).into()), GATEWAY.to_string());
    assert!(is_refused(lab.host(), (LOOPBACK, 8080).into()));
    // The host's own service on another of its addresses is reached as before.
    let _own = Greeter::start(lab.host().enter(|| TcpListener::bind((LOOPBACK, 8080))).unwrap().unwrap());
    assert_eq!(hear(lab.host(), (LOOPBACK, 8080).into()), LOOPBACK.to_string());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_mapping_ends_for_the_hosts_own_sockets_at_once() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    let _dns = UdpEcho::start(&lab.containers()[0], 53).unwrap();
    let _other = UdpEcho::start(&lab.containers()[1], 53).unwrap();
    let _server = Greeter::start(listener(&lab.containers()[0], 80));
    let socket = udp(lab.host(), 0);
    assert!(echoes(&socket, (LOOPBACK, 5300).into()));
    said(&lab, &["map", "--replace", "5300:172.17.0.3:53/udp"]);
    assert!(echoes(&socket, (LOOPBACK, 5300).into()), "it goes to the other container");
    said(&lab, &["unmap", "--all"]);
    assert!(is_refused(lab.host(), (LOOPBACK, 8080).into()));
    assert!(is_unanswered(&udp(lab.host(), 0), (host(&topology), 5300).into()));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn processes_in_other_network_namespaces_are_left_alone() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    let _server = Greeter::start(listener(&lab.containers()[0], 80));
    for netns in [lab.client(), &lab.containers()[1]] {
        assert!(is_refused(netns, (LOOPBACK, 8080).into()), "{}", netns.name());
    }
    // Two hosts with the same addresses, each with a netfwd of its own.
    let other = mapped(&topology);
    let _other_server = Greeter::start(listener(&other.containers()[0], 80));
    for lab in [&lab, &other] {
        assert_eq!(hear(lab.host(), (LOOPBACK, 8080).into()), GATEWAY.to_string());
    }
    said(&other, &["detach", "--all"]);
    assert!(is_refused(other.host(), (LOOPBACK, 8080).into()));
    assert_eq!(hear(lab.host(), (LOOPBACK, 8080).into()), GATEWAY.to_string());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_hosts_other_traffic_is_left_alone() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    let _server = Greeter::start(listener(lab.client(), 8080));
    assert_eq!(hear(lab.host(), (client(&topology), 8080).into()), host(&topology).to_string());
    let _own = Greeter::start(lab.host().enter(|| TcpListener::bind((LOOPBACK, 8081))).unwrap().unwrap());
    assert_eq!(hear(lab.host(), (LOOPBACK, 8081).into()), LOOPBACK.to_string());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_socket_bound_to_a_loopback_address_is_left_alone() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    let _web = web_server(&lab);
    let _dns = UdpEcho::start(&lab.containers()[0], 53).unwrap();
    let bound = |address: Ipv4Addr| udp_at(lab.host(), (address, 0).into());
    assert!(echoes(&bound(host(&topology)), (LOOPBACK, 5300).into()), "the host's address can be answered");
    let wire = Capture::start(&lab.containers()[0], "eth0", "host 127.0.0.1").unwrap();
    let socket = bound(LOOPBACK);
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    let _ = socket.send_to(b"question", (LOOPBACK, 5300)).is_ok_and(|_| socket.recv(&mut [0; 64]).is_ok());
    let curl = |options: &[&str]| curl(lab.host(), "http://127.0.0.1:8080/", options);
    assert_eq!(curl(&["--interface", &format!("host!{}", host(&topology))]).unwrap(), "the page");
    let refused = curl(&["--interface", "host!127.0.0.1"]).unwrap_err();
    assert!(format!("{refused:#}").contains("exit status: 7"), "could not connect: {refused:#}");
    assert!(wire.stop().unwrap().lines().unwrap().is_empty(), "no packet from a loopback address leaves the host");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_socket_bound_to_an_interface_sends_nothing_there() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    let _web = web_server(&lab);
    let curl = |options: &[&str]| curl(lab.host(), "http://192.168.137.104:8080/", options);
    assert_eq!(curl(&[]).unwrap(), "the page");
    let wire = Capture::start(lab.client(), "eth0", "arp or net 172.17.0.0/16").unwrap();
    assert!(curl(&["--max-time", "1", "--interface", "if!ens33"]).is_err());
    let seen = wire.stop().unwrap().lines().unwrap();
    assert!(!seen.iter().any(|line| line.contains("172.17.")), "{seen:#?}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_ipv6_socket_that_refuses_ipv4_does_not_reach_an_ipv4_mapping() {
    let lab = mapped(&Topology::default());
    with_ipv6_loopback(&lab);
    let connect = || {
        let socket = socket(AddressFamily::Inet6, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
        connect_socket(socket.as_raw_fd(), &SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 8080, 0, 0)))
    };
    assert_eq!(lab.host().enter(connect).unwrap(), Err(Errno::ENETUNREACH));
}
