//! A real systemd-journald, in a mount namespace of its own, and what it has of `netfwd run`.

use lab::Topology;
use serde_json::Value;

use crate::support::{lab, path};

/// As systemd does for a unit: standard error is the journal, and the environment says so. systemd-cat of Debian 12 does
/// not say so by itself.
const SCRIPT: &str = r#"
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
/lib/systemd/systemd-journald &
journald=$!
until [ -S /run/systemd/journal/socket ] && [ -S /run/systemd/journal/stdout ]; do sleep 0.05; done
timeout "$2" systemd-cat sh -c 'export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); exec "$0" "$@"' \
    "$0" run --uplink ens99 --pin-dir "$1" --state-dir /run/netfwd
journalctl --sync
journalctl --quiet --no-pager --directory /run/log/journal --output json --identifier netfwd
kill "$journald"
"#;

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn in_a_unit_what_happens_is_in_the_journal_with_its_fields() {
    let lab = lab(&Topology::default());
    let (program, pins) = (path(), lab.pin_dir().to_owned());
    let [program, pins] = [&program, &pins].map(|path| path.to_str().unwrap());
    let words = ["unshare", "--mount", "sh", "-c", SCRIPT, program, pins, "3"];
    let output = lab.host().run(&words).unwrap();
    let entries: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let entry = |text: &str| {
        let said = |entry: &&Value| entry["MESSAGE"].as_str().is_some_and(|message| message.starts_with(text));
        let entry = entries.iter().find(said);
        assert!(entry.is_some(), "no {text} in {output:?}");
        entry.unwrap()
    };
    let failure = entry("cannot attach to ens99");
    assert_eq!((&failure["PRIORITY"], &failure["NETFWD_UPLINK"]), (&"3".into(), &"ens99".into()));
    let waits = entry("nothing is attached: waits for");
    assert_eq!((&waits["PRIORITY"], &waits["_TRANSPORT"]), (&"5".into(), &"journal".into()));
}
