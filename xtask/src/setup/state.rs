//! What this machine has. Looking changes nothing.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use cargo_metadata::semver::Version;

use super::Scope;
use super::distro::Distro;
use super::programs::{self, Program};
use super::unpacked::Bundle;
use crate::{task, workspace};

/// The bpf-linker that is installed when there is none or an older one.
pub(super) const BPF_LINKER: Version = Version::new(0, 10, 4);

/// Where Debian's packages put their compiler.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

pub(super) struct State {
    pub(super) distro: Distro,
    pub(super) root: bool,
    pub(super) missing: Vec<&'static Program>,
    pub(super) toolchain: String,
    pub(super) rustup: bool,
    pub(super) core_sources: Option<PathBuf>,
    pub(super) bpf_linker: Option<Version>,
    /// What is missing of what is not installed.
    pub(super) absent: Vec<Bundle>,
}

impl State {
    pub(super) fn probe(scope: Scope) -> Result<Self> {
        let toolchain = workspace::toolchain()?;
        Ok(Self {
            distro: Distro::of_host(),
            root: workspace::is_root(),
            missing: programs::missing(scope),
            core_sources: core_sources(&toolchain),
            toolchain,
            rustup: workspace::find_program("rustup").is_some(),
            bpf_linker: bpf_linker(),
            absent: Bundle::of(scope).iter().copied().filter(|bundle| !bundle.is_there()).collect(),
        })
    }

    pub(super) fn has_bpf_linker(&self) -> bool {
        self.bpf_linker.as_ref().is_some_and(|version| *version >= BPF_LINKER)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing: Vec<_> = self.missing.iter().map(|program| program.name).collect();
        match missing.as_slice() {
            [] => writeln!(f, "  system programs  all there")?,
            names => writeln!(f, "  system programs  missing: {}", names.join(" "))?,
        }
        match &self.core_sources {
            Some(path) => writeln!(f, "  core's sources   {}", path.display())?,
            None => writeln!(f, "  core's sources   missing (rust-src)")?,
        }
        match &self.bpf_linker {
            Some(version) => writeln!(f, "  bpf-linker       {version}")?,
            None => writeln!(f, "  bpf-linker       missing")?,
        }
        match self.absent.as_slice() {
            [] => write!(f, "  for some tests   all there"),
            absent => {
                let names: Vec<_> = absent.iter().map(|bundle| bundle.name()).collect();
                write!(f, "  for some tests   missing: {}", names.join(", "))
            }
        }
    }
}

/// The library sources of the first compiler that has them: cargo's own, then the system's if it is new enough.
pub(super) fn core_sources(toolchain: &str) -> Option<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    sources_of(Path::new(&rustc)).or_else(|| {
        let printed = ask(Path::new(SYSTEM_RUSTC), &["--version"])?;
        (parse_version(&printed)? >= Version::parse(toolchain).ok()?).then_some(())?;
        sources_of(Path::new(SYSTEM_RUSTC))
    })
}

fn sources_of(rustc: &Path) -> Option<PathBuf> {
    let sysroot = ask(rustc, &["--print", "sysroot"])?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
    library.join("core/src/lib.rs").is_file().then_some(library)
}

fn bpf_linker() -> Option<Version> {
    parse_version(&ask(Path::new("bpf-linker"), &["--version"])?)
}

fn ask(program: &Path, arguments: &[&str]) -> Option<String> {
    task::output(Command::new(program).args(arguments).current_dir(workspace::root())).ok()
}

/// The version in what `PROGRAM --version` prints.
fn parse_version(printed: &str) -> Option<Version> {
    Version::parse(printed.split_whitespace().nth(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_second_word_printed() {
        assert_eq!(parse_version("bpf-linker 0.10.4\n"), Some(BPF_LINKER));
        let debian = parse_version("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)");
        assert_eq!(debian, Some(Version::new(1, 96, 0)));
        assert_eq!(parse_version("bpf-linker"), None);
        assert_eq!(parse_version("error: no such command"), None);
    }

    #[test]
    fn a_compiler_that_does_not_exist_has_no_sources() {
        assert_eq!(sources_of(Path::new("/no/such/rustc")), None);
    }
}
