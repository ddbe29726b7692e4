//! What the README tells somebody to do who has Docker, done to the letter.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, Topology, curl};

use super::super::package::Package;
use super::machine::Machine;
use crate::task;

const README: &str = include_str!("../../../../README.md");
const SECTION: &str = "\n## Quick start for Docker hosts\n";
/// What the container serves.
const PAGE: &str = "Hello from a container.";
/// No registry is at hand: an image of that name, with a web server.
const IMAGE: &str = "set -e; mkdir -p /tmp/image/bin /tmp/image/www; cp /bin/busybox /tmp/image/bin/httpd
    echo 'Hello from a container.' >/tmp/image/www/index.html
    tar -C /tmp/image -c . | docker import -c 'CMD [\"/bin/httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/www\"]' - nginx";
/// How long the user takes to type the last line.
const PATIENCE: Duration = Duration::from_secs(30);

/// Follows it on a host where Docker runs as it comes.
pub(super) fn follow(system: &Path, scratch: &Path, package: &Package) -> Result<()> {
    let topology = Topology { bridges: Vec::new(), ..Topology::default() };
    let lab = Lab::new(&topology)?;
    let machine = Machine::boot(&lab, system, &scratch.join("docker"))?;
    // As of every host: it is how netfwd knows the uplink.
    machine.run(&["ip", "route", "add", "default", "via", &topology.uplinks[0].clients[0].to_string()])?;
    machine.run(&["systemctl", "enable", "--now", "docker.service"])?;
    machine.run(&["sh", "-c", IMAGE])?;
    // As Docker Compose makes one: its rules do not name Docker.
    machine.run(&["docker", "network", "create", "shop"])?;
    let name = package.file.file_name().context("a package has a name")?;
    fs::copy(&package.file, machine.path("/root").join(name)).context("cannot bring the package into the system")?;

    let (steps, last) = commands(README).context("the README has no quick start")?;
    machine.run(&["sh", "-exc", &format!("cd /root\n{steps}")])?;
    let deadline = Instant::now() + PATIENCE;
    while !here(&machine, &last).contains(PAGE) {
        ensure!(Instant::now() < deadline, "`{last}` does not show the page: {}", machine.run(&["netfwd", "list"])?);
        thread::sleep(Duration::from_millis(200));
    }
    let url = format!("http://{}:8080/", topology.uplinks[0].address.addr());
    ensure!(curl(lab.client(), &url, &[])?.contains(PAGE), "the client does not see the page");
    let listed = machine.run(&["netfwd", "list"])?;
    ensure!(listed.contains("web"), "the container's name is missing: {listed}");
    ensure!(!machine.succeeds(&["pgrep", "docker-proxy"])?, "docker-proxy runs");
    let rules = machine.run(&["iptables-save"])?;
    let has_rules = ["docker", "br-", "masquerade"].iter().any(|word| rules.to_lowercase().contains(word));
    ensure!(!has_rules, "Docker's rules are still there:\n{rules}");
    task::say("  ✓ the README's quick start with Docker: the client and the host see the container's page");
    Ok(())
}

/// Runs a line among the system's own processes: a program that is brought in from outside is in none of its cgroups.
fn here(machine: &Machine, line: &str) -> String {
    // Until the container is reached it fails, or hangs: dockerd listens on the port and accepts nobody.
    let among = ["systemd-run", "--quiet", "--pipe", "--wait", "timeout", "5", "sh", "-c", line];
    machine.run(&among).unwrap_or_default()
}

/// The section's commands: all but the last one, and that.
fn commands(readme: &str) -> Option<(String, String)> {
    let section = readme.split(SECTION).nth(1)?.split("\n## ").next()?;
    let mut lines: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let last = lines.pop()?.to_owned();
    Some((lines.join("\n"), last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_s_quick_start_begins_with_the_package_and_ends_with_a_page() {
        let (steps, last) = commands(README).unwrap();
        assert!(steps.starts_with("dpkg -i netfwd_") && last.starts_with("curl "), "{steps}\n{last}");
    }
}
