//! What is wanted, from all who want something: pure data, so that it can be compared with what is.

use ipnet::IpNet;
use netfwd_common::abi::Timeouts;

use crate::{
    config::{self, Config},
    datapath::mappings::Wanted,
    docker,
    mapping::{Label, Origin},
    uplink::{Found, Options},
};

/// What is wanted of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Desired {
    /// The uplinks of the command line.
    named: Vec<String>,
    /// The configuration; without one what is of one stays as it is.
    config: Option<Config>,
    docker: Docker,
}

/// What is known of Docker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Docker {
    /// Nobody wants to know.
    #[default]
    Unwanted,
    /// It has been asked.
    Asked,
    /// It cannot be asked, and never has answered.
    Lost,
    /// What it has said last.
    Known { mappings: Vec<Wanted>, networks: Found },
}

impl Desired {
    /// What the command line and the configuration want; of Docker nothing is known yet.
    pub(super) fn new(uplinks: &[String], config: Option<Config>, wants_docker: bool) -> Self {
        let mut desired = Self { named: uplinks.to_vec(), config, docker: Docker::Unwanted };
        desired.ask_docker(wants_docker);
        desired
    }

    /// Takes up another configuration.
    pub(super) fn set_config(&mut self, config: Config) {
        self.config = Some(config);
    }

    /// Takes up that Docker is asked from now on, or nobody wants to know.
    pub(super) fn ask_docker(&mut self, is_wanted: bool) {
        self.docker = if is_wanted { Docker::Asked } else { Docker::Unwanted };
    }

    /// Takes up that Docker cannot be asked: what is known of it stays.
    pub(super) fn lose_docker(&mut self) {
        if self.docker == Docker::Asked {
            self.docker = Docker::Lost;
        }
    }

    /// Takes up what Docker's containers publish now, and its networks.
    pub(super) fn set_docker(&mut self, state: &docker::State) {
        let mut mappings = Vec::new();
        for container in state.containers.values() {
            let label = Label { origin: Origin::Docker, name: container.name.clone() };
            let wanted = |mapping: &_| Wanted { mapping: *mapping, label: label.clone() };
            mappings.extend(container.mappings.iter().map(wanted));
        }
        let internal = state.networks.values().filter(|network| network.is_internal);
        let networks = Found {
            masqueraded: state.networks.values().flat_map(|network| network.masqueraded.iter().copied()).collect(),
            internal: internal.flat_map(|network| network.subnets.iter().copied()).collect(),
            apart: state.networks.values().flat_map(|network| network.apart.iter().copied()).collect(),
        };
        self.docker = Docker::Known { mappings, networks };
    }

    /// Whether everybody has been heard who is asked: then what is wanted is complete.
    pub(super) fn is_complete(&self) -> bool {
        self.docker != Docker::Asked
    }

    /// Whether an uplink may be attached, or attached otherwise. One that is attached stays as it is until all are heard.
    pub(super) const fn may_attach(&self, is_attached: bool) -> bool {
        match self.docker {
            Docker::Unwanted | Docker::Known { .. } => true,
            Docker::Lost => !is_attached,
            Docker::Asked => false,
        }
    }

    /// The uplinks that are named; the configuration says more of one than the command line.
    pub(super) fn uplinks(&self) -> Vec<Options> {
        let mut uplinks = self.config.as_ref().map(Config::uplinks).unwrap_or_default();
        let named = self.named.iter().filter(|name| uplinks.iter().all(|uplink| uplink.interface != **name));
        let named: Vec<_> = named.map(|name| self.uplink(name)).collect();
        uplinks.extend(named);
        uplinks.into_iter().map(|uplink| self.with_docker(uplink)).collect()
    }

    /// Whether the uplinks are those of the default routes: with Docker alone.
    pub(super) fn has_default_uplinks(&self) -> bool {
        self.networks().is_some() && self.uplinks().is_empty()
    }

    /// An uplink of which only the name is known.
    pub(super) fn default_uplink(&self, name: &str) -> Options {
        self.with_docker(self.uplink(name))
    }

    fn uplink(&self, name: &str) -> Options {
        let options = self.config.as_ref().map_or_else(|| Options::new(name), |config| config.uplink(name));
        let origin = if self.docker == Docker::Unwanted { options.origin } else { Origin::Docker };
        Options { origin, ..options }
    }

    /// With Docker an uplink masquerades and keeps apart what Docker would, but for what the configuration says. As long as
    /// nothing is known of Docker, everything is kept apart.
    fn with_docker(&self, uplink: Options) -> Options {
        let Some(networks) = self.networks() else {
            return Options { isolate: uplink.isolate || self.docker != Docker::Unwanted, ..uplink };
        };
        let is_internal = |subnet: &&IpNet| uplink.internal.iter().any(|network| network.contains(*subnet));
        let masqueraded = networks.masqueraded.iter().filter(|subnet| !is_internal(subnet)).copied().collect();
        let found = Found { masqueraded, ..networks.clone() };
        Options { found, ..uplink }
    }

    fn networks(&self) -> Option<&Found> {
        match &self.docker {
            Docker::Known { networks, .. } => Some(networks),
            Docker::Unwanted | Docker::Asked | Docker::Lost => None,
        }
    }

    /// Whether the configuration is known, and so which uplinks are not of it any more.
    pub(super) fn knows_uplinks(&self) -> bool {
        self.config.is_some() && self.may_attach(true)
    }

    /// Whether an uplink of this origin is detached if it is wanted no more: not what was attached by hand.
    pub(super) fn detaches(&self, origin: Origin) -> bool {
        match origin {
            Origin::Hand => false,
            Origin::Config => true,
            Origin::Docker => self.docker == Docker::Unwanted,
        }
    }

    /// Whose mappings are known: others stay as they are.
    pub(super) fn origins(&self) -> Vec<Origin> {
        let has_config = self.config.is_some();
        let has_docker = match self.docker {
            Docker::Known { .. } => true,
            Docker::Unwanted => has_config,
            Docker::Asked | Docker::Lost => false,
        };
        let origins = [(Origin::Config, has_config), (Origin::Docker, has_docker)];
        origins.into_iter().filter_map(|(origin, is_known)| is_known.then_some(origin)).collect()
    }

    /// Their mappings.
    pub(super) fn mappings(&self) -> Vec<Wanted> {
        let mut mappings = self.config.as_ref().map(Config::wanted).unwrap_or_default();
        if let Docker::Known { mappings: docker, .. } = &self.docker {
            mappings.extend(docker.iter().cloned());
        }
        mappings
    }

    /// The timeouts, if the configuration says something of them.
    pub(super) fn timeouts(&self) -> Option<Timeouts> {
        self.config.as_ref()?.timeouts.as_ref().map(config::Timeouts::in_force)
    }
}

#[cfg(test)]
mod tests;
