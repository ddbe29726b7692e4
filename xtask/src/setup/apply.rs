//! Does a step of the plan.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::distro::Family;
use super::plan::Step;
use super::state::{self, BPF_LINKER, State};
use crate::task;
use crate::workspace;

/// Debian's newer compiler and its library sources.
const DEBIAN_COMPILER: [&str; 2] = ["rustc-web", "rust-web-src"];

pub(super) fn apply(step: &Step, state: &State) -> Result<()> {
    match step {
        Step::Packages(packages) => install_packages(packages),
        Step::CoreSources => bring_core_sources(state),
        Step::BpfLinker => install_bpf_linker(),
        Step::Unpack(bundle) => {
            // Without what some tests alone need, the others run.
            if let Err(error) = bundle.bring() {
                task::complain(format_args!("warning: tests with a {} are left out: {error:#}", bundle.name()));
            }
            Ok(())
        }
    }
}

fn install_packages(packages: &[&str]) -> Result<()> {
    task::run_quietly("reading Debian's package lists", apt_get(&["update"]))?;
    let mut install = apt_get(&["install", "--yes", "--no-install-recommends"]);
    install.args(packages);
    task::run_quietly(&format!("installing {}", packages.join(" ")), install)
        .context("cannot install packages: look at the messages of apt-get, then run this again")
}

pub(super) fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn bring_core_sources(state: &State) -> Result<()> {
    let Err(reason) = add_rust_src(state) else {
        return Ok(());
    };
    let packages = DEBIAN_COMPILER.join(" ");
    if !state.root || state.distro.family != Family::Debian {
        return Err(reason.context(format!(
            "core's sources are missing: run `rustup component add rust-src --toolchain {}`, \
             or on Debian as root `apt-get install {packages}`",
            state.toolchain
        )));
    }
    task::complain(format_args!("  {reason:#}\n  Taking Debian's {packages} for the eBPF programs instead."));
    install_packages(&DEBIAN_COMPILER)?;
    match state::core_sources(&state.toolchain) {
        Some(_) => Ok(()),
        None => bail!("Debian's {packages} are older than Rust {}: rust-src must come from rustup", state.toolchain),
    }
}

fn add_rust_src(state: &State) -> Result<()> {
    if !state.rustup {
        bail!("rustup is not installed");
    }
    let mut command = Command::new("rustup");
    command.args(["component", "add", "rust-src", "--toolchain", &state.toolchain]).env("RUST_BACKTRACE", "0");
    task::run_quietly(&format!("adding rust-src to Rust {}", state.toolchain), command)
}

fn install_bpf_linker() -> Result<()> {
    let mut install = workspace::cargo();
    install.args(["install", "bpf-linker", "--locked", "--force", "--version", &BPF_LINKER.to_string()]);
    task::run_quietly(&format!("building bpf-linker {BPF_LINKER} (about 3 minutes)"), install)
}
