//! What becomes of a package on a host.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, TcpEcho, Topology, tcp_ask};

use super::super::package::Package;
use super::machine::Machine;
use super::programs::{Loaded, PINS};
use crate::task;

const UNIT: &str = "netfwd.service";
const CONFIGURATION: &str = "/etc/netfwd/netfwd.toml";
const COMPLETIONS: [&str; 3] = [
    "/usr/share/bash-completion/completions/netfwd",
    "/usr/share/zsh/vendor-completions/_netfwd",
    "/usr/share/fish/vendor_completions.d/netfwd.fish",
];
const PORTS: (u16, u16) = (8080, 80);
/// A host port of a configuration that has been changed.
const SECOND_PORT: u16 = 8081;
/// Where a configuration may be linked to.
const LINKED: &str = "/srv/netfwd.toml";
const TIMEOUT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(200);
/// What systemd may find fault with, of 10.
const EXPOSURE: f64 = 2.5;

/// The stages of it, each with what is to hold in it.
pub(super) struct Life<'a> {
    lab: &'a Lab,
    machine: &'a Machine,
    topology: &'a Topology,
}

impl<'a> Life<'a> {
    pub(super) fn new(lab: &'a Lab, topology: &'a Topology, machine: &'a Machine) -> Self {
        Self { lab, machine, topology }
    }

    /// It is installed, with all that belongs to it, and does not start by itself.
    pub(super) fn is_installed(&self, package: &Package) -> Result<()> {
        self.install(package)?;
        ensure!(self.machine.run(&["netfwd", "--version"])?.trim() == format!("netfwd {}", package.version));
        for page in ["netfwd", "netfwd-run", "netfwd-attach"] {
            let shown = self.machine.run(&["man", "--pager=cat", "8", page])?;
            ensure!(shown.contains("SYNOPSIS"), "the manual page {page} is empty: {shown}");
        }
        for file in COMPLETIONS {
            ensure!(self.machine.path(file).is_file(), "{file} is missing");
        }
        self.machine.run(&["bash", "-n", COMPLETIONS[0]])?;
        ensure!(!self.is_active()?, "{UNIT} runs without having been started");
        task::say("  ✓ dpkg -i: the program, manual pages, completions and a unit that waits to be enabled");
        self.unit_is_sound()
    }

    /// The unit starts, and a container is reached through a mapping.
    pub(super) fn serves(&self) -> Result<()> {
        let uplink = &self.topology.uplinks[0].name;
        let bridge = &self.topology.bridges[0];
        let mapping = format!("{}:{}:{}", PORTS.0, bridge.containers[0], PORTS.1);
        let text = format!("mappings = [\"{mapping}\"]\n\n[[uplink]]\ninterface = \"{uplink}\"\n");
        fs::write(self.machine.path(CONFIGURATION), text).context("cannot write the configuration")?;
        self.machine.run(&["systemctl", "enable", "--now", UNIT])?;
        ensure!(self.is_active()?, "{UNIT} does not run");
        let _server = self.server()?;
        self.client_is_served()?;
        task::say("  ✓ systemctl enable --now netfwd: the client reaches the container");
        Ok(())
    }

    /// A connection outlives a kill, a stop and an upgrade.
    pub(super) fn survives(&self, next: &Package) -> Result<()> {
        let _server = self.server()?;
        let mut connection = self.connect()?;
        let first = self.main_process()?;
        self.machine.run(&["systemctl", "kill", "--signal=KILL", "--kill-who=main", UNIT])?;
        exchange(&mut connection, "while it was killed")?;
        self.machine.run(&["systemctl", "restart", UNIT])?;
        self.machine.run(&["systemctl", "stop", UNIT])?;
        exchange(&mut connection, "after systemctl stop")?;
        self.client_is_served()?;
        self.machine.run(&["systemctl", "start", UNIT])?;
        let second = self.main_process()?;
        ensure!(first != second, "{UNIT} was not started anew");
        self.install(next)?;
        ensure!(self.main_process()? != second, "the upgrade did not restart {UNIT}");
        exchange(&mut connection, "after the upgrade")?;
        self.client_is_served()?;
        let configuration = fs::read_to_string(self.machine.path(CONFIGURATION))?;
        ensure!(configuration.contains("[[uplink]]"), "the upgrade replaced the configuration");
        let journal = self.machine.run(&["journalctl", "--quiet", "--output=cat", "--unit", UNIT])?;
        ensure!(!journal.lines().any(|line| line.starts_with("netfwd: ")), "it complained:\n{journal}");
        task::say("  ✓ SIGKILL, systemctl stop and dpkg -i of a newer package: the client's connection goes on");
        Ok(())
    }

    /// It reads its configuration when it is told to, also where it cannot see a change: behind a symbolic link.
    pub(super) fn reloads(&self) -> Result<()> {
        let link = format!("cp {CONFIGURATION} {LINKED} && ln -sf {LINKED} {CONFIGURATION}");
        self.machine.run(&["sh", "-c", &link])?;
        let text = fs::read_to_string(self.machine.path(LINKED))?;
        let more = text.replace(&format!("{}:", PORTS.0), &format!("{SECOND_PORT}:"));
        fs::write(self.machine.path(LINKED), &more).context("cannot write the configuration")?;
        self.machine.run(&["systemctl", "reload", UNIT])?;
        let _server = self.server()?;
        let mut second = self.mapped();
        second.set_port(SECOND_PORT);
        let deadline = Instant::now() + PATIENCE;
        while tcp_ask(self.lab.client(), second, b"hello", TIMEOUT)?.is_err() {
            ensure!(Instant::now() < deadline, "systemctl reload did not bring about {more}");
            thread::sleep(POLL);
        }
        fs::write(self.machine.path(LINKED), text).context("cannot write the configuration")?;
        self.machine.run(&["cp", "--remove-destination", LINKED, CONFIGURATION])?;
        task::say("  ✓ systemctl reload: the mapping that was changed is there");
        Ok(())
    }

    /// systemd starts it anew when it hangs.
    pub(super) fn is_watched(&self) -> Result<()> {
        let directory = self.machine.path(&format!("/run/systemd/system/{UNIT}.d"));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("watchdog.conf"), "[Service]\nWatchdogSec=10s\n")?;
        self.machine.run(&["systemctl", "daemon-reload"])?;
        self.machine.run(&["systemctl", "restart", UNIT])?;
        let _server = self.server()?;
        let mut connection = self.connect()?;
        let first = self.main_process()?;
        self.machine.run(&["systemctl", "kill", "--signal=STOP", "--kill-who=main", UNIT])?;
        let deadline = Instant::now() + PATIENCE;
        while !self.is_active()? || self.pid()? == first {
            ensure!(Instant::now() < deadline, "{UNIT} hangs, and nobody minds");
            thread::sleep(POLL);
        }
        exchange(&mut connection, "when the watchdog came")?;
        task::say("  ✓ SIGSTOP: systemd's watchdog starts it anew, and the client's connection goes on");
        Ok(())
    }

    /// Nothing of it stays.
    pub(super) fn is_removed(&self) -> Result<()> {
        let loaded = Loaded::pinned(self.machine)?;
        self.machine.run(&["dpkg", "--remove", "netfwd"])?;
        ensure!(!self.machine.path(PINS).exists(), "{PINS} is still there");
        loaded.are_gone(self.machine)?;
        let _server = self.server()?;
        let answer = tcp_ask(self.lab.client(), self.mapped(), b"?", Duration::from_secs(1))?;
        ensure!(answer.is_err(), "the mapping still works");
        ensure!(self.machine.path(CONFIGURATION).is_file(), "the configuration went with the package");
        task::say("  ✓ dpkg -r: no program, map or link of it is in the kernel");
        self.machine.run(&["dpkg", "--purge", "netfwd"])?;
        let left = self.machine.run(&["find", "/etc", "/usr", "/var/lib", "-xdev", "-iname", "*netfwd*"])?;
        ensure!(left.is_empty(), "still there:\n{left}");
        task::say("  ✓ dpkg -P: no file of it is left");
        Ok(())
    }

    fn install(&self, package: &Package) -> Result<()> {
        let inside = "/root/netfwd.deb";
        fs::copy(&package.file, self.machine.path(inside)).context("cannot bring the package into the system")?;
        self.machine.run(&["dpkg", "--install", inside])?;
        // It fails where a package lacks another one.
        self.machine.run(&["apt-get", "check"])?;
        Ok(())
    }

    fn unit_is_sound(&self) -> Result<()> {
        self.machine.run(&["systemd-analyze", "verify", &format!("/usr/lib/systemd/system/{UNIT}")])?;
        let report = self.machine.run(&["systemd-analyze", "security", "--no-pager", UNIT])?;
        let verdict = report.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_default();
        let exposure = verdict.split_whitespace().find_map(|word| word.parse::<f64>().ok());
        ensure!(exposure.is_some_and(|exposure| exposure <= EXPOSURE), "not within {EXPOSURE}: {verdict}\n{report}");
        task::say(format_args!("  ✓ systemd-analyze security: {}", verdict.trim_start_matches(['→', ' '])));
        Ok(())
    }

    fn is_active(&self) -> Result<bool> {
        self.machine.succeeds(&["systemctl", "--quiet", "is-active", UNIT])
    }

    fn main_process(&self) -> Result<String> {
        ensure!(self.is_active()?, "{UNIT} does not run");
        self.pid()
    }

    /// Of the process that there is, or was last.
    fn pid(&self) -> Result<String> {
        self.machine.run(&["systemctl", "show", "--value", "--property=MainPID", UNIT])
    }

    /// The web server of the container, so to speak.
    fn server(&self) -> Result<TcpEcho> {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORTS.1));
        TcpEcho::start(&self.lab.containers()[0], any)
    }

    fn mapped(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.topology.uplinks[0].address.addr()), PORTS.0)
    }

    fn client_is_served(&self) -> Result<()> {
        let answer = tcp_ask(self.lab.client(), self.mapped(), b"hello", TIMEOUT)?;
        ensure!(answer.context("the client does not reach the container")? == b"hello");
        Ok(())
    }

    fn connect(&self) -> Result<TcpStream> {
        let connected = self.lab.client().enter(|| TcpStream::connect_timeout(&self.mapped(), TIMEOUT))?;
        let connection = connected.context("the client does not reach the container")?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        Ok(connection)
    }
}

fn exchange(connection: &mut TcpStream, when: &str) -> Result<()> {
    let mut answer = [0; 5];
    let asked = connection.write_all(b"still").and_then(|()| connection.read_exact(&mut answer));
    asked.with_context(|| format!("the client's connection ended {when}"))?;
    ensure!(&answer == b"still", "the client's connection was mixed up {when}");
    Ok(())
}
