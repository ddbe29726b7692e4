//! What Prometheus' own programs say of the metrics and the rules for alerts.

use std::{fs, path::PathBuf, time::Duration};

use lab::{Output, Prometheus, Topology, ping, promtool};
use serde_json::{Value, json};

use super::{ADDRESS, agent, page};
use crate::support::{lab, said};

/// It scrapes and evaluates each second.
const SOON: Duration = Duration::from_secs(15);

fn contrib(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "contrib", "prometheus", name].iter().collect()
}

/// promtool finds nothing to complain about.
fn approves(arguments: &[&str], input: &str) -> String {
    let Output { status, stdout, stderr } = promtool(arguments, input).unwrap();
    assert!(status.success(), "promtool {arguments:?}: {stdout}{stderr}");
    stdout + &stderr
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn promtool_approves_of_names_types_and_texts() {
    let (lab, state) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    said(&lab, &["attach", "ens33"]);
    // No engine is there: that has metrics, too.
    let _agent = agent(&lab, state.path(), &["--docker"], "follows ens33");
    said(&lab, &["map", "8080:172.17.0.2:80"]);
    let page = page(&lab);
    assert_eq!(approves(&["check", "metrics"], &page), "");
    for metric in netfwd::metrics::ALL {
        assert!(page.contains(&format!("# HELP {} ", metric.name)), "no {} in\n{page}", metric.name);
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_prometheus_scrapes_and_knows_how_many_packets_there_were() {
    let (lab, state) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    let _agent = agent(&lab, state.path(), &["--uplink", "ens33"], "follows ens33");
    let prometheus = Prometheus::start(lab.host(), ADDRESS, &contrib("netfwd.rules.yml")).unwrap();
    assert!(ping(&lab.containers()[0], [192, 168, 137, 1].into(), 7, 0.02).unwrap().complete());
    let wait_for = |query: &str, value: &str| prometheus.wait_for(lab.host(), query, value, SOON).unwrap();
    wait_for(r#"up{job="netfwd"}"#, "1");
    let sent = r#"sum(netfwd_subnet_packets_total{subnet="172.17.0.0/16", direction="out"})"#;
    wait_for(sent, "7");
    let translated = r#"sum(netfwd_packets_total{interface="ens33", direction="egress", outcome="translated"})"#;
    wait_for(translated, "7");
    wait_for("netfwd_agent_healthy", "1");
    wait_for("count(ALERTS) or vector(0)", "0");
    let rules = prometheus.rules(lab.host()).unwrap();
    assert!(!rules.is_empty() && rules.iter().all(|(_, health)| health == "ok"), "{rules:?}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn promtool_approves_of_the_alerts_and_they_fire_when_they_should() {
    let rules = contrib("netfwd.rules.yml");
    approves(&["check", "rules", rules.to_str().unwrap()], "");
    let tests = contrib("netfwd.rules.test.yml");
    approves(&["test", "rules", tests.to_str().unwrap()], "");
}

/// Each expression of the dashboard, as a rule, is one that Prometheus understands.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn promtool_understands_the_dashboard() {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "contrib", "grafana", "netfwd.json"].iter().collect();
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    let rule = |(number, expression): (usize, &&str)| json!({ "record": format!("rule{number}"), "expr": expression.replace("$__rate_interval", "5m") });
    let rules: Vec<_> = expressions.iter().enumerate().map(rule).collect();
    // JSON is YAML.
    let file = json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.yml");
    fs::write(&path, file).unwrap();
    let said = approves(&["check", "rules", path.to_str().unwrap()], "");
    assert!(said.contains(&format!("SUCCESS: {} rules found", expressions.len())), "{said}");
}
