//! With a real Docker Engine, and with what one may leave.

use std::{fs, path::Path, thread, time::Instant};

use lab::{DockerEngine, Lab, Output, Process, Topology};
use serde_json::Value;

use super::{complaint, is_well, mend};
use crate::{
    sockets::PATIENCE,
    support::{lab, said},
};

const CHECK: [&str; 2] = ["docker", "check"];

pub(crate) fn check(lab: &Lab, engine: &DockerEngine) -> Output {
    let variables = [("DOCKER_HOST", engine.address())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    lab.spawn_netfwd_with(&["docker", "check", "--json"], &variables).unwrap().wait(PATIENCE * 6).unwrap()
}

/// The findings that are not well, by subject.
pub(crate) fn bad(output: &Output) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let bad = report["findings"].as_array().unwrap().iter().filter(|one| one["level"] != "ok");
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    bad.map(|one| (text(one, "subject"), text(one, "what"))).collect()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_engine_that_leaves_nat_to_netfwd_is_well_once_its_containers_are_mapped() {
    let lab = lab(&Topology { bridges: Vec::new(), ..Topology::default() });
    let engine = DockerEngine::start(lab.host()).unwrap();
    engine.docker(&["run", "--detach", "--name", "web", "-p", "8080:80", "web"]).unwrap();
    let before = check(&lab, &engine);
    let expected = ("mappings".to_owned(), "netfwd is not attached; containers publish 1 mapping".to_owned());
    assert_eq!((before.status.code(), bad(&before)), (Some(0), vec![expected]));
    said(&lab, &["attach", "ens33"]);
    let missing = check(&lab, &engine);
    let what = "web publishes 8080:172.17.0.2:80/tcp, which is not mapped".to_owned();
    assert_eq!((missing.status.code(), bad(&missing)), (Some(1), vec![("mappings".to_owned(), what)]));
    let variables = [("DOCKER_HOST", engine.address())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut agent = lab.spawn_netfwd_with(&["run", "--docker", "--uplink", "ens33"], &variables).unwrap();
    agent.wait_for_line("mapped 8080/tcp", PATIENCE * 6).unwrap();
    let after = check(&lab, &engine);
    assert_eq!((after.status.code(), bad(&after)), (Some(0), vec![]));
    assert!(after.stdout.contains("answers"), "{}", after.stdout);
}

/// Removes Docker's rules as the check says.
pub(crate) fn remove_rules(lab: &Lab) {
    for (_, _, todo) in super::complaints(lab, &CHECK, "rules") {
        mend(lab, &todo);
    }
}

/// A process of a name.
fn called(lab: &Lab, directory: &Path, name: &str, arguments: &[&str]) -> Process {
    let program = directory.join(name);
    fs::copy("/bin/sleep", &program).unwrap();
    let shell = ["sh", "-c", "exec \"$0\" 1000 # $*", program.to_str().unwrap()];
    lab.host().spawn(&[&shell[..], arguments].concat()).unwrap()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_docker_has_left_is_found_and_removed() {
    let (lab, directory) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    let file = directory.path().join("daemon.json");
    let switches =
        r#"{"iptables": false, "ip6tables": false, "userland-proxy": false, "ip-masq": false, "live-restore": true}"#;
    fs::write(&file, switches).unwrap();
    let arguments = [&CHECK[..], &["--daemon-json", file.to_str().unwrap()]].concat();
    for subject in ["daemon.json", "proxies", "rules"] {
        is_well(&lab, &arguments, subject);
    }
    fs::write(&file, switches.replacen("false", "true", 1)).unwrap();
    let (level, what, _) = complaint(&lab, &arguments, "daemon.json");
    assert_eq!((level.as_str(), what.as_str()), ("problem", "iptables is on"));
    fs::write(&file, switches).unwrap();

    let mut proxy = called(&lab, directory.path(), "docker-proxy", &[]);
    let deadline = Instant::now() + PATIENCE;
    while super::complaints(&lab, &arguments, "proxies").is_empty() {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    let (level, _, todo) = complaint(&lab, &arguments, "proxies");
    assert_eq!((level, todo.clone()), ("problem".to_owned(), format!("kill {}", proxy.id())));
    mend(&lab, &todo);
    proxy.wait(PATIENCE).unwrap();
    is_well(&lab, &arguments, "proxies");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn rules_of_docker_are_found_and_removed_and_others_stay() {
    let lab = lab(&Topology::default());
    for program in ["iptables", "iptables-legacy"] {
        if lab.host().output(&[program, "-S"]).map_or(true, |output| !output.status.success()) {
            continue;
        }
        // As dockerd makes them.
        for rule in [
            "-P FORWARD DROP",
            "-N DOCKER-USER",
            "-A DOCKER-USER -j RETURN",
            "-A FORWARD -j DOCKER-USER",
            "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A FORWARD -i lo -j ACCEPT",
            "-t nat -N DOCKER",
            "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
            "-t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
            "-t nat -A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE",
        ] {
            lab.host().run(&[&[program], &rule.split(' ').collect::<Vec<_>>()[..]].concat()).unwrap();
        }
        let rules = || super::complaints(&lab, &CHECK, "rules");
        let levels: Vec<_> = rules().iter().map(|(level, ..)| level.clone()).collect();
        assert_eq!(levels, ["problem", "problem", "warning"], "{program}: {:?}", rules());
        remove_rules(&lab);
        is_well(&lab, &CHECK, "rules");
        let left = lab.host().run(&[program, "-S"]).unwrap().stdout;
        assert!(left.contains("-P FORWARD ACCEPT") && left.contains("-A FORWARD -i lo -j ACCEPT"), "{left}");
        lab.host().run(&[program, "-F"]).unwrap();
    }
}
