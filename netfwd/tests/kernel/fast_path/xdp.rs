//! UDP of known flows is taken before the host's stack, and everything else goes on as without.

use std::net::UdpSocket;

use lab::{Capture, Lab, Netns, Topology, UdpEcho};
use serde_json::{Value, json};

use super::{Addresses, FAMILIES, at, counted};
use crate::{
    sockets::{echoes, udp_at},
    support::{json, lab, path, said},
};

/// Packets that a conversation has each way.
const EXCHANGES: u64 = 5;

/// A lab in which checksums are complete, as they are behind hardware.
fn complete() -> Lab {
    lab(&Topology { checksum_offload: false, ..Topology::dual_stack() })
}

fn attach(lab: &Lab, mode: &str) {
    said(lab, &["attach", "ens33", "--fast-path", "on", "--hook", "tc", "--xdp", mode]);
}

/// The client's conversation with a container at a mapped port, whose place is known.
fn converse(lab: &Lab, family: &Addresses) -> (UdpSocket, UdpEcho) {
    said(lab, &["map", "--replace", family.mappings[0], family.mappings[1]]);
    let echo = UdpEcho::start_at(&lab.containers()[0], at(family.any, 80)).unwrap();
    let client = udp_at(lab.client(), at(family.any, 0));
    for _ in 0..2 {
        assert!(echoes(&client, at(family.host, 8080)), "{}", said(lab, &["stats"]));
    }
    (client, echo)
}

/// Packets that XDP took.
fn early(lab: &Lab) -> u64 {
    json(lab, &["stats"])["uplinks"][0]["ingress"]["xdp"]["packets"].as_u64().unwrap()
}

/// How many packets of further exchanges XDP took, all of which were answered.
fn taken(lab: &Lab, family: &Addresses, client: &UdpSocket) -> u64 {
    let before = early(lab);
    for _ in 0..EXCHANGES {
        assert!(echoes(client, at(family.host, 8080)), "{}", said(lab, &["stats"]));
    }
    early(lab) - before
}

/// What netfwd warns of where it cannot see a container's network namespace.
fn blind(lab: &Lab, container: &Netns, arguments: &[&str]) -> String {
    let mut command = lab.host().command("unshare").unwrap();
    let hide = ["--mount", "sh", "-c", "umount \"$0\" && exec \"$@\""];
    command.args(hide).arg(container.path()).arg(path());
    let output = command.args(arguments).env("NETFWD_PIN_DIR", lab.pin_dir()).output().unwrap();
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{warned}");
    warned
}

fn state(lab: &Lab) -> Value {
    json(lab, &["status"])["uplinks"][0]["xdp"].clone()
}

/// The XDP programs of the uplink, according to ip.
fn programs(lab: &Lab) -> usize {
    lab.host().run(&["ip", "-details", "link", "show", "ens33"]).unwrap().stdout.matches("prog/xdp").count()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn udp_of_known_flows_is_taken_by_xdp_in_both_modes_and_not_without() {
    for family in &FAMILIES {
        let lab = complete();
        for mode in ["native", "generic"] {
            attach(&lab, mode);
            assert_eq!(state(&lab), json!({ "wanted": mode, "mode": mode, "why": null }));
            assert_eq!(programs(&lab), 1);
            let (client, echo) = converse(&lab, family);
            let inside = Capture::start(&lab.containers()[0], "eth0", "udp and dst port 80").unwrap();
            let fast = counted(&lab)[0];
            assert_eq!(taken(&lab, family, &client), EXCHANGES, "{mode}: {}", said(&lab, &["status"]));
            assert_eq!(counted(&lab)[0] - fast, EXCHANGES, "each counts once");
            let inside = inside.stop().unwrap();
            assert_eq!(inside.bad_checksums().unwrap(), Vec::<String>::new());
            let v4 = inside.ipv4().unwrap().into_iter().map(|packet| packet.ttl);
            let hops: Vec<u8> = v4.chain(inside.ipv6().unwrap().into_iter().map(|packet| packet.ttl)).collect();
            assert_eq!(hops, [63; 5], "one hop less");
            assert_eq!(echo.peers()[0].ip(), family.client.parse::<std::net::IpAddr>().unwrap());
        }
        attach(&lab, "off");
        assert_eq!((state(&lab)["why"].as_str(), programs(&lab)), (Some("off"), 0));
        let (client, _echo) = converse(&lab, family);
        assert_eq!(taken(&lab, family, &client), 0);
        attach(&lab, "native");
        said(&lab, &["detach", "--all"]);
        assert_eq!(programs(&lab), 0);
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn auto_takes_no_interface_that_belongs_to_no_device() {
    let lab = complete();
    attach(&lab, "auto");
    assert_eq!((state(&lab), programs(&lab)), (json!({ "wanted": "auto", "mode": null, "why": "no-device" }), 0));
    let warned = lab.netfwd(&["attach", "ens33", "--fast-path", "on", "--xdp", "native"]).unwrap().stderr;
    assert!(
        warned.contains("warning: XDP (native) on ens33 breaks packets whose sender left the checksum"),
        "{warned}"
    );
    said(&lab, &["attach", "ens33", "--fast-path", "off", "--xdp", "native"]);
    assert_eq!((state(&lab)["why"].as_str(), programs(&lab)), (Some("no-fast-path"), 0));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_cannot_take_frames_of_xdp_loses_none_and_takes_them_when_it_can() {
    for family in &FAMILIES {
        let lab = complete();
        let container = &lab.containers()[0];
        let gro = || container.run(&["ethtool", "--show-features", "eth0"]).unwrap().stdout;
        assert!(gro().contains("generic-receive-offload: off"));
        // Where nobody finds the container's network namespace.
        let command = ["attach", "ens33", "--fast-path", "on", "--hook", "tc", "--xdp", "native"];
        let warned = blind(&lab, container, &command);
        assert!(
            warned.contains("XDP sends nothing to what is behind veth1: its other end's network namespace"),
            "{warned}"
        );
        assert!(gro().contains("generic-receive-offload: off"));
        let member = |lab: &Lab| json(lab, &["status"])["bridges"][0]["members"][0]["xdp"].clone();
        assert_eq!(member(&lab), json!(false));
        let echo = UdpEcho::start_at(container, at(family.any, 80)).unwrap();
        let client = udp_at(lab.client(), at(family.any, 0));
        blind(&lab, container, &["map", family.mappings[0]]);
        let fast = counted(&lab)[0];
        assert_eq!(taken(&lab, family, &client), 0);
        assert!(counted(&lab)[0] > fast, "by the uplink's other program");
        drop(echo);

        attach(&lab, "native");
        assert!(gro().contains("generic-receive-offload: on"));
        assert_eq!(member(&lab), json!(true));
        let (client, _echo) = converse(&lab, family);
        assert_eq!(taken(&lab, family, &client), EXCHANGES);
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn tcp_goes_on_to_the_uplinks_other_program() {
    let lab = complete();
    attach(&lab, "native");
    let _server = lab::IperfServer::start(&lab.containers()[0], 5201).unwrap();
    said(&lab, &["map", "5000:172.17.0.2:5201"]);
    let target = "192.168.137.104".parse().unwrap();
    let options = &["--bytes", "10000000"][..];
    let transfer = lab::Iperf { target, port: 5000, options, timeout: std::time::Duration::from_mins(2) };
    assert!(transfer.run(lab.client()).unwrap().received > 0);
    assert_eq!(early(&lab), 0);
    assert!(counted(&lab)[0] > 100);
}
