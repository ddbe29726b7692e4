//! Debian's kernels, fetched as packages and unpacked, never installed.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::task;
use crate::workspace;

/// Why there is nothing to boot; tests turn it into a skip.
#[derive(Debug)]
pub(crate) struct UnavailableError(pub(crate) String);

impl std::fmt::Display for UnavailableError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnavailableError {}

pub(super) struct Kernel {
    /// The bootable file.
    pub(super) image: PathBuf,
    /// The directory of its modules.
    pub(super) modules: PathBuf,
}

impl Kernel {
    /// The kernel of `version` in `cache`, brought there first if it is missing.
    pub(super) fn fetch(version: &str, cache: &Path) -> Result<Self> {
        let tree = cache.join(version);
        if !tree.is_dir() {
            download(version, cache, &tree)
                .map_err(|error| UnavailableError(format!("no kernel {version}: {error:#}")))?;
        }
        Self::in_tree(&tree)
    }

    fn in_tree(tree: &Path) -> Result<Self> {
        let image = only_entry(&tree.join("boot"), "vmlinuz-")?;
        let modules = only_entry(&tree.join("lib/modules"), "")?;
        Ok(Self { image, modules })
    }
}

fn only_entry(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let again = || format!("no {prefix}* in {}: remove the kernel's directory and try again", directory.display());
    let entries = fs::read_dir(directory).with_context(again)?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let has_prefix = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    paths.find(has_prefix).with_context(again)
}

/// Downloads and unpacks beside `tree`, and puts the result there in one step.
fn download(version: &str, cache: &Path, tree: &Path) -> Result<()> {
    for program in ["apt-cache", "apt-get", "dpkg-deb"] {
        if workspace::find_program(program).is_none() {
            bail!("kernels come from Debian's packages, and there is no {program} here");
        }
    }
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let work = tempfile::tempdir_in(cache)?;
    let package = download_newest(version, work.path())?;
    let unpacked = work.path().join("tree");
    task::output(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked))?;
    fs::rename(&unpacked, tree).with_context(|| format!("cannot put the kernel at {}", tree.display()))
}

fn download_newest(version: &str, directory: &Path) -> Result<PathBuf> {
    let first = newest_package(version).and_then(|package| apt_download(&package, directory));
    let Err(reason) = first else { return first };
    if !workspace::is_root() {
        return Err(reason);
    }
    // Debian removes superseded packages, so lists that are some days old name files that are gone.
    let mut update = Command::new("apt-get");
    update.arg("update");
    task::run_quietly("reading Debian's package lists", update)?;
    apt_download(&newest_package(version)?, directory)
}

fn apt_download(package: &str, directory: &Path) -> Result<PathBuf> {
    let mut download = Command::new("apt-get");
    download.args(["download", package]).current_dir(directory);
    task::run_quietly(&format!("downloading {package}"), download)?;
    only_entry(directory, package)
}

fn newest_package(version: &str) -> Result<String> {
    let listed = task::output(Command::new("apt-cache").args(["pkgnames", &format!("linux-image-{version}")]))?;
    let newest = newest(version, listed.lines());
    newest.map(str::to_owned).with_context(|| format!("the package lists name no linux-image-{version}.*-cloud-amd64"))
}

/// The newest concrete kernel of `version` among package `names`.
fn newest<'a>(version: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let prefix = format!("linux-image-{version}.");
    let concrete = names.filter(|name| name.starts_with(&prefix) && name.ends_with("-cloud-amd64"));
    concrete.min_by_key(|name| Reverse(numbers(name)))
}

fn numbers(name: &str) -> Vec<u64> {
    name.split(|character: char| !character.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 8] = [
        "linux-image-6.1.0-9-cloud-amd64",
        "linux-image-6.1.0-56-cloud-amd64",
        "linux-image-6.1.0-56-cloud-amd64-dbg",
        "linux-image-6.1.0-57-cloud-amd64-unsigned",
        "linux-image-6.12.9+deb12-cloud-amd64",
        "linux-image-6.12.117+deb12-cloud-amd64",
        "linux-image-6.12-cloud-amd64",
        "linux-image-6.12.118+deb12-amd64",
    ];

    #[test]
    fn the_newest_concrete_signed_cloud_kernel_is_chosen() {
        assert_eq!(newest("6.1", NAMES.into_iter()), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(newest("6.12", NAMES.into_iter()), Some("linux-image-6.12.117+deb12-cloud-amd64"));
        assert_eq!(newest("6.6", NAMES.into_iter()), None);
    }
}
