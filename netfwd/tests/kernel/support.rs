//! What all tests need: a lab with this netfwd, and witnesses of what it leaves.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use lab::{Lab, Output, Topology};
use serde_json::Value;

/// The kernel frees programs and maps some time after their last use.
const RELEASE: Duration = Duration::from_secs(10);

/// The program under test; in a virtual machine it is not where cargo built it.
pub(crate) fn path() -> PathBuf {
    env::var_os("NETFWD").map_or_else(|| env!("CARGO_BIN_EXE_netfwd").into(), PathBuf::from)
}

/// The program under test, outside of any lab.
pub(crate) fn netfwd() -> Command {
    Command::new(path())
}

/// A lab whose host runs the program under test.
pub(crate) fn lab(topology: &Topology) -> Lab {
    Lab::new(topology).unwrap().with_netfwd(&path())
}

/// Turns IPv6 on in the host, whatever namespaces inherit here.
pub(crate) fn turn_on_ipv6(lab: &Lab) {
    for interface in ["all", "default"] {
        lab.host().sysctl(&format!("net/ipv6/conf/{interface}/disable_ipv6"), "0").unwrap();
    }
}

/// What netfwd prints when it succeeds.
pub(crate) fn said(lab: &Lab, arguments: &[&str]) -> String {
    lab.netfwd(arguments).unwrap().stdout
}

/// What netfwd prints on standard error when it ends with `code`, and says nothing else.
pub(crate) fn refused(lab: &Lab, arguments: &[&str], code: i32) -> String {
    let Output { status, stdout, stderr } = lab.netfwd_output(arguments).unwrap();
    assert_eq!((status.code(), stdout.as_str()), (Some(code), ""), "{arguments:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    stderr
}

/// What a listing says as JSON.
pub(crate) fn json(lab: &Lab, arguments: &[&str]) -> Value {
    serde_json::from_str(&said(lab, &[arguments, &["--json"]].concat())).unwrap()
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(timeout: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    while !is_so() {
        assert!(Instant::now() < deadline, "it is not so yet");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Bytes of a TCP connection that may be on their way when one end has sent all: what both ends' buffers hold at most.
pub(crate) fn on_the_way(lab: &Lab) -> u64 {
    let most = |name: &str| -> u64 {
        let sizes = lab.client().run(&["cat", &format!("/proc/sys/net/ipv4/{name}")]).unwrap().stdout;
        sizes.split_whitespace().next_back().unwrap().parse().unwrap()
    };
    most("tcp_wmem") + most("tcp_rmem")
}

/// The ids of what is pinned below a directory, by kind (`prog`, `map`), according to bpftool.
pub(crate) fn pinned_ids(directory: &Path, kind: &str) -> Vec<u64> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let id = |path: PathBuf| bpftool(&[kind, "show", "pinned", path.to_str().unwrap()])["id"].as_u64().unwrap();
    entries.map(id).collect()
}

/// Waits until the kernel has none of the ids any more.
pub(crate) fn wait_until_freed(kind: &str, ids: &[u64]) {
    let deadline = Instant::now() + RELEASE;
    loop {
        let all = bpftool(&[kind, "show"]);
        let left: Vec<_> = all.as_array().unwrap().iter().filter_map(|one| one["id"].as_u64()).collect();
        let left: Vec<_> = ids.iter().filter(|id| left.contains(id)).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{kind} {left:?} stayed");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The programs that links have attached anywhere.
pub(crate) fn linked_programs() -> Vec<u64> {
    let links = bpftool(&["link", "show"]);
    links.as_array().unwrap().iter().filter_map(|link| link["prog_id"].as_u64()).collect()
}

fn bpftool(arguments: &[&str]) -> Value {
    let output = Command::new("bpftool").arg("--json").args(arguments).output().unwrap();
    assert!(output.status.success(), "bpftool {arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The first and the last host port of each mapping.
pub(crate) fn ports(lab: &Lab) -> Vec<[u64; 2]> {
    let listed = json(lab, &["list"]);
    let mappings = listed["mappings"].as_array().unwrap().iter();
    mappings.map(|one| ["port_first", "port_last"].map(|end| one["host"][end].as_u64().unwrap())).collect()
}
