//! The Debian package, by cargo-deb. What is in it says `package.metadata.deb` in netfwd/Cargo.toml.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::semver::Version;

use super::build::TARGET;
use crate::{task, workspace};

/// Of the first package of a version.
pub(super) const FIRST_REVISION: u32 = 1;
const CARGO_DEB: Version = Version::new(3, 8, 0);
/// Makes what is packed the same at each time (<https://reproducible-builds.org/specs/source-date-epoch/>).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Packs what has been built.
pub(super) struct Packer {
    cargo_deb: PathBuf,
    directory: PathBuf,
    version: Version,
    /// Seconds since 1970.
    epoch: String,
}

/// A package.
pub(super) struct Package {
    /// Where it is.
    pub(super) file: PathBuf,
    /// The version of netfwd in it.
    pub(super) version: Version,
    /// The time of everything in it, in seconds since 1970.
    pub(super) epoch: String,
}

impl Packer {
    /// Brings cargo-deb, unless it is there.
    pub(super) fn new() -> Result<Self> {
        let target = workspace::target_directory()?;
        let directory = target.join("dist");
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self { cargo_deb: bring_cargo_deb(&target)?, directory, version: workspace::version()?, epoch: epoch()? })
    }

    /// Where packages are.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Packs it into a directory, as a revision of the version. dpkg takes a higher one for an upgrade.
    pub(super) fn pack(&self, revision: u32, directory: &Path) -> Result<Package> {
        let file = directory.join(format!("netfwd_{}-{revision}_amd64.deb", self.version));
        let mut cargo_deb = Command::new(&self.cargo_deb);
        cargo_deb.current_dir(workspace::root()).env(EPOCH, &self.epoch);
        cargo_deb.args(["deb", "--no-build", "--package", "netfwd", "--target", TARGET]);
        cargo_deb.args(["--deb-revision", &revision.to_string(), "--output"]).arg(&file);
        task::run_quietly(&format!("packing revision {revision}"), cargo_deb)?;
        Ok(Package { file, version: self.version.clone(), epoch: self.epoch.clone() })
    }
}

/// cargo-deb below the target directory: it is of no use elsewhere.
fn bring_cargo_deb(target: &Path) -> Result<PathBuf> {
    let root = target.join("tools");
    let program = root.join("bin/cargo-deb");
    let version = CARGO_DEB.to_string();
    if task::output(Command::new(&program).arg("--version")).is_ok_and(|printed| printed.contains(&version)) {
        return Ok(program);
    }
    let mut install = workspace::cargo();
    install.args(["install", "cargo-deb", "--locked", "--version", &version, "--root"]).arg(&root);
    task::run_quietly(&format!("building cargo-deb {version}"), install)?;
    Ok(program)
}

/// The time that the caller gives, or that of the last change.
fn epoch() -> Result<String> {
    if let Ok(given) = env::var(EPOCH) {
        return Ok(given);
    }
    let mut log = Command::new("git");
    log.args(["log", "-1", "--format=%ct"]).current_dir(workspace::root());
    let printed = task::output(&mut log).with_context(|| format!("the source's age is not known: set {EPOCH}"))?;
    Ok(printed.trim().to_owned())
}
