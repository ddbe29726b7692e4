//! Setting timeouts.

use std::{net::IpAddr, thread, time::Duration};

use lab::{Lab, Topology, ping};
use serde_json::Value;

use crate::support::{json, lab, said};

const UPLINK: &str = "ens33";

fn timeout(lab: &Lab, name: &str) -> Value {
    let timeouts = json(lab, &["timeouts"])["timeouts"].take();
    timeouts.as_array().unwrap().iter().find(|timeout| timeout["name"] == name).unwrap()["seconds"].clone()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_timeout_takes_effect_at_once_for_flows_that_are_there() {
    let topology = Topology::default();
    let lab = lab(&topology);
    said(&lab, &["attach", UPLINK]);
    assert!(ping(&lab.containers()[0], IpAddr::from(topology.uplinks[0].clients[0]), 1, 0.02).unwrap().complete());
    assert_eq!(said(&lab, &["flows", "--count"]).trim(), "1");
    let output = lab.netfwd(&["timeouts", "icmp=1"]).unwrap();
    assert_eq!(output.stdout, "icmp is 1 s, no longer 60 s\n");
    assert_eq!(output.stderr, "netfwd: warning: icmp=1 is below the 60 s of RFC 5508 REQ-2\n");
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(said(&lab, &["flows", "--count"]).trim(), "0");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn timeouts_are_listed_set_kept_and_reset() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", UPLINK]);
    assert_eq!(json(&lab, &["timeouts"])["timeouts"].as_array().unwrap().len(), 12);
    assert_eq!(
        said(&lab, &["timeouts", "udp=180", "other=30"]),
        "udp is 180 s, no longer 300 s\nother is 30 s, no longer 600 s\n"
    );
    assert_eq!(said(&lab, &["timeouts", "udp=180"]), "the timeouts are so already, nothing changed\n");
    assert_eq!(said(&lab, &["attach", UPLINK]), "already attached to ens33, nothing changed\n");
    assert_eq!((timeout(&lab, "udp"), timeout(&lab, "other")), (180.into(), 30.into()));
    said(&lab, &["timeouts", "--reset", "other=31"]);
    assert_eq!((timeout(&lab, "udp"), timeout(&lab, "other")), (300.into(), 31.into()));
    assert_eq!(said(&lab, &["timeouts", "--reset"]), "other is 600 s, no longer 31 s\n");
}
