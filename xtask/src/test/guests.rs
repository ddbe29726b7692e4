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

/// Tests that guests never run unless they are named, and why.
const LEFT_OUT: [(&str, &str); 4] = [
    ("over_nft::", "nftables' own NAT, which proves the scenarios, and says nothing of netfwd"),
    (PROMETHEUS_TESTS, "a Prometheus, which guests have not"),
    (JOURNAL_TESTS, "a systemd journal, which guests have not"),
    (DOCKER_TESTS, "a Docker Engine, which guests have not"),
];
/// Tests that guests run as well with `--thorough`, and why they can do without.
const LEFT_OUT_FOR_TIME: [(&str, &str); 19] = [
    ("agent::", USER_SPACE),
    ("apply::", USER_SPACE),
    ("bad_input::", USER_SPACE),
    ("builds::", "loads six times, for minutes, what `attach` loads as well"),
    ("check::", USER_SPACE),
    ("configuration::", USER_SPACE),
    ("expiry::", IN_THE_CORE),
    ("explain::", USER_SPACE),
    ("follow::", USER_SPACE),
    ("limits::", IN_THE_CORE),
    ("load::", "a gigabyte each way, for which an emulated machine takes minutes"),
    ("logs::", USER_SPACE),
    ("mappings::", USER_SPACE),
    ("metrics::", USER_SPACE),
    ("options::", USER_SPACE),
    ("oracle::", IN_THE_CORE),
    ("scenarios::host::", IN_THE_CORE),
    ("timeouts::", USER_SPACE),
    ("watching::", USER_SPACE),
];
const IN_THE_CORE: &str = "what the same program decides from the same maps on every kernel";
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

/// Which of the kernel tests guests run.
#[derive(Clone, Copy)]
pub(crate) enum Selection<'a> {
    /// What may differ between kernels.
    Usual,
    /// All that guests can run.
    Thorough,
    /// Those with one of these in their names.
    Named(&'a [String]),
}

impl Selection<'_> {
    /// What is left out, and why.
    fn left_out(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let (always, for_time) = match self {
            Self::Usual => (&LEFT_OUT[..], &LEFT_OUT_FOR_TIME[..]),
            Self::Thorough => (&LEFT_OUT[..], &[][..]),
            Self::Named(_) => (&[][..], &[][..]),
        };
        always.iter().chain(for_time).copied()
    }

    fn command(self) -> Vec<String> {
        let options = [GUEST_TEST, "--include-ignored", "--test-threads=1"];
        let skips = self.left_out().flat_map(|(tests, _)| ["--skip", tests]);
        let filters = if let Self::Named(filters) = self { filters } else { &[] };
        options.into_iter().chain(skips).map(str::to_owned).chain(filters.iter().cloned()).collect()
    }
}

/// Runs the kernel tests on the kernels of `versions`.
pub(super) fn run(versions: &[String], selection: Selection<'_>, fast_path: FastPath, machine: &Machine) -> Vec<Row> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let run = |versions| run_together(versions, processors, selection, fast_path, machine);
    versions.chunks(processors).flat_map(run).collect()
}

fn run_together(
    versions: &[String],
    processors: usize,
    selection: Selection<'_>,
    fast_path: FastPath,
    machine: &Machine,
) -> Vec<Row> {
    let names: Vec<_> = versions.iter().map(|version| level(version, fast_path)).collect();
    task::headline(&names.join(", "));
    for (tests, reason) in selection.left_out() {
        task::say(format_args!("left out in guests: {tests} ({reason})"));
    }
    let alone = versions.len() == 1;
    let processors = (processors / versions.len()).clamp(1, vm::MOST_PROCESSORS);
    let guests = versions.iter().map(|version| {
        let prefix = if alone { String::new() } else { format!("{version:>4} | ") };
        let bootable = prepare(version, selection, fast_path);
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

fn prepare(version: &str, selection: Selection<'_>, fast_path: FastPath) -> Result<Bootable> {
    match vm::obstacle() {
        None => Bootable::prepare(&job(version, selection, fast_path)?),
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
pub(crate) fn job(version: &str, selection: Selection<'_>, fast_path: FastPath) -> Result<Job> {
    let target = workspace::target_directory()?;
    let arguments = ["test", "--no-run", "--package", "netfwd", "--test", KERNEL_TEST];
    let mut built = workspace::build_static(&target, &arguments)?;
    let mut take = |name: &str| built.remove(name).with_context(|| format!("cargo built no binary {name}"));
    let files = vec![(take(KERNEL_TEST)?, GUEST_TEST.to_owned()), (take("netfwd")?, GUEST_CLI.to_owned())];
    let environment =
        [("NETFWD", GUEST_CLI), ("NETFWD_KERNEL_TESTS", "1"), ("RUST_BACKTRACE", "1"), fast_path.variable()];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Ok(Job { kernel: version.to_owned(), files, environment, command: selection.command() })
}
