//! `cargo xtask ci`: exactly what CI runs, in its order, to the first failure.

use std::env;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{task, workspace};

/// Run everything that CI runs.
#[derive(clap::Args)]
pub(crate) struct Args {}

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 9] = [
    ("setup", || run_verb(&["setup"])),
    ("format", || cargo(&["fmt", "--all", "--check"])),
    ("lints of the host's crates", || cargo(&["clippy", "--all-targets", "--", "-D", "warnings"])),
    ("lints of the eBPF crate", lint_ebpf),
    ("documentation", document),
    ("dependencies", check_dependencies),
    ("tests", || run_verb(&["test"])),
    ("scenarios without the fast path", || {
        let scenarios = ["--", "scenarios", "--skip", "over_nft::"];
        run_verb(&[&["test", "--fast-path", "off", "--kernel", "running"], &scenarios[..]].concat())
    }),
    ("demo", || run_verb(&["demo"])),
];

/// Runs the steps and says how long each took.
pub(crate) fn run(_args: &Args) -> Result<()> {
    if !workspace::is_root() {
        bail!("the tests and the demo need root: run `cargo xtask ci` as root");
    }
    let mut times = Vec::new();
    for (name, step) in STEPS {
        task::headline(&format!("ci: {name}"));
        let start = Instant::now();
        step().with_context(|| format!("ci failed at: {name}"))?;
        let time = format!("{:7.1} s  {name}", start.elapsed().as_secs_f64());
        task::say(&time);
        times.push(time);
    }
    task::headline("ci: all passed");
    task::say(times.join("\n"));
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<()> {
    task::run(workspace::cargo().args(arguments))
}

fn run_verb(arguments: &[&str]) -> Result<()> {
    let program = env::current_exe().context("cannot find this program")?;
    task::run(Command::new(program).args(arguments).env("CI", "true"))
}

fn lint_ebpf() -> Result<()> {
    let target = workspace::target_directory()?.join("lint-ebpf");
    let mut clippy = workspace::cargo();
    clippy.args([
        "clippy",
        "--package",
        "netfwd-ebpf",
        "--package",
        "bench-ebpf",
        "--target",
        "bpfel-unknown-none",
        "-Z",
        "build-std=core",
    ]);
    // The target has no compiled core, so a stable compiler must be allowed to build it.
    clippy.env("RUSTC_BOOTSTRAP", "1").arg("--target-dir").arg(target).args(["--", "-D", "warnings"]);
    task::run(&mut clippy)
}

fn document() -> Result<()> {
    let mut doc = workspace::cargo();
    task::run(doc.args(["doc", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "-D warnings"))
}

fn check_dependencies() -> Result<()> {
    if workspace::find_program("cargo-deny").is_none() {
        task::say("left out: cargo-deny is not installed (cargo install cargo-deny --locked)");
        return Ok(());
    }
    cargo(&["deny", "check", "bans", "licenses", "sources"])
}
