//! A look at the host: what is wanted is brought about, and what has changed is followed.

use std::collections::BTreeMap;

use anyhow::{Error, Result};

use super::desired::Desired;
use crate::{
    apply::plan::Refusal,
    datapath::{
        mappings::{self, Brought, Labels},
        maps::Maps,
        pin::PinDir,
        timeouts,
        uplinks::{self, Choices, Host, Report, Request, Round},
    },
    host::sockets,
    mapping::Origin,
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
    /// The uplinks that the configuration has no more, and what came of detaching them.
    pub detached: Option<(Vec<String>, Result<()>)>,
    /// Whether timeouts were set, as the configuration says.
    pub set_timeouts: bool,
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
    /// With what each uplink was attached, by its name.
    attached: BTreeMap<String, (u32, Options)>,
}

impl Looker {
    pub(super) fn new(pin_dir: &PinDir, store: &Store) -> Self {
        Self { pin_dir: pin_dir.clone(), store: store.clone(), attached: BTreeMap::new() }
    }

    pub(super) fn look(&mut self, desired: &Desired) -> Result<Look> {
        // One look at the host for both, because what is published is wanted at once. Following it looks again.
        let host = Host::look()?;
        let attached = self.attach(desired, &host)?;
        let mappings = self.bring(desired, &host).transpose();
        let waiting = mappings.as_ref().and_then(|brought| reset_waiting(brought.as_ref().ok()?).err());
        let detached = self.detach(desired)?;
        let set_timeouts = self.set_timeouts(desired)?;
        let round = uplinks::follow(&self.pin_dir)?;
        Ok(Look { attached, detached, set_timeouts, mappings, waiting, round })
    }

    /// Attaches the uplinks that are not attached, or were attached otherwise.
    fn attach(&mut self, desired: &Desired, host: &Host) -> Result<Vec<Attached>> {
        let mut outcomes = Vec::new();
        for options in uplinks(desired, host)? {
            let index = host.interfaces.named(&options.interface).ok().map(|uplink| uplink.index);
            let is_attached = is_attached(&self.pin_dir, index)?;
            let wanted = index.map(|index| (index, options.clone()));
            let is_same = wanted.is_some() && self.attached.get(&options.interface) == wanted.as_ref();
            if is_attached && is_same || !desired.may_attach(is_attached) {
                continue;
            }
            let outcome = self.attach_one(host, &options);
            if let (Ok(_), Some(wanted)) = (&outcome, wanted) {
                self.attached.insert(options.interface.clone(), wanted);
            }
            outcomes.push((options.interface, outcome));
        }
        Ok(outcomes)
    }

    fn attach_one(&self, host: &Host, options: &Options) -> Result<(Request, Report)> {
        let request = uplink::resolve(options, &host.interfaces)?.request;
        let report = uplinks::attach(&self.pin_dir, host, &request)?;
        Ok((request, report))
    }

    /// Detaches the uplinks that a configuration attached and that are wanted no more. The last one stays while another is
    /// to come, or mappings of others would go with it.
    fn detach(&mut self, desired: &Desired) -> Result<Option<(Vec<String>, Result<()>)>> {
        if !desired.knows_uplinks() {
            return Ok(None);
        }
        let Some(lock) = self.pin_dir.try_lock()? else { return Ok(None) };
        let Some(maps) = Maps::open_if_attached(&self.pin_dir)? else { return Ok(None) };
        let (host, choices) = (Host::look()?, maps.choices()?);
        let wanted = uplinks(desired, &host)?;
        let is_wanted = |name: &String| wanted.iter().any(|uplink| uplink.interface == *name);
        let (leaving, staying): (Vec<_>, Vec<_>) =
            maps.uplinks()?.into_iter().map(|(index, _)| index).partition(|index| {
                Choices::of(*index, &choices).origin == Origin::Config && !is_wanted(&host.interfaces.name_of(*index))
            });
        if leaving.is_empty() || staying.is_empty() && !wanted.is_empty() {
            return Ok(None);
        }
        let names: Vec<_> = leaving.iter().map(|index| host.interfaces.name_of(*index)).collect();
        let refusal = if staying.is_empty() { last(&maps)? } else { None };
        let outcome = match refusal {
            Some(refusal) => Err(refusal.into()),
            None => uplinks::detach_under(&lock, &self.pin_dir, &host, &leaving).map(drop),
        };
        self.attached.retain(|name, _| !names.contains(name));
        Ok(Some((names, outcome)))
    }

    /// Sets the timeouts if they are not as the configuration says.
    fn set_timeouts(&self, desired: &Desired) -> Result<bool> {
        let Some(wanted) = desired.timeouts() else { return Ok(false) };
        let Some(_lock) = self.pin_dir.try_lock()? else { return Ok(false) };
        let Some(mut maps) = Maps::open_if_attached(&self.pin_dir)? else { return Ok(false) };
        Ok(timeouts::put(&mut maps, wanted)? != wanted)
    }

    /// Makes the mappings those that are wanted; those that are kept across reboots are as if the user had just made them.
    fn bring(&self, desired: &Desired, host: &Host) -> Result<Option<Brought>> {
        let Some(_lock) = self.pin_dir.try_lock()? else { return Ok(None) };
        let Some(mut maps) = Maps::open_if_attached(&self.pin_dir)? else { return Ok(None) };
        let host = mappings::Host::look(&host.interfaces, &[])?;
        let restored = mappings::restore(&mut maps, &host, self.store.read()?.into_values().collect())?;
        let mut brought = mappings::bring(&mut maps, &host, &desired.origins(), &desired.mappings())?;
        brought.changes.splice(..0, restored);
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

/// The uplinks that are wanted.
fn uplinks(desired: &Desired, host: &Host) -> Result<Vec<Options>> {
    if !desired.has_default_uplinks() {
        return Ok(desired.uplinks());
    }
    let names = host.netlink.default_uplinks()?.into_iter().map(|index| host.interfaces.name_of(index));
    Ok(names.map(|name| desired.default_uplink(&name)).collect())
}

/// Why the last uplink of the configuration stays.
fn last(maps: &Maps) -> Result<Option<Refusal>> {
    let labels = Labels::read(maps)?;
    let mut mappings = mappings::list(maps)?.into_iter();
    let other = mappings.find(|one| labels.of(one.rule).origin != Origin::Config);
    Ok(other.map(|other| Refusal::Last(other.mapping)))
}

fn is_attached(pin_dir: &PinDir, index: Option<u32>) -> Result<bool> {
    let Some(maps) = Maps::open_if_attached(pin_dir)? else { return Ok(false) };
    Ok(maps.uplinks()?.iter().any(|(ifindex, _)| Some(*ifindex) == index))
}
