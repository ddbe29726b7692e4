//! The cgroup hierarchy of version 2, to whose root programs for sockets are attached.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

const MOUNTS: &str = "/proc/self/mountinfo";

/// Where the hierarchy's root is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside version 1. `None` if it is
/// not, or hidden in this mount namespace.
pub fn root() -> Result<Option<PathBuf>> {
    let mounts = fs::read_to_string(MOUNTS).with_context(|| format!("cannot read {MOUNTS}"))?;
    Ok(mount_points(&mounts).into_iter().find(|path| is_cgroup2(path)).map(Path::to_owned))
}

/// What may be the root: mounts of cgroup2, of the whole before those of a part (`proc_pid_mountinfo(5)`).
fn mount_points(mounts: &str) -> Vec<&Path> {
    let mut found: Vec<_> = mounts
        .lines()
        .filter_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            let mut fields = mount.split(' ').skip(3);
            let (root, point) = (fields.next()?, fields.next()?);
            file_system.starts_with("cgroup2 ").then_some((root != "/", Path::new(point)))
        })
        .collect();
    found.sort_by_key(|(is_part, _)| *is_part);
    found.into_iter().map(|(_, point)| point).collect()
}

/// Another file system may be mounted over it.
fn is_cgroup2(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_hierarchy_goes_before_its_parts() {
        let mounts = "\
22 1 0:20 / /sys rw shared:2 - sysfs sysfs rw
30 22 0:26 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu
41 22 0:27 /a/part /run/part rw - cgroup2 none rw
31 22 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
32 22 0:28 / /mnt/cgroup2 rw - ext4 /dev/cgroup2 rw
";
        assert_eq!(mount_points(mounts), [Path::new("/sys/fs/cgroup/unified"), Path::new("/run/part")]);
        assert!(mount_points("").is_empty());
    }
}
