//! `netfwd run` brings about what is wanted, and keeps what `netfwd map --persist` has made across reboots.

mod killed;

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use lab::{Lab, Process, Topology};
use nix::sys::signal::Signal;

use crate::support::{lab, ports, refused, said};

/// An attach takes a while where the processor is emulated: the kernel verifies the programs.
const PATIENCE: Duration = Duration::from_mins(3);
/// It looks at everything every 5 seconds, and attaches.
const NEXT_LOOK: Duration = Duration::from_mins(3);
const MAPPED: &str = "mapped 8080/tcp to 172.17.0.2:80";

fn agent(lab: &Lab, state: &Path) -> Process {
    lab.spawn_netfwd(&["run", "--uplink", "ens33", "--state-dir", state.to_str().unwrap()]).unwrap()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_uplink_that_is_asked_for_is_attached_and_again_when_it_was_detached() {
    let (lab, state) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    let mut agent = agent(&lab, state.path());
    agent.wait_for_line("attached to ens33", PATIENCE).unwrap();
    agent.wait_for_line("follows ens33", PATIENCE).unwrap();
    said(&lab, &["detach", "--all"]);
    assert!(!lab.netfwd_output(&["status"]).unwrap().status.success());
    let deadline = Instant::now() + NEXT_LOOK;
    while !lab.netfwd_output(&["status"]).unwrap().status.success() {
        assert!(Instant::now() < deadline, "not attached again");
    }
    assert_eq!(agent.stderr().unwrap(), "");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_it_leaves_at_its_end_is_a_matter_of_choice() {
    let lab = lab(&Topology::default());
    for (option, is_left) in [(None, true), (Some("--detach-on-exit"), false)] {
        let mut agent = lab.spawn_netfwd(&[&["run", "--uplink", "ens33"], option.as_slice()].concat()).unwrap();
        agent.wait_for_line("follows ens33", PATIENCE).unwrap();
        agent.signal(Signal::SIGTERM).unwrap();
        agent.succeed(PATIENCE).unwrap();
        assert_eq!(lab.netfwd_output(&["status"]).unwrap().status.success(), is_left, "{option:?}");
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_is_to_persist_is_mapped_again_after_everything_was_lost_until_it_is_unmapped() {
    let (lab, state) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    let directory = state.path().to_str().unwrap();
    said(&lab, &["attach", "ens33"]);
    said(&lab, &["map", "--persist", "8080:172.17.0.2:80", "--state-dir", directory]);
    said(&lab, &["map", "9090:172.17.0.2:90", "--state-dir", directory]);
    // As a reboot does.
    said(&lab, &["detach", "--all"]);
    let mut first = agent(&lab, state.path());
    first.wait_for_line(MAPPED, PATIENCE).unwrap();
    assert_eq!(ports(&lab), [[8080, 8080]]);
    for end in ["", "/"] {
        let pins = format!("{}{end}", lab.pin_dir().display());
        let second = refused(&lab, &["run", "--pin-dir", &pins], 1);
        assert!(second.contains("another `netfwd run` works on") && second.contains("stop that one first"), "{second}");
    }
    said(&lab, &["unmap", "8080", "--state-dir", directory]);
    drop(first);
    said(&lab, &["detach", "--all"]);
    let mut third = agent(&lab, state.path());
    third.wait_for_line("follows ens33", PATIENCE).unwrap();
    assert_eq!(ports(&lab), [] as [[u64; 2]; 0]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_is_kept_is_replaced_and_ended_with_its_mapping_and_without_room_on_the_disk_nothing_changes() {
    let (lab, state) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    let disk = SmallDisk::mount(state.path());
    let directory = state.path().to_str().unwrap();
    let kept = || fs::read_to_string(state.path().join("mappings")).unwrap();
    said(&lab, &["attach", "ens33"]);
    said(&lab, &["map", "--persist", "8080-8089:172.17.0.2:80-89", "7000:172.17.0.2:70", "--state-dir", directory]);
    assert!(kept().contains("\n8080-8089:172.17.0.2:80-89/tcp\n"), "{}", kept());
    said(&lab, &["map", "--replace", "8080:172.17.0.3:80", "--state-dir", directory]);
    assert!(!kept().contains("8080") && kept().contains("\n7000:172.17.0.2:70/tcp\n"), "{}", kept());
    disk.fill();
    // What cannot be kept is not made, and what would be there again after a reboot does not end.
    for command in [&["map", "--persist", "6000:172.17.0.2:60"][..], &["unmap", "7000"]] {
        let message = refused(&lab, &[command, &["--state-dir", directory]].concat(), 1);
        let reasons = ["mappings, which keeps mappings across reboots: ", "No space left"];
        assert!(reasons.iter().all(|reason| message.contains(reason)), "{message}");
        assert_eq!(ports(&lab), [[7000, 7000], [8080, 8080]]);
        assert!(kept().contains("\n7000:172.17.0.2:70/tcp\n"), "{}", kept());
    }
    said(&lab, &["unmap", "8080", "--state-dir", directory]);
    assert_eq!(ports(&lab), [[7000, 7000]]);
}

/// A file system with room for a file and another one beside it.
struct SmallDisk<'p>(&'p Path);

impl<'p> SmallDisk<'p> {
    fn mount(place: &'p Path) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8k", "tmpfs"]).arg(place);
        assert!(mount.status().unwrap().success());
        Self(place)
    }

    fn fill(&self) {
        fs::write(self.0.join("filler"), [0; 4096]).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0).status().unwrap();
    }
}
