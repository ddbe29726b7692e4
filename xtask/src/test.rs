//! `cargo xtask test`: every test at every level that this machine can run.

mod fast_path;
mod guests;
mod level;
mod libtest;
mod report;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{setup, task, vm, workspace};
use level::Level;
use report::{Report, Row};

pub(crate) use fast_path::FastPath;
pub(crate) use guests::{Selection, job as guest_job};

/// What the user calls the kernel that this runs on.
const RUNNING: &str = "running";

/// Run the tests: on the host, on the running kernel, and on each supported kernel in a virtual machine.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run the tests that need neither root nor a kernel
    #[arg(long)]
    host: bool,
    /// Run the kernel tests in virtual machines
    #[arg(long)]
    vm: bool,
    /// Run the kernel tests on this kernel: 6.1, 6.12 or running; may be repeated
    #[arg(long = "kernel", value_name = "VERSION")]
    kernels: Vec<String>,
    /// Run the kernel tests with netfwd's fast path on or off, where they do not choose themselves
    #[arg(long, value_enum, value_name = "on|off", default_value_t = FastPath::On)]
    fast_path: FastPath,
    /// In virtual machines, run the tests that are left out there for the time they take too
    #[arg(long)]
    thorough: bool,
    #[command(flatten)]
    machine: vm::Machine,
    /// Run only the tests whose names contain this
    #[arg(last = true, value_name = "FILTER")]
    filters: Vec<String>,
}

/// Runs the selected levels, then prints their results as a table.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure_for_tests()?;
    let mut report = Report::new(workspace::is_ci(), !args.filters.is_empty());
    let (levels, versions) = selected(args);
    for level in levels {
        let name = level.to_string();
        task::headline(&name);
        let start = Instant::now();
        let result = level.run(&args.filters);
        report.add(Row::new(name, start.elapsed(), result));
    }
    let selection = match &args.filters[..] {
        [] if args.thorough => Selection::Thorough,
        [] => Selection::Usual,
        filters => Selection::Named(filters),
    };
    for row in guests::run(&versions, selection, args.fast_path, &args.machine) {
        report.add(row);
    }
    task::say(&report);
    if report.failed() {
        bail!("tests failed or did not run: the note of each level says more");
    }
    Ok(())
}

/// The levels that `args` ask for, in the order of running, and the kernels for virtual machines; all without a wish.
fn selected(args: &Args) -> (Vec<Level>, Vec<String>) {
    let all = !args.host && !args.vm && args.kernels.is_empty();
    let (running, named): (Vec<_>, Vec<_>) = args.kernels.iter().cloned().partition(|version| version == RUNNING);
    let host = (all || args.host).then_some(Level::Host);
    let running = (all || !running.is_empty()).then_some(Level::Running(args.fast_path));
    let every = if all || (args.vm && args.kernels.is_empty()) { &vm::KERNELS[..] } else { &[] };
    let versions = named.into_iter().chain(every.iter().map(|&version| version.to_owned()));
    (host.into_iter().chain(running).collect(), versions.collect())
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn levels(line: &str) -> Vec<String> {
        let matches = Args::augment_args(Command::new("test").no_binary_name(true));
        let matches = matches.try_get_matches_from(line.split_whitespace()).unwrap();
        let args = Args::from_arg_matches(&matches).unwrap();
        let (levels, versions) = selected(&args);
        let guests = versions.iter().map(|version| guests::level(version, args.fast_path));
        levels.iter().map(Level::to_string).chain(guests).collect()
    }

    #[test]
    fn without_a_wish_all_levels_run() {
        let [first, second, ..] = [Level::Host, Level::Running(FastPath::On)].map(|level| level.to_string());
        assert_eq!(levels(""), [first, second, "vm 6.1".to_owned(), "vm 6.12".to_owned()]);
    }

    #[test]
    fn levels_say_that_the_fast_path_is_off() {
        assert_eq!(levels("--vm --kernel 6.1 --fast-path off"), ["vm 6.1, fast path off"]);
        assert_eq!(levels("--host --fast-path off"), ["host"]);
        assert!(levels("--kernel running --fast-path off")[0].ends_with(", fast path off"));
        assert_eq!(levels("--vm --fast-path on"), levels("--vm"));
    }

    #[test]
    fn a_wish_selects_levels() {
        assert_eq!(levels("--host"), ["host"]);
        assert_eq!(levels("--vm"), ["vm 6.1", "vm 6.12"]);
        assert_eq!(levels("--vm --kernel 6.1"), ["vm 6.1"]);
        assert_eq!(levels("--host --kernel 6.12"), ["host", "vm 6.12"]);
        assert_eq!(levels("--kernel running"), [Level::Running(FastPath::On).to_string()]);
        assert_eq!(
            levels("--kernel 6.1 --kernel running"),
            [Level::Running(FastPath::On).to_string(), "vm 6.1".to_owned()]
        );
    }
}
