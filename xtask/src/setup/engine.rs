//! A Docker Engine for tests: Debian's packages, unpacked. Installing them would start an engine, with its rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::apply::apt_get;
use crate::{task, workspace};

/// The engine, what it runs, and the libraries that a small system may lack.
const PACKAGES: [&str; 5] = ["docker.io", "containerd", "runc", "libseccomp2", "libdevmapper1.02.1"];
/// The command line, where `docker.io` has it no more (since Debian 13).
const COMMAND_LINE: &str = "docker-cli";
const DOCKER: &str = "usr/bin/docker";
const UNFINISHED: &str = "docker.unfinished";

/// Why there is no engine, if it is so.
pub(super) fn obstacle() -> Option<String> {
    // cargo sets NETFWD_DOCKER for what it runs: see `.cargo/config.toml`.
    lab::DockerEngine::obstacle()
}

/// Unpacks an engine to where tests look for it.
pub(super) fn bring() -> Result<()> {
    if workspace::is_root() {
        task::run_quietly("reading Debian's package lists", apt_get(&["update"]))?;
    }
    let directory = workspace::root().join("target/docker");
    let unfinished = directory.with_file_name(UNFINISHED);
    unpack(&PACKAGES, &unfinished)?;
    if !unfinished.join(DOCKER).is_file() {
        unpack(&[COMMAND_LINE], &unfinished)?;
    }
    fs::remove_dir_all(&directory).ok();
    fs::rename(&unfinished, &directory).with_context(|| format!("cannot make {}", directory.display()))
}

fn unpack(packages: &[&str], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let place = tempfile::tempdir().context("cannot make a directory for packages")?;
    let mut download = apt_get(&["download"]);
    download.current_dir(place.path()).args(packages);
    task::run_quietly(&format!("fetching {}", packages.join(" ")), download)
        .context("cannot fetch a Docker Engine for tests: run `apt-get update` as root, then this again")?;
    for package in files(place.path())? {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").args([&package, directory]);
        task::run(&mut unpack)?;
    }
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    entries.collect()
}
