//! A minimal Debian with Docker, made by debootstrap once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::task;

const SUITE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
/// Besides what every Debian has: what boots it, what the tests ask it with, and Docker, with what an image is made of.
const PACKAGES: &str = "systemd-sysv,dbus,iproute2,bpftool,man-db,curl,docker.io,iptables,busybox-static";
/// They do not start before a test wants it.
const DOCKER: [&str; 3] = ["docker.service", "docker.socket", "containerd.service"];

/// The system in `directory`, made first if it is missing.
pub(super) fn bring(directory: &Path) -> Result<PathBuf> {
    let system = directory.join(SUITE);
    if system.is_dir() {
        return Ok(system);
    }
    let unfinished = directory.join(format!("{SUITE}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}"), SUITE]).arg(&unfinished).arg(MIRROR);
    task::run_quietly(&format!("making a minimal Debian ({SUITE})"), debootstrap)?;
    let mut disable = Command::new("systemctl");
    disable.arg(format!("--root={}", unfinished.display())).arg("disable").args(DOCKER);
    task::output(&mut disable)?;
    fs::rename(&unfinished, &system).with_context(|| format!("cannot make {}", system.display()))?;
    Ok(system)
}
