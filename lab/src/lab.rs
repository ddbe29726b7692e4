//! The lab itself.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs, process};

use anyhow::{Context as _, Result};

use crate::interrupt;
use crate::netns::Netns;
use crate::process::{Output, Process};
use crate::terminal::Terminal;
use crate::topology::{INSIDE_INTERFACE, Topology};

const BPF_FILES: &str = "/sys/fs/bpf";
const NETFWD: &str = "NETFWD";
const PIN_DIR: &str = "NETFWD_PIN_DIR";
const DEADLINE: Duration = Duration::from_mins(1);

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A host with its clients and containers, each in a network namespace. Dropping it removes everything.
#[derive(Debug)]
pub struct Lab {
    // The host goes last: a veth goes with whichever end goes first.
    clients: Vec<Netns>,
    routers: Vec<Option<Netns>>,
    containers: Vec<Netns>,
    host: Netns,
    pin_dir: PathBuf,
    netfwd: PathBuf,
}

impl Lab {
    /// Builds a lab. It runs the netfwd that the environment's NETFWD names, else the search path's.
    ///
    /// Forwarding is off in the host, as on a host without Docker.
    pub fn new(topology: &Topology) -> Result<Self> {
        interrupt::catch()?;
        let name = format!("netfwd-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let add = |role: &str| Netns::add(format!("{name}-{role}"));
        let numbered = |role: &str, count: usize| -> Result<Vec<Netns>> {
            (1..=count).map(|number| add(&format!("{role}{number}"))).collect()
        };
        let containers = topology.bridges.iter().map(|bridge| bridge.containers.len()).sum();
        let routers = (1..).zip(&topology.uplinks).map(|(number, uplink): (u32, _)| {
            uplink.router.as_ref().map(|_| add(&format!("router{number}"))).transpose()
        });
        let lab = Self {
            host: add("host")?,
            clients: numbered("client", topology.uplinks.len())?,
            routers: routers.collect::<Result<_>>()?,
            containers: numbered("c", containers)?,
            pin_dir: Path::new(BPF_FILES).join(name.replace("netfwd", "netfwd-lab")),
            netfwd: env::var_os(NETFWD).unwrap_or_else(|| "netfwd".into()).into(),
        };
        lab.build(topology).context("cannot build the lab")?;
        Ok(lab)
    }

    /// The same lab, with the netfwd at `path`.
    #[must_use]
    pub fn with_netfwd(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.netfwd);
        self
    }

    /// The host's namespace.
    #[must_use]
    pub fn host(&self) -> &Netns {
        &self.host
    }

    /// The namespace of the client on the first uplink.
    #[must_use]
    pub fn client(&self) -> &Netns {
        &self.clients[0]
    }

    /// The clients' namespaces, one for each uplink.
    #[must_use]
    pub fn clients(&self) -> &[Netns] {
        &self.clients
    }

    /// The namespace of the router on the first uplink, if there is one.
    #[must_use]
    pub fn router(&self) -> Option<&Netns> {
        self.routers.first()?.as_ref()
    }

    /// The containers' namespaces, bridge by bridge.
    #[must_use]
    pub fn containers(&self) -> &[Netns] {
        &self.containers
    }

    /// All namespaces.
    pub fn namespaces(&self) -> impl Iterator<Item = &Netns> {
        let routers = self.routers.iter().flatten();
        [&self.host].into_iter().chain(&self.clients).chain(routers).chain(&self.containers)
    }

    /// Where netfwd pins its maps in this lab.
    #[must_use]
    pub fn pin_dir(&self) -> &Path {
        &self.pin_dir
    }

    /// Runs netfwd in the host to its successful end.
    pub fn netfwd(&self, arguments: &[&str]) -> Result<Output> {
        self.spawn_netfwd(arguments)?.succeed(DEADLINE)
    }

    /// Runs netfwd in the host to its end, whatever its exit code.
    pub fn netfwd_output(&self, arguments: &[&str]) -> Result<Output> {
        self.spawn_netfwd(arguments)?.wait(DEADLINE)
    }

    /// Starts netfwd in the host.
    pub fn spawn_netfwd(&self, arguments: &[&str]) -> Result<Process> {
        self.spawn_netfwd_with(arguments, &[])
    }

    /// Starts netfwd in the host, with these variables in its environment.
    pub fn spawn_netfwd_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Process> {
        let mut command = self.host.command(&self.netfwd)?;
        command.args(arguments).env(PIN_DIR, &self.pin_dir).envs(variables.iter().copied());
        Process::start(command, format!("`netfwd {}` in {}", arguments.join(" "), self.host.name()))
    }

    /// Starts netfwd in the host, in a terminal with this many lines and columns.
    pub fn netfwd_in_terminal(&self, arguments: &[&str], size: [u16; 2]) -> Result<Terminal> {
        let mut command = self.host.command("setsid")?;
        command.arg("-c").arg(&self.netfwd).args(arguments);
        command.env(PIN_DIR, &self.pin_dir).env("TERM", "xterm").env_remove("NO_COLOR");
        Terminal::start(command, size)
    }

    /// Leaves the lab as it is, with what runs in it.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    fn build(&self, topology: &Topology) -> Result<()> {
        if topology.has_ipv6() {
            self.namespaces().try_for_each(Netns::enable_ipv6)?;
        }
        self.host.sysctl("net/ipv4/ip_forward", "0")?;
        self.build_uplinks(topology)?;
        self.build_bridges(topology)?;
        self.host.run(&["ip", "link", "set", "lo", "up"])?;
        if !topology.checksum_offload {
            self.complete_checksums()?;
        }
        if topology.has_ipv6() { self.wait_for_ipv6(topology) } else { Ok(()) }
    }

    fn wait_for_ipv6(&self, topology: &Topology) -> Result<()> {
        let uplinks = topology.uplinks.iter().map(|uplink| uplink.name.as_str());
        let mut outside = uplinks.chain(topology.bridges.iter().map(|bridge| bridge.name.as_str()));
        outside.try_for_each(|interface| self.host.wait_for_ipv6(interface))?;
        let mut inside = self.namespaces().skip(1);
        inside.try_for_each(|netns| netns.wait_for_ipv6(INSIDE_INTERFACE))
    }

    fn build_uplinks(&self, topology: &Topology) -> Result<()> {
        for ((uplink, client), router) in topology.uplinks.iter().zip(&self.clients).zip(&self.routers) {
            self.host.configure(&uplink.host_commands(router.as_ref().unwrap_or(client).name()))?;
            if let (Some(netns), Some(router)) = (router, &uplink.router) {
                netns.configure(&router.commands(client.name()))?;
                netns.enable_forwarding()?;
            }
            client.configure(&uplink.client_commands())?;
        }
        Ok(())
    }

    fn build_bridges(&self, topology: &Topology) -> Result<()> {
        let mut containers = self.containers.iter().enumerate();
        for bridge in &topology.bridges {
            let members: Vec<_> = containers.by_ref().take(bridge.containers.len()).collect();
            let names = members.iter().map(|(n, netns)| (format!("veth{}", n + 1), netns.name().to_owned()));
            self.host.configure(&bridge.host_commands(&names.collect::<Vec<_>>()))?;
            for (number, (_, netns)) in members.iter().enumerate() {
                netns.configure(&bridge.container_commands(number))?;
            }
        }
        Ok(())
    }

    fn complete_checksums(&self) -> Result<()> {
        for netns in self.clients.iter().chain(&self.containers) {
            netns.run(&["ethtool", "--offload", INSIDE_INTERFACE, "tx", "off"])?;
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.host.kill_processes().ok();
        fs::remove_dir_all(&self.pin_dir).ok();
    }
}
