//! What runs at a level, and what it takes.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::libtest::Counts;
use crate::setup::{self, Scope};
use crate::vm::{self, Job, Machine};
use crate::{task, workspace};

/// The integration test that also runs in virtual machines.
const KERNEL_TEST: &str = "kernel";
const GUEST_TEST: &str = "/bin/kernel-tests";
const GUEST_CLI: &str = "/bin/netfwd";

pub(super) enum Level {
    /// What needs neither root nor a kernel with BPF.
    Host,
    /// What needs root, in namespaces on the running kernel.
    Running,
    /// The kernel tests in a virtual machine.
    Vm(String),
}

/// How a level ended.
pub(super) enum Ended {
    Ran { counts: Counts, success: bool },
    Skipped(String),
}

impl Level {
    pub(super) fn on_kernel(version: &str) -> Self {
        match version {
            "running" => Self::Running,
            version => Self::Vm(version.to_owned()),
        }
    }

    pub(super) fn run(&self, filters: &[String], machine: &Machine) -> Result<Ended> {
        match self {
            Self::Host => on_host(filters),
            Self::Running => on_running_kernel(filters),
            Self::Vm(version) => in_vm(version, filters, machine),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Running => write!(f, "kernel {}", running_kernel()),
            Self::Vm(version) => write!(f, "vm {version}"),
        }
    }
}

fn running_kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or_else(|_| "running".to_owned(), |release| release.trim().to_owned())
}

fn on_host(filters: &[String]) -> Result<Ended> {
    let (mut counts, success) = cargo_test(&[], &[], filters)?;
    counts.defer_ignored();
    Ok(Ended::Ran { counts, success })
}

fn on_running_kernel(filters: &[String]) -> Result<Ended> {
    if !workspace::is_root() {
        return Ok(Ended::Skipped("needs root".to_owned()));
    }
    if let Some(reason) = setup::lacking(Scope::Demo) {
        return Ok(Ended::Skipped(reason));
    }
    let ignored_on_host = ["--ignored", "--test-threads=1"];
    let (counts, success) = cargo_test(&["--lib", "--bins", "--tests"], &ignored_on_host, filters)?;
    Ok(Ended::Ran { counts, success })
}

fn cargo_test(targets: &[&str], options: &[&str], filters: &[String]) -> Result<(Counts, bool)> {
    let mut cargo = workspace::cargo();
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

fn in_vm(version: &str, filters: &[String], machine: &Machine) -> Result<Ended> {
    if let Some(reason) = vm::obstacle() {
        return Ok(Ended::Skipped(reason));
    }
    let job = job(version, filters)?;
    let mut counts = Counts::default();
    let ended = vm::execute(&job, machine, &mut |line| {
        counts.add_line(line);
        task::say(line);
    });
    match ended {
        Ok(code) => Ok(Ended::Ran { counts, success: code == 0 }),
        Err(error) if error.is::<vm::UnavailableError>() => Ok(Ended::Skipped(format!("{error:#}"))),
        Err(error) => Err(error),
    }
}

/// The kernel tests, to be run in a virtual machine.
pub(crate) fn job(version: &str, filters: &[String]) -> Result<Job> {
    let target = workspace::target_directory()?;
    let arguments = ["test", "--no-run", "--package", "netfwd", "--test", KERNEL_TEST];
    let mut built = workspace::build_static(&target, &arguments)?;
    let mut take = |name: &str| built.remove(name).with_context(|| format!("cargo built no binary {name}"));
    let files = vec![(take(KERNEL_TEST)?, GUEST_TEST.to_owned()), (take("netfwd")?, GUEST_CLI.to_owned())];
    let environment = [("NETFWD", GUEST_CLI), ("NETFWD_KERNEL_TESTS", "1"), ("RUST_BACKTRACE", "1")];
    let options = [GUEST_TEST, "--include-ignored", "--test-threads=1"].map(str::to_owned);
    Ok(Job {
        kernel: version.to_owned(),
        files,
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        command: options.into_iter().chain(filters.iter().cloned()).collect(),
    })
}
