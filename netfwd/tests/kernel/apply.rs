//! A configuration brought about on a real host, and what is running written as one.

use std::{fs, net::Ipv4Addr, path::PathBuf};

use ipnet::Ipv4Net;
use lab::{Lab, Topology, UdpEcho, Uplink};
use tempfile::NamedTempFile;

use crate::{
    sockets::{echoes, udp},
    support::{json, lab, refused, said},
};

const HOST: &str = "192.168.137.104";
const FILE: &str = r#"
mappings = ["8080:172.17.0.2:80/udp", { map = "8081:172.17.0.2:80/udp", name = "second" }]

[timeouts]
udp = 180

[[uplink]]
interface = "ens33"
bridges = ["docker0"]
"#;

/// A configuration file, as applying it is told.
pub(crate) struct File(NamedTempFile);

impl File {
    pub(crate) fn new(text: &str) -> Self {
        let file = Self(NamedTempFile::new().unwrap());
        file.write(text);
        file
    }

    pub(crate) fn write(&self, text: &str) {
        fs::write(self.0.path(), text).unwrap();
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// Lets it stay after the test has dropped it.
    pub(crate) fn keep(self) -> PathBuf {
        self.0.keep().unwrap().1
    }

    fn apply(&self, lab: &Lab) -> String {
        said(lab, &["apply", self.path()])
    }

    fn dry_run(&self, lab: &Lab) -> String {
        said(lab, &["apply", self.path(), "--dry-run"])
    }
}

pub(crate) fn answers(lab: &Lab, port: u16) -> bool {
    echoes(&udp(lab.client(), 0), format!("{HOST}:{port}").parse().unwrap())
}

fn is_attached(lab: &Lab) -> bool {
    lab.netfwd_output(&["list"]).unwrap().status.success()
}

pub(crate) fn with_second_uplink() -> Topology {
    let mut topology = Topology::default();
    topology.uplinks.push(Uplink {
        name: "ens34".to_owned(),
        address: Ipv4Net::new(Ipv4Addr::new(10, 9, 0, 1), 24).unwrap(),
        clients: vec![[10, 9, 0, 2].into()],
        ..Uplink::default()
    });
    topology
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_configuration_is_brought_about_and_then_nothing_changes_until_the_file_does() {
    let lab = lab(&Topology::default());
    let _echo = UdpEcho::start(&lab.containers()[0], 80).unwrap();
    let file = File::new(FILE);
    let plan = file.dry_run(&lab);
    assert!(
        plan.starts_with("+ uplink ens33\n    bridges = [\"docker0\"]\n    masquerades 172.17.0.0/16 as "),
        "{plan}"
    );
    assert!(
        plan.ends_with("\n+ mapping 8081/udp to 172.17.0.2:80 (second)\nPlan: 3 to add, 2 to change, 0 to remove.\n"),
        "{plan}"
    );
    assert!(!is_attached(&lab));

    assert!(file.apply(&lab).ends_with("\nApplied: 3 added, 2 changed, 0 removed.\n"));
    assert!(answers(&lab, 8080) && answers(&lab, 8081));
    assert_eq!(file.apply(&lab), "No changes.\n");
    let listed = json(&lab, &["list"]);
    assert_eq!(
        (&listed["mappings"][1]["origin"], &listed["mappings"][1]["name"]),
        (&"config".into(), &"second".into())
    );

    said(&lab, &["map", "9000:172.17.0.2:80/udp"]);
    file.write(&FILE.replace("8080:172.17.0.2:80/udp", "8082:172.17.0.2:80/udp").replace("[timeouts]\nudp = 180", ""));
    let told = file.apply(&lab);
    let expected = "+ mapping 8082/udp to 172.17.0.2:80\n- mapping 8080/udp to 172.17.0.2:80\n= mapping 9000/udp to \
                    172.17.0.2:80 stays: made by hand (`netfwd unmap 9000/udp`)\nApplied: 1 added, 0 changed, 1 removed.\n";
    assert_eq!(told, expected);
    assert!(!answers(&lab, 8080) && answers(&lab, 8082) && answers(&lab, 9000));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_is_exported_changes_nothing_and_makes_the_same_anew() {
    let lab = lab(&with_second_uplink());
    let options = ["--ports", "20000-30000", "--parity", "--filtering", "endpoint", "--clamp-mss", "mtu", "--pick-up"];
    said(&lab, &[&["attach", "ens33", "--bridge", "docker0", "--max-flows", "5000"][..], &options].concat());
    said(
        &lab,
        &[
            "attach",
            "ens34",
            "--subnet",
            "172.17.0.0/16",
            "--isolate",
            "--internal",
            "172.30.0.0/16",
            "--hook",
            "tc",
            "--no-masquerade",
            "10.0.0.0/8",
            "--no-host-access",
        ],
    );
    said(&lab, &["map", "8080:172.17.0.2:80/tcp+udp", "127.0.0.1:8000-8010:172.17.0.2:8000-8010"]);
    said(&lab, &["timeouts", "udp=200"]);
    let exported = said(&lab, &["export"]);
    let file = File::new(&exported);
    let told = file.apply(&lab);
    assert_eq!(told, "No changes.\n", "{exported}");
    said(&lab, &["detach", "--all"]);
    file.apply(&lab);
    assert_eq!(said(&lab, &["export"]), exported);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn uplinks_end_only_if_they_are_the_configurations_and_mappings_by_hand_keep_the_last() {
    let lab = lab(&with_second_uplink());
    said(&lab, &["attach", "ens34", "--fast-path", "on"]);
    let file = File::new("[[uplink]]\ninterface = \"ens33\"\n");
    file.apply(&lab);
    file.write("");
    let told = file.apply(&lab);
    assert!(told.contains("- uplink ens33\n= uplink ens34 stays: made by hand (`netfwd detach ens34`)\n"), "{told}");
    assert_eq!(json(&lab, &["status"])["uplinks"].as_array().unwrap().len(), 1);

    // Attached otherwise by the configuration, it is the configuration's.
    file.write("[[uplink]]\ninterface = \"ens34\"\nparity = true\n");
    assert!(file.apply(&lab).contains("~ uplink ens34: parity false -> true\n"));
    said(&lab, &["map", "8080:172.17.0.2:80"]);
    file.write("");
    let error = refused(&lab, &["apply", file.path()], 1);
    assert!(error.contains("no uplink would be left, and 8080:172.17.0.2:80/tcp which"), "{error}");
    said(&lab, &["unmap", "8080"]);
    file.apply(&lab);
    assert!(!is_attached(&lab));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_fails_half_way_is_undone() {
    let lab = lab(&Topology::default());
    lab.host().run(&["ip", "link", "add", "zz9", "type", "bridge"]).unwrap();
    lab.host().run(&["ip", "address", "add", "10.99.0.1/24", "dev", "zz9"]).unwrap();
    // A bridge has no driver that could take it.
    let more = "[[uplink]]\ninterface = \"zz9\"\nbridges = [\"docker0\"]\nxdp = \"native\"\n";
    let bad = format!("{FILE}parity = true\n\n{more}");
    let file = File::new(&bad);
    let error = refused(&lab, &["apply", file.path()], 1);
    assert!(error.contains("undone again: ") && error.contains("cannot attach to "), "{error}");
    assert!(!is_attached(&lab));

    file.write(FILE);
    file.apply(&lab);
    let before = said(&lab, &["export"]);
    file.write(&bad);
    refused(&lab, &["apply", file.path()], 1);
    assert_eq!(said(&lab, &["export"]), before);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_host_port_that_is_mapped_by_hand_refuses_the_file_as_a_whole() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", "ens33"]);
    said(&lab, &["map", "8081:172.17.0.3:80/udp"]);
    let (file, before) = (File::new(FILE), said(&lab, &["export"]));
    for more in [&["--dry-run"][..], &[]] {
        let error = refused(&lab, &[&["apply", file.path()], more].concat(), 1);
        assert!(error.contains("8081/udp is mapped to 172.17.0.3:80 by hand: unmap it first"), "{error}");
        assert_eq!(said(&lab, &["export"]), before);
    }
}
