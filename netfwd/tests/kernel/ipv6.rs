//! Attaching with IPv6 subnets: what is masqueraded, and the host's switches.

use std::fs;

use lab::{Lab, Topology};
use serde_json::json;

use crate::support::{json, lab, said, turn_on_ipv6};

const UPLINK: &str = "ens33";

/// A host whose uplink and bridge have IPv6 addresses.
fn host() -> Lab {
    let lab = lab(&Topology::default());
    turn_on_ipv6(&lab);
    for (interface, address) in [(UPLINK, "2001:db8::1/64"), ("docker0", "fd00:1::1/64")] {
        lab.host().run(&["ip", "address", "add", address, "dev", interface, "nodad"]).unwrap();
    }
    lab.host().sysctl("net/ipv6/conf/all/forwarding", "0").unwrap();
    lab.host().sysctl("net/ipv6/conf/ens33/accept_ra", "1").unwrap();
    lab
}

fn switch(lab: &Lab, name: &str) -> String {
    let path = format!("/proc/sys/net/ipv6/conf/{name}");
    lab.host().enter(|| fs::read_to_string(path)).unwrap().unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn both_families_are_masqueraded_and_the_host_goes_on_hearing_routers() {
    let lab = host();
    let told = said(&lab, &["attach", UPLINK]);
    let expected = "masquerades 172.17.0.0/16 (docker0) as 192.168.137.104\n\
                    masquerades fd00:1::/64 (docker0) as 2001:db8::1\n\
                    turned on net.ipv4.ip_forward\n\
                    set net.ipv6.conf.ens33.accept_ra=2, so that router advertisements are still heard\n\
                    turned on net.ipv6.conf.all.forwarding\n";
    assert!(told.ends_with(expected), "{told}");
    assert_eq!((switch(&lab, "all/forwarding"), switch(&lab, "ens33/accept_ra")), ("1".to_owned(), "2".to_owned()));
    assert_eq!(said(&lab, &["attach", UPLINK]), "already attached to ens33, nothing changed\n");
    let status = json(&lab, &["status"]);
    assert_eq!(status["ipv6_forward"], true);
    let subnet = &status["uplinks"][0]["subnets"][1];
    let told = (&subnet["subnet"], &subnet["address"], &subnet["bridge"]);
    assert_eq!(told, (&json!("fd00:1::/64"), &json!("2001:db8::1"), &json!("docker0")));

    assert_eq!(
        said(&lab, &["attach", UPLINK, "--subnet", "172.17.0.0/16"]),
        "no longer masquerades fd00:1::/64 (docker0)\n"
    );
    said(&lab, &["detach", UPLINK]);
    assert!(!lab.pin_dir().exists());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn switches_stay_where_no_ipv6_is_masqueraded_and_where_routers_are_not_heard() {
    let lab = host();
    said(&lab, &["attach", UPLINK, "--subnet", "172.17.0.0/16"]);
    assert_eq!((switch(&lab, "all/forwarding"), switch(&lab, "ens33/accept_ra")), ("0".to_owned(), "1".to_owned()));
    lab.host().sysctl("net/ipv6/conf/ens33/accept_ra", "0").unwrap();
    said(&lab, &["attach", UPLINK]);
    assert_eq!((switch(&lab, "all/forwarding"), switch(&lab, "ens33/accept_ra")), ("1".to_owned(), "0".to_owned()));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn another_interface_that_loses_its_routers_is_told() {
    let lab = host();
    let add = |words: &str| lab.host().run(&words.split(' ').collect::<Vec<_>>()).unwrap();
    add("ip link add eth7 type veth peer name eth8");
    add("ip link set dev eth7 up");
    add("ip address add 2001:db8:7::1/64 dev eth7 nodad valid_lft 3600 preferred_lft 1800");
    lab.host().sysctl("net/ipv6/conf/eth7/accept_ra", "1").unwrap();
    let warning = lab.netfwd(&["attach", UPLINK]).unwrap().stderr;
    let expected = "netfwd: warning: eth7 does not hear router advertisements any more, from which its IPv6 comes: run \
                    `sysctl -w net.ipv6.conf.eth7.accept_ra=2`\n";
    assert_eq!(warning, expected);
    assert_eq!(lab.netfwd(&["attach", UPLINK]).unwrap().stderr, "");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_address_is_a_lasting_one_that_is_unique_in_the_world_unless_given() {
    let lab = host();
    let add = |address: &str, more: &[&str]| {
        lab.host().run(&[&["ip", "address", "add", address, "dev", UPLINK, "nodad"], more].concat()).unwrap();
    };
    add("fd00:9::1/64", &[]);
    add("2001:db8::dead/64", &["preferred_lft", "0"]);
    let address = || json(&lab, &["status"])["uplinks"][0]["subnets"][1]["address"].clone();
    said(&lab, &["attach", UPLINK]);
    assert_eq!(address(), "2001:db8::1");
    let told = said(&lab, &["attach", UPLINK, "--address", "fd00:9::1", "--address", "192.168.137.104"]);
    assert_eq!(told, "masquerades fd00:1::/64 (docker0) as fd00:9::1, no longer as 2001:db8::1\n");
    lab.host().run(&["ip", "address", "delete", "2001:db8::1/64", "dev", UPLINK]).unwrap();
    assert_eq!(said(&lab, &["attach", UPLINK]), "already attached to ens33, nothing changed\n");
    assert_eq!(address(), "fd00:9::1");
}
