//! The package's files as a tarball, for distributions without dpkg.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::package::Package;
use crate::task;

const NOTE: &str = include_str!("../../../packaging/INSTALL");

/// Makes it beside the package.
pub(super) fn make(package: &Package) -> Result<PathBuf> {
    let name = format!("netfwd-{}-x86_64-linux", package.version);
    let file = package.file.with_file_name(format!("{name}.tar.gz"));
    let place = tempfile::tempdir().context("cannot make a directory for the tarball's files")?;
    let tree = place.path().join(&name);
    task::output(Command::new("dpkg-deb").arg("--extract").args([&package.file, &tree]))?;
    fs::write(tree.join("INSTALL"), NOTE).context("cannot write the tarball's note")?;
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u+w,go-w"])
        .arg(format!("--mtime=@{}", package.epoch))
        .args(["--gzip", "--create", "--file"])
        .arg(&file)
        .arg("--directory")
        .arg(place.path())
        .arg(&name);
    task::output(&mut tar)?;
    Ok(file)
}
