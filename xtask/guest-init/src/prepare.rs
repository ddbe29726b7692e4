//! Makes of a bare kernel a system that programs can run in.

use std::fs::{self, File};

use anyhow::{Context as _, Result};
use nix::kmod::{self, ModuleInitFlags};
use nix::mount::{self, MsFlags};
use nix::sys::resource::{self, Resource};

const MOUNTS: [(&str, &str); 9] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("bpf", "/sys/fs/bpf"),
    ("cgroup2", "/sys/fs/cgroup"),
];

/// As many files as a system with systemd allows by default.
const OPEN_FILES: u64 = 524_288;

pub(crate) fn mount_all() -> Result<()> {
    MOUNTS.iter().try_for_each(|&(kind, target)| {
        fs::create_dir_all(target).with_context(|| format!("cannot make {target}"))?;
        mount::mount(Some(kind), target, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("cannot mount {kind} on {target}"))
    })
}

pub(crate) fn load_modules(paths: &[String]) -> Result<()> {
    paths.iter().try_for_each(|path| {
        let file = File::open(path).with_context(|| format!("cannot open module {path}"))?;
        kmod::finit_module(file, c"", ModuleInitFlags::empty()).with_context(|| format!("cannot load module {path}"))
    })
}

pub(crate) fn raise_limits() -> Result<()> {
    resource::setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES).context("cannot raise the limit of open files")
}
