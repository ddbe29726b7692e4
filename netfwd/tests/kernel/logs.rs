//! The log of `netfwd run`.

mod journal;

use std::time::Duration;

use lab::Topology;
use serde_json::Value;

use crate::support::lab;

/// The verifier takes its time.
const ATTACH: Duration = Duration::from_mins(1);

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn as_json_what_happens_has_a_level_and_fields() {
    let (lab, state) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    let state = state.path().to_str().unwrap();
    let run = ["run", "--uplink", "ens33", "--uplink", "ens99", "--log-format", "json", "--state-dir", state];
    let mut agent = lab.spawn_netfwd(&run).unwrap();
    agent.wait_for_line("follows ens33", ATTACH).unwrap();
    assert_eq!(agent.stdout().unwrap(), "");
    let log = agent.stderr().unwrap();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = |text: &str| {
        let said = |event: &&Value| event["message"].as_str().is_some_and(|message| message.starts_with(text));
        let event = events.iter().find(said);
        assert!(event.is_some(), "no {text} in {log}");
        event.unwrap()
    };
    let attached = event("attached to ens33");
    assert_eq!((&attached["level"], &attached["uplink"]), (&"INFO".into(), &"ens33".into()));
    let failure = event("cannot attach to ens99");
    assert_eq!((&failure["level"], &failure["uplink"]), (&"ERROR".into(), &"ens99".into()));
    assert_eq!(failure.get("mapping"), None);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn only_what_is_wanted_is_logged() {
    let (lab, state) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    let state = state.path().to_str().unwrap();
    let run = ["run", "--uplink", "ens33", "--uplink", "ens99", "--log-level", "error", "--state-dir", state];
    let mut agent = lab.spawn_netfwd(&run).unwrap();
    agent.wait_for_line("netfwd: cannot attach to ens99", ATTACH).unwrap();
    assert_eq!(agent.stdout().unwrap(), "");
}
