//! The program on the ingress of bridges that have a masqueraded subnet.

use ipnet::Ipv4Net;
use lab::{Bridge, Lab, Topology, Uplink};

use crate::support::{json, lab, linked_programs, pinned_ids, said};

const UPLINK: &str = "ens33";

fn topology() -> Topology {
    let mut topology = Topology::default();
    topology.bridges.push(Bridge {
        name: "br1".to_owned(),
        address: Ipv4Net::new([172, 18, 0, 1].into(), 16).unwrap(),
        containers: vec![[172, 18, 0, 2].into()],
        ipv6: None,
    });
    topology.uplinks.push(Uplink {
        name: "ens34".to_owned(),
        address: Ipv4Net::new([10, 9, 0, 1].into(), 24).unwrap(),
        clients: vec![[10, 9, 0, 2].into()],
        ipv6: None,
        router: None,
    });
    topology
}

/// The names of the bridges that have the program, according to status.
fn bridges(lab: &Lab) -> Vec<String> {
    let status = json(lab, &["status"]);
    let attached = status["bridges"].as_array().unwrap().iter().filter(|bridge| {
        let attachments = bridge["attachments"].as_array().unwrap();
        attachments.len() == 1 && attachments[0]["direction"] == "ingress"
    });
    attached.map(|bridge| bridge["interface"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_bridge_has_the_program_while_an_uplink_masquerades_a_subnet_of_it() {
    let lab = lab(&topology());
    let told = said(&lab, &["attach", UPLINK, "--bridge", "docker0"]);
    assert!(told.contains("\nattached to docker0 (ifindex "), "{told}");
    assert_eq!(bridges(&lab), ["docker0"]);
    assert_eq!(said(&lab, &["attach", UPLINK, "--bridge", "docker0"]), "already attached to ens33, nothing changed\n");

    let told = said(&lab, &["attach", UPLINK]);
    assert!(told.starts_with("attached to br1 (ifindex "), "{told}");
    assert_eq!(bridges(&lab), ["docker0", "br1"]);

    // A subnet that contains the bridge's is one of the bridge's, too.
    let told = said(&lab, &["attach", UPLINK, "--bridge", "br1", "--subnet", "172.17.0.0/24"]);
    assert!(!told.contains("detached"), "{told}");
    let told = said(&lab, &["attach", UPLINK, "--bridge", "br1"]);
    assert!(told.ends_with("detached from docker0\n"), "{told}");
    assert_eq!(bridges(&lab), ["br1"]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_bridge_of_two_uplinks_keeps_the_program_until_the_last_one_goes() {
    let lab = lab(&topology());
    said(&lab, &["attach", UPLINK, "--bridge", "docker0", "--filtering", "endpoint"]);
    said(&lab, &["attach", "ens34", "--filtering", "address", "--pick-up"]);
    let status = json(&lab, &["status"]);
    assert_eq!(status["bridges"][0]["options"]["pick_up"], true, "the last attach's");
    let filtering = status["uplinks"].as_array().unwrap().iter().map(|uplink| &uplink["options"]["filtering"]);
    assert_eq!(filtering.collect::<Vec<_>>(), ["endpoint", "address"], "bindings filter as their uplink does");
    said(&lab, &["detach", "ens34"]);
    assert_eq!(bridges(&lab), ["docker0"]);
    said(&lab, &["detach", UPLINK]);
    assert!(!lab.pin_dir().exists());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn bridges_are_left_by_detach_with_either_hook() {
    for hook in ["auto", "tc"] {
        let lab = lab(&topology());
        said(&lab, &["attach", UPLINK, "--hook", hook]);
        assert_eq!(bridges(&lab), ["docker0", "br1"], "{hook}");
        if hook == "tc" {
            let filters = lab.host().run(&["tc", "filter", "show", "dev", "docker0", "ingress"]).unwrap().stdout;
            assert!(filters.contains("netfwd_bridge"), "{filters}");
        }
        let programs = pinned_ids(&lab.pin_dir().join("programs"), "prog");
        said(&lab, &["detach", "--all"]);
        assert!(linked_programs().iter().all(|linked| !programs.contains(linked)));
        assert!(!lab.host().run(&["tc", "qdisc", "show"]).unwrap().stdout.contains("clsact"));
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_bridge_that_is_gone_is_forgotten_and_one_that_becomes_an_uplink_changes_its_role() {
    let lab = lab(&topology());
    said(&lab, &["attach", UPLINK]);
    lab.host().run(&["ip", "link", "delete", "br1"]).unwrap();
    said(&lab, &["attach", UPLINK]);
    assert_eq!(bridges(&lab), ["docker0"]);

    let told = said(&lab, &["attach", "docker0", "--subnet", "10.77.0.0/24"]);
    assert!(told.starts_with("attached to docker0 (ifindex "), "{told}");
    let status = json(&lab, &["status"]);
    assert_eq!(status["bridges"].as_array().unwrap().len(), 0);
    let uplinks = status["uplinks"].as_array().unwrap();
    let docker0 = uplinks.iter().find(|uplink| uplink["interface"]["name"] == "docker0").unwrap();
    assert_eq!(docker0["attachments"].as_array().unwrap().len(), 2);
    said(&lab, &["detach", "docker0"]);
    said(&lab, &["attach", UPLINK]);
    assert_eq!(bridges(&lab), ["docker0"]);
}
