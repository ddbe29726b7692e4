//! `cargo xtask dist`: a Debian package, and a tarball with the same files for other distributions.

mod build;
mod package;
mod tarball;
mod test;

use anyhow::{Result, ensure};

use crate::setup::{self, Scope};
use crate::{task, workspace};
use package::Packer;

/// Pack netfwd: a .deb, and a tarball of the same files
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Install the package in a clean Debian, upgrade it under a connection, and remove it; and do what the documents
    /// say in a virtual machine with Docker
    #[arg(long)]
    test: bool,
}

/// Builds, packs, says where the packages are, and tests them.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(!args.test || workspace::is_root(), "the test boots a Debian and loads BPF programs: run it as root");
    setup::ensure(if args.test { Scope::Package } else { Scope::Demo })?;
    task::headline("Packages");
    build::all()?;
    let packer = Packer::new()?;
    let package = packer.pack(package::FIRST_REVISION, packer.directory())?;
    let tarball = tarball::make(&package)?;
    for made in [&package.file, &tarball] {
        task::say(format_args!("  {}", made.display()));
    }
    if args.test { test::run(&packer, &package, &tarball) } else { Ok(()) }
}
