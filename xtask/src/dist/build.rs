//! What goes into a package and is made by cargo.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{task, workspace};

/// Programs for it are static, and run on every distribution.
pub(super) const TARGET: &str = "x86_64-unknown-linux-musl";

/// Builds the program, the manual pages and the completions.
pub(super) fn all() -> Result<()> {
    bring_target()?;
    let mut program = workspace::cargo();
    program.args(["build", "--release", "--locked", "--package", "netfwd", "--target", TARGET]);
    task::run_quietly("building netfwd", program)?;
    let mut pages = workspace::cargo();
    pages.args(["run", "--locked", "--package", "netfwd", "--example", "pages", "--"]).arg(directory()?.join("pages"));
    task::run_quietly("making manual pages and completions", pages)
}

/// Where cargo puts programs for the target, and cargo-deb looks for what is built.
fn directory() -> Result<PathBuf> {
    Ok(workspace::target_directory()?.join(TARGET).join("release"))
}

/// Adds the target's libraries to the toolchain.
fn bring_target() -> Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(workspace::root());
    if PathBuf::from(task::output(&mut rustc)?.trim()).is_dir() {
        return Ok(());
    }
    ensure!(
        workspace::find_program("rustup").is_some(),
        "the toolchain has no libraries for {TARGET}: add them, as `rustup target add {TARGET}` does"
    );
    let mut add = Command::new("rustup");
    add.args(["target", "add", TARGET, "--toolchain", &workspace::toolchain()?]);
    task::run_quietly(&format!("adding {TARGET} to the toolchain"), add).context("cannot build a static netfwd")
}
