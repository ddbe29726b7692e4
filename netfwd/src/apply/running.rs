//! What is running, as a configuration has it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use netfwd_common::abi::Timeouts;
use toml::Spanned;

use super::plan::{State, Uplink};
use crate::{
    config::{self, Config, Docker, Entry, Limits},
    datapath::{
        attach, host_access,
        mappings::{self, Labels, Wanted as Owned},
        maps::Maps,
        pin::PinDir,
        uplinks::{self, Host, Request},
    },
    family::Family as _,
    mapping::Origin,
    uplink::Options,
};

/// What is running.
#[derive(Debug)]
pub struct Running {
    /// The uplinks by name, each as it would be asked for.
    pub uplinks: BTreeMap<String, Request>,
    /// The mappings.
    pub mappings: Vec<Owned>,
    /// The timeouts.
    pub timeouts: Timeouts,
    /// Records at most of IPv4 and of IPv6.
    pub max_flows: [u32; 2],
    /// Whether the host's own processes reach mapped ports.
    pub host_access: bool,
}

impl Running {
    /// Reads the maps; `None` if nothing is attached.
    pub fn read(pin_dir: &PinDir, host: &Host) -> Result<Option<Self>> {
        let Some(maps) = Maps::open_if_attached(pin_dir)? else { return Ok(None) };
        let host_access = host_access::state(pin_dir)? == host_access::State::On;
        let mut uplinks = BTreeMap::new();
        for (ifindex, interface) in maps.uplinks()? {
            let Some(uplink) = host.interfaces.with_index(ifindex) else { continue };
            let attached = attach::attachments(pin_dir, &host.netlink, uplink)?;
            let request = Request {
                interface: uplink.clone(),
                wanted: uplinks::present(&maps, ifindex, interface)?,
                hook: attached.first().map(|attachment| attachment.hook),
                max_flows: [None; 2],
                host_access,
            };
            uplinks.insert(uplink.name.clone(), request);
        }
        let labels = Labels::read(&maps)?;
        let mappings = mappings::list(&maps)?.into_iter();
        let mappings = mappings.map(|one| Owned { mapping: one.mapping, label: labels.of(one.rule) }).collect();
        let settings = maps.settings()?;
        let (timeouts, max_flows) = (settings.timeouts, settings.max_flows);
        Ok(Some(Self { uplinks, mappings, timeouts, max_flows, host_access }))
    }

    /// For a comparison.
    #[must_use]
    pub(super) fn state(&self) -> State {
        State {
            uplinks: self.uplinks.iter().map(|(name, request)| (name.clone(), Uplink::from(request))).collect(),
            mappings: self.mappings.iter().map(|one| (one.mapping.host, one.clone())).collect(),
            timeouts: self.timeouts,
            host_access: self.host_access,
        }
    }

    /// Whether an agent has brought about what Docker wants.
    fn has_docker(&self) -> bool {
        self.mappings.iter().any(|one| one.label.origin == Origin::Docker)
            || self
                .uplinks
                .values()
                .map(|request| &request.wanted.choices)
                .any(|choices| choices.origin == Origin::Docker || !choices.found.is_empty())
    }

    /// The configuration that makes it so, but for what Docker's containers publish and Docker's networks: of these it says
    /// that Docker is asked for them.
    pub fn config(&self) -> Result<Config> {
        let mut uplinks = Vec::new();
        for request in self.uplinks.values() {
            let best = attach::choose_hook(&request.interface, None)?;
            let hook = request.hook.filter(|hook| *hook != best);
            uplinks.push(config::Uplink::from(&Options { hook, ..Options::from(request) }));
        }
        let is_usual = self.max_flows == uplinks::max_flows([None; 2]);
        let [max_flows, max_flows6] = self.max_flows.map(|flows| (!is_usual).then(|| flows.into()));
        let mappings = self.mappings.iter().filter(|one| one.label.origin != Origin::Docker);
        Ok(Config {
            host_access: self.host_access,
            mappings: mappings
                .map(|one| Spanned::new(0..0, Entry::new(&one.mapping, one.label.name.clone())))
                .collect(),
            limits: Limits { max_flows, max_flows6 },
            docker: Docker { enabled: self.has_docker(), socket: None },
            timeouts: (self.timeouts != Timeouts::default()).then(|| config::Timeouts::of(&self.timeouts)),
            uplinks,
            ..Config::default()
        })
    }
}

/// What is running on this host; fails if nothing is attached.
pub fn running(pin_dir: &PinDir) -> Result<Running> {
    // The error says what to do.
    drop(Maps::open(pin_dir)?);
    Running::read(pin_dir, &Host::look()?)?.context("nothing is attached any more")
}

impl From<&Request> for Uplink {
    fn from(request: &Request) -> Self {
        let wanted = &request.wanted;
        let v4 = wanted.v4.subnets.iter().map(|(network, address)| ((*network).into(), address.ip()));
        let v6 = wanted.v6.subnets.iter().map(|(network, address)| ((*network).into(), address.ip()));
        Self {
            options: config::Uplink::from(&Options::from(request)),
            masqueraded: v4.chain(v6).collect(),
            origin: wanted.choices.origin,
        }
    }
}
