//! The BPF file system, in which pins live.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

/// Where the BPF file system is on every system that mounts it.
const USUAL: &str = "/sys/fs/bpf";
/// What a mount of ours is called in the list of mounts.
const OURS: &str = "netfwd";

/// Whether a path, or what exists of it, is on a BPF file system.
pub(super) fn is_bpffs(path: &Path) -> bool {
    let existing = path.ancestors().find(|path| path.exists());
    existing.is_some_and(|path| statfs(path).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC))
}

/// Mounts the BPF file system if none is mounted where `directory` is or will be.
pub(super) fn ensure(directory: &Path) -> Result<()> {
    if is_bpffs(directory) {
        return Ok(());
    }
    let (target, source) = if directory.starts_with(USUAL) { (Path::new(USUAL), "bpf") } else { (directory, OURS) };
    let what =
        || format!("cannot mount the BPF file system at {0}: mount it with `mount -t bpf bpf {0}`", target.display());
    fs::create_dir_all(target).with_context(what)?;
    mount(Some(source), target, Some("bpf"), MsFlags::empty(), Some("mode=0700")).with_context(what)
}

/// Unmounts what [`ensure`] mounted on `directory` itself. The usual place stays mounted.
pub(super) fn undo(directory: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the list of mounts")?;
    if !is_ours(&mounts, directory) {
        return Ok(());
    }
    // The lock on the directory is still held.
    umount2(directory, MntFlags::MNT_DETACH).with_context(|| format!("cannot unmount {}", directory.display()))
}

fn is_ours(mounts: &str, directory: &Path) -> bool {
    mounts.lines().any(|line| {
        let mut words = line.split(' ');
        words.next() == Some(OURS) && words.next().map(PathBuf::from).as_deref() == Some(directory)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_mounts_are_told_from_others() {
        let mounts = "bpf /sys/fs/bpf bpf rw 0 0\nnetfwd /run/pins bpf rw,mode=700 0 0\n";
        assert!(is_ours(mounts, Path::new("/run/pins")));
        assert!(!is_ours(mounts, Path::new("/sys/fs/bpf")));
    }

    #[test]
    fn ordinary_directories_are_no_bpf_file_system() {
        assert!(!is_bpffs(Path::new("/proc/self")));
    }
}
