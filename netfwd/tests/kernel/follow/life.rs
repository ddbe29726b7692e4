//! The process itself: it waits for attaches, and nothing depends on it.

use std::{process::Stdio, thread, time::Duration};

use lab::Topology;
use nix::sys::signal::Signal;

use super::{Conversations, UPLINK, V4, V6, address, at, followed, ip_batch};
use crate::{
    sockets::PATIENCE,
    support::{lab, path, said},
};

/// It looks for attaches by others every 5 seconds.
const NEXT_LOOK: Duration = Duration::from_secs(10);

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn without_an_uplink_it_waits_for_one() {
    let lab = lab(&Topology::default());
    let mut follower = lab.spawn_netfwd(&["run"]).unwrap();
    follower.wait_for_line("nothing is attached: waits for `netfwd attach IFACE`", PATIENCE).unwrap();
    said(&lab, &["attach", UPLINK]);
    follower.wait_for_line("follows ens33", NEXT_LOOK).unwrap();
    said(&lab, &["detach", UPLINK]);
    follower.wait_for_line("nothing is attached any more: waits for `netfwd attach IFACE`", NEXT_LOOK).unwrap();
    assert!(!lab.pin_dir().exists());
    assert_eq!(follower.stderr().unwrap(), "");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn nat_goes_on_when_it_ends_or_is_killed() {
    let (lab, mut follower) = followed();
    let mut flows = [V4, V6].map(|family| Conversations::begin(&lab, 0, at(family.client, 7)));
    let mut go_on = || flows.iter_mut().all(|flows| flows.tcp_goes_on() && flows.udp_goes_on());
    follower.signal(Signal::SIGKILL).unwrap();
    assert!(!follower.wait(PATIENCE).unwrap().status.success());
    assert!(go_on());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut follower = lab.spawn_netfwd(&["run"]).unwrap();
        follower.wait_for_line("follows ens33, ens34", PATIENCE).unwrap();
        follower.signal(signal).unwrap();
        assert_eq!(follower.wait(PATIENCE).unwrap().status.code(), Some(0));
        assert!(go_on());
    }
    assert_eq!(said(&lab, &["attach", UPLINK]), "already attached to ens33, nothing changed\n");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_was_missed_while_it_did_not_run_is_made_up_for_at_its_start() {
    let (lab, follower) = followed();
    drop(follower);
    ip_batch(&lab, &[address("delete", V4.old, &V4), address("add", V4.new, &V4)]);
    let mut follower = lab.spawn_netfwd(&["run"]).unwrap();
    follower.wait_for_line(&format!("as {}, no longer as {}", V4.new, V4.old), PATIENCE).unwrap();
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_pins_of_another_network_namespace_are_left_alone() {
    let (lab, _follower) = followed();
    let mut stranger = lab.client().command(path()).unwrap();
    stranger.args(["run", "--pin-dir"]).arg(lab.pin_dir());
    let mut stranger = stranger.stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(500));
    stranger.kill().unwrap();
    let output = stranger.wait_with_output().unwrap();
    let said_there = String::from_utf8(output.stderr).unwrap();
    assert!(said_there.contains("belongs to another network namespace: use `nsenter"), "{said_there}");
    assert_eq!(said(&lab, &["attach", UPLINK]), "already attached to ens33, nothing changed\n");
}
