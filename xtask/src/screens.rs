//! `cargo xtask screens`: what netfwd's commands show of a lab with traffic, for the documentation.

mod stage;
mod svg;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::setup::{self, Scope};
use crate::{task, workspace};
use stage::Stage;

/// Write docs/screens anew, from a lab of network namespaces.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// The files in docs/screens, and the commands that are shown there.
const SCREENS: [(&str, &[&str]); 6] = [
    ("list", &["list"]),
    ("flows", &["flows"]),
    ("status", &["status"]),
    ("top", &["top", "--once"]),
    ("trace", &["trace", "--mapping", "8080", "--count", "10"]),
    ("apply-dry-run", &["apply", stage::CONFIGURATION, "--dry-run"]),
];

/// Sets up, builds, and writes a text and a picture for each command.
pub(crate) fn run(_args: &Args) -> Result<()> {
    ensure!(workspace::is_root(), "the lab makes network namespaces and loads BPF programs: run it as root");
    setup::ensure(Scope::Demo)?;
    let stage = Stage::new(&build()?)?;
    let directory = workspace::root().join("docs/screens");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for (name, command) in SCREENS {
        let shown = stage.show(command)?;
        write(&directory.join(format!("{name}.txt")), &shown)?;
        write(&directory.join(format!("{name}.svg")), &svg::picture(&format!("netfwd {}", command.join(" ")), &shown))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    task::say(format_args!("  {}", path.display()));
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What it shows does not depend on how fast it is.
fn build() -> Result<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--package", "netfwd"]);
    task::run_quietly("Building netfwd", cargo)?;
    Ok(workspace::target_directory()?.join("debug/netfwd"))
}
