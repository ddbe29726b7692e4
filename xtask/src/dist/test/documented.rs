//! What the documents tell somebody to do who has Docker, done to the letter in a virtual machine.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, Netns, Topology, curl};

use super::super::package::Package;
use super::vm::Vm;
use crate::task;

const README: &str = include_str!("../../../../README.md");
const QUICK_START: &str = "\n## Quick start for Docker hosts\n";
const INSTALLING: &str = include_str!("../../../../docs/installing.md");
const IN_A_CONTAINER: &str = "\n## In a container\n";
/// What the container serves.
const PAGE: &str = "Hello from a container.";
/// No registry is at hand: an image of that name, with a web server.
const IMAGE: &str = "set -e; mkdir -p /tmp/image/bin /tmp/image/www; cp /bin/busybox /tmp/image/bin/httpd
    echo 'Hello from a container.' >/tmp/image/www/index.html
    tar -C /tmp/image -c . | docker import -c 'CMD [\"/bin/httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/www\"]' - nginx";
const PROJECT: &str = "services:
  front:
    image: nginx
    ports: [\"8090:80\"]
  back:
    image: nginx
";

/// Follows them on a host where Docker runs as it comes.
pub(super) fn follow(system: &Path, scratch: &Path, package: &Package, tarball: &Path) -> Result<()> {
    let lab = Lab::new(&Topology { bridges: Vec::new(), ..Topology::default() })?;
    let mut vm = Vm::boot(lab.client(), system, scratch)?;
    vm.run("systemctl enable --now docker.service")?;
    vm.run(IMAGE)?;
    // As Docker Compose makes one: its rules do not name Docker.
    vm.run("docker network create shop")?;
    vm.bring(&package.file)?;
    vm.bring(tarball)?;

    let mut steps = commands(README, QUICK_START)?;
    let fetch = steps.pop().context("the quick start has no command")?;
    vm.run(&script(&steps))?;
    serves(&vm, lab.client(), fetch)?;
    let listed = vm.run("netfwd list")?;
    ensure!(listed.contains("web"), "the container's name is missing: {listed}");
    task::say("  ✓ the README's quick start with Docker: the client and the host see the container's page");
    serves_sctp(&vm)?;
    task::say("  ✓ docker run --publish 9000:7/sctp: another container reaches it by the host's address");
    composes(&vm, lab.client())?;
    task::say("  ✓ docker-compose up, restart and down: the port comes, stays and goes");

    vm.reboot()?;
    vm.run("docker start web")?;
    serves(&vm, lab.client(), fetch)?;
    task::say("  ✓ a reboot: the service is there again, and they see it as soon as the container runs");

    vm.run("dpkg --purge netfwd && ! test -e /sys/fs/bpf/netfwd")?;
    let container = commands(INSTALLING, IN_A_CONTAINER)?;
    vm.run(&script(&container))?;
    serves(&vm, lab.client(), fetch)?;
    vm.wait_until("docker exec netfwd /netfwd list", |listed| listed.contains("web"))?;
    let restarts = vm.run("docker inspect --format {{.RestartCount}} netfwd")?;
    ensure!(restarts.trim() == "0", "the container was restarted {restarts} times: {}", vm.run("docker logs netfwd")?);
    vm.run("docker rm --force netfwd")?;
    serves(&vm, lab.client(), fetch)?;
    task::say("  ✓ netfwd in a container in place of the package: they see it too, also when it is removed");
    Ok(())
}

/// The host, which runs `fetch`, and a client see the page, by nobody but netfwd.
fn serves(vm: &Vm<'_>, client: &Netns, fetch: &str) -> Result<()> {
    // Until the container is reached it fails, or hangs: dockerd listens on the port and accepts nobody.
    vm.wait_until(&format!("timeout 5 {fetch}"), |said| said.contains(PAGE))?;
    ensure!(curl(client, "http://127.0.0.1:8080/", &[])?.contains(PAGE), "the client does not see the page");
    vm.run("pgrep docker-proxy; test $? = 1").context("docker-proxy runs")?;
    let rules = vm.run("iptables-save; ip6tables-save")?;
    let has_rules = ["docker", "br-", "masquerade"].iter().any(|word| rules.to_lowercase().contains(word));
    ensure!(!has_rules, "Docker's rules are still there:\n{rules}");
    Ok(())
}

/// What is published of SCTP is reached from the container of the quick start.
fn serves_sctp(vm: &Vm<'_>) -> Result<()> {
    let enter = |container: &str| format!("nsenter --net --target $(docker inspect -f {{{{.State.Pid}}}} {container})");
    let listen = format!("systemd-run --quiet {} socat SCTP-LISTEN:7,fork EXEC:cat", enter("echo"));
    vm.run(&script(&["docker run --detach --publish 9000:7/sctp --name echo nginx", &listen]))?;
    // A whole line, before the end of the input ends the association.
    let client = format!("{} socat - SCTP:$(hostname -I | cut -d' ' -f1):9000", enter("web"));
    vm.wait_until(&format!("(echo word; sleep 2) | timeout 10 {client}"), |said| said.trim() == "word")
}

/// Docker Compose makes a network and two containers, and removes them.
fn composes(vm: &Vm<'_>, client: &Netns) -> Result<()> {
    vm.run(&format!("mkdir project && cat > project/docker-compose.yml << 'END'\n{PROJECT}END"))?;
    let fetch = "timeout 5 curl http://127.0.0.1:8090/";
    for verb in ["up --detach", "restart"] {
        vm.run(&format!("cd project && docker-compose {verb}"))?;
        vm.wait_until(fetch, |said| said.contains(PAGE))?;
        ensure!(curl(client, "http://127.0.0.1:8090/", &[])?.contains(PAGE), "no page after `docker-compose {verb}`");
        // As Docker's own name server has it.
        let front = "nsenter --net --target $(docker inspect --format '{{.State.Pid}}' $(docker-compose ps -q front))";
        let name = "busybox nslookup back 127.0.0.11 | sed -n 's/^Address: //p'";
        let fetch = format!("cd project && {front} timeout 5 curl http://$({front} {name})/");
        vm.wait_until(&fetch, |said| said.contains(PAGE))?;
    }
    vm.run("cd project && docker-compose down")?;
    vm.wait_until("netfwd list", |listed| !listed.contains("8090"))
}

/// A script that ends with the first line that fails.
fn script(lines: &[&str]) -> String {
    format!("set -ex\n{}", lines.join("\n"))
}

/// The lines of a document's section that are to be typed.
fn commands<'d>(document: &'d str, headline: &str) -> Result<Vec<&'d str>> {
    let section = document.split(headline).nth(1).with_context(|| format!("a document has no section{headline}"))?;
    let section = section.split("\n## ").next().unwrap_or_default();
    Ok(section.lines().filter_map(|line| line.strip_prefix("    ")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_start_begins_with_the_package_and_ends_with_a_page() {
        let steps = commands(README, QUICK_START).unwrap();
        assert!(steps[0].starts_with("dpkg -i netfwd_") && steps[steps.len() - 1].starts_with("curl "), "{steps:?}");
    }

    #[test]
    fn a_container_is_made_of_the_tarball() {
        let steps = commands(INSTALLING, IN_A_CONTAINER).unwrap();
        assert!(steps[0].starts_with("tar -xzf netfwd-"), "{steps:?}");
    }
}
