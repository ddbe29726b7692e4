//! How host access comes and goes.

use std::{fs, net::SocketAddr, path::PathBuf};

use lab::{Lab, Output, Topology};
use netfwd_common::abi::names;
use serde_json::Value;

use super::{GATEWAY, Greeter, LOOPBACK, MAPPINGS, connect, hear, is_refused, listener, mapped};
use crate::support::{json, lab, linked_programs, path, pinned_ids, said, wait_until_freed};

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn host_access_can_be_left_out_and_added_later() {
    let topology = Topology::default();
    let lab = lab(&topology);
    let uplink = topology.uplinks[0].name.as_str();
    said(&lab, &["attach", uplink, "--no-host-access"]);
    said(&lab, &MAPPINGS);
    let _server = Greeter::start(listener(&lab.containers()[0], 80));
    assert_eq!(json(&lab, &["status"])["host_access"], "off");
    assert!(is_refused(lab.host(), (LOOPBACK, 8080).into()));
    assert!(said(&lab, &["attach", uplink]).contains("serves mapped ports to this host's own processes"));
    assert_eq!(json(&lab, &["status"])["host_access"], "on");
    assert_eq!(hear(lab.host(), (LOOPBACK, 8080).into()), GATEWAY.to_string());
    assert!(said(&lab, &["attach", uplink]).contains("nothing changed"));
    assert!(said(&lab, &["attach", uplink, "--no-host-access"]).contains("no longer"));
    assert!(is_refused(lab.host(), (LOOPBACK, 8080).into()));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn attaching_again_replaces_the_programs_of_another_build() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    let _server = Greeter::start(listener(&lab.containers()[0], 80));
    let pinned = |name: &str| lab.pin_dir().join("programs").join(name);
    let id = || json(&lab, &["status"])["programs"].as_array().unwrap().iter().find_map(id_of_connect).unwrap();
    // Any other program will do for one of another build.
    fs::remove_file(pinned("netfwd_connect4")).unwrap();
    let (other, path) = (pinned("netfwd_getpeername4"), pinned("netfwd_connect4"));
    let words = ["bpftool", "prog", "pin", "pinned", other.to_str().unwrap(), path.to_str().unwrap()];
    lab.host().run(&words).unwrap();
    assert!(said(&lab, &["attach", "ens33"]).contains("put the programs of this version in the place of"));
    assert!(linked_programs().contains(&id()));
    assert_eq!(hear(lab.host(), (LOOPBACK, 8080).into()), GATEWAY.to_string());
    let links = fs::read_dir(lab.pin_dir().join("links")).unwrap().count();
    assert!(said(&lab, &["attach", "ens33"]).contains("nothing changed"));
    assert_eq!(fs::read_dir(lab.pin_dir().join("links")).unwrap().count(), links);
}

fn id_of_connect(program: &Value) -> Option<u64> {
    if program["name"] == "netfwd_connect4" { program["id"].as_u64() } else { None }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn nothing_is_attached_after_detach() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    let of_host_access = |path: &PathBuf| names::HOST_ACCESS.iter().any(|name| path.ends_with(name));
    let links = fs::read_dir(lab.pin_dir().join("links")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(links.filter(of_host_access).count(), names::HOST_ACCESS.len());
    let programs = pinned_ids(&lab.pin_dir().join("programs"), "prog");
    let linked = linked_programs();
    assert!(programs.iter().filter(|id| linked.contains(id)).count() >= names::HOST_ACCESS.len());
    let _server = Greeter::start(listener(&lab.containers()[0], 80));
    said(&lab, &["detach", "--all"]);
    wait_until_freed("prog", &programs);
    assert!(is_refused(lab.host(), (LOOPBACK, 8080).into()));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_new_address_of_the_host_is_served_after_the_next_change() {
    let topology = Topology::default();
    let lab = mapped(&topology);
    let _server = Greeter::start(listener(&lab.containers()[0], 80));
    let target: SocketAddr = "192.168.137.105:8080".parse().unwrap();
    lab.host().run(&["ip", "address", "add", "192.168.137.105/24", "dev", "ens33"]).unwrap();
    said(&lab, &["map", "9090:172.17.0.2:90"]);
    assert_eq!(hear(lab.host(), target), GATEWAY.to_string());
    lab.host().run(&["ip", "address", "delete", "192.168.137.105/24", "dev", "ens33"]).unwrap();
    said(&lab, &["unmap", "9090"]);
    assert!(connect(lab.host(), target).is_err(), "it is another host's now");
}

/// Runs netfwd where the cgroup file systems are hidden.
fn without_cgroups(lab: &Lab, arguments: &[&str]) -> Output {
    let (netfwd, pin_dir) = (path(), format!("NETFWD_PIN_DIR={}", lab.pin_dir().display()));
    let hide = "umount -l /sys/fs/cgroup && exec \"$0\" \"$@\"";
    let words = ["unshare", "--mount", "env", &pin_dir, "sh", "-c", hide, netfwd.to_str().unwrap()];
    lab.host().run(&[&words, arguments].concat()).unwrap()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn without_cgroup2_attach_says_so_and_goes_on() {
    let lab = lab(&Topology::default());
    let Output { stdout, stderr, .. } = without_cgroups(&lab, &["attach", "ens33"]);
    assert!(stderr.contains("no cgroup2 file system is mounted"), "{stderr}");
    assert!(stdout.contains("attached to ens33"), "{stdout}");
    assert_eq!(json(&lab, &["status"])["host_access"], "off");
    let Output { stderr, .. } = without_cgroups(&lab, &["attach", "ens33", "--no-host-access"]);
    assert_eq!(stderr, "", "it was not asked for");
}
