//! The kernel tests in virtual machines: a guest for each kernel, as many at once as the host has processors.

use std::panic;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::level::Ended;
use super::libtest::Counts;
use super::report::Row;
use crate::vm::{self, Bootable, Job, Machine};
use crate::{task, workspace};

/// The integration test that also runs in virtual machines.
const KERNEL_TEST: &str = "kernel";
const GUEST_TEST: &str = "/bin/kernel-tests";
const GUEST_CLI: &str = "/bin/netfwd";

/// Parts of the names of tests that say the least about a kernel, and what they are about instead. The emulated
/// verifier takes ten seconds and more for each load of the programs, so these tests run on the running kernel alone.
const LEFT_OUT: [(&str, &str); 16] = [
    ("::over_nft::", "the scenarios themselves, proved with nftables' NAT"),
    ("attach::", "the steps of attach and detach"),
    ("bad_input::", "what the command line refuses"),
    ("bridges::", "which bridges are attached"),
    ("follow::life::", "how following begins and ends"),
    ("ipv6::", "which IPv6 addresses and subnets are chosen"),
    ("mappings::", "the forms of mappings, and their changes"),
    ("options::", "the options of attach, and their changes"),
    ("timeouts::", "how timeouts are set"),
    (
        "differential::",
        "the NAT in memory and in the kernel: on 6.1 a refused packet can be dropped unanswered, not yet solved",
    ),
    (
        "a_containers_flow_never_takes_the_tuple_of_a_host_connection",
        "on 6.1 it can, not yet solved; host:: has other tests of the host's own connections",
    ),
    ("changes::", "what a change does to flows, which the core's tests decide"),
    ("exhaustion::", "which ports are chosen, which the core's tests decide"),
    ("moby::", "Docker's cases, whose parts hairpin and localhost cover"),
    ("tcp::", "phases of TCP, which the core's tests decide"),
    ("uplinks::", "several uplinks"),
];

/// The name of the level of kernel `version`.
pub(super) fn level(version: &str) -> String {
    format!("vm {version}")
}

/// Runs the kernel tests on the kernels of `versions`.
pub(super) fn run(versions: &[String], filters: &[String], machine: &Machine) -> Vec<Row> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let run = |versions| run_together(versions, processors, filters, machine);
    versions.chunks(processors).flat_map(run).collect()
}

fn run_together(versions: &[String], processors: usize, filters: &[String], machine: &Machine) -> Vec<Row> {
    let names: Vec<_> = versions.iter().map(|version| level(version)).collect();
    task::headline(&names.join(", "));
    if !names_tests(filters) {
        for (part, what) in LEFT_OUT {
            task::say(format_args!("left out in guests: {part} ({what})"));
        }
    }
    let alone = versions.len() == 1;
    let processors = (processors / versions.len()).clamp(1, vm::MOST_PROCESSORS);
    let guests = versions.iter().map(|version| {
        let prefix = if alone { String::new() } else { format!("{version:>4} | ") };
        Guest { level: level(version), prefix, start: Instant::now(), bootable: prepare(version, filters) }
    });
    let guests: Vec<_> = guests.collect();
    thread::scope(|scope| {
        let run = |guest: Guest| scope.spawn(move || guest.run(machine, processors, filters));
        let running: Vec<_> = guests.into_iter().map(run).collect();
        let ended = running.into_iter().map(|thread| thread.join().unwrap_or_else(|error| panic::resume_unwind(error)));
        ended.collect()
    })
}

/// Whether `filters` name tests, besides options of libtest.
fn names_tests(filters: &[String]) -> bool {
    filters.iter().any(|filter| !filter.starts_with('-'))
}

fn prepare(version: &str, filters: &[String]) -> Result<Bootable> {
    match vm::obstacle() {
        None => Bootable::prepare(&job(version, filters)?),
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
    fn run(self, machine: &Machine, processors: usize, filters: &[String]) -> Row {
        let Self { level, prefix, start, bootable } = self;
        let ended = match bootable {
            Ok(bootable) => run_tests(&bootable, machine, processors, &prefix, filters),
            Err(error) if error.is::<vm::UnavailableError>() => Ok(Ended::Skipped(format!("{error:#}"))),
            Err(error) => Err(error),
        };
        let seconds = start.elapsed().as_secs();
        task::say(format_args!("{prefix}{level} ended after {seconds} s"));
        Row::new(level, start.elapsed(), ended)
    }
}

fn run_tests(
    bootable: &Bootable,
    machine: &Machine,
    processors: usize,
    prefix: &str,
    filters: &[String],
) -> Result<Ended> {
    let mut counts = Counts::default();
    let code = bootable.run(machine, processors, &mut |line| {
        counts.add_line(line);
        task::say(format_args!("{prefix}{line}"));
    })?;
    let left_out = if names_tests(filters) { 0 } else { counts.filtered_out };
    let note = if left_out > 0 { format!("{left_out} left out in guests") } else { String::new() };
    Ok(Ended::Ran { counts, success: code == 0, note })
}

/// The kernel tests, to be run in a virtual machine.
pub(crate) fn job(version: &str, filters: &[String]) -> Result<Job> {
    let target = workspace::target_directory()?;
    let arguments = ["test", "--no-run", "--package", "netfwd", "--test", KERNEL_TEST];
    let mut built = workspace::build_static(&target, &arguments)?;
    let mut take = |name: &str| built.remove(name).with_context(|| format!("cargo built no binary {name}"));
    let files = vec![(take(KERNEL_TEST)?, GUEST_TEST.to_owned()), (take("netfwd")?, GUEST_CLI.to_owned())];
    let environment = [("NETFWD", GUEST_CLI), ("NETFWD_KERNEL_TESTS", "1"), ("RUST_BACKTRACE", "1")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Ok(Job { kernel: version.to_owned(), files, environment, command: command(filters) })
}

fn command(filters: &[String]) -> Vec<String> {
    let left_out = LEFT_OUT.into_iter().filter(|_| !names_tests(filters));
    let left_out = left_out.flat_map(|(part, _)| ["--skip", part]);
    let options = [GUEST_TEST, "--include-ignored", "--test-threads=1"].into_iter().chain(left_out);
    options.map(str::to_owned).chain(filters.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_says_nothing_about_a_kernel_is_left_out_unless_tests_are_named() {
        for filters in ["", "--nocapture"] {
            let command = command(&words(filters)).join(" ");
            let expected = LEFT_OUT.iter().all(|(part, _)| command.contains(&format!(" --skip {part}")));
            assert!(expected && command.ends_with(filters), "{command}");
        }
        let command = command(&words("mappings::live --nocapture")).join(" ");
        assert_eq!(command, format!("{GUEST_TEST} --include-ignored --test-threads=1 mappings::live --nocapture"));
    }
}
