//! Where the demo plays: the lab, what is shown of it, and the checks.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result};
use lab::{Bridge, Lab, Netns, Topology, Uplink, WebServer};
use tempfile::TempDir;

use crate::task;

const HOST_PORT: u16 = 8080;

/// The port of the web server in the first container.
pub(super) const CONTAINER_PORT: u16 = 80;

pub(super) struct Stage {
    server: Option<WebServer>,
    site: TempDir,
    lab: Lab,
    topology: Topology,
    passed: u32,
    failed: u32,
}

impl Stage {
    pub(super) fn new(netfwd: &Path) -> Result<Self> {
        let topology = Topology::default();
        let lab = Lab::new(&topology)?.with_netfwd(netfwd);
        let site = tempfile::Builder::new().prefix("netfwd-demo-").tempdir();
        let site = site.context("cannot make a directory for the web server")?;
        Ok(Self { server: None, site, lab, topology, passed: 0, failed: 0 })
    }

    pub(super) fn host(&self) -> &Netns {
        self.lab.host()
    }

    pub(super) fn client(&self) -> &Netns {
        self.lab.client()
    }

    /// The first container.
    pub(super) fn c1(&self) -> &Netns {
        &self.lab.containers()[0]
    }

    pub(super) fn uplink(&self) -> &Uplink {
        &self.topology.uplinks[0]
    }

    pub(super) fn bridge(&self) -> &Bridge {
        &self.topology.bridges[0]
    }

    pub(super) fn host_address(&self) -> Ipv4Addr {
        self.uplink().address.addr()
    }

    pub(super) fn client_address(&self) -> Ipv4Addr {
        self.uplink().clients[0]
    }

    pub(super) fn c1_address(&self) -> Ipv4Addr {
        self.bridge().containers[0]
    }

    /// The mapping of the first container's web server.
    pub(super) fn mapping(&self) -> String {
        format!("{HOST_PORT}:{}:{CONTAINER_PORT}", self.c1_address())
    }

    /// Where the client finds the first container's web server.
    pub(super) fn url(&self) -> String {
        format!("http://{}:{HOST_PORT}/", self.host_address())
    }

    /// Starts the web server in the first container, with one page.
    pub(super) fn serve(&mut self, page: &str) -> Result<()> {
        let file = self.site.path().join("index.html");
        std::fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
        self.server = Some(WebServer::start(self.c1(), CONTAINER_PORT, self.site.path())?);
        Ok(())
    }

    pub(super) fn server(&self) -> Result<&WebServer> {
        self.server.as_ref().context("the web server was not started")
    }

    /// Runs netfwd in the host, and shows the command and its output.
    pub(super) fn netfwd(&self, arguments: &[&str]) -> Result<()> {
        prompt("host", &format!("netfwd {}", arguments.join(" ")));
        let output = self.lab.netfwd(arguments)?;
        quote(&output.stderr);
        quote(&output.stdout);
        Ok(())
    }

    /// Shows whether `claim` is true, and counts it.
    pub(super) fn check(&mut self, claim: impl fmt::Display, truth: bool) {
        if truth {
            self.passed += 1;
            task::say(format_args!("  {} {claim}", coloured("32", "✓")));
        } else {
            self.failed += 1;
            task::say(format_args!("  {} {claim}: NOT SO", coloured("31", "✗")));
        }
    }

    /// How many checks passed and failed.
    pub(super) fn checks(&self) -> (u32, u32) {
        (self.passed, self.failed)
    }

    /// Shows the network.
    pub(super) fn introduce(&self) {
        task::headline("A Docker host, its containers and a client, each in a network namespace");
        let (client, host, bridge) = (self.client_address(), self.uplink(), self.bridge());
        let trunk =
            format!("client {client} ── {} {} [host] {} {}", host.name, host.address, bridge.name, bridge.address);
        let indent = " ".repeat(trunk.chars().count());
        for (number, address) in bridge.containers.iter().enumerate() {
            let (before, joint) = match number {
                0 if bridge.containers.len() == 1 => (&trunk, "──"),
                0 => (&trunk, "┬─"),
                last if last + 1 == bridge.containers.len() => (&indent, "└─"),
                _ => (&indent, "├─"),
            };
            let line = if number == 0 { "─" } else { " " };
            task::say(format_args!("  {before} {line}{joint} c{} {address}", number + 1));
        }
    }

    /// Leaves the lab to the user, and says how to enter and how to remove it.
    pub(super) fn leave(self, netfwd: &Path) {
        task::headline("The lab stays");
        self.say_how_to_enter(netfwd);
        self.say_how_to_remove();
        if let Some(server) = self.server {
            server.keep();
        }
        self.lab.keep();
        // Without this the page would go.
        let _site = self.site.keep();
    }

    fn say_how_to_enter(&self, netfwd: &Path) {
        let containers = (1..).zip(self.lab.containers()).map(|(number, netns)| (format!("c{number}"), netns));
        let others = [("host".to_owned(), self.host()), ("client".to_owned(), self.client())];
        for (name, netns) in others.into_iter().chain(containers) {
            task::say(format_args!("  {:<12} nsenter --net={}", format!("enter {name}"), netns.path().display()));
        }
        let (pins, host) = (self.lab.pin_dir().display(), self.host().path());
        let (host, netfwd) = (host.display(), netfwd.display());
        task::say(format_args!("  {:<12} NETFWD_PIN_DIR={pins} nsenter --net={host} {netfwd} list", "run netfwd"));
    }

    fn say_how_to_remove(&self) {
        let namespaces: Vec<_> = self.lab.namespaces().map(Netns::name).collect();
        let (namespaces, pins, site) = (namespaces.join(" "), self.lab.pin_dir(), self.site.path());
        let each = "do ip netns pids $n | xargs -r kill; ip netns delete $n; done";
        let files = format!("{} {}", pins.display(), site.display());
        task::say(format_args!("  {:<12} for n in {namespaces}; {each}; rm -rf {files}", "remove"));
    }
}

/// Shows a command as it would be typed.
pub(super) fn prompt(place: &str, command: &str) {
    task::say(format_args!("{} {command}", coloured("1;36", &format!("{place}#"))));
}

/// Shows what a program said.
pub(super) fn quote(text: &str) {
    for line in text.lines() {
        task::say(format_args!("  {line}"));
    }
}

fn coloured(code: &str, text: &str) -> String {
    if io::stdout().is_terminal() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
