//! `netfwd check` and `netfwd docker check`: a defect is found, and what it says to do mends it.

pub(crate) mod docker;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use lab::{Lab, Topology};
use serde_json::Value;

use crate::{
    sockets::listener,
    support::{self, lab, said},
};

/// What there is to find.
fn findings(lab: &Lab, arguments: &[&str]) -> Vec<Value> {
    let output = lab.netfwd_output(&[arguments, &["--json"]].concat()).unwrap();
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic_with(&output.stderr));
    let problems = report["problems"].as_u64().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(problems > 0)), "{report:#}");
    assert_eq!(output.stderr, "");
    report["findings"].as_array().unwrap().clone()
}

#[expect(clippy::panic, reason = "a failed helper fails its test")]
fn panic_with(message: &str) -> Value {
    panic!("{message}")
}

/// The findings about a subject that are not well, with what they are and what to do.
fn complaints(lab: &Lab, arguments: &[&str], subject: &str) -> Vec<(String, String, String)> {
    let bad = findings(lab, arguments).into_iter().filter(|one| one["subject"] == subject && one["level"] != "ok");
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    bad.map(|one| (text(&one, "level"), text(&one, "what"), text(&one, "todo"))).collect()
}

/// The one complaint there is about a subject.
fn complaint(lab: &Lab, arguments: &[&str], subject: &str) -> (String, String, String) {
    let all = complaints(lab, arguments, subject);
    assert_eq!(all.len(), 1, "{subject}: {all:?}");
    all.into_iter().next().unwrap()
}

/// Does what a finding says, as it says it.
fn mend(lab: &Lab, todo: &str) {
    lab.host().run(&["sh", "-c", todo]).unwrap();
}

fn is_well(lab: &Lab, arguments: &[&str], subject: &str) {
    assert_eq!(complaints(lab, arguments, subject), [], "{subject}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_lab_is_well_before_and_after_it_is_attached() {
    let lab = lab(&Topology::default());
    let subjects = |arguments: &[&str]| -> Vec<_> {
        let all = findings(&lab, arguments);
        assert!(all.iter().all(|one| one["level"] != "problem"), "{all:#?}");
        all.iter().map(|one| one["subject"].as_str().unwrap().to_owned()).collect()
    };
    assert!(subjects(&["check", "ens33"]).contains(&"forwarding".to_owned()));
    said(&lab, &["attach", "ens33"]);
    for subject in ["kernel", "capabilities", "pins", "forwarding", "rp_filter", "programs", "ports"] {
        assert!(subjects(&["check"]).contains(&subject.to_owned()), "{subject}");
        is_well(&lab, &["check"], subject);
    }
    let text = said(&lab, &["check"]);
    assert!(text.contains("ok       netfwd") && text.contains("attached to ens33; bridges: docker0"), "{text}");
    let unknown = lab.netfwd_output(&["check", "ens99"]).unwrap();
    assert!(unknown.stderr.starts_with("netfwd: cannot check this host: there is no interface ens99"), "{unknown:?}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn switches_that_are_wrong_are_found_and_mended() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", "ens33"]);
    for (switch, value, subject, level) in [
        ("net/ipv4/ip_forward", "0", "forwarding", "problem"),
        ("net/ipv4/conf/docker0/forwarding", "0", "forwarding", "problem"),
        ("net/ipv4/conf/ens33/rp_filter", "1", "rp_filter", "warning"),
        ("net/ipv4/conf/ens33/route_localnet", "1", "route_localnet", "warning"),
    ] {
        lab.host().sysctl(switch, value).unwrap();
        let (found, what, todo) = complaint(&lab, &["check"], subject);
        assert_eq!(found, level, "{switch}: {what}");
        mend(&lab, &todo);
        is_well(&lab, &["check"], subject);
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_forward_chain_that_drops_is_found_and_opened() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", "ens33"]);
    let nft = |command: &str| lab.host().run(&["nft", command]).unwrap();
    nft("add table inet fw");
    nft("add chain inet fw forward { type filter hook forward priority 0; policy drop; }");
    let (level, what, todo) = complaint(&lab, &["check"], "firewall");
    assert_eq!((level.as_str(), what.as_str()), ("problem", "the chain inet fw forward drops all that is forwarded"));
    let pings = || {
        let words = ["ping", "-c", "1", "-W", "1", "192.168.137.1"];
        lab.containers()[0].output(&words).unwrap().status.success()
    };
    assert!(!pings());
    mend(&lab, &todo);
    assert!(pings());
    assert_eq!(complaint(&lab, &["check"], "firewall").0, "warning");
    nft("add rule inet fw forward ct state invalid drop");
    nft("add chain inet fw post { type nat hook postrouting priority 100; }");
    nft("add rule inet fw post ip saddr 172.17.0.0/16 masquerade");
    let all = complaints(&lab, &["check"], "firewall");
    assert!(all.iter().any(|(_, what, _)| what == "the chain inet fw post masquerades"), "{all:?}");
    lab.host().sysctl("net/netfilter/nf_conntrack_tcp_be_liberal", "0").unwrap();
    let (_, what, todo) = complaint(&lab, &["check"], "conntrack");
    assert_eq!(what, "the chain inet fw forward drops by the state of connections");
    mend(&lab, &todo);
    is_well(&lab, &["check"], "conntrack");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn programs_of_others_are_named() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", "ens33"]);
    let program = lab.pin_dir().join("programs/netfwd_reaper");
    lab.host().run(&["tc", "qdisc", "replace", "dev", "docker0", "clsact"]).unwrap();
    let filter = ["tc", "filter", "add", "dev", "docker0", "egress", "bpf", "direct-action", "object-pinned"];
    lab.host().run(&[&filter[..], &[program.to_str().unwrap()]].concat()).unwrap();
    is_well(&lab, &["check"], "programs");
    // With another pin directory all of these are somebody else's.
    let other = lab.pin_dir().with_extension("other");
    let found = complaints(&lab, &["check", "ens33", "--pin-dir", other.to_str().unwrap()], "programs");
    let (others, rest): (Vec<_>, Vec<_>) = found.iter().partition(|(level, ..)| level == "problem");
    let hooks = ["egress of ens33", "ingress of docker0", "ingress of ens33"];
    for hook in hooks {
        let is_told = |what: &str| what.ends_with(&format!("is on the {hook}: another netfwd's"));
        assert!(others.iter().any(|(_, what, _)| is_told(what)), "{hook}: {others:?}");
    }
    assert_eq!((others.len(), rest.len()), (hooks.len(), 1), "{found:?}");
    assert!(rest[0].1.contains("netfwd_reaper") && rest[0].1.ends_with("is on the egress of docker0"), "{rest:?}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_listener_on_a_mapped_port_and_a_port_that_is_not_reserved_are_found() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", "ens33"]);
    said(&lab, &["map", "8080:172.17.0.2:80", "40000:172.17.0.2:90"]);
    is_well(&lab, &["check"], "ports");
    let process = listener(lab.host(), 8080);
    let (level, what, todo) = complaint(&lab, &["check"], "ports");
    let own = format!("(pid {}) serves 8080/tcp, which is mapped to 172.17.0.2:80", std::process::id());
    assert!(level == "warning" && what.ends_with(&own), "{what}");
    assert_eq!(todo, "stop the process, or: netfwd unmap 8080/tcp");
    drop(process);
    lab.host().sysctl("net/ipv4/ip_local_reserved_ports", "9").unwrap();
    let (_, what, todo) = complaint(&lab, &["check"], "ports");
    assert_eq!(what, "the kernel may give mapped ports to sockets: 40000");
    mend(&lab, &todo);
    is_well(&lab, &["check"], "ports");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn without_capabilities_it_says_so_and_looks_at_the_rest() {
    let lab = lab(&Topology::default());
    let words = ["setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps", "-all", "--bounding-set", "-all"];
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("netfwd");
    fs::copy(support::path(), &program).unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let line = [&words[..], &[program.to_str().unwrap(), "check", "ens33"]].concat();
    let output = lab.host().output(&line).unwrap();
    assert_eq!((output.status.code(), output.stderr.as_str()), (Some(1), ""), "{}", output.stdout);
    assert!(output.stdout.contains("missing CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"), "{}", output.stdout);
    assert!(output.stdout.contains("forwarding"), "{}", output.stdout);
}
