//! netfwd, attached with various options.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::nftables::TIMEOUT;
use super::{Ports, Protocol, Subject};
use crate::site::{Site, UPLINK};

/// Options of `netfwd attach` that are compared, where this netfwd knows them.
pub(super) const VARIANTS: [&str; 3] = ["", "--fast-path off", "--xdp native"];

const PIN_DIR: &str = "NETFWD_PIN_DIR";

/// netfwd with some options.
pub(crate) struct Netfwd {
    name: String,
    program: PathBuf,
    options: Vec<String>,
}

impl Netfwd {
    /// netfwd past the host's stack.
    pub(crate) const NAME: &str = "netfwd";
    /// The same before there is a socket buffer.
    pub(crate) const XDP: &str = "netfwd --xdp native";

    /// netfwd at `path`, attached with `options`.
    pub(super) fn new(path: &Path, options: &str) -> Self {
        let options: Vec<_> = options.split_whitespace().map(str::to_owned).collect();
        let name = [Self::NAME.to_owned()].into_iter().chain(options.iter().cloned()).collect::<Vec<_>>().join(" ");
        Self { name, program: path.to_owned(), options }
    }

    fn change(&self, site: &Site, verb: &[&str], mappings: &[String]) -> Result<()> {
        let words = verb.iter().copied().chain(mappings.iter().map(String::as_str));
        // The lab looks now and then whether a program has ended: too coarse for what takes milliseconds.
        let mut command = site.host().command(&self.program)?;
        let output = command.args(words).env(PIN_DIR, site.lab().pin_dir()).output();
        let output = output.with_context(|| format!("cannot run {}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`netfwd {}` failed: {}", verb.join(" "), said.trim());
        Ok(())
    }
}

impl Subject for Netfwd {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_optional(&self) -> bool {
        !self.options.is_empty()
    }

    fn serves_localhost(&self) -> bool {
        true
    }

    fn obstacle(&self) -> Option<String> {
        let help = Command::new(&self.program).args(["attach", "--help"]).output();
        let help = match help {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            // Without any netfwd there is nothing to compare: setting it up fails.
            Err(_) => return None,
        };
        let unknown = self.options.iter().find(|option| option.starts_with('-') && !help.contains(option.as_str()));
        unknown.map(|option| format!("this netfwd has no {option}"))
    }

    fn set_up(&self, site: &mut Site) -> Result<()> {
        let most = site.room.to_string();
        let mut words = vec!["attach", UPLINK, "--max-flows", &most, "--max-flows6", "1024"];
        words.extend(self.options.iter().map(String::as_str));
        site.lab().netfwd(&words)?;
        let timeouts = ["udp", "udp-unreplied"].map(|name| format!("{name}={TIMEOUT}"));
        self.change(site, &["timeouts"], &timeouts)
    }

    fn publish(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()> {
        let Ports { host, container, .. } = ports;
        let (address, protocol, last) = (site.container_address(), protocol.name(), ports.count - 1);
        let mapping = match last {
            0 => format!("{host}:{address}:{container}/{protocol}"),
            _ => format!("{host}-{}:{address}:{container}-{}/{protocol}", host + last, container + last),
        };
        self.change(site, &["map"], &[mapping])
    }

    fn withdraw(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()> {
        let (host, protocol, last) = (ports.host, protocol.name(), ports.count - 1);
        let mapping = if last == 0 { host.to_string() } else { format!("{host}-{}", host + last) };
        self.change(site, &["unmap"], &[format!("{mapping}/{protocol}")])
    }

    fn publish_each(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()> {
        let (address, protocol) = (site.container_address(), protocol.name());
        let mapping = |(host, container)| format!("{host}:{address}:{container}/{protocol}");
        self.change(site, &["map"], &ports.pairs().map(mapping).collect::<Vec<_>>())
    }

    fn withdraw_each(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()> {
        let mapping = |(host, _)| format!("{host}/{}", protocol.name());
        self.change(site, &["unmap"], &ports.pairs().map(mapping).collect::<Vec<_>>())
    }

    /// `netfwd flows delete` leaves records to be cleared away; a new table has none.
    fn forget_flows(&self, site: &mut Site) -> Result<()> {
        site.lab().netfwd(&["detach", UPLINK])?;
        self.set_up(site)
    }
}
