//! `netfwd status` says which path packets take, and packets take that one.

use std::net::IpAddr;

use lab::{Lab, Topology, UdpEcho, ping};
use serde_json::{Value, json};

use super::{at, counted};
use crate::{
    sockets::{echoes, udp},
    support::{json, lab, said},
};

const GATEWAY: &str = "172.17.0.1";

/// The members of the bridge, in the order of their interface indexes.
fn members(lab: &Lab) -> Vec<Value> {
    json(lab, &["status"])["bridges"][0]["members"].as_array().unwrap().clone()
}

/// What is said of the member with this name.
fn path_of(lab: &Lab, name: &str) -> Value {
    let members = members(lab);
    let member = members.iter().find(|member| member["interface"]["name"] == name).unwrap();
    json!([member["path"], member["why"]])
}

fn uplink_paths(lab: &Lab) -> Vec<Value> {
    let uplinks = json(lab, &["status"])["uplinks"].take();
    uplinks.as_array().unwrap().iter().map(|uplink| json!([uplink["path"], uplink["why"]])).collect()
}

fn ip(lab: &Lab, line: &str) {
    lab.host().run(&[&["ip"], &line.split(' ').collect::<Vec<_>>()[..]].concat()).unwrap();
}

/// Whether what a container sends to the client takes the fast path once the flow is known.
fn goes_fast(lab: &Lab, container: usize) -> bool {
    let socket = udp(&lab.containers()[container], 0);
    let client = at("192.168.137.1", 7);
    assert!(echoes(&socket, client));
    let before = counted(lab)[1];
    assert!(echoes(&socket, client));
    counted(lab)[1] > before
}

/// Makes the second container and the host neighbours that need not ask for each other.
fn introduce_second(lab: &Lab) {
    let text = |address: [u8; 6]| address.map(|byte| format!("{byte:02x}")).join(":");
    let container = &lab.containers()[1];
    let own = text(container.hardware_address("eth0").unwrap());
    let gateway = text(lab.host().hardware_address("docker0").unwrap());
    ip(lab, &format!("neighbour replace 172.17.0.3 lladdr {own} dev docker0 nud permanent"));
    container.run(&["ip", "neighbour", "replace", GATEWAY, "lladdr", &gateway, "dev", "eth0"]).unwrap();
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn status_says_fast_of_a_container_whose_place_is_known_and_why_not_of_another() {
    let lab = lab(&Topology::default());
    let gateway = GATEWAY.parse::<IpAddr>().unwrap();
    assert!(ping(&lab.containers()[0], gateway, 1, 0.02).unwrap().complete());
    said(&lab, &["attach", "ens33", "--fast-path", "on"]);
    let _echo = UdpEcho::start_at(lab.client(), at("0.0.0.0", 7)).unwrap();
    let said_of = |member: usize| members(&lab)[member]["containers"].clone();

    assert_eq!(uplink_paths(&lab), [json!(["fast", null])]);
    assert_eq!(said_of(0), json!([{ "address": "172.17.0.2", "path": "fast" }]));
    assert_eq!(members(&lab)[1]["path"], "stack");
    assert_eq!(said_of(1), json!([]), "nobody has heard of it yet");
    introduce_second(&lab);
    assert!(goes_fast(&lab, 0));
    assert!(!goes_fast(&lab, 1));
    let not_announced = json!([{ "address": "172.17.0.3", "path": "stack", "why": "not-announced" }]);
    assert_eq!(said_of(1), not_announced);
    let text = said(&lab, &["status"]);
    let line = |address: &str| text.lines().find(|line| line.contains(address)).unwrap().to_owned();
    assert!(line(" 172.17.0.2 ").ends_with("fast"), "{text}");
    assert!(line(" 172.17.0.3 ").contains("stack: not announced yet"), "{text}");

    lab.containers()[1].run(&["ip", "neighbour", "delete", GATEWAY, "dev", "eth0"]).unwrap();
    assert!(echoes(&udp(&lab.containers()[1], 0), at("192.168.137.1", 7)), "it asks for its gateway");
    assert!(goes_fast(&lab, 1));
    assert_eq!(said_of(1), json!([{ "address": "172.17.0.3", "path": "fast" }]));
    assert_eq!(members(&lab)[1]["path"], "fast");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn status_says_why_all_packets_of_an_uplink_or_a_member_go_through_the_stack() {
    let lab = lab(&Topology::default());
    let _echo = UdpEcho::start_at(lab.client(), at("0.0.0.0", 7)).unwrap();
    let on = ["attach", "ens33", "--fast-path", "on", "--hook", "tc"];
    let first = |lab: &Lab| json!([members(lab)[0]["path"], members(lab)[0]["why"]]);

    said(&lab, &["attach", "ens33", "--fast-path", "off"]);
    assert_eq!(uplink_paths(&lab), [json!(["stack", "off"])]);
    assert_eq!(first(&lab), json!(["stack", "no-uplink"]));
    assert!(!goes_fast(&lab, 0));
    let text = said(&lab, &["status"]);
    assert!(text.contains("stack: --fast-path off") && text.contains("stack: no uplink is fast"), "{text}");

    said(&lab, &on);
    assert!(goes_fast(&lab, 0));
    assert_eq!((uplink_paths(&lab), first(&lab)), (vec![json!(["fast", null])], json!(["fast", null])));

    let client = lab.client().name();
    ip(&lab, &format!("link add new0 type veth peer name eth7 netns {client}"));
    ip(&lab, "link add near0 type veth peer name near1");
    for name in ["new0", "near0"] {
        ip(&lab, &format!("link set {name} master docker0 up"));
    }
    assert_eq!(path_of(&lab, "new0"), json!(["stack", "no-program"]));
    assert_eq!(path_of(&lab, "near0"), json!(["stack", "no-veth"]));
    said(&lab, &on);
    assert_eq!(path_of(&lab, "new0"), json!(["stack", "not-announced"]));

    ip(&lab, "link set docker0 address 02:00:00:00:17:01");
    assert_eq!(first(&lab), json!(["stack", "gateway-changed"]));
    said(&lab, &on);
    assert_eq!(first(&lab), json!(["fast", null]));

    ip(&lab, &format!("link add ens34 type veth peer name eth8 netns {client}"));
    ip(&lab, "address add 10.9.9.1/24 dev ens34");
    ip(&lab, "link set ens34 up");
    said(&lab, &["attach", "ens34", "--fast-path", "off", "--hook", "tc"]);
    assert_eq!(uplink_paths(&lab), [json!(["fast", null]), json!(["stack", "off"])]);
    assert_eq!(first(&lab), json!(["stack", "bridge-off"]));
    said(&lab, &["detach", "ens34"]);

    lab.host().run(&["tc", "qdisc", "del", "dev", "ens33", "clsact"]).unwrap();
    assert_eq!(uplink_paths(&lab), [json!(["stack", "detached"])]);
}
