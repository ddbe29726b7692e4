//! Attaching and detaching on a real host, judged by bpftool, tc, ls and by real traffic.

use std::{fs, net::IpAddr, process::Command};

use ipnet::Ipv4Net;
use lab::{Lab, Topology, Uplink, ping};
use netfwd::datapath::load;
use netfwd_common::abi::names;

use crate::support::{json, lab, linked_programs, netfwd, pinned_ids, refused, said, wait_until_freed};

const UPLINK: &str = "ens33";
const FIRST: &str = "attached to ens33 (ifindex 2) with ";
const MASQUERADES: &str = "masquerades 172.17.0.0/16 (docker0) as 192.168.137.104\n";

fn pings(lab: &Lab, topology: &Topology) -> bool {
    let client = IpAddr::from(topology.uplinks[0].clients[0]);
    ping(&lab.containers()[0], client, 3, 0.02).unwrap().complete()
}

fn tc(lab: &Lab, what: &[&str]) -> String {
    lab.host().run(&[&["tc"], what].concat()).unwrap().stdout
}

fn flow_count(lab: &Lab) -> u64 {
    json(lab, &["flows", "--count"])["count"].as_u64().unwrap()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn attach_masquerades_and_nat_goes_on_without_a_process() {
    let topology = Topology::default();
    let lab = lab(&topology);
    assert!(!pings(&lab, &topology));
    let said = said(&lab, &["attach", UPLINK]);
    assert!(said.starts_with(FIRST), "{said}");
    assert!(said.ends_with(&format!("{MASQUERADES}turned on net.ipv4.ip_forward\n")), "{said}");
    assert!(lab.host().pids().unwrap().is_empty());
    assert!(pings(&lab, &topology));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn attaching_again_changes_nothing_and_drops_no_flow() {
    let topology = Topology::default();
    let lab = lab(&topology);
    said(&lab, &["attach", UPLINK]);
    assert!(pings(&lab, &topology));
    let (status, flows) = (json(&lab, &["status"]), flow_count(&lab));
    assert!(flows > 0);
    assert_eq!(said(&lab, &["attach", UPLINK]), "already attached to ens33, nothing changed\n");
    let again = json(&lab, &["status"]);
    assert_eq!((&again["programs"], &again["uplinks"]), (&status["programs"], &status["uplinks"]));
    assert_eq!(flow_count(&lab), flows);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn attaching_with_other_arguments_applies_the_difference() {
    let topology = Topology::default();
    let lab = lab(&topology);
    said(&lab, &["attach", UPLINK]);
    assert!(pings(&lab, &topology));
    let flows = flow_count(&lab);

    let more = said(&lab, &["attach", UPLINK, "--bridge", "docker0", "--subnet", "10.88.0.0/24"]);
    assert_eq!(more, "masquerades 10.88.0.0/24 as 192.168.137.104\n");
    let ports = said(&lab, &["attach", UPLINK, "--ports", "20000-30000"]);
    assert!(ports.contains("chooses from ports 20000-30000 for 172.17.0.0/16 (docker0)\n"), "{ports}");
    assert!(ports.ends_with("no longer masquerades 10.88.0.0/24\n"), "{ports}");
    assert_eq!(flow_count(&lab), flows, "compatible changes end no flow");

    lab.host().run(&["ip", "address", "add", "192.168.137.105/24", "dev", UPLINK]).unwrap();
    let moved = said(&lab, &["attach", UPLINK, "--address", "192.168.137.105", "--ports", "20000-30000"]);
    let expected = "masquerades 172.17.0.0/16 (docker0) as 192.168.137.105, no longer as 192.168.137.104\n";
    assert_eq!(moved, expected);
    assert_eq!(flow_count(&lab), 0, "another address ends the flows");
    assert!(pings(&lab, &topology));

    said(&lab, &["attach", UPLINK, "--subnet", "10.88.0.0/24"]);
    assert_eq!(flow_count(&lab), 0, "a subnet that goes ends its flows");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn detach_leaves_nothing_behind() {
    for hook in ["auto", "tc"] {
        let topology = Topology::default();
        let lab = lab(&topology);
        said(&lab, &["attach", UPLINK, "--hook", hook]);
        said(&lab, &["map", "8080:172.17.0.2:80"]);
        assert!(pings(&lab, &topology));
        let programs = pinned_ids(&lab.pin_dir().join("programs"), "prog");
        let maps = pinned_ids(&lab.pin_dir().join("maps"), "map");
        assert_eq!((programs.len(), maps.len()), (load::programs().count(), names::MAPS.len()));

        let detached = said(&lab, &["detach", UPLINK]);
        assert!(detached.starts_with("detached from ens33\nremoved everything in "), "{detached}");
        assert!(!lab.pin_dir().exists());
        assert!(!tc(&lab, &["qdisc", "show"]).contains("clsact"));
        assert!(linked_programs().iter().all(|linked| !programs.contains(linked)));
        wait_until_freed("prog", &programs);
        wait_until_freed("map", &maps);

        assert_eq!(said(&lab, &["detach", UPLINK]), "not attached to ens33, nothing changed\n");
        assert_eq!(said(&lab, &["detach", "--all"]), "not attached, nothing changed\n");
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn moving_to_the_other_hook_keeps_flows_and_leaves_the_first_one() {
    let topology = Topology::default();
    let lab = lab(&topology);
    said(&lab, &["attach", UPLINK]);
    assert!(pings(&lab, &topology));
    let flows = flow_count(&lab);
    said(&lab, &["attach", UPLINK, "--hook", "tc"]);
    let links = fs::read_dir(lab.pin_dir().join("links")).unwrap().map(|entry| entry.unwrap().path());
    let mut of_interfaces = links.filter(|path| !names::HOST_ACCESS.iter().any(|name| path.ends_with(name)));
    assert!(of_interfaces.all(|path| path.to_str().unwrap().ends_with("-clsact")), "only the marks of clsact");
    assert!(tc(&lab, &["filter", "show", "dev", UPLINK, "egress"]).contains("netfwd_egress"));
    assert_eq!(flow_count(&lab), flows);
    assert!(pings(&lab, &topology));
    assert_eq!(said(&lab, &["attach", UPLINK]), "already attached to ens33, nothing changed\n");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn detach_leaves_what_others_made() {
    let lab = lab(&Topology::default());
    tc(&lab, &["qdisc", "add", "dev", UPLINK, "clsact"]);
    said(&lab, &["attach", UPLINK, "--hook", "tc"]);
    said(&lab, &["detach", "--all"]);
    assert!(tc(&lab, &["qdisc", "show", "dev", UPLINK]).contains("clsact"), "it was there before");
    tc(&lab, &["qdisc", "del", "dev", UPLINK, "clsact"]);

    said(&lab, &["attach", UPLINK, "--hook", "tc"]);
    let program = lab.pin_dir().join("programs/netfwd_reaper");
    let other = ["filter", "add", "dev", UPLINK, "egress", "prio", "9", "bpf", "da", "pinned"];
    tc(&lab, &[&other[..], &[program.to_str().unwrap()]].concat());
    said(&lab, &["detach", "--all"]);
    let filters = tc(&lab, &["filter", "show", "dev", UPLINK, "egress"]);
    assert!(filters.contains("netfwd_reaper") && !filters.contains("netfwd_egress"), "{filters}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn each_uplink_is_attached_and_detached_on_its_own() {
    let mut topology = Topology::default();
    topology.uplinks.push(Uplink {
        name: "ens34".to_owned(),
        address: Ipv4Net::new([10, 9, 0, 1].into(), 24).unwrap(),
        clients: vec![[10, 9, 0, 2].into()],
        ..Uplink::default()
    });
    let lab = lab(&topology);
    said(&lab, &["attach", UPLINK]);
    said(&lab, &["attach", "ens34"]);
    assert!(pings(&lab, &topology));
    assert!(ping(&lab.containers()[0], [10, 9, 0, 2].into(), 2, 0.02).unwrap().complete());
    assert_eq!(said(&lab, &["detach", "ens34"]), "detached from ens34\n");
    assert!(pings(&lab, &topology));

    said(&lab, &["attach", "ens34"]);
    lab.host().run(&["ip", "link", "delete", UPLINK]).unwrap();
    assert_eq!(said(&lab, &["attach", "ens34"]), "forgot the uplink ifindex 2 (gone)\n");
    assert!(said(&lab, &["detach", "ens34"]).contains("removed everything"));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_second_netfwd_is_refused() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", UPLINK]);
    let other = lab.pin_dir().with_file_name("netfwd-lab-other");
    let message = refused(&lab, &["attach", UPLINK, "--pin-dir", other.to_str().unwrap()], 1);
    assert!(message.contains("of another netfwd on its ingress: detach that one"), "{message}");
    assert!(!other.exists());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_pin_directory_without_the_bpf_file_system_gets_it_until_detach() {
    let lab = lab(&Topology::default());
    let directory = tempfile::tempdir().unwrap();
    let pins = directory.path().join("pins");
    let arguments = |verb| [verb, UPLINK, "--pin-dir", pins.to_str().unwrap()].map(str::to_owned);
    let run = |verb| {
        let arguments = arguments(verb);
        said(&lab, &arguments.each_ref().map(String::as_str))
    };
    run("attach");
    assert!(fs::read_to_string("/proc/mounts").unwrap().contains(pins.to_str().unwrap()));
    assert_eq!(run("attach"), "already attached to ens33, nothing changed\n");
    run("detach");
    assert!(!fs::read_to_string("/proc/mounts").unwrap().contains(pins.to_str().unwrap()));
    assert!(!pins.exists());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn status_shows_the_uplink_and_its_subnets() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", UPLINK, "--max-flows", "1000"]);
    let status = json(&lab, &["status"]);
    let uplink = &status["uplinks"][0];
    assert_eq!(uplink["interface"]["name"], UPLINK);
    assert_eq!(uplink["attachments"].as_array().unwrap().len(), 2);
    assert_eq!(uplink["subnets"][0]["subnet"], "172.17.0.0/16");
    assert_eq!(uplink["subnets"][0]["bridge"], "docker0");
    assert_eq!(uplink["subnets"][0]["address"], "192.168.137.104");
    let maps = status["maps"].as_array().unwrap();
    let size = |name| maps.iter().find(|map| map["name"] == name).unwrap()["max_entries"].as_u64().unwrap();
    assert_eq!((size("CONNECTIONS_V4"), size("TUPLES_V4"), size("FREE_SLOTS_V4")), (1000, 2000, 1000));
    assert!(status["memory_bytes"].as_u64().unwrap() > 100_000);
    let text = said(&lab, &["status"]);
    assert!(text.contains("172.17.0.0/16  docker0  192.168.137.104  1024-65535"), "{text}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn processes_that_change_at_the_same_time_wait_for_each_other() {
    let lab = lab(&Topology::default());
    let start = |verb: &'static str| {
        let mut command: Command = lab.host().command(netfwd().get_program()).unwrap();
        command.args([verb, UPLINK]).env("NETFWD_PIN_DIR", lab.pin_dir());
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut children: Vec<_> = ["attach", "attach", "detach", "attach", "detach", "attach"].map(start).into();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    said(&lab, &["attach", UPLINK]);
    assert_eq!(json(&lab, &["status"])["uplinks"][0]["attachments"].as_array().unwrap().len(), 2);
    said(&lab, &["detach", "--all"]);
    assert!(!lab.pin_dir().exists());
}
