//! The two things that Docker's rules do, on the documented example and on hosts with other names and addresses.

use std::{fs, net::Ipv4Addr};

use ipnet::Ipv4Net;
use lab::{Bridge, Capture, Topology, UdpEcho, Uplink, WebServer, curl, ping};

use super::{assert_checksums, assert_no_leak, attached, capture_leaks, client, echoes, host, send_raw, udp};
use crate::support::said;

/// A host with nothing in common with the example.
fn another() -> Topology {
    Topology {
        uplinks: vec![Uplink {
            name: "eth7".to_owned(),
            address: Ipv4Net::new_assert(Ipv4Addr::new(203, 0, 113, 77), 26),
            clients: vec![Ipv4Addr::new(203, 0, 113, 80)],
            ..Uplink::default()
        }],
        bridges: vec![Bridge {
            name: "br-lab".to_owned(),
            address: Ipv4Net::new_assert(Ipv4Addr::new(10, 88, 0, 1), 24),
            containers: vec![Ipv4Addr::new(10, 88, 0, 20), Ipv4Addr::new(10, 88, 0, 21)],
            ..Bridge::default()
        }],
        checksum_offload: true,
    }
}

fn does_the_main_job(topology: &Topology) {
    let lab = attached(topology);
    let (host, client, container) = (host(topology), client(topology), topology.bridges[0].containers[0]);
    let leaks = capture_leaks(&lab, topology);
    let wire = Capture::start(lab.client(), "eth0", "ip").unwrap();

    assert!(ping(&lab.containers()[0], client.into(), 5, 0.02).unwrap().complete());

    let page = tempfile::tempdir().unwrap();
    fs::write(page.path().join("index.html"), "the page").unwrap();
    let server = WebServer::start(&lab.containers()[0], 80, page.path()).unwrap();
    said(&lab, &["map", &format!("8080:{container}:80"), &format!("30000:{container}:8000/udp")]);
    assert_eq!(curl(lab.client(), &format!("http://{host}:8080/"), &[]).unwrap(), "the page");
    assert_eq!(server.askers().unwrap(), [client]);

    let echo = UdpEcho::start(&lab.containers()[0], 8000).unwrap();
    let asking = udp(lab.client(), 0);
    assert!(echoes(&asking, (host, 30000).into()));
    let peer = (client, asking.local_addr().unwrap().port()).into();
    assert_eq!(echo.peers(), [peer]);

    let server = UdpEcho::start(lab.client(), 53).unwrap();
    assert!(echoes(&udp(&lab.containers()[1], 5353), (client, 53).into()));
    assert_eq!(server.peers(), [(host, 5353).into()], "the source port is kept");

    let wire = wire.stop().unwrap();
    assert_checksums(&wire);
    assert!(wire.ipv4().unwrap().iter().all(|packet| packet.source == client || packet.source == host));
    assert_no_leak(leaks);
    assert!(lab.host().pids().unwrap().is_empty(), "NAT goes on without a process");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn containers_reach_out_and_clients_reach_mapped_ports() {
    does_the_main_job(&Topology::default());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn complete_checksums_stay_right_too() {
    does_the_main_job(&Topology { checksum_offload: false, ..Topology::default() });
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn names_subnets_and_ports_do_not_matter() {
    does_the_main_job(&another());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn datagrams_without_a_checksum_stay_without() {
    let topology = Topology::default();
    let lab = attached(&topology);
    let wire = Capture::start(lab.client(), "eth0", "udp and dst port 53").unwrap();
    let datagram = [0x14, 0xe9, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4];
    send_raw(&lab.containers()[0], client(&topology), 17, &datagram);
    let wire = wire.stop().unwrap();
    assert_eq!(wire.ipv4().unwrap()[0].source, host(&topology));
    let checksums = wire.checksums().unwrap();
    assert_eq!((checksums.absent, checksums.bad.len()), (1, 0), "{checksums:?}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn packets_with_ip_options_are_translated() {
    let topology = Topology::default();
    let lab = attached(&topology);
    let wire = Capture::start(lab.client(), "eth0", "icmp[icmptype] = icmp-echo and ip[0] & 0xf > 5").unwrap();
    let client = client(&topology).to_string();
    let output = lab.containers()[0].output(&["ping", "-n", "-c", "1", "-W", "2", "-R", &client]).unwrap();
    assert!(output.stdout.contains(" 0% packet loss"), "{}", output.stdout);
    let wire = wire.stop().unwrap();
    assert_checksums(&wire);
    assert_eq!(wire.ipv4().unwrap()[0].source, host(&topology));
}
