//! Debian's packages, unpacked below `target`. Installing them would start services.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::apply::apt_get;
use super::{Scope, engine, prometheus};
use crate::{task, workspace};

/// What some tests, and the benchmark, need beside programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bundle {
    Engine,
    Prometheus,
}

impl Bundle {
    /// Those that `scope` needs.
    pub(super) const fn of(scope: Scope) -> &'static [Self] {
        match scope {
            Scope::Demo | Scope::Package => &[],
            Scope::Bench => &[Self::Engine],
            Scope::Tests => &[Self::Engine, Self::Prometheus],
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Engine => "Docker Engine",
            Self::Prometheus => "Prometheus",
        }
    }

    pub(super) fn is_there(self) -> bool {
        let obstacle = match self {
            Self::Engine => engine::obstacle(),
            Self::Prometheus => prometheus::obstacle(),
        };
        obstacle.is_none()
    }

    pub(super) fn bring(self) -> Result<()> {
        match self {
            Self::Engine => engine::bring(),
            Self::Prometheus => prometheus::bring(),
        }
    }
}

/// Makes `target/NAME`: completely or not at all.
pub(super) fn bring(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if workspace::is_root() {
        task::run_quietly("reading Debian's package lists", apt_get(&["update"]))?;
    }
    let directory = workspace::root().join("target").join(name);
    let unfinished = directory.with_extension("unfinished");
    fill(&unfinished)?;
    fs::remove_dir_all(&directory).ok();
    fs::rename(&unfinished, &directory).with_context(|| format!("cannot make {}", directory.display()))
}

/// Fetches packages, and adds their files to a directory.
pub(super) fn unpack(packages: &[&str], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let place = tempfile::tempdir().context("cannot make a directory for packages")?;
    let mut download = apt_get(&["download"]);
    download.current_dir(place.path()).args(packages);
    task::run_quietly(&format!("fetching {}", packages.join(" ")), download)
        .context("cannot fetch packages: run `apt-get update` as root, then this again")?;
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
