//! Connections end by time, in the kernel alone.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use aya::maps::{Array, Map, MapData};
use lab::{Lab, Topology, UdpEcho};
use netfwd_common::abi::{Settings, names};

use super::{attached, client, echoes, udp};
use crate::support::{json, said};

/// The reaper looks at every slot within 10 seconds.
const ROUND: Duration = Duration::from_secs(20);

fn pinned(lab: &Lab, name: &str) -> MapData {
    MapData::from_pin(Path::new(lab.pin_dir()).join("maps").join(name)).unwrap()
}

fn set_udp_timeout(lab: &Lab, timeout: Duration) {
    let mut map: Array<_, Settings> = Map::Array(pinned(lab, names::SETTINGS)).try_into().unwrap();
    let mut settings = map.get(&0, 0).unwrap();
    settings.timeouts.udp = timeout.as_nanos().try_into().unwrap();
    map.set(0, settings, 0).unwrap();
}

/// Index entries, according to bpftool.
fn tuples(lab: &Lab) -> usize {
    let path = lab.pin_dir().join("maps").join(names::TUPLES);
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
    assert_eq!(tuples(&lab), 4);
    assert_ne!(server.peers()[1].port(), 5353, "the port is taken");

    set_udp_timeout(&lab, Duration::from_millis(50));
    thread::sleep(Duration::from_millis(100));
    assert_eq!(said(&lab, &["flows", "--count"]).trim(), "0");
    // Whether or not it is removed already, its port is free.
    assert!(echoes(&second, target));
    assert_eq!(server.peers()[2].port(), 5353);

    let deadline = Instant::now() + ROUND;
    while tuples(&lab) > 0 {
        assert!(Instant::now() < deadline, "the reaper left {} tuples", tuples(&lab));
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(json(&lab, &["stats"])["flows"]["expired"], 3);
    assert!(lab.host().pids().unwrap().is_empty());
}
