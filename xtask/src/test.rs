//! `cargo xtask test`: every test at every level that this machine can run.

mod level;
mod libtest;
mod report;

use std::env;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::{setup, task, vm};
use level::Level;
use report::{Report, Row};

pub(crate) use level::job as guest_job;

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
    #[command(flatten)]
    machine: vm::Machine,
    /// Run only the tests whose names contain this
    #[arg(last = true, value_name = "FILTER")]
    filters: Vec<String>,
}

/// Runs the selected levels, then prints their results as a table.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure_for_tests()?;
    let skips_fail = env::var_os("CI").is_some_and(|value| value == "true");
    let mut report = Report::new(skips_fail, !args.filters.is_empty());
    for level in selected(args) {
        task::headline(&level.to_string());
        let start = Instant::now();
        let result = level.run(&args.filters, &args.machine);
        report.add(Row::new(level.to_string(), start.elapsed(), result));
    }
    task::say(&report);
    if report.failed() {
        bail!("tests failed or did not run: the note of each level says more");
    }
    Ok(())
}

/// The levels that `args` ask for, in the order of running; all without a wish.
fn selected(args: &Args) -> Vec<Level> {
    let all = !args.host && !args.vm && args.kernels.is_empty();
    let mut levels = Vec::new();
    if all || args.host {
        levels.push(Level::Host);
    }
    if all {
        levels.push(Level::Running);
    }
    let named = args.kernels.iter().map(String::as_str);
    let in_vm = vm::KERNELS.into_iter().filter(|_| all || (args.vm && args.kernels.is_empty()));
    levels.extend(named.chain(in_vm).map(Level::on_kernel));
    levels
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn levels(line: &str) -> Vec<String> {
        let matches = Args::augment_args(Command::new("test").no_binary_name(true));
        let matches = matches.try_get_matches_from(line.split_whitespace()).unwrap();
        let args = Args::from_arg_matches(&matches).unwrap();
        selected(&args).iter().map(Level::to_string).collect()
    }

    #[test]
    fn without_a_wish_all_levels_run() {
        let [first, second, ..] = [Level::Host, Level::Running].map(|level| level.to_string());
        assert_eq!(levels(""), [first, second, "vm 6.1".to_owned(), "vm 6.12".to_owned()]);
    }

    #[test]
    fn a_wish_selects_levels() {
        assert_eq!(levels("--host"), ["host"]);
        assert_eq!(levels("--vm"), ["vm 6.1", "vm 6.12"]);
        assert_eq!(levels("--vm --kernel 6.1"), ["vm 6.1"]);
        assert_eq!(levels("--host --kernel 6.12"), ["host", "vm 6.12"]);
        assert_eq!(levels("--kernel running"), [Level::Running.to_string()]);
    }
}
