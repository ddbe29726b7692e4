//! The relay in user space: one process for each port.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Ports, Protocol, Subject};
use crate::site::Site;

const READY: Duration = Duration::from_secs(30);

/// docker-proxy without any rule.
pub(crate) struct DockerProxy(Option<PathBuf>);

impl DockerProxy {
    pub(crate) const NAME: &str = "docker-proxy";

    /// The one at `path`.
    pub(super) fn new(path: Option<&Path>) -> Self {
        Self(path.map(Path::to_owned))
    }
}

impl Subject for DockerProxy {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn forwards(&self) -> bool {
        false
    }

    fn serves_localhost(&self) -> bool {
        true
    }

    fn obstacle(&self) -> Option<String> {
        self.0.is_none().then(|| "not here: Debian's docker.io has it".to_owned())
    }

    fn set_up(&self, _site: &mut Site) -> Result<()> {
        Ok(())
    }

    fn publish(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()> {
        let program = self.0.as_ref().context("there is no docker-proxy")?.to_string_lossy().into_owned();
        let (address, protocol) = (site.container_address().to_string(), protocol.name());
        for (host, container) in ports.pairs() {
            let (from, to) = (host.to_string(), container.to_string());
            // It says on file descriptor 3 that it is ready, and closes it.
            let start = ["sh", "-c", "exec \"$0\" \"$@\" 3>/dev/null", &program];
            let words = ["-proto", protocol, "-host-ip", "0.0.0.0", "-host-port", &from];
            let words = start.into_iter().chain(words).chain(["-container-ip", &address, "-container-port", &to]);
            let process = site.host().spawn(&words.collect::<Vec<_>>())?;
            site.processes.push(process);
        }
        match protocol {
            "tcp" => ports.pairs().try_for_each(|(host, _)| site.host().wait_for_listener(host, READY)),
            _ => ports.pairs().try_for_each(|(host, _)| site.host().wait_for_udp(host, READY)),
        }
    }

    /// Ends all of them.
    fn withdraw(&self, site: &mut Site, _protocol: Protocol, _ports: Ports) -> Result<()> {
        site.processes.clear();
        Ok(())
    }

    fn forget_flows(&self, _site: &mut Site) -> Result<()> {
        Ok(())
    }
}
