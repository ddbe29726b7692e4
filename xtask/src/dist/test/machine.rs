//! A Debian that runs: its own systemd, processes, files and cgroups, and the network of a lab's host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab::{Lab, Process};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use crate::task;

const SCRIPT: &str = include_str!("boot.sh");
/// Where the hierarchy of version 2 may be.
const CGROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const BOOT: Duration = Duration::from_mins(3);
/// The longest that a program may take, in seconds.
const LIMIT: &str = "300";
const POLL: Duration = Duration::from_millis(100);
const SEARCH_PATH: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/// It ends when it is dropped, and leaves nothing.
pub(super) struct Machine {
    // In the order of their end.
    _unshare: Process,
    _cgroup: Cgroup,
    /// The process with the number 1 in it.
    init: u32,
}

impl Machine {
    /// Boots the system; what it writes goes below `changes`.
    pub(super) fn boot(lab: &Lab, system: &Path, changes: &Path) -> Result<Self> {
        let cgroup = Cgroup::new(lab.host().name())?;
        let [system, changes, group] = [system, changes, &cgroup.0].map(Path::to_string_lossy);
        let unshare = lab.host().spawn(&["sh", "-c", SCRIPT, "boot.sh", &system, &changes, &group])?;
        let deadline = Instant::now() + BOOT;
        let init = loop {
            if let Some(child) = child_of(unshare.id()) {
                break child;
            }
            if Instant::now() > deadline {
                bail!("the system did not begin: {}", unshare.stderr()?);
            }
            thread::sleep(POLL);
        };
        let machine = Self { _unshare: unshare, _cgroup: cgroup, init };
        machine.wait_until_up(deadline)?;
        Ok(machine)
    }

    /// Runs a program in it to its successful end, and returns what it printed.
    pub(super) fn run(&self, words: &[&str]) -> Result<String> {
        task::output(&mut self.command(words))
    }

    /// Whether a program in it succeeds.
    pub(super) fn succeeds(&self, words: &[&str]) -> Result<bool> {
        Ok(self.command(words).output().context("cannot run nsenter")?.status.success())
    }

    /// A place in it, as it is to be reached from outside.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.init.to_string()]);
        nsenter.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd=/"]);
        nsenter.args(["timeout", LIMIT, "env", "-i", SEARCH_PATH, "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]);
        nsenter.args(words);
        nsenter
    }

    fn wait_until_up(&self, deadline: Instant) -> Result<()> {
        loop {
            let output = self.command(&["systemctl", "is-system-running"]).output().context("cannot run nsenter")?;
            let state = String::from_utf8_lossy(&output.stdout);
            // Some units of a whole machine fail in namespaces.
            if ["running", "degraded"].contains(&state.trim()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the system is not up after {} s: {state}", BOOT.as_secs());
            }
            thread::sleep(POLL);
        }
    }
}

/// The process that became another one's child first.
fn child_of(process: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
    let child = children.split_whitespace().next()?.parse().ok()?;
    // Before it is systemd it is a shell, whose mounts are not complete.
    let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
    name.starts_with("systemd").then_some(child)
}

/// A cgroup that goes with what is in it.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(name: &str) -> Result<Self> {
        let is_root = |path: &&str| statfs(*path).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC);
        let root = CGROUPS.into_iter().find(is_root).context("cgroups of version 2 are not mounted")?;
        let path = Path::new(root).join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        // The processes were killed and may take a moment to end.
        while remove(&self.0).is_err() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }
}

/// Removes a cgroup and those in it; its files cannot be removed.
fn remove(cgroup: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}
