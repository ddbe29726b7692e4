//! What a configuration means on this host.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::{
    plan::{Desired, Uplink},
    running::Running,
};
use crate::{
    config::Config,
    datapath::{
        pin::PinDir,
        uplinks::{self, Host, InUse, Request},
    },
    host::cgroup,
    uplink::{self, Options},
};

const NO_HIERARCHY: &str = "this host's own processes do not reach mapped ports: no cgroup2 file system is mounted here \
                            (`mount -t cgroup2 none /sys/fs/cgroup`)";

/// A configuration, resolved.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) desired: Desired,
    /// What attach is told, by the uplinks' names.
    pub(super) requests: BTreeMap<String, Request>,
    /// What is left out, and why.
    pub(super) notes: Vec<String>,
}

pub(super) fn resolve(config: &Config, pin_dir: &PinDir, host: &Host, running: Option<&Running>) -> Result<Resolved> {
    let (mut requests, mut notes) = (BTreeMap::new(), Vec::new());
    let has_hierarchy = cgroup::root()?.is_some();
    notes.extend((config.host_access && !has_hierarchy).then(|| NO_HIERARCHY.to_owned()));
    for options in config.uplinks() {
        let name = options.interface.clone();
        let present = running.and_then(|running| running.uplinks.get(&name));
        // Docker's networks stay: the agent looks after them, as it does after Docker's mappings.
        let found = present.map(|present| present.wanted.choices.found.clone()).unwrap_or_default();
        let options = Options { found, ..options };
        let in_use = InUse::of(pin_dir, &host.interfaces, &name)?;
        let resolved = uplink::resolve(&options, &host.interfaces, in_use).with_context(|| format!("uplink {name}"))?;
        if let Some(running) = running {
            uplinks::refuse_other_limits(options.max_flows, running.max_flows)?;
        }
        notes.extend(resolved.notes.iter().map(|note| format!("{name} {note}")));
        // Without a choice what is attached stays where it is.
        let hook = options.hook.or(present.and_then(|present| present.hook));
        requests.insert(name, Request { hook, ..resolved.request });
    }
    let desired = Desired {
        uplinks: requests.iter().map(|(name, request)| (name.clone(), Uplink::from(request))).collect(),
        mappings: config.wanted(),
        timeouts: config.timeouts.as_ref().map(crate::config::Timeouts::in_force),
        host_access: config.host_access && has_hierarchy,
    };
    Ok(Resolved { desired, requests, notes })
}
