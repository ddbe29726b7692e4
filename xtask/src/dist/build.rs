//! What goes into a package and is made by cargo.

use std::fs;
use std::path::{Path, PathBuf};
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
    make_pages(&directory()?.join("pages"))
}

/// Makes them anew: verbs come and go.
fn make_pages(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    let mut pages = workspace::cargo();
    pages.args(["run", "--locked", "--package", "netfwd", "--example", "pages", "--"]).arg(directory);
    task::run_quietly("making manual pages and completions", pages)?;
    // Debian wants them so (policy 12.1); without their names and times in it, it is the same each time.
    let mut gzip = Command::new("gzip");
    gzip.args(["--best", "--no-name", "--recursive"]).arg(directory.join("man"));
    task::output(&mut gzip).map(drop)
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
