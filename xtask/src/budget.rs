//! `cargo xtask budget`: what the BPF programs cost the verifier, and what a packet costs, on each kernel.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::test::{FastPath, Selection};
use crate::vm::Job;
use crate::{setup, task, test, vm, workspace};

/// The tests that print the figures, and how to see what they print.
const TESTS: [&str; 2] = ["programs::budgets", "--nocapture"];
const RUNNING: &str = "running";
const FILE: &str = "netfwd/budgets.toml";
const HEADER: &str = "# What the verifier may need for each program, by kernel: measured, and a quarter more.\n\
                      # `cargo xtask budget --bless` writes this file.\n";
/// What a chain of calls may have.
const MAX_STACK: u64 = 512;

/// Measure what the BPF programs cost.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Record the verifier's figures, and a quarter more, in netfwd/budgets.toml
    #[arg(long)]
    bless: bool,
    /// Measure on this kernel: 6.1, 6.12 or running; may be repeated
    #[arg(long = "kernel", value_name = "VERSION")]
    kernels: Vec<String>,
    #[command(flatten)]
    machine: vm::Machine,
}

/// Instructions and bytes of stack by kernel and program.
type Budgets = BTreeMap<String, BTreeMap<String, (u64, u64)>>;

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure_for_tests()?;
    let all = [RUNNING].into_iter().chain(vm::KERNELS);
    let kernels: Vec<&str> =
        if args.kernels.is_empty() { all.collect() } else { args.kernels.iter().map(String::as_str).collect() };
    let path = workspace::root().join(FILE);
    let mut budgets = parse(&fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?)?;
    for kernel in kernels {
        task::headline(&format!("kernel {kernel}"));
        let figures = figures(kernel, &args.machine)?;
        for figure in &figures {
            task::say(figure);
        }
        record(&mut budgets, &figures)?;
    }
    if args.bless {
        fs::write(&path, render(&budgets)).with_context(|| format!("cannot write {}", path.display()))?;
        task::say(format_args!("\nrecorded in {FILE}"));
    }
    Ok(())
}

/// The lines with figures that the tests print on a kernel.
fn figures(kernel: &str, machine: &vm::Machine) -> Result<Vec<String>> {
    let job = test::guest_job(kernel, Selection::Named(&TESTS.map(str::to_owned)), FastPath::On)?;
    let mut lines = Vec::new();
    if kernel == RUNNING {
        lines.extend(on_running_kernel(&job)?.lines().map(str::to_owned));
    } else {
        // A budget that is exceeded fails its test, and is what is to be measured.
        vm::execute(&job, machine, &mut |line| lines.push(line.to_owned()))?;
    }
    let figures =
        lines.iter().filter_map(|line| ["budget kernel=", "packet kernel="].iter().find_map(|it| from(line, it)));
    let figures: Vec<_> = figures.map(str::to_owned).collect();
    if figures.is_empty() {
        bail!("nothing was measured on kernel {kernel} (it takes root); the tests said:\n{}", lines.join("\n"));
    }
    Ok(figures)
}

fn on_running_kernel(job: &Job) -> Result<String> {
    let ((program, _), arguments) = (job.files.first().context("a job has a program")?, job.command.iter().skip(1));
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn from<'l>(line: &'l str, start: &str) -> Option<&'l str> {
    line.find(start).map(|at| &line[at..])
}

/// Takes over figures such as `budget kernel=6.1 program=netfwd_egress instructions=33985 stack=512`.
fn record(budgets: &mut Budgets, figures: &[String]) -> Result<()> {
    let mut measured = Budgets::new();
    for figure in figures.iter().filter(|figure| figure.starts_with("budget ")) {
        let value = |name: &str| {
            let value = figure.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.with_context(|| format!("no {name} in `{figure}`"))
        };
        let number = |name: &str| value(name)?.parse().with_context(|| format!("no number: {name} in `{figure}`"));
        let (instructions, stack): (u64, u64) = (number("instructions")?, number("stack")?);
        let programs = measured.entry(value("kernel")?.to_owned()).or_default();
        programs.insert(value("program")?.to_owned(), (more(instructions), more(stack).min(MAX_STACK)));
    }
    budgets.extend(measured);
    Ok(())
}

/// A quarter more.
fn more(measured: u64) -> u64 {
    measured + measured.div_ceil(4)
}

fn parse(text: &str) -> Result<Budgets> {
    let table: toml::Table = text.parse().with_context(|| format!("cannot parse {FILE}"))?;
    Ok(table
        .try_into::<BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>>()?
        .into_iter()
        .map(|(kernel, programs)| {
            let of = |program: &BTreeMap<String, u64>, what| program.get(what).copied().unwrap_or_default();
            let programs = programs.iter().map(|(name, it)| (name.clone(), (of(it, "instructions"), of(it, "stack"))));
            (kernel, programs.collect())
        })
        .collect())
}

fn render(budgets: &Budgets) -> String {
    let mut text = HEADER.to_owned();
    for (kernel, programs) in budgets {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n[\"{kernel}\"]");
        for (name, (instructions, stack)) in programs {
            let _ = writeln!(text, "{name} = {{ instructions = {instructions}, stack = {stack} }}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_recorded_with_head_room_beside_those_of_other_kernels() {
        let old = "[\"6.1\"]\nx = { instructions = 1, stack = 2 }\n";
        let mut budgets = parse(old).unwrap();
        let figures =
            ["packet kernel=6.12 program=x nanoseconds=9", "budget kernel=6.12 program=x instructions=1001 stack=480"];
        record(&mut budgets, &figures.map(str::to_owned)).unwrap();
        let rendered = render(&budgets);
        assert_eq!(rendered, format!("{HEADER}\n{old}\n[\"6.12\"]\nx = {{ instructions = 1252, stack = 512 }}\n"));
        assert_eq!(parse(&rendered).unwrap(), budgets);
    }

    #[test]
    fn a_figure_is_found_behind_the_name_of_its_test() {
        assert_eq!(from("test x ... budget kernel=6.1 a", "budget kernel="), Some("budget kernel=6.1 a"));
        assert_eq!(from("running 2 tests", "budget kernel="), None);
    }
}
