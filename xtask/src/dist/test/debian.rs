//! A minimal Debian with Docker and a kernel, made by debootstrap once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::task;

const SUITE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
/// Besides what every Debian has: what boots it, what the tests ask it with, and Docker, with what an image is made of.
const PACKAGES: &str = "linux-image-cloud-amd64,systemd-sysv,dbus,udev,openssh-server,iproute2,bpftool,man-db,curl,\
                        docker.io,docker-compose,apparmor,iptables,busybox-static,socat,procps";
/// Where the system says what it was made of.
const RECIPE: &str = "recipe";
/// They do not start before a test wants it.
const ON_DEMAND: [&str; 4] = ["docker.service", "docker.socket", "containerd.service", "ssh.service"];
/// How a virtual machine is in a network, once systemd-networkd runs.
const NETWORK: (&str, &str) =
    ("etc/systemd/network/uplink.network", "[Match]\nDriver=virtio_net\n\n[Network]\nDHCP=ipv4\n");

/// The system in `directory`, made first if it is missing or was made otherwise.
pub(super) fn bring(directory: &Path) -> Result<PathBuf> {
    let system = directory.join(SUITE);
    let recipe = format!("{MIRROR} {SUITE} {PACKAGES} {ON_DEMAND:?} {NETWORK:?}");
    if fs::read_to_string(system.join(RECIPE)).is_ok_and(|before| before == recipe) {
        return Ok(system);
    }
    let unfinished = directory.join(format!("{SUITE}.unfinished"));
    for old in [&system, &unfinished].into_iter().filter(|old| old.exists()) {
        fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}"), SUITE]).arg(&unfinished).arg(MIRROR);
    task::run_quietly(&format!("making a minimal Debian ({SUITE})"), debootstrap)?;
    let mut disable = Command::new("systemctl");
    disable.arg(format!("--root={}", unfinished.display())).arg("disable").args(ON_DEMAND);
    task::output(&mut disable)?;
    for (path, text) in [NETWORK, (RECIPE, &recipe)] {
        fs::write(unfinished.join(path), text).with_context(|| format!("cannot write {path} of the system"))?;
    }
    fs::rename(&unfinished, &system).with_context(|| format!("cannot make {}", system.display()))?;
    Ok(system)
}
