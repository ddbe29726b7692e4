//! An uplink to one other host, without link-layer headers, as PPP and tunnels have it: a TUN device.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lab::{Iperf, IperfServer, Lab, Netns, Process, TcpEcho, Topology, UdpEcho, ping};
use tempfile::TempDir;

use crate::{
    sockets::{assert_tcp, at, echoes, udp, udp_at},
    support::{json, lab, said, wait_until},
};

const UPLINK: &str = "ppp0";
/// Less than that of the containers' network.
const MTU: &str = "1492";
/// How long an attach may take where the processor is emulated.
const LONG: Duration = Duration::from_mins(1);

/// A line between a lab's host and its client. Both devices go with it.
struct Line {
    _ends: [Process; 2],
    _sockets: TempDir,
}

impl Line {
    /// The host has the first of both families' addresses, and the client the second.
    fn new(lab: &Lab, v4: [&str; 2], v6: [&str; 2]) -> Self {
        let sockets = tempfile::tempdir().unwrap();
        let path = |name: &str| sockets.path().join(name);
        let end = |netns: &Netns, own: &str, other: &str| {
            let device = format!("TUN,tun-name={UPLINK},tun-type=tun,iff-no-pi");
            let line = format!("UNIX-SENDTO:{},bind={}", path(other).display(), path(own).display());
            netns.spawn(&["socat", &device, &line]).unwrap()
        };
        let ends = [end(lab.host(), "host", "client"), end(lab.client(), "client", "host")];
        wait_until(LONG, || ["host", "client"].into_iter().all(|name| path(name).exists()));
        let both = [(lab.host(), 0, 1), (lab.client(), 1, 0)];
        let ip = |netns: &Netns, words: &[&str]| netns.run(&[&["ip"], words].concat()).unwrap();
        for (netns, ..) in both {
            // What the kernel sends by itself ends an end whose other one is not up yet.
            netns.sysctl(&format!("net/ipv6/conf/{UPLINK}/disable_ipv6"), "1").unwrap();
            ip(netns, &["link", "set", UPLINK, "mtu", MTU, "up"]);
        }
        for (netns, own, other) in both {
            netns.sysctl(&format!("net/ipv6/conf/{UPLINK}/disable_ipv6"), "0").unwrap();
            ip(netns, &["address", "add", v4[own], "peer", v4[other], "dev", UPLINK]);
            ip(netns, &["address", "add", v6[own], "peer", v6[other], "dev", UPLINK, "nodad"]);
        }
        Self { _ends: ends, _sockets: sockets }
    }
}

const V4: [&str; 2] = ["10.64.0.2", "10.64.0.1"];
const V6: [&str; 2] = ["2001:db8:64::2", "2001:db8:64::1"];

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_line_without_link_layer_headers_is_an_uplink_like_others() {
    let lab = lab(&Topology::dual_stack());
    let _line = Line::new(&lab, V4, V6);
    said(&lab, &["attach", UPLINK, "--clamp-mss", "mtu"]);
    let container = &lab.containers()[0];
    for ([host, client], target, any) in [(V4, "172.17.0.2", "0.0.0.0"), (V6, "[fd00:17::2]", "::")] {
        let host_part = if host.contains(':') { "[::]:" } else { "" };
        said(&lab, &["map", &format!("{host_part}8080:{target}:80"), &format!("{host_part}5201:{target}:5201")]);
        let (host, client): (IpAddr, IpAddr) = (host.parse().unwrap(), client.parse().unwrap());

        let server = TcpEcho::start(container, at(any, 80)).unwrap();
        assert_tcp(lab.client(), (host, 8080));
        assert_eq!(server.peers().iter().map(SocketAddr::ip).collect::<Vec<_>>(), [client]);
        let _iperf = IperfServer::start(container, 5201).unwrap();
        for options in [&["--bytes", "2M"][..], &["--bytes", "2M", "--reverse"]] {
            let transfer = Iperf { target: host, port: 5201, options, timeout: LONG }.run(lab.client()).unwrap();
            assert!(transfer.sent >= 2_000_000 && transfer.received > 500_000, "{transfer:?}");
        }

        let outside = UdpEcho::start_at(lab.client(), SocketAddr::new(client, 53)).unwrap();
        assert!(echoes(&udp_at(container, at(any, 5353)), SocketAddr::new(client, 53)));
        assert_eq!(outside.peers(), [SocketAddr::new(host, 5353)]);
        let outside = TcpEcho::start(lab.client(), SocketAddr::new(client, 7)).unwrap();
        assert_tcp(container, (client, 7));
        assert_eq!(outside.peers().iter().map(SocketAddr::ip).collect::<Vec<_>>(), [host]);
        assert!(ping(container, client, 3, 0.02).unwrap().complete());
    }
    let explained = json(&lab, &["explain", "tcp 10.64.0.1:40000 to 10.64.0.2:8080"]);
    assert_eq!(explained["result"]["packet"]["destination"]["address"], "172.17.0.2", "{explained:#}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_line_that_is_dialled_again_with_another_address_is_followed() {
    let lab = lab(&Topology::dual_stack());
    let line = Line::new(&lab, V4, V6);
    let mut agent = lab.spawn_netfwd(&["run", "--uplink", UPLINK]).unwrap();
    agent.wait_for_line("follows ppp0", LONG).unwrap();
    said(&lab, &["map", "8080:172.17.0.2:80"]);
    let _server = TcpEcho::start(&lab.containers()[0], at("0.0.0.0", 80)).unwrap();
    assert_tcp(lab.client(), (V4[0].parse().unwrap(), 8080));
    drop(line);
    let _line = Line::new(&lab, ["10.65.0.2", "10.65.0.1"], V6);
    agent.wait_for_nth_line("follows ppp0", 2, LONG).unwrap();
    let outside = UdpEcho::start_at(lab.client(), at("10.65.0.1", 53)).unwrap();
    assert!(echoes(&udp(&lab.containers()[0], 5353), at("10.65.0.1", 53)));
    assert_eq!(outside.peers(), [at("10.65.0.2", 5353)]);
    assert_tcp(lab.client(), ("10.65.0.2".parse().unwrap(), 8080));
}
