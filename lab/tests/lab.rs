//! The lab proves itself: without NAT nothing gets through, with the kernel's own NAT everything does.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lab::{
    Bridge, Capture, Iperf, IperfServer, Lab, StunServer, TcpEcho, Topology, UdpEcho, Uplink, WebServer, Wire, curl,
    fragments, ping, stun, tcp_ask, udp_ask,
};

const SOON: Duration = Duration::from_secs(5);

fn host(topology: &Topology) -> IpAddr {
    topology.uplinks[0].address.addr().into()
}

fn client(topology: &Topology) -> IpAddr {
    topology.uplinks[0].clients[0].into()
}

fn container(topology: &Topology) -> Ipv4Addr {
    topology.bridges[0].containers[0]
}

/// Lets the kernel translate, as Docker would.
fn translate(lab: &Lab, topology: &Topology, protocol: &str, host_port: u16, port: u16) {
    let (uplink, subnet) = (&topology.uplinks[0].name, topology.bridges[0].address.trunc());
    let container = container(topology);
    lab.host().sysctl("net/ipv4/ip_forward", "1").unwrap();
    let rules = format!(
        "table ip nat {{
            chain out {{ type nat hook postrouting priority 100; ip saddr {subnet} oifname {uplink} masquerade; }}
            chain in {{ type nat hook prerouting priority -100;
                        iifname {uplink} {protocol} dport {host_port} dnat to {container}:{port}; }}
        }}"
    );
    lab.host().run(&["nft", &rules]).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_packet_that_is_not_translated_gets_no_answer() {
    let topology = Topology::default();
    let lab = Lab::new(&topology).unwrap();
    let report = ping(&lab.containers()[0], client(&topology), 1, 1.0).unwrap();
    assert_eq!(report.received, 0, "without forwarding");
    lab.host().sysctl("net/ipv4/ip_forward", "1").unwrap();
    let report = ping(&lab.containers()[0], client(&topology), 1, 1.0).unwrap();
    assert_eq!(report.received, 0, "with forwarding");
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn neighbours_reach_each_other_at_once() {
    let topology = Topology::default();
    let lab = Lab::new(&topology).unwrap();
    let c1 = &lab.containers()[0];
    assert!(ping(lab.client(), host(&topology), 100, 0.002).unwrap().complete());
    assert!(ping(c1, topology.bridges[0].address.addr().into(), 100, 0.002).unwrap().complete());
    assert!(ping(c1, topology.bridges[0].containers[1].into(), 100, 0.002).unwrap().complete());
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_same_ping_is_seen_before_and_after_its_translation() {
    let topology = Topology::default();
    let lab = Lab::new(&topology).unwrap();
    translate(&lab, &topology, "tcp", 8080, 80);
    let inside = Capture::start(lab.host(), "docker0", "icmp").unwrap();
    let outside = Capture::start(lab.host(), "ens33", "icmp").unwrap();
    assert!(ping(&lab.containers()[0], client(&topology), 20, 0.01).unwrap().complete());
    let (inside, outside) = (inside.stop().unwrap(), outside.stop().unwrap());
    let (before, after) = (inside.ipv4().unwrap(), outside.ipv4().unwrap());
    assert_eq!((before.len(), after.len(), inside.lost(), outside.lost()), (40, 40, 0, 0));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.payload[8..], after.payload[8..]);
    }
    assert_eq!(IpAddr::from(before[0].source), IpAddr::from(container(&topology)));
    assert_eq!(IpAddr::from(after[0].source), host(&topology));
    assert_eq!(inside.checksums().unwrap().complete, 40);
    assert!(inside.lines().unwrap()[0].contains("ICMP echo request"));
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_web_server_logs_the_client_and_checksums_are_partial_or_complete_as_asked() {
    for checksum_offload in [true, false] {
        let topology = Topology { checksum_offload, ..Topology::default() };
        let lab = Lab::new(&topology).unwrap();
        translate(&lab, &topology, "tcp", 8080, 80);
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("index.html"), "hello\n").unwrap();
        let server = WebServer::start(&lab.containers()[0], 80, directory.path()).unwrap();
        let capture = Capture::start(lab.host(), "ens33", "tcp").unwrap();
        let url = format!("http://{}:8080/", host(&topology));
        assert_eq!(curl(lab.client(), &url, &[]).unwrap(), "hello\n");
        assert_eq!(server.askers().unwrap(), [client(&topology)], "{:?}", server.log());
        let checksums = capture.stop().unwrap().checksums().unwrap();
        assert_eq!(checksums.bad, Vec::<String>::new());
        assert_eq!((checksums.partial > 0, checksums.complete > 0), (checksum_offload, !checksum_offload));
    }
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn names_and_addresses_are_free() {
    let topology = Topology {
        uplinks: vec![Uplink {
            name: "eth7".to_owned(),
            address: "10.1.2.3/24".parse().unwrap(),
            clients: vec![Ipv4Addr::new(10, 1, 2, 9)],
            ..Uplink::default()
        }],
        bridges: vec![Bridge {
            name: "br-lab".to_owned(),
            address: "10.88.0.1/24".parse().unwrap(),
            containers: vec![Ipv4Addr::new(10, 88, 0, 7)],
            ..Bridge::default()
        }],
        checksum_offload: true,
    };
    let lab = Lab::new(&topology).unwrap();
    translate(&lab, &topology, "udp", 30000, 8000);
    let echo = UdpEcho::start(&lab.containers()[0], 8000).unwrap();
    let target = SocketAddr::new(host(&topology), 30000);
    let (answer, sender) = udp_ask(lab.client(), target, b"hello", SOON).unwrap().unwrap();
    assert_eq!((answer.as_slice(), sender), (b"hello".as_slice(), target));
    assert_eq!(echo.peers().iter().map(SocketAddr::ip).collect::<Vec<_>>(), [client(&topology)]);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_transfer_each_way_has_no_bad_checksum() {
    let topology = Topology::default();
    let lab = Lab::new(&topology).unwrap();
    translate(&lab, &topology, "tcp", 5000, 5201);
    let server = IperfServer::start(&lab.containers()[0], 5201).unwrap();
    let capture = Capture::start(lab.host(), "ens33", "tcp").unwrap();
    for options in [&["--bytes", "20M"][..], &["--bytes", "20M", "--reverse"]] {
        let transfer = Iperf { target: host(&topology), port: 5000, options, timeout: Duration::from_mins(1) };
        let transfer = transfer.run(lab.client()).unwrap();
        assert!(transfer.sent >= 20_000_000, "{transfer:?}");
    }
    drop(server);
    assert_eq!(capture.stop().unwrap().bad_checksums().unwrap(), Vec::<String>::new());
}

/// Lets the kernel translate IPv6 from inside, and UDP ports from outside.
fn translate_ipv6(lab: &Lab) {
    lab.host().enable_forwarding().unwrap();
    let rules = "table ip6 nat {
            chain out { type nat hook postrouting priority 100; ip6 saddr fd00:17::/64 oifname ens33 masquerade; }
            chain in { type nat hook prerouting priority -100; udp dport 5300 dnat to [fd00:17::3]:53; }
        }";
    lab.host().run(&["nft", rules]).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn ipv6_is_off_unless_it_is_asked_for() {
    let v4 = Lab::new(&Topology::default()).unwrap();
    let all = Capture::start(v4.client(), "eth0", "ip6").unwrap();
    assert!(ping(v4.client(), host(&Topology::default()), 2, 0.01).unwrap().complete());
    assert_eq!(all.stop().unwrap().lines().unwrap(), Vec::<String>::new());

    let topology = Topology::dual_stack();
    let lab = Lab::new(&topology).unwrap();
    let client: IpAddr = topology.uplinks[0].ipv6.as_ref().unwrap().others[0].into();
    assert!(ping(lab.client(), "2001:db8:137::104".parse().unwrap(), 5, 0.002).unwrap().complete());
    assert!(ping(&lab.containers()[0], "fd00:17::3".parse().unwrap(), 5, 0.002).unwrap().complete());
    assert_eq!(ping(&lab.containers()[0], client, 1, 1.0).unwrap().received, 0, "without translation");

    translate_ipv6(&lab);
    let wire = Capture::start(lab.client(), "eth0", "ip6").unwrap();
    assert!(ping(&lab.containers()[0], client, 5, 0.002).unwrap().complete());
    let server = TcpEcho::start(lab.client(), (Ipv6Addr::UNSPECIFIED, 443).into()).unwrap();
    assert_eq!(tcp_ask(&lab.containers()[0], (client, 443).into(), b"hello", SOON).unwrap().unwrap(), b"hello");
    assert_eq!(server.peers()[0].ip(), "2001:db8:137::104".parse::<IpAddr>().unwrap());
    let echo = UdpEcho::start_at(&lab.containers()[1], (Ipv6Addr::UNSPECIFIED, 53).into()).unwrap();
    let target = "[2001:db8:137::104]:5300".parse().unwrap();
    assert_eq!(udp_ask(lab.client(), target, b"hello", SOON).unwrap().unwrap(), (b"hello".to_vec(), target));
    assert_eq!(echo.peers()[0].ip(), client);
    let wire = wire.stop().unwrap();
    let packets = wire.ipv6().unwrap();
    assert!(packets.iter().any(|packet| packet.protocol == 58 && packet.payload[0] == 128), "{packets:?}");
    let checksums = wire.checksums().unwrap();
    assert!(checksums.bad.is_empty() && checksums.complete >= 10 && checksums.partial >= 4, "{checksums:?}");
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_router_between_host_and_client_forwards_and_counts_hops() {
    let topology = Topology::dual_stack().with_router();
    let lab = Lab::new(&topology).unwrap();
    for client in topology.uplinks[0].clients() {
        assert!(ping(lab.host(), client, 3, 0.002).unwrap().complete(), "{client}");
        let trace = lab.host().run(&["traceroute", "-n", "-q1", "-w1", "-I", &client.to_string()]).unwrap().stdout;
        assert_eq!(trace.lines().count(), 3, "{trace}");
    }
    assert!(lab.router().is_some());
}

/// Whether a frame carries a packet of the address' family, according to its `EtherType`.
fn is_of_family(frame: &[u8], address: IpAddr) -> bool {
    let ether_type = if address.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] };
    frame.get(12..14) == Some(&ether_type)
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn frames_are_sent_and_received_as_they_are() {
    let topology = Topology::dual_stack();
    let lab = Lab::new(&topology).unwrap();
    let wire = Wire::open(lab.client(), "eth0", (lab.host(), "ens33")).unwrap();
    let addresses: [(IpAddr, IpAddr); 2] = [
        (client(&topology), host(&topology)),
        ("2001:db8:137::1".parse().unwrap(), "2001:db8:137::104".parse().unwrap()),
    ];
    for (client, host) in addresses {
        let echo = UdpEcho::start_at(lab.host(), (host, 53).into()).unwrap();
        let frame = wire.udp((client, 5353), (host, 53), &[7; 3000]).unwrap();
        // In reverse order, as they may come.
        for fragment in fragments(&frame, 1024, 77).unwrap().iter().rev() {
            wire.send(fragment).unwrap();
        }
        // Of this family: the echo of the other one has come in several frames, some of which may still wait.
        let is_echo = |frame: &[u8]| is_of_family(frame, client) && frame.ends_with(&[7; 500]);
        let echoed = wire.receive(SOON, |frame| is_echo(frame).then_some(())).unwrap();
        assert!(echoed.is_some(), "{client}");
        assert_eq!(echo.peers(), [(client, 5353).into()]);
    }
    let payload = [0, 0, 0x08, 0];
    wire.send(&wire.packet(client(&topology), host(&topology), 47, &payload).unwrap()).unwrap();
    // Protocol unreachable quotes it.
    let is_answer =
        |frame: &[u8]| is_of_family(frame, client(&topology)) && frame[23] == 1 && frame.ends_with(&payload);
    let answer = wire.receive(SOON, |frame| is_answer(frame).then(|| (frame[34], frame[35]))).unwrap();
    assert_eq!(answer, Some((3, 2)));
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_stun_client_sees_what_kind_of_nat_the_kernel_is() {
    let mut topology = Topology::default();
    topology.uplinks[0].clients.push(Ipv4Addr::new(192, 168, 137, 2));
    let lab = Lab::new(&topology).unwrap();
    translate(&lab, &topology, "tcp", 8080, 80);
    let [first, second] = [0, 1].map(|number| topology.uplinks[0].clients[number].into());
    let _server = StunServer::start(lab.client(), first, second).unwrap();
    assert_eq!(stun(lab.client(), first).unwrap().summary, "Open");
    // It keeps the port where it can, and lets only those in that were asked.
    let report = stun(&lab.containers()[0], first).unwrap();
    assert!(report.summary.starts_with("Independent Mapping, Port Dependent Filter"), "{report:?}");
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_lab_that_cannot_be_built_leaves_nothing() {
    let mut topology = Topology::default();
    topology.bridges[0].name = "a-name-that-is-too-long".to_owned();
    let error = format!("{:#}", Lab::new(&topology).unwrap_err());
    assert!(error.starts_with("cannot build the lab") && error.contains("a-name-that-is-too-long"), "{error}");
    let host = error.split_whitespace().find_map(|word| word.trim_end_matches(':').strip_suffix("-host")).unwrap();
    assert_eq!(namespaces_of(host), Vec::<String>::new());
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_dropped_lab_leaves_nothing() {
    let lab = Lab::new(&Topology::default()).unwrap();
    let name = lab.host().name().strip_suffix("-host").unwrap().to_owned();
    assert_eq!(namespaces_of(&name).len(), lab.namespaces().count());
    let mut process = lab.containers()[0].spawn(&["sleep", "60"]).unwrap();
    drop(lab);
    assert_eq!(namespaces_of(&name), Vec::<String>::new());
    assert!(!process.wait(SOON).unwrap().status.success());
}

fn namespaces_of(lab: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/run/netns").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("{lab}-"))).collect()
}
