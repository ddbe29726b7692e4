//! A look at the host: what is wanted is brought about, and what has changed is followed.

use std::collections::BTreeMap;

use anyhow::{Error, Result};

use super::desired::{Desired, Networks};
use crate::{
    datapath::{
        addresses,
        mappings::{self, Brought},
        maps::Maps,
        pin::PinDir,
        uplinks::{self, Host, Report, Request, Round},
    },
    host::sockets,
    persist::Store,
    uplink::{self, Options},
};

/// What an attach of an uplink has come to.
type Attached = (String, Result<(Request, Report)>);

/// What a look has come to.
#[derive(Debug, Default)]
pub struct Look {
    /// The uplinks that were to be attached, or attached otherwise, and what came of it.
    pub attached: Vec<Attached>,
    /// What became of mappings; nothing if there is no uplink.
    pub mappings: Option<Result<Brought>>,
    /// Why those who connected before a mapping was in force wait for Docker, if they do.
    pub waiting: Option<Error>,
    /// What following came to; nothing if there is no uplink.
    pub round: Option<Round>,
}

/// Remembers what it has attached, so as not to do it at every look.
pub(super) struct Looker {
    pin_dir: PinDir,
    store: Store,
    /// With what each uplink was attached, by its name: its interface and Docker's networks.
    attached: BTreeMap<String, (u32, Option<Networks>)>,
}

impl Looker {
    pub(super) fn new(pin_dir: &PinDir, store: &Store) -> Self {
        Self { pin_dir: pin_dir.clone(), store: store.clone(), attached: BTreeMap::new() }
    }

    pub(super) fn look(&mut self, desired: &Desired) -> Result<Look> {
        let attached = if desired.is_known { self.attach(desired)? } else { Vec::new() };
        // Before the host is followed: what is published is wanted at once.
        let mappings = self.bring(desired).transpose();
        let waiting = mappings.as_ref().and_then(|brought| reset_waiting(brought.as_ref().ok()?).err());
        let round = uplinks::follow(&self.pin_dir)?;
        Ok(Look { attached, mappings, waiting, round })
    }

    /// Attaches the uplinks that are not attached, or were attached for other networks.
    fn attach(&mut self, desired: &Desired) -> Result<Vec<Attached>> {
        let mut outcomes = Vec::new();
        for name in uplinks(desired)? {
            let host = Host::look()?;
            let index = host.interfaces.named(&name).ok().map(|uplink| uplink.index);
            let wanted = index.map(|index| (index, desired.networks.clone()));
            if wanted.is_some() && self.attached.get(&name) == wanted.as_ref() && is_attached(&self.pin_dir, index)? {
                continue;
            }
            let outcome = self.attach_one(&host, &options(&name, desired.networks.as_ref()));
            if let (Ok(_), Some(wanted)) = (&outcome, wanted) {
                self.attached.insert(name.clone(), wanted);
            }
            outcomes.push((name, outcome));
        }
        Ok(outcomes)
    }

    fn attach_one(&self, host: &Host, options: &Options) -> Result<(Request, Report)> {
        let request = uplink::resolve(options, &host.interfaces)?.request;
        let report = uplinks::attach(&self.pin_dir, host, &request)?;
        Ok((request, report))
    }

    /// Makes the mappings those that are wanted; those that are kept across reboots are as if the user had just made them.
    fn bring(&self, desired: &Desired) -> Result<Option<Brought>> {
        let Some(_lock) = self.pin_dir.try_lock()? else { return Ok(None) };
        let Some(mut maps) = Maps::open_if_attached(&self.pin_dir)? else { return Ok(None) };
        let interfaces = Host::look()?.interfaces;
        let host = mappings::Host::look(&interfaces, &[])?;
        let restored = mappings::restore(&mut maps, &host, self.store.read()?.into_values().collect())?;
        let mut brought = mappings::bring(&mut maps, &host, &desired.origins, &desired.mappings)?;
        brought.changes.splice(..0, restored);
        addresses::refresh(&mut maps, &interfaces)?;
        Ok(Some(brought))
    }
}

/// Resets what has connected to Docker's own listeners, before the ports were mapped.
fn reset_waiting(brought: &Brought) -> Result<()> {
    let published = brought.changes.iter().filter(|(change, _)| !change.is_nothing());
    let hosts: Vec<_> = published.map(|(change, _)| change.mapping().host).collect();
    if !hosts.is_empty() {
        sockets::reset_unaccepted(&hosts)?;
    }
    Ok(())
}

/// How an uplink is attached: with Docker it masquerades and keeps apart what Docker would.
fn options(name: &str, networks: Option<&Networks>) -> Options {
    let Some(networks) = networks else { return Options::new(name) };
    Options {
        subnets: networks.masqueraded.iter().copied().collect(),
        isolate: true,
        internal: networks.internal.iter().copied().collect(),
        ..Options::new(name)
    }
}

/// The uplinks that are wanted. With Docker alone it is those of the default routes.
fn uplinks(desired: &Desired) -> Result<Vec<String>> {
    if !desired.uplinks.is_empty() || desired.networks.is_none() {
        return Ok(desired.uplinks.clone());
    }
    let host = Host::look()?;
    Ok(host.netlink.default_uplinks()?.into_iter().map(|index| host.interfaces.name_of(index)).collect())
}

fn is_attached(pin_dir: &PinDir, index: Option<u32>) -> Result<bool> {
    let Some(maps) = Maps::open_if_attached(pin_dir)? else { return Ok(false) };
    Ok(maps.uplinks()?.iter().any(|(ifindex, _)| Some(*ifindex) == index))
}
