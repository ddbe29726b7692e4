//! What attach writes for it, and takes back.

use ipnet::Ipv4Net;
use lab::{Lab, Uplink};
use serde_json::{Value, json};

use super::{ISOLATE, UPLINK, bridge};
use crate::support::{json, lab, refused, said};

fn host() -> Lab {
    let mut topology = lab::Topology::default();
    topology.bridges.extend([bridge("br1", 8, 1), bridge("br2", 9, 1)]);
    topology.bridges.iter_mut().for_each(|bridge| bridge.ipv6 = None);
    topology.uplinks.push(Uplink {
        name: "ens34".to_owned(),
        address: Ipv4Net::new([10, 9, 0, 1].into(), 24).unwrap(),
        clients: vec![[10, 9, 0, 2].into()],
        ipv6: None,
        router: None,
    });
    lab(&topology)
}

fn isolated(lab: &Lab) -> Value {
    json(lab, &["status"])["isolated"].take()
}

/// Whether each bridge that has the program is internal.
fn bridges(lab: &Lab) -> Vec<(String, bool)> {
    let status = json(lab, &["status"]);
    let bridges = status["bridges"].as_array().unwrap().iter();
    let name = |bridge: &Value| bridge["interface"]["name"].as_str().unwrap().to_owned();
    bridges.map(|bridge| (name(bridge), bridge["options"]["isolation"] == "internal")).collect()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn attach_isolates_what_it_masquerades_and_applies_the_difference() {
    let lab = host();
    said(&lab, &["attach", UPLINK, "--bridge", "docker0"]);
    assert_eq!(isolated(&lab), json!([]));
    let told = said(&lab, &["attach", UPLINK, "--bridge", "docker0", "--isolate"]);
    assert_eq!(told, "isolates 172.17.0.0/16 (docker0)\n");
    assert_eq!(json(&lab, &["status"])["uplinks"][0]["options"]["isolation"], "isolate");
    let again = said(&lab, &["attach", UPLINK, "--bridge", "docker0", "--isolate"]);
    assert_eq!(again, "already attached to ens33, nothing changed\n");

    said(
        &lab,
        &["attach", UPLINK, "--bridge", "docker0", "--bridge", "br1", "--isolate", "--internal", "172.19.0.0/16"],
    );
    assert_eq!(isolated(&lab), json!(["172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16"]));
    let expected = [("docker0", false), ("br1", false), ("br2", true)];
    assert_eq!(bridges(&lab), expected.map(|(name, is_internal)| (name.to_owned(), is_internal)));
    let text = said(&lab, &["status"]);
    assert!(text.contains("\nisolated    172.17.0.0/16, 172.18.0.0/16, 172.19.0.0/16\n"), "{text}");

    let told = said(&lab, &["attach", UPLINK, "--bridge", "br1"]);
    let expected = "no longer masquerades 172.17.0.0/16 (docker0)\n\
                    no longer isolates 172.17.0.0/16 (docker0)\n\
                    no longer isolates 172.18.0.0/16 (br1)\n\
                    no longer isolates 172.19.0.0/16 (br2)\n";
    assert!(told.starts_with(expected), "{told}");
    assert_eq!((isolated(&lab), bridges(&lab)), (json!([]), vec![("br1".to_owned(), false)]));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn by_default_all_bridges_are_masqueraded_but_internal_ones() {
    let lab = host();
    let told = said(&lab, &ISOLATE[..5]);
    assert!(told.contains("masquerades 172.18.0.0/16 (br1)") && !told.contains("masquerades 172.19"), "{told}");
    assert!(told.contains("isolates 172.19.0.0/16 (br2)\n"), "{told}");
    said(&lab, &["attach", UPLINK, "--isolate"]);
    assert!(bridges(&lab).iter().all(|(_, is_internal)| !is_internal));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_another_uplink_isolates_stays_isolated() {
    let lab = host();
    said(&lab, &["attach", UPLINK, "--bridge", "docker0", "--isolate"]);
    said(&lab, &["attach", "ens34", "--bridge", "docker0", "--bridge", "br1", "--isolate"]);
    assert_eq!(isolated(&lab), json!(["172.17.0.0/16", "172.18.0.0/16"]));
    said(&lab, &["detach", "ens34"]);
    assert_eq!(isolated(&lab), json!(["172.17.0.0/16"]));
    said(&lab, &["attach", "ens34", "--bridge", "br1"]);
    assert_eq!(isolated(&lab), json!(["172.17.0.0/16"]));
    said(&lab, &["detach", UPLINK]);
    assert_eq!(isolated(&lab), json!([]));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_attach_that_fails_isolates_nothing() {
    let lab = host();
    let before = ["attach", UPLINK, "--bridge", "docker0", "--hook", "tc"];
    said(&lab, &before);
    // Its maps are written before its programs are attached.
    lab.host().run(&["tc", "qdisc", "add", "dev", "br2", "ingress"]).unwrap();
    let line = ["attach", UPLINK, "--bridge", "br1", "--isolate", "--internal", "172.19.0.0/16", "--hook", "tc"];
    let message = refused(&lab, &line, 1);
    assert!(message.contains("tc qdisc del dev br2 ingress"), "{message}");
    assert_eq!((isolated(&lab), bridges(&lab)), (json!([]), vec![("docker0".to_owned(), false)]));
    assert_eq!(said(&lab, &before), "already attached to ens33, nothing changed\n");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_subnet_is_masqueraded_or_internal() {
    let lab = host();
    let message = refused(&lab, &["attach", UPLINK, "--subnet", "172.19.0.0/16", "--internal", "172.19.0.0/16"], 2);
    assert!(message.contains("choose one"), "{message}");
}
