//! The package in a clean Debian: its life in one in the place of the host of a lab of network namespaces, and the
//! README in one in a virtual machine.

mod debian;
mod documented;
mod life;
mod machine;
mod programs;
mod vm;

use std::path::Path;

use anyhow::{Context as _, Result};
use lab::{Lab, Topology};

use super::package::{FIRST_REVISION, Package, Packer};
use crate::task;
use life::Life;
use machine::Machine;

/// Plays the life of the package: it is installed, upgraded under a connection, removed and purged. Then it follows the
/// documents on a host with Docker.
pub(super) fn run(packer: &Packer, package: &Package, tarball: &Path) -> Result<()> {
    task::headline("The package in a clean Debian");
    let system = debian::bring(packer.directory())?;
    let scratch = tempfile::tempdir_in(packer.directory()).context("cannot make a directory for the test")?;
    let next = packer.pack(FIRST_REVISION + 1, scratch.path())?;
    live(&system, scratch.path(), [package, &next])?;
    documented::follow(&system, scratch.path(), package, tarball)?;
    task::say("The package is as it should be, and so are the documents.");
    Ok(())
}

fn live(system: &Path, scratch: &Path, [package, next]: [&Package; 2]) -> Result<()> {
    let topology = Topology::default();
    let lab = Lab::new(&topology)?;
    let machine = Machine::boot(&lab, system, &scratch.join("life"))?;
    let life = Life::new(&lab, &topology, &machine);
    life.is_installed(package)?;
    life.serves()?;
    life.survives(next)?;
    life.reloads()?;
    life.is_watched()?;
    life.is_removed()
}
