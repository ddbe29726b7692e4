//! What runs at a level without a virtual machine, and what it takes.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::fast_path::FastPath;
use super::guests::{DOCKER_TESTS, JOURNAL_TESTS, PROMETHEUS_TESTS};
use super::libtest::Counts;
use crate::setup::{self, Scope};
use crate::{task, workspace};

const JOURNALD: &str = "/lib/systemd/systemd-journald";

pub(super) enum Level {
    /// What needs neither root nor a kernel with BPF.
    Host,
    /// What needs root, in namespaces on the running kernel.
    Running(FastPath),
}

/// How a level ended.
pub(super) enum Ended {
    Ran { counts: Counts, success: bool, note: String },
    Skipped(String),
}

impl Level {
    pub(super) fn run(&self, filters: &[String]) -> Result<Ended> {
        match self {
            Self::Host => on_host(filters),
            Self::Running(fast_path) => on_running_kernel(*fast_path, filters),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Running(fast_path) => f.write_str(&fast_path.name(&format!("kernel {}", running_kernel()))),
        }
    }
}

fn running_kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or_else(|_| "running".to_owned(), |release| release.trim().to_owned())
}

fn on_host(filters: &[String]) -> Result<Ended> {
    let (mut counts, success) = cargo_test(None, &[], &[], filters)?;
    // The kernel levels run what was ignored here.
    let deferred = std::mem::take(&mut counts.ignored);
    let note = if deferred > 0 { format!("{deferred} more at the kernel levels") } else { String::new() };
    Ok(Ended::Ran { counts, success, note })
}

fn on_running_kernel(fast_path: FastPath, filters: &[String]) -> Result<Ended> {
    if !workspace::is_root() {
        return Ok(Ended::Skipped("needs root".to_owned()));
    }
    if let Some(reason) = setup::lacking(Scope::Demo) {
        return Ok(Ended::Skipped(reason));
    }
    let left_out = left_out();
    let skips = left_out.iter().flat_map(|(tests, _)| ["--skip", tests]);
    let options: Vec<_> = ["--ignored", "--test-threads=1"].into_iter().chain(skips).collect();
    let (counts, success) = cargo_test(Some(fast_path), &["--lib", "--bins", "--tests"], &options, filters)?;
    let notes = left_out.iter().map(|(tests, obstacle)| format!("without {tests}, as {obstacle}"));
    Ok(Ended::Ran { counts, success, note: notes.collect::<Vec<_>>().join("; ") })
}

/// Tests that need what is missing, and what that is. In CI nothing is left out: these tests fail then, and say why.
fn left_out() -> Vec<(&'static str, String)> {
    if workspace::is_ci() {
        return Vec::new();
    }
    let engine = setup::lacking_engine().map(|obstacle| (DOCKER_TESTS, obstacle));
    let prometheus = setup::lacking_prometheus().map(|obstacle| (PROMETHEUS_TESTS, obstacle));
    let journal = lacking_journal().map(|obstacle| (JOURNAL_TESTS, obstacle));
    engine.into_iter().chain(prometheus).chain(journal).collect()
}

fn lacking_journal() -> Option<String> {
    let missing = [JOURNALD, "/etc/machine-id"].into_iter().find(|path| !Path::new(path).exists())?;
    Some(format!("there is no {missing}: this system has no systemd"))
}

fn cargo_test(
    fast_path: Option<FastPath>,
    targets: &[&str],
    options: &[&str],
    filters: &[String],
) -> Result<(Counts, bool)> {
    let mut cargo = workspace::cargo();
    cargo.envs(fast_path.map(FastPath::variable));
    cargo.args(["test", "--no-fail-fast"]).args(targets).arg("--").args(options).args(filters);
    count_while_showing(cargo)
}

fn count_while_showing(mut command: Command) -> Result<(Counts, bool)> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let output = child.stdout.take().context("cargo has no standard output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        counts.add_line(&line);
        task::say(&line);
    }
    Ok((counts, child.wait()?.success()))
}
