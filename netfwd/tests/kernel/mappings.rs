//! Mappings and flows through the command line, with real traffic.

mod conflicts;
mod forms;
mod live;
mod reserved;

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use aya::maps::lpm_trie::Key;
use lab::{Lab, Topology, UdpEcho, udp_ask};
use netfwd::datapath::{maps::Maps, pin::PinDir};
use netfwd_common::abi::{self, Address as _, Endpoint, MappingKey, Protocol, Rule, V4};
use serde_json::json as value;

use crate::{
    sockets::{echoes, is_unanswered, udp},
    support::{json, lab, netfwd, refused, said},
};

const HOST: &str = "192.168.137.104";
const SOON: Duration = Duration::from_secs(5);

/// A lab with netfwd attached.
fn attached() -> Lab {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", "ens33"]);
    lab
}

/// A client's socket, which keeps its port.
struct Client(UdpSocket);

impl Client {
    fn new(lab: &Lab) -> Self {
        Self(udp(lab.client(), 0))
    }

    /// Whether the host's `port` answers.
    fn ask(&self, port: u16) -> bool {
        echoes(&self.0, address(port))
    }

    /// Whether the host's `port` does not answer.
    fn gets_nothing(&self, port: u16) -> bool {
        is_unanswered(&self.0, address(port))
    }
}

fn address(port: u16) -> SocketAddr {
    format!("{HOST}:{port}").parse().unwrap()
}

fn asked_by(lab: &Lab, port: u16) -> bool {
    Client::new(lab).ask(port)
}

fn nobody_answers(lab: &Lab, port: u16) -> bool {
    Client::new(lab).gets_nothing(port)
}

#[test]
fn a_malformed_mapping_is_a_usage_error_that_points_at_the_part() {
    for (arguments, message) in [
        (["map", "0:172.17.0.2:80"], "host port `0` in `0:172.17.0.2:80`: ports are 1 to 65535"),
        (["map", "80:172.17.0.2:65536"], "container port `65536` in `80:172.17.0.2:65536`: ports are 1 to 65535"),
        (["map", "80:172.17.0:80"], "container address `172.17.0` in `80:172.17.0:80`: not an address such as"),
        (["map", "80:fd00::2:80"], "IPv6 addresses are written in brackets"),
        (["map", "192.0.2.1:80:[fd00::2]:80"], "one family is not translated to the other"),
        (["map", "[::1]:80:172.17.0.2:80"], "without HOST_IP the host itself reaches the mapping at [::1] too"),
        (["map", "80:172.17.0.2:80/icmp"], "the protocol is `tcp`, `udp`, `sctp` or `tcp+udp`"),
        (["map", "8010-8000:172.17.0.2:80-90"], "the first port, 8010, is above the last one, 8000"),
        (["map", "8000-8010:172.17.0.2:80-89"], "11 host ports for 10 container ports"),
        (["map", "80:127.0.0.1:80"], "a loopback address, which each container has"),
        (["unmap", "65536"], "host port `65536` in `65536`: ports are 1 to 65535"),
        (["unmap", "80:172.17.0.2:80"], "give the host's part alone"),
    ] {
        let output = netfwd().args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(message), "{error}");
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_taken_port_is_an_error_and_then_no_mapping_of_the_command_is_added() {
    let lab = attached();
    assert_eq!(said(&lab, &["map", "8080:172.17.0.2:80"]), "mapped 8080/tcp to 172.17.0.2:80\n");
    let again = said(&lab, &["map", "8080:172.17.0.2:80"]);
    assert_eq!(again, "8080/tcp is mapped to 172.17.0.2:80 already, nothing changed\n");

    let error = refused(&lab, &["map", "8081:172.17.0.2:80", "8080:172.17.0.3:80"], 1);
    assert_eq!(
        error,
        "netfwd: cannot map: 8080/tcp is mapped to 172.17.0.2:80, not to 172.17.0.3:80; unmap it first, or give --replace\n"
    );
    let error = refused(&lab, &["map", "--replace", "90:172.17.0.2:80", "90:172.17.0.3:80"], 1);
    assert!(error.contains("have the same host port; leave one out"), "{error}");
    let error = refused(&lab, &["unmap", "8080", "8082/udp"], 1);
    assert_eq!(error, "netfwd: cannot unmap: there is no mapping of 8082/udp; `netfwd list` shows all\n");
    assert_eq!(json(&lab, &["list"])["mappings"].as_array().unwrap().len(), 1);

    assert_eq!(said(&lab, &["unmap", "8080"]), "unmapped 8080/tcp from 172.17.0.2:80\n");
    assert_eq!(said(&lab, &["unmap", "--all"]), "no mappings, nothing changed\n");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_command_that_needs_more_rules_than_there_are_adds_nothing() {
    let lab = attached();
    let many: Vec<_> = (1..=16_384).map(|port| format!("{port}:172.17.0.2:80")).collect();
    let arguments: Vec<_> = ["map"].into_iter().chain(many.iter().map(String::as_str)).collect();
    let error = refused(&lab, &arguments, 1);
    assert!(error.contains("no mapping was added") && error.contains("rules are in use"), "{error}");
    assert_eq!(json(&lab, &["list"])["mappings"].as_array().unwrap().len(), 0);
    said(&lab, &arguments[..10_001]);
    assert_eq!(json(&lab, &["list"])["mappings"].as_array().unwrap().len(), 10_000);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_a_killed_map_left_is_not_in_force_and_goes_with_the_next_change() {
    let lab = attached();
    let mut maps = Maps::open(&PinDir::new(lab.pin_dir())).unwrap();
    for port in [5300_u16, 5301] {
        let key = MappingKey::new(Protocol::UDP, V4::UNSPECIFIED, port.to_be_bytes());
        let rule = Rule { id: 9, generation: 77 };
        let mapping = abi::Mapping::new(rule, port, port, Endpoint::new([172, 17, 0, 2], 5353));
        let key = Key::new(MappingKey::<V4>::BITS, key);
        maps.v4.mappings.insert(&key, mapping, 0).unwrap();
    }
    let _server = UdpEcho::start(&lab.containers()[0], 5353).unwrap();
    assert!(nobody_answers(&lab, 5300));
    assert_eq!(json(&lab, &["list"]), value!({ "mappings": [] }));
    assert_eq!(said(&lab, &["map", "5300:172.17.0.2:5353/udp"]), "mapped 5300/udp to 172.17.0.2:5353\n");
    assert!(asked_by(&lab, 5300));
    assert_eq!(maps.v4.mappings.keys().count(), 1);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_range_of_which_a_killed_map_left_a_part_is_put_right_by_the_next_one() {
    let lab = attached();
    let _server = UdpEcho::start(&lab.containers()[0], 5353).unwrap();
    let map = ["map", "5347-5359:172.17.0.2:5347-5359/udp"];
    said(&lab, &map);
    let client = Client::new(&lab);
    assert!(client.ask(5353));
    let mut maps = Maps::open(&PinDir::new(lab.pin_dir())).unwrap();
    let whole = maps.v4.mappings.keys().count();
    let key = MappingKey::new(Protocol::UDP, V4::UNSPECIFIED, 5352_u16.to_be_bytes());
    let first = (0..16)
        .map(|bits| Key::new(MappingKey::<V4>::BITS - bits, key))
        .find(|key| maps.v4.mappings.remove(key).is_ok());
    assert!(first.is_some() && nobody_answers(&lab, 5353));
    said(&lab, &map);
    assert_eq!(maps.v4.mappings.keys().count(), whole);
    assert!(asked_by(&lab, 5353));
    assert!(client.ask(5353), "its flow goes on");
    let again = said(&lab, &map);
    assert!(again.contains("already"), "{again}");
    said(&lab, &["unmap", "5347-5359/udp"]);
    assert_eq!(maps.v4.mappings.keys().count(), 0);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_address_in_no_masqueraded_subnet_is_a_warning() {
    let lab = attached();
    let output = lab.netfwd(&["map", "80:10.99.0.2:80"]).unwrap();
    assert!(output.stderr.contains("warning: 10.99.0.2 of 80:10.99.0.2:80/tcp is in no masqueraded subnet"));
    assert_eq!(lab.netfwd(&["map", "81:172.17.0.2:80"]).unwrap().stderr, "");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn replacing_a_mapping_ends_the_old_targets_flow_at_once() {
    let lab = attached();
    let [first, second] = [0, 1].map(|number| UdpEcho::start(&lab.containers()[number], 5353).unwrap());
    said(&lab, &["map", "5300:172.17.0.2:5353/udp"]);
    let client = Client::new(&lab);
    assert!(client.ask(5300));
    assert_eq!((first.peers().len(), second.peers().len()), (1, 0));

    let done = said(&lab, &["map", "--replace", "5300:172.17.0.3:5353/udp"]);
    assert_eq!(done, "mapped 5300/udp to 172.17.0.3:5353 instead of 172.17.0.2:5353, whose flows have ended\n");
    assert!(client.ask(5300));
    assert_eq!((first.peers().len(), second.peers().len()), (1, 1));
    let mapping = &json(&lab, &["list"])["mappings"][0];
    assert_eq!(mapping["flows"]["total"], 1, "counters begin with the mapping: {mapping}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn removing_a_mapping_ends_its_flows_and_no_others() {
    let lab = attached();
    let _servers = [0, 1].map(|number| UdpEcho::start(&lab.containers()[number], 5353).unwrap());
    said(&lab, &["map", "5300:172.17.0.2:5353/udp", "5301:172.17.0.3:5353/udp"]);
    let (client, other) = (Client::new(&lab), Client::new(&lab));
    assert!(client.ask(5300) && other.ask(5301));
    said(&lab, &["unmap", "5300/udp"]);
    assert!(client.gets_nothing(5300));
    assert!(other.ask(5301));
    let flows = json(&lab, &["flows"]);
    assert_eq!(flows["flows"].as_array().unwrap().len(), 1, "{flows}");
    assert_eq!(flows["flows"][0]["original"]["packets"], 2, "{flows}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn one_address_and_any_address_exclude_each_other_unless_forced_and_then_the_one_goes_before() {
    let lab = attached();
    let [first, second] = [0, 1].map(|number| UdpEcho::start(&lab.containers()[number], 5353).unwrap());
    let (any, one) = ("5300:172.17.0.2:5353/udp", format!("{HOST}:5300:172.17.0.3:5353/udp"));
    let error = refused(&lab, &["map", any, &one], 1);
    let message =
        format!("{HOST}:5300/udp and 5300/udp have a port in common; unmap one or give another port, or give");
    assert!(error.contains(&message), "{error}");
    said(&lab, &["map", any]);
    assert!(refused(&lab, &["map", &one], 1).contains(&message));
    assert!(refused(&lab, &["map", "--replace", &one], 1).contains(&message));
    said(&lab, &["map", "--force", &one]);
    assert!(asked_by(&lab, 5300));
    assert_eq!((first.peers().len(), second.peers().len()), (0, 1));
    said(&lab, &["unmap", &format!("{HOST}:5300/udp")]);
    assert!(asked_by(&lab, 5300));
    assert_eq!((first.peers().len(), second.peers().len()), (1, 1));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn list_counts_packets_bytes_and_flows() {
    let lab = attached();
    let _server = UdpEcho::start(&lab.containers()[0], 5353).unwrap();
    said(&lab, &["map", "5300:172.17.0.2:5353/udp"]);
    let client = Client::new(&lab);
    assert!((0..3).all(|_| client.ask(5300)) && asked_by(&lab, 5300));
    let mapping = &json(&lab, &["list"])["mappings"][0];
    let bytes = 4 * (20 + 8 + "question".len());
    for way in ["in", "out"] {
        assert_eq!(mapping[way], value!({ "packets": 4, "bytes": bytes }), "{way}");
    }
    assert_eq!(mapping["flows"], value!({ "active": 2, "total": 2 }));

    let stats = json(&lab, &["stats"]);
    let uplink = &stats["uplinks"][0];
    assert_eq!(uplink["interface"]["name"], "ens33");
    assert_eq!(uplink["ingress"]["translated"]["packets"], 4, "{stats}");
    assert_eq!(uplink["egress"]["translated"]["bytes"], bytes, "{stats}");
    assert_eq!((&stats["flows"]["active"], &stats["flows"]["created"]), (&2.into(), &2.into()), "{stats}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn flows_tell_both_tuples_and_are_found_by_either() {
    let lab = attached();
    let _server = UdpEcho::start(&lab.containers()[0], 5353).unwrap();
    let _client = UdpEcho::start(lab.client(), 7000).unwrap();
    said(&lab, &["map", "5300:172.17.0.2:5353/udp"]);
    assert!(asked_by(&lab, 5300));
    let outside = "192.168.137.1:7000".parse().unwrap();
    assert!(udp_ask(&lab.containers()[1], outside, b"out", SOON).unwrap().is_some());

    let found = |filter: &[&str]| json(&lab, &[&["flows"], filter].concat())["flows"].as_array().unwrap().clone();
    let [mapped] = found(&["--dst", "172.17.0.2:5353"]).try_into().unwrap();
    assert_eq!(mapped["original"]["destination"], value!({ "address": HOST, "port": 5300 }));
    assert_eq!(mapped["reply"]["source"], value!({ "address": "172.17.0.2", "port": 5353 }));
    assert_eq!((&mapped["protocol"], &mapped["state"]), (&"udp".into(), &"replied".into()));
    let [masqueraded] = found(&["--src", HOST]).try_into().unwrap();
    assert_eq!(masqueraded["original"]["source"]["address"], "172.17.0.3");
    assert_eq!(masqueraded["reply"]["destination"]["address"], HOST);
    assert_eq!((found(&["--src", "172.17.0.0/16"]).len(), found(&["--dst", ":7000"]).len()), (1, 1));
    assert_eq!(found(&["--proto", "tcp"]).len() + found(&["--state", "unreplied"]).len(), 0);
    assert_eq!(said(&lab, &["flows", "--count"]), "2\n");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn deleted_flows_end_at_once_and_are_removed_without_a_process() {
    let lab = attached();
    let server = UdpEcho::start(&lab.containers()[0], 5353).unwrap();
    said(&lab, &["map", "5300:172.17.0.2:5353/udp", "5301:172.17.0.2:5353/udp"]);
    let client = Client::new(&lab);
    assert!(client.ask(5300) && client.ask(5301));
    assert_eq!(said(&lab, &["flows", "delete", "--dst", ":5300"]), "ended 1 flow\n");
    assert_eq!(said(&lab, &["flows", "--count"]), "1\n");
    assert_eq!(said(&lab, &["flows", "delete", "--all"]), "ended 1 flow\n");

    // The mapping stays: the next datagram opens another flow.
    assert!(client.ask(5300));
    assert_eq!(server.peers().len(), 3);
    let deadline = Instant::now() + Duration::from_secs(30);
    while json(&lab, &["stats"])["flows"]["ended"] != 2 {
        assert!(Instant::now() < deadline, "{}", said(&lab, &["stats"]));
        std::thread::sleep(Duration::from_millis(250));
    }
}
