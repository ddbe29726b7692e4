//! `netfwd run --config FILE`: the file is brought about, and followed.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixDatagram},
    thread,
    time::{Duration, Instant},
};

use lab::{Lab, Process, Topology, UdpEcho};
use nix::sys::signal::Signal;

use crate::{
    apply::{File, answers, with_second_uplink},
    sockets::{echoes, udp},
    support::{self, json, lab, refused, said},
};

/// It looks at everything every 5 seconds, and a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

const FILE: &str = r#"
mappings = ["8080:172.17.0.2:80/udp"]

[timeouts]
udp = 180

[[uplink]]
interface = "ens33"
bridges = ["docker0"]
"#;

fn agent(lab: &Lab, file: &File) -> Process {
    lab.spawn_netfwd(&["run", "--config", file.path()]).unwrap()
}

/// The mappings as they come from where.
fn mappings(lab: &Lab) -> Vec<String> {
    let listed = json(lab, &["list"]);
    let text = |one: &serde_json::Value| format!("{} {}", one["origin"].as_str().unwrap(), one["host"]["port_first"]);
    listed["mappings"].as_array().unwrap().iter().map(text).collect()
}

fn uplinks(lab: &Lab) -> Vec<String> {
    let status = json(lab, &["status"]);
    let name = |uplink: &serde_json::Value| uplink["interface"]["name"].as_str().unwrap().to_owned();
    status["uplinks"].as_array().unwrap().iter().map(name).collect()
}

/// What the service manager is told, as soon as it contains `part`.
fn message(told: &UnixDatagram, part: &str) -> String {
    loop {
        let mut bytes = [0; 256];
        let length = told.recv(&mut bytes).unwrap();
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        if text.contains(part) {
            return text;
        }
    }
}

fn waits_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_file_is_brought_about_and_followed_and_one_that_is_wrong_changes_nothing() {
    let lab = lab(&Topology::default());
    let _echo = UdpEcho::start(&lab.containers()[0], 80).unwrap();
    let file = File::new(FILE);
    let mut agent = agent(&lab, &file);
    agent.wait_for_line("mapped 8080/udp to 172.17.0.2:80 (config)", PATIENCE).unwrap();
    let udp = |lab: &Lab| json(lab, &["timeouts"])["timeouts"][6]["seconds"].clone();
    assert_eq!((mappings(&lab), udp(&lab)), (vec!["config 8080".to_owned()], 180.into()));

    file.write(&FILE.replace("8080", "8081"));
    agent.wait_for_line("mapped 8081/udp to 172.17.0.2:80 (config)", PATIENCE).unwrap();
    assert_eq!(mappings(&lab), ["config 8081"]);

    file.write(&FILE.replace("8080", "8082").replace("bridges", "bridge"));
    let failure = agent.wait_for_line("the configuration goes on as it was", PATIENCE).unwrap();
    assert!(failure.contains(":9:1: unknown key `bridge` (is `bridges` meant?)"), "{failure}");
    assert_eq!(mappings(&lab), ["config 8081"]);

    // Another file in its place, as editors do.
    fs::rename(File::new(&FILE.replace("8080", "8083")).keep(), file.path()).unwrap();
    agent.wait_for_line("mapped 8083/udp to 172.17.0.2:80 (config)", PATIENCE).unwrap();
    assert!(answers(&lab, 8083) && !answers(&lab, 8081));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_was_made_by_hand_goes_before_the_file_and_is_told() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", "ens33"]);
    said(&lab, &["map", "8080:172.17.0.3:80/udp"]);
    let file = File::new(FILE);
    let mut agent = agent(&lab, &file);
    let failure = agent.wait_for_line("cannot map 8080:172.17.0.2:80/udp (config): ", PATIENCE).unwrap();
    assert!(failure.contains("8080/udp is mapped to 172.17.0.3:80 by hand, which goes before: unmap it"), "{failure}");
    assert_eq!(mappings(&lab), ["hand 8080"]);
    said(&lab, &["unmap", "8080/udp"]);
    agent.wait_for_line("mapped 8080/udp to 172.17.0.2:80 (config)", PATIENCE).unwrap();
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_file_is_followed_though_kept_mappings_cannot_be_read() {
    let (lab, state) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    fs::write(state.path().join("mappings"), "80\n").unwrap();
    let file = File::new(FILE);
    let arguments = ["run", "--config", file.path(), "--state-dir", state.path().to_str().unwrap()];
    let mut agent = lab.spawn_netfwd(&arguments).unwrap();
    let failure = agent.wait_for_line("cannot map: ", PATIENCE).unwrap();
    assert!(failure.contains("mappings:1: correct the line, or remove it"), "{failure}");
    agent.wait_for_line("mapped 8080/udp", PATIENCE).unwrap();
    file.write(&FILE.replace("8080", "8081"));
    agent.wait_for_line("unmapped 8080/udp", PATIENCE).unwrap();
    assert_eq!(mappings(&lab), ["config 8081"]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_the_file_has_no_more_goes_though_nothing_can_be_added() {
    let lab = lab(&Topology::default());
    let file = File::new(FILE);
    let mut first = agent(&lab, &file);
    first.wait_for_line("mapped 8080/udp", PATIENCE).unwrap();
    drop(first);
    file.write(&FILE.replace("8080", "8081"));
    let (netfwd, pins) = (support::path(), lab.pin_dir());
    // No port can be reserved, nor given back.
    let frozen = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec \"$@\"";
    let words = ["unshare", "--mount", "sh", "-c", frozen, "sh", netfwd.to_str().unwrap(), "run"];
    let options = ["--pin-dir", pins.to_str().unwrap(), "--config", file.path()];
    let mut second = lab.host().spawn(&[&words[..], &options].concat()).unwrap();
    let failure = second.wait_for_line("cannot map: ", PATIENCE).unwrap();
    assert!(failure.contains("Read-only file system"), "{failure}");
    second.wait_for_line("unmapped 8080/udp", PATIENCE).unwrap();
    assert_eq!(mappings(&lab), [] as [&str; 0]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn uplinks_come_and_go_with_the_file_and_others_stay() {
    let lab = lab(&with_second_uplink());
    said(&lab, &["attach", "ens34"]);
    let file = File::new(FILE);
    let mut agent = agent(&lab, &file);
    agent.wait_for_line("attached to ens33", PATIENCE).unwrap();
    file.write("");
    agent.wait_for_line("detached from ens33, which the configuration has no more", PATIENCE).unwrap();
    waits_until("the uplink by hand stays alone", || uplinks(&lab) == ["ens34"]);
    file.write(FILE);
    agent.wait_for_line("follows ens34, ens33", PATIENCE).unwrap();
    said(&lab, &["detach", "ens34"]);
    // A mapping by hand keeps the last one.
    said(&lab, &["map", "9000:172.17.0.2:90"]);
    file.write("");
    let failure = agent.wait_for_line("cannot detach from ens33: ", PATIENCE).unwrap();
    assert!(failure.contains("no uplink would be left, and 9000:172.17.0.2:90/tcp"), "{failure}");
    assert_eq!((uplinks(&lab), mappings(&lab)), (vec!["ens33".to_owned()], vec!["hand 9000".to_owned()]));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_file_that_is_wrong_at_the_start_is_an_error() {
    let lab = lab(&Topology::default());
    let file = File::new("[metrics]\nlistn = \"127.0.0.1:1\"\n");
    let output = lab.netfwd_output(&["run", "--config", file.path()]).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stderr.contains(":2:1: unknown key `listn` (is `listen` meant?)"), "{}", output.stderr);
    assert!(output.stderr.ends_with("2 | listn = \"127.0.0.1:1\"\n  | ^^^^^\n"), "{}", output.stderr);
    let message = refused(&lab, &["run", "--config", "/nowhere/netfwd.toml"], 1);
    assert!(message.contains("cannot read /nowhere/netfwd.toml"), "{message}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_signal_tells_that_the_file_is_another_one() {
    let (lab, directory) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    let (target, link) = (File::new(FILE), directory.path().join("netfwd.toml"));
    symlink(target.path(), &link).unwrap();
    let manager = directory.path().join("notify");
    let told = UnixDatagram::bind(&manager).unwrap();
    told.set_read_timeout(Some(PATIENCE)).unwrap();
    let variables = [("NOTIFY_SOCKET", manager.to_str().unwrap())];
    let mut agent = lab.spawn_netfwd_with(&["run", "--config", link.to_str().unwrap()], &variables).unwrap();
    agent.wait_for_line("mapped 8080/udp", PATIENCE).unwrap();
    target.write(&FILE.replace("8080", "8081"));
    agent.signal(Signal::SIGHUP).unwrap();
    let begun = message(&told, "RELOADING=1");
    assert!(begun.contains("\nMONOTONIC_USEC="), "{begun}");
    message(&told, "READY=1");
    agent.wait_for_line("mapped 8081/udp", PATIENCE).unwrap();
    assert_eq!(mappings(&lab), ["config 8081"]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_uplink_that_is_renamed_goes_on_until_another_one_has_its_name() {
    let lab = lab(&with_second_uplink());
    let _echo = UdpEcho::start(&lab.containers()[0], 80).unwrap();
    let file = File::new(&format!("{FILE}\n[[uplink]]\ninterface = \"ens34\"\nbridges = []\n"));
    let mut agent = agent(&lab, &file);
    agent.wait_for_line("mapped 8080/udp", PATIENCE).unwrap();
    let (client, mapped) = (udp(lab.client(), 0), "192.168.137.104:8080".parse().unwrap());
    assert!(echoes(&client, mapped));
    let link = |change: &str| {
        let words = ["ip", "link"].into_iter().chain(change.split(' ')).collect::<Vec<_>>();
        lab.host().run(&words).unwrap();
    };
    link("set ens33 down");
    link("set ens33 name wan0");
    link("set wan0 up");
    agent.wait_for_line("there is no interface ens33", PATIENCE).unwrap();
    assert_eq!(uplinks(&lab), ["wan0", "ens34"]);
    waits_until("the flow goes on", || echoes(&client, mapped));
    drop(agent);
    let mut agent = lab.spawn_netfwd(&["run", "--config", file.path()]).unwrap();
    agent.wait_for_line("there is no interface ens33", PATIENCE).unwrap();
    assert_eq!(uplinks(&lab), ["wan0", "ens34"]);
    link("add ens33 type veth peer name other");
    lab.host().run(&["ip", "address", "add", "192.0.2.1/24", "dev", "ens33"]).unwrap();
    waits_until("wan0 is not wanted any more", || uplinks(&lab) == ["ens34", "ens33"]);
}
