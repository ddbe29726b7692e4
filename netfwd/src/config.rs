//! The configuration: `/etc/netfwd/netfwd.toml`. Text goes in, and types come out, or an error that points at the place;
//! nothing here looks at the host.

mod check;
#[cfg(test)]
mod generated;
mod invalid;
mod mapping;
#[cfg(test)]
mod tests;
mod timeouts;
mod uplink;
mod values;

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::{
    datapath::mappings::Wanted,
    mapping::{Label, Origin},
};

pub use invalid::Invalid;
pub use mapping::Entry;
pub use timeouts::Timeouts;
pub use uplink::Uplink;
pub use values::{Address, Count, Destinations, Flows, Listen, Ports, Segment, Socket, Subnet};

/// What netfwd is to do on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// Whether this host's own processes reach mapped ports, at 127.0.0.1, `::1` and the host's addresses.
    #[serde(skip_serializing_if = "values::is_true")]
    #[cfg_attr(test, schemars(extend("default" = true)))]
    pub host_access: bool,
    /// Host ports that are forwarded to containers: `[HOST_IP:]HOST_PORTS:CONTAINER_IP:PORTS[/tcp|udp|sctp|tcp+udp]`, as
    /// for `netfwd map`, or the same with a name for `netfwd list`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(with = "Vec<Entry>", extend("examples" = [mapping::EXAMPLES])))]
    pub mappings: Vec<Spanned<Entry>>,
    /// How much the maps hold, when the first uplink is attached.
    #[serde(skip_serializing_if = "values::is_default")]
    pub limits: Limits,
    /// Seconds after which a flow ends when no packet has come. Without this table timeouts stay as they are; with it those
    /// that are left out have their defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Timeouts"))]
    pub timeouts: Option<Timeouts>,
    /// What `netfwd run` does with Docker.
    #[serde(skip_serializing_if = "values::is_default")]
    pub docker: Docker,
    /// Metrics for Prometheus, which `netfwd run` serves.
    #[serde(skip_serializing_if = "values::is_default")]
    pub metrics: Metrics,
    /// The interfaces to the outside, each with what is masqueraded there and how. Those that were attached by
    /// hand and are not named here stay as they are.
    #[serde(rename = "uplink", skip_serializing_if = "Vec::is_empty")]
    pub uplinks: Vec<Uplink>,
}

/// How much the maps hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// IPv4 records at most, of connections and of bindings; 262144 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Flows", example = 262_144))]
    pub max_flows: Option<Flows>,
    /// IPv6 records at most; a quarter of the IPv4 ones unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Flows", example = 65_536))]
    pub max_flows6: Option<Flows>,
}

/// Docker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Docker {
    /// Whether to forward the ports that Docker's containers publish, and to masquerade Docker's networks.
    pub enabled: bool,
    /// Where the Docker Engine is: a socket's path, or an address as in `DOCKER_HOST`, which is asked unless this is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Socket", example = "/var/run/docker.sock"))]
    pub socket: Option<Socket>,
}

/// Metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Metrics {
    /// The address and port to serve them at; nowhere unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", example = "127.0.0.1:19753"))]
    pub listen: Option<Listen>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host_access: true,
            mappings: Vec::new(),
            limits: Limits::default(),
            timeouts: None,
            docker: Docker::default(),
            metrics: Metrics::default(),
            uplinks: Vec::new(),
        }
    }
}

/// Reads a configuration file.
pub fn read(path: &Path) -> Result<Config> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    Ok(parse(&name, &text)?)
}

/// Reads a configuration, of a file with a name.
pub fn parse(name: &str, text: &str) -> Result<Config, Invalid> {
    let config = toml::from_str(text).map_err(|error| Invalid::of_toml(name, text, &error))?;
    check::check(&config).map_err(|contradiction| Invalid::of_contradiction(name, text, contradiction))?;
    Ok(config)
}

impl Config {
    /// As it is written in a file.
    pub fn text(&self) -> Result<String> {
        toml::to_string_pretty(self).context("cannot write the configuration as TOML")
    }

    /// The uplinks, as attach takes them.
    #[must_use]
    pub fn uplinks(&self) -> Vec<crate::uplink::Options> {
        let options = |uplink: &Uplink| crate::uplink::Options {
            host_access: self.host_access,
            max_flows: self.max_flows(),
            ..crate::uplink::Options::from(uplink)
        };
        self.uplinks.iter().map(options).collect()
    }

    /// An uplink that is named elsewhere: what the file says of all uplinks holds for it too.
    #[must_use]
    pub fn uplink(&self, name: &str) -> crate::uplink::Options {
        crate::uplink::Options {
            host_access: self.host_access,
            max_flows: self.max_flows(),
            ..crate::uplink::Options::new(name)
        }
    }

    fn max_flows(&self) -> [Option<u32>; 2] {
        [self.limits.max_flows, self.limits.max_flows6].map(|flows| flows.map(u32::from))
    }

    /// The mappings, with their labels.
    #[must_use]
    pub fn wanted(&self) -> Vec<Wanted> {
        let label = |entry: &Entry| Label { origin: Origin::Config, name: entry.name.clone() };
        let entries = self.mappings.iter().map(Spanned::get_ref);
        entries.flat_map(|entry| entry.mappings().map(|mapping| Wanted { mapping, label: label(entry) })).collect()
    }
}
