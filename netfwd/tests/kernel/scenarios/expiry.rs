//! Connections end by time, in the kernel alone.

use std::{
    thread,
    time::{Duration, Instant},
};

use lab::{Lab, Topology, UdpEcho};
use netfwd_common::abi::names;

use super::{attached, client, echoes, udp};
use crate::support::{json, said};

/// The reaper looks at every slot within 10 seconds.
const ROUND: Duration = Duration::from_secs(20);

/// Index entries, according to bpftool.
fn tuples(lab: &Lab) -> usize {
    let path = lab.pin_dir().join("maps").join(names::V4_MAPS.tuples);
    let dump = lab.host().run(&["bpftool", "--json", "map", "dump", "pinned", path.to_str().unwrap()]).unwrap();
    serde_json::from_str::<serde_json::Value>(&dump.stdout).unwrap().as_array().unwrap().len()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_expired_flow_matches_nothing_and_the_kernel_removes_it() {
    let topology = Topology::default();
    let lab = attached(&topology);
    let server = UdpEcho::start(lab.client(), 53).unwrap();
    let target = (client(&topology), 53).into();
    let [first, second] = [0, 1].map(|number| udp(&lab.containers()[number], 5353));
    assert!(echoes(&first, target) && echoes(&second, target));
    assert_eq!(tuples(&lab), 8, "two of each connection, and two of the binding that it holds");
    assert_ne!(server.peers()[1].port(), 5353, "the port is taken");

    said(&lab, &["timeouts", "udp=1"]);
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(said(&lab, &["flows", "--count"]).trim(), "0");
    // Its port goes to nobody else for a while.
    assert!(echoes(&second, target));
    assert_eq!(server.peers()[2], server.peers()[1]);

    let deadline = Instant::now() + ROUND;
    while tuples(&lab) > 4 {
        assert!(Instant::now() < deadline, "the reaper left {} tuples", tuples(&lab));
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(json(&lab, &["stats"])["flows"]["expired"], 3);
    assert!(lab.host().pids().unwrap().is_empty());
}
