//! What the kernel must be able to do.

use std::{fmt, path::Path};

use anyhow::{Context as _, Result};
use nix::sys::utsname::uname;
use thiserror::Error;

const BTF: &str = "/sys/kernel/btf/vmlinux";
const MINIMUM: Version = Version { major: 6, minor: 1 };

/// The host cannot run netfwd: exit code 3.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unsupported {
    /// The kernel is too old.
    #[error("kernel {0} is too old for bpf_loop, bpf_timer and what else netfwd needs: boot kernel {MINIMUM} or later")]
    Old(String),
    /// The kernel does not describe its types.
    #[error("kernel {0} has no BTF ({BTF} is missing): boot a kernel built with CONFIG_DEBUG_INFO_BTF=y")]
    NoBtf(String),
    /// The kernel has no TCX.
    #[error("kernel {0} has no TCX, which came with 6.6: use `--hook tc`")]
    NoTcx(String),
}

/// A kernel's version, as far as features depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Fails if netfwd cannot run on this kernel.
pub fn check() -> Result<()> {
    Ok(judge(&release()?, Path::new(BTF).exists())?)
}

/// The running kernel's release.
pub fn release() -> Result<String> {
    let name = uname().context("cannot ask the kernel for its release")?;
    Ok(name.release().to_string_lossy().into_owned())
}

fn judge(release: &str, has_btf: bool) -> Result<(), Unsupported> {
    if version(release).is_some_and(|version| version < MINIMUM) {
        return Err(Unsupported::Old(release.to_owned()));
    }
    if !has_btf {
        return Err(Unsupported::NoBtf(release.to_owned()));
    }
    Ok(())
}

fn version(release: &str) -> Option<Version> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some(Version { major: numbers.next()?.ok()?, minor: numbers.next()?.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_a_version() {
        assert_eq!(version("6.1.0-44-cloud-amd64"), Some(Version { major: 6, minor: 1 }));
        assert_eq!(version("6.18.44"), Some(Version { major: 6, minor: 18 }));
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn a_kernel_is_refused_for_its_age_or_for_missing_btf() {
        assert_eq!(judge("6.1.0", true), Ok(()));
        assert_eq!(judge("7.0.0-rc1", true), Ok(()));
        assert_eq!(judge("5.15.0", true), Err(Unsupported::Old("5.15.0".to_owned())));
        assert_eq!(judge("6.12.0", false), Err(Unsupported::NoBtf("6.12.0".to_owned())));
    }
}
