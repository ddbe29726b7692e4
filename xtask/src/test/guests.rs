//! The kernel tests in virtual machines: a guest for each kernel, as many at once as the host has processors.

use std::panic;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::fast_path::FastPath;
use super::level::Ended;
use super::libtest::Counts;
use super::report::Row;
use crate::vm::{self, Bootable, Job, Machine};
use crate::{task, workspace};

/// The integration test that also runs in virtual machines.
const KERNEL_TEST: &str = "kernel";
const GUEST_TEST: &str = "/bin/kernel-tests";
const GUEST_CLI: &str = "/bin/netfwd";

/// Tests that run on the running kernel alone, and why.
const LEFT_OUT: [(&str, &str); 9] = [
    ("over_nft::", "nftables' own NAT, which proves the scenarios, and says nothing of netfwd"),
    ("agent::", USER_SPACE),
    ("apply::", USER_SPACE),
    ("check::", USER_SPACE),
    ("configuration::", USER_SPACE),
    ("logs::", USER_SPACE),
    ("metrics::", USER_SPACE),
    ("watching::", USER_SPACE),
    (DOCKER_TESTS, "a Docker Engine, which guests have not"),
];
const USER_SPACE: &str = "reads and writes maps as the other commands do, which are tested on every kernel";
/// Tests with a Docker Engine.
pub(super) const DOCKER_TESTS: &str = "docker::";
/// Tests with a Prometheus.
pub(super) const PROMETHEUS_TESTS: &str = "prometheus::";
/// Tests with a systemd journal.
pub(super) const JOURNAL_TESTS: &str = "journal::";

/// The name of the level of kernel `version`.
pub(super) fn level(version: &str, fast_path: FastPath) -> String {
    fast_path.name(&format!("vm {version}"))
}

/// Runs the kernel tests on the kernels of `versions`.
pub(super) fn run(versions: &[String], filters: &[String], fast_path: FastPath, machine: &Machine) -> Vec<Row> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let run = |versions| run_together(versions, processors, filters, fast_path, machine);
    versions.chunks(processors).flat_map(run).collect()
}

fn run_together(
    versions: &[String],
    processors: usize,
    filters: &[String],
    fast_path: FastPath,
    machine: &Machine,
) -> Vec<Row> {
    let names: Vec<_> = versions.iter().map(|version| level(version, fast_path)).collect();
    task::headline(&names.join(", "));
    if filters.is_empty() {
        for (tests, reason) in LEFT_OUT {
            task::say(format_args!("left out in guests: {tests} ({reason})"));
        }
    }
    let alone = versions.len() == 1;
    let processors = (processors / versions.len()).clamp(1, vm::MOST_PROCESSORS);
    let guests = versions.iter().map(|version| {
        let prefix = if alone { String::new() } else { format!("{version:>4} | ") };
        let bootable = prepare(version, filters, fast_path);
        Guest { level: level(version, fast_path), prefix, start: Instant::now(), bootable }
    });
    let guests: Vec<_> = guests.collect();
    thread::scope(|scope| {
        let run = |guest: Guest| scope.spawn(move || guest.run(machine, processors));
        let running: Vec<_> = guests.into_iter().map(run).collect();
        let ended = running.into_iter().map(|thread| thread.join().unwrap_or_else(|error| panic::resume_unwind(error)));
        ended.collect()
    })
}

fn prepare(version: &str, filters: &[String], fast_path: FastPath) -> Result<Bootable> {
    match vm::obstacle() {
        None => Bootable::prepare(&job(version, filters, fast_path)?),
        Some(reason) => Err(vm::UnavailableError(reason).into()),
    }
}

struct Guest {
    level: String,
    /// Goes before each line.
    prefix: String,
    start: Instant,
    bootable: Result<Bootable>,
}

impl Guest {
    fn run(self, machine: &Machine, processors: usize) -> Row {
        let Self { level, prefix, start, bootable } = self;
        let ended = match bootable {
            Ok(bootable) => run_tests(&bootable, machine, processors, &prefix),
            Err(error) if error.is::<vm::UnavailableError>() => Ok(Ended::Skipped(format!("{error:#}"))),
            Err(error) => Err(error),
        };
        let seconds = start.elapsed().as_secs();
        task::say(format_args!("{prefix}{level} ended after {seconds} s"));
        Row::new(level, start.elapsed(), ended)
    }
}

fn run_tests(bootable: &Bootable, machine: &Machine, processors: usize, prefix: &str) -> Result<Ended> {
    let mut counts = Counts::default();
    let code = bootable.run(machine, processors, &mut |line| {
        counts.add_line(line);
        task::say(format_args!("{prefix}{line}"));
    })?;
    Ok(Ended::Ran { counts, success: code == 0, note: String::new() })
}

/// The kernel tests, to be run in a virtual machine.
pub(crate) fn job(version: &str, filters: &[String], fast_path: FastPath) -> Result<Job> {
    let target = workspace::target_directory()?;
    let arguments = ["test", "--no-run", "--package", "netfwd", "--test", KERNEL_TEST];
    let mut built = workspace::build_static(&target, &arguments)?;
    let mut take = |name: &str| built.remove(name).with_context(|| format!("cargo built no binary {name}"));
    let files = vec![(take(KERNEL_TEST)?, GUEST_TEST.to_owned()), (take("netfwd")?, GUEST_CLI.to_owned())];
    let environment =
        [("NETFWD", GUEST_CLI), ("NETFWD_KERNEL_TESTS", "1"), ("RUST_BACKTRACE", "1"), fast_path.variable()];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Ok(Job { kernel: version.to_owned(), files, environment, command: command(filters) })
}

fn command(filters: &[String]) -> Vec<String> {
    let options = [GUEST_TEST, "--include-ignored", "--test-threads=1"];
    let left_out = if filters.is_empty() { &LEFT_OUT[..] } else { &[] };
    let left_out = left_out.iter().flat_map(|(tests, _)| ["--skip", tests]);
    options.into_iter().chain(left_out).map(str::to_owned).chain(filters.iter().cloned()).collect()
}
