//! What the options of attach come to in the maps, and that changing them keeps flows.

use std::{env, net::IpAddr};

use lab::{Lab, Topology, ping};
use serde_json::{Value, json};

use crate::support::{json, lab, said};

const UPLINK: &str = "ens33";
const OPTIONS: [&str; 17] = [
    "attach",
    UPLINK,
    "--ports",
    "20000-30000,40000-40999",
    "--parity",
    "--filtering",
    "endpoint",
    "--max-ports-per-source",
    "100",
    "--clamp-mss",
    "mtu",
    "--pick-up",
    "--fast-path",
    "off",
    "--no-host-access",
    "--no-masquerade",
    "10.0.0.0/8",
];

fn uplink(lab: &Lab) -> Value {
    json(lab, &["status"])["uplinks"][0].take()
}

fn flow_count(lab: &Lab) -> u64 {
    json(lab, &["flows", "--count"])["count"].as_u64().unwrap()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn options_are_kept_and_what_is_not_given_is_usual_again() {
    let topology = Topology::default();
    let lab = lab(&topology);
    said(&lab, &["attach", UPLINK]);
    let usual = uplink(&lab);
    let expected = json!({
        "ports": [{ "first": 1024, "last": 65535 }],
        "parity": false,
        "filtering": "address-and-port",
        "max_ports_per_source": null,
        "max_segment": { "ipv4": null, "ipv6": null },
        "pick_up": false,
        "fast_path": env::var("NETFWD_FAST_PATH").map_or(true, |value| value == "on"),
        "isolation": null,
    });
    assert_eq!((&usual["options"], &usual["exclusions"]), (&expected, &json!([])));
    assert!(ping(&lab.containers()[0], IpAddr::from(topology.uplinks[0].clients[0]), 2, 0.02).unwrap().complete());
    let flows = flow_count(&lab);

    let told = said(&lab, &OPTIONS);
    assert!(told.contains("filters by endpoint on ens33\n"), "{told}");
    assert!(!told.contains("filters by endpoint on docker0\n"), "bindings are an uplink's: {told}");
    assert!(told.contains("does not masquerade what goes to 10.0.0.0/8\n"), "{told}");
    let expected = json!({
        "ports": [{ "first": 20000, "last": 30000 }, { "first": 40000, "last": 40999 }],
        "parity": true,
        "filtering": "endpoint",
        "max_ports_per_source": 100,
        "max_segment": { "ipv4": 1460, "ipv6": 1440 },
        "pick_up": true,
        "fast_path": false,
        "isolation": null,
    });
    let chosen = uplink(&lab);
    assert_eq!((&chosen["options"], &chosen["exclusions"]), (&expected, &json!(["10.0.0.0/8"])));
    assert_eq!(chosen["subnets"][0]["port_first"], 20000);
    assert_eq!(chosen["subnets"][0]["port_last"], 40999);
    assert_eq!(said(&lab, &OPTIONS), "already attached to ens33, nothing changed\n");
    let text = said(&lab, &["status"]);
    assert!(text.contains("endpoint"), "{text}");

    said(&lab, &["attach", UPLINK]);
    assert_eq!(uplink(&lab), usual);
    assert_eq!(flow_count(&lab), flows, "options end no flow");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn segments_are_clamped_to_the_mtu_of_the_moment_or_to_a_size() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", UPLINK, "--clamp-mss", "1200"]);
    assert_eq!(uplink(&lab)["options"]["max_segment"], json!({ "ipv4": 1200, "ipv6": 1220 }));
    lab.host().run(&["ip", "link", "set", "dev", UPLINK, "mtu", "1400"]).unwrap();
    let told = said(&lab, &["attach", UPLINK, "--clamp-mss", "mtu"]);
    assert!(told.contains("limits TCP segments to 1360 bytes over IPv4 and 1340 over IPv6 on ens33\n"), "{told}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn exclusions_are_applied_as_a_difference() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", UPLINK, "--no-masquerade", "10.0.0.0/8", "--no-masquerade", "10.1.0.0/16"]);
    let told = said(&lab, &["attach", UPLINK, "--no-masquerade", "10.1.0.0/16", "--no-masquerade", "fd00::/8"]);
    let expected = "masquerades what goes to 10.0.0.0/8 again\ndoes not masquerade what goes to fd00::/8\n";
    assert_eq!(told, expected);
    assert_eq!(uplink(&lab)["exclusions"], json!(["10.1.0.0/16", "fd00::/8"]));
    let maps = json(&lab, &["status"])["maps"].take();
    let entries = |name| maps.as_array().unwrap().iter().find(|map| map["name"] == name).unwrap()["entries"].clone();
    assert_eq!((entries("EXCLUSIONS_V4"), entries("EXCLUSIONS_V6")), (json!(1), json!(1)));
    said(&lab, &["detach", UPLINK]);
    assert!(!lab.pin_dir().exists());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_masquerade_whose_address_is_gone_is_told_and_moves_when_attached_again() {
    let topology = Topology::default();
    let lab = lab(&topology);
    said(&lab, &["attach", UPLINK]);
    assert!(ping(&lab.containers()[0], IpAddr::from(topology.uplinks[0].clients[0]), 2, 0.02).unwrap().complete());
    assert_eq!(uplink(&lab)["subnets"][0]["address_present"], true);
    assert!(flow_count(&lab) > 0);

    lab.host().run(&["ip", "address", "add", "192.168.137.105/24", "dev", UPLINK]).unwrap();
    lab.host().sysctl("net/ipv4/conf/ens33/promote_secondaries", "1").unwrap();
    lab.host().run(&["ip", "address", "delete", "192.168.137.104/24", "dev", UPLINK]).unwrap();
    assert_eq!(uplink(&lab)["subnets"][0]["address_present"], false);
    let text = said(&lab, &["status"]);
    assert!(text.contains("192.168.137.104 (gone)") && text.contains("an address of ens33 is gone: attach"), "{text}");

    let told = said(&lab, &["attach", UPLINK]);
    let expected = "masquerades 172.17.0.0/16 (docker0) as 192.168.137.105, no longer as 192.168.137.104\n";
    assert_eq!(told, expected);
    assert_eq!(flow_count(&lab), 0, "its flows end at once");
    assert!(ping(&lab.containers()[0], IpAddr::from(topology.uplinks[0].clients[0]), 2, 0.02).unwrap().complete());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn of_ipv6_flows_there_is_room_for_a_quarter_unless_given() {
    for (more, expected) in [(&[][..], 250), (&["--max-flows6", "77"], 77)] {
        let lab = lab(&Topology::default());
        let line = [&["attach", UPLINK, "--max-flows", "1000"], more].concat();
        said(&lab, &line);
        let flows = json(&lab, &["stats"])["flows"].take();
        assert_eq!((&flows["ipv4"]["maximum"], &flows["ipv6"]["maximum"]), (&json!(1000), &json!(expected)));
        assert_eq!(said(&lab, &line), "already attached to ens33, nothing changed\n");
        assert_eq!(
            said(&lab, &["attach", UPLINK, "--max-flows", "1000"]),
            "already attached to ens33, nothing changed\n"
        );
    }
}
