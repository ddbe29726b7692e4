//! A look at the host: what is wanted is brought about, and what has changed is followed.

use std::collections::BTreeMap;

use anyhow::{Error, Result};
use netfwd_common::abi::Interface;

use super::desired::Desired;
use crate::{
    apply::plan::Refusal,
    cli,
    datapath::{
        mappings::{self, Brought, Labels},
        maps::Maps,
        pin::PinDir,
        timeouts,
        uplinks::{self, Choices, Host, InUse, Report, Request, Round},
    },
    host::sockets,
    mapping::Origin,
    persist::Store,
    uplink::{self, Options, Resolved},
};

/// What an attach of an uplink has come to.
type Attached = (String, Result<(Resolved, Report)>);

/// What a look has come to.
#[derive(Debug, Default)]
pub struct Look {
    /// The uplinks that were to be attached, or attached otherwise, and what came of it.
    pub attached: Vec<Attached>,
    /// The uplinks that the configuration has no more, and what came of detaching them.
    pub detached: Option<(Vec<String>, Result<()>)>,
    /// Whether timeouts were set, as the configuration says.
    pub set_timeouts: bool,
    /// What became of mappings; nothing if there is no uplink. After a failure, [`Look::brought`] has what was done.
    pub mappings: Option<Result<Brought>>,
    /// Why those who connected before a mapping was in force wait for Docker, if they do.
    pub waiting: Option<Error>,
    /// What following came to; nothing if there is no uplink.
    pub round: Option<Round>,
}

impl Look {
    /// What became of mappings, also where something failed.
    #[must_use]
    pub fn brought(&self) -> Option<&Brought> {
        self.mappings.as_ref().and_then(done)
    }
}

/// Something failed, and the rest was done.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.failures.iter().map(cli::one_line).collect::<Vec<_>>().join("; "))]
struct Incomplete(Brought);

fn done(brought: &Result<Brought>) -> Option<&Brought> {
    match brought {
        Ok(brought) => Some(brought),
        Err(error) => error.downcast_ref().map(|Incomplete(brought)| brought),
    }
}

/// Remembers what it has attached, so as not to do it at every look.
pub(super) struct Looker {
    pin_dir: PinDir,
    store: Store,
    /// With what each uplink was attached, by its name, and what that has come to.
    attached: BTreeMap<String, (Options, uplinks::Wanted)>,
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
        let waiting = mappings.as_ref().and_then(|brought| reset_waiting(done(brought)?).err());
        let detached = self.detach(desired)?;
        let set_timeouts = self.set_timeouts(desired)?;
        let round = uplinks::follow(&self.pin_dir)?;
        Ok(Look { attached, detached, set_timeouts, mappings, waiting, round })
    }

    /// Attaches the uplinks that are not attached, or were attached otherwise.
    fn attach(&mut self, desired: &Desired, host: &Host) -> Result<Vec<Attached>> {
        let mut outcomes = Vec::new();
        for options in uplinks(desired, host)? {
            let present = present(&self.pin_dir, host, &options.interface)?;
            let is_same = present.as_ref().is_some_and(|present| self.is_as_attached(present, &options));
            if is_same || !desired.may_attach(present.is_some()) {
                continue;
            }
            let outcome = self.attach_one(host, &options, present.is_some());
            if let Ok((resolved, _)) = &outcome {
                self.attached.insert(options.interface.clone(), (options.clone(), resolved.request.wanted.clone()));
            }
            outcomes.push((options.interface, outcome));
        }
        Ok(outcomes)
    }

    /// Whether an uplink was attached with the same options, and nobody has attached it otherwise since. Of one that is
    /// only named, what is said by hand goes.
    fn is_as_attached(&self, present: &uplinks::Wanted, options: &Options) -> bool {
        let Some((before, wanted)) = self.attached.get(&options.interface) else { return false };
        let is_same = match options.origin {
            Origin::Config => {
                present.choices == wanted.choices && has_options_of(&present.interface, &wanted.interface)
            }
            Origin::Hand | Origin::Docker => present.choices.found == wanted.choices.found,
        };
        is_same && present.ifindex == wanted.ifindex && before == options
    }

    /// Of one that is attached it is looked at under the lock as what: the user may have attached it otherwise meanwhile.
    fn attach_one(&self, host: &Host, options: &Options, is_attached: bool) -> Result<(Resolved, Report)> {
        if !is_attached {
            let resolved = self.resolve(host, options)?;
            let report = uplinks::attach(&self.pin_dir, host, &resolved.request)?;
            return Ok((resolved, report));
        }
        let lock = self.pin_dir.prepare()?;
        let resolved = match present(&self.pin_dir, host, &options.interface)? {
            Some(present) if options.origin != Origin::Config && present.choices.origin == Origin::Hand => {
                self.keep(host, options, &present)?
            }
            _ => self.resolve(host, options)?,
        };
        let report = uplinks::attach_under(&lock, &self.pin_dir, host, &resolved.request)?;
        Ok((resolved, report))
    }

    fn resolve(&self, host: &Host, options: &Options) -> Result<Resolved> {
        let in_use = InUse::of(&self.pin_dir, &host.interfaces, &options.interface)?;
        uplink::resolve(options, &host.interfaces, in_use)
    }

    /// An uplink that was attached by hand, and of which no configuration says more than of all uplinks, stays what it is,
    /// but for Docker's networks.
    fn keep(&self, host: &Host, options: &Options, present: &uplinks::Wanted) -> Result<Resolved> {
        let request = uplinks::with_found(&self.pin_dir, host, present, options.found.clone())?;
        let request = Request { max_flows: options.max_flows, host_access: options.host_access, ..request };
        let left_out = options.found.masqueraded.iter().filter(|subnet| !request.wanted.masquerades(subnet));
        let note = |subnet| format!("does not masquerade {subnet}: {} has no address for it", options.interface);
        Ok(Resolved { notes: left_out.map(note).collect(), request })
    }

    /// Detaches the uplinks that were attached for a configuration's sake or Docker's and are wanted no more. The last one
    /// stays while another is to come, or mappings of others would go with it.
    fn detach(&mut self, desired: &Desired) -> Result<Option<(Vec<String>, Result<()>)>> {
        if !desired.knows_uplinks() {
            return Ok(None);
        }
        let Some(lock) = self.pin_dir.try_lock()? else { return Ok(None) };
        let Some(maps) = Maps::open_if_attached(&self.pin_dir)? else { return Ok(None) };
        let (host, choices) = (Host::look()?, maps.choices()?);
        let wanted = uplinks(desired, &host)?;
        let is_wanted = |name: &str| wanted.iter().any(|uplink| uplink.interface == name);
        let (leaving, staying): (Vec<_>, Vec<_>) =
            maps.uplinks()?.into_iter().map(|(index, _)| index).partition(|index| {
                let is_ours = desired.detaches(Choices::of(*index, &choices).origin);
                let is_wanted = is_wanted(&host.interfaces.name_of(*index)) || self.is_renamed(*index, &wanted, &host);
                is_ours && !is_wanted
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

    /// Whether an uplink was attached by a name that is wanted: it has another one now, and its connections go on until
    /// another interface is attached by that name. Of one that an agent before has attached it is not known by which.
    fn is_renamed(&self, index: u32, wanted: &[Options], host: &Host) -> bool {
        let mut attached = self.attached.iter();
        match attached.find(|(_, (_, attached))| attached.ifindex == index) {
            Some((name, _)) => wanted.iter().any(|uplink| uplink.interface == *name),
            None => wanted.iter().any(|uplink| host.interfaces.named(&uplink.interface).is_err()),
        }
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
        let kept = self.store.read();
        let restored = kept.and_then(|kept| mappings::restore(&mut maps, &host, kept.into_values().collect()));
        let mut brought = mappings::bring_what_can_be(&mut maps, &host, &desired.origins(), &desired.mappings())?;
        match restored {
            Ok(restored) => drop(brought.changes.splice(..0, restored)),
            Err(error) => brought.failures.insert(0, error),
        }
        if brought.failures.is_empty() { Ok(Some(brought)) } else { Err(Incomplete(brought).into()) }
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

/// Whether an uplink's packets are translated alike, but for segments, which follow its MTU.
fn has_options_of(one: &Interface, other: &Interface) -> bool {
    let options = |it: &Interface| (it.ports, it.max_ports_per_source, it.filtering, it.flags);
    options(one) == options(other)
}

/// An uplink as the maps have it; `None` if it is not attached.
fn present(pin_dir: &PinDir, host: &Host, name: &str) -> Result<Option<uplinks::Wanted>> {
    let Ok(interface) = host.interfaces.named(name) else { return Ok(None) };
    let Some(maps) = Maps::open_if_attached(pin_dir)? else { return Ok(None) };
    let uplink = maps.uplinks()?.into_iter().find(|(ifindex, _)| *ifindex == interface.index);
    uplink.map(|(ifindex, interface)| uplinks::present(&maps, ifindex, interface)).transpose()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::mapping::tests::mapping;

    #[test]
    fn what_was_done_is_known_after_a_failure_too() {
        let failures = vec![anyhow!("no room").context("cannot write"), anyhow!("cannot read")];
        let brought = Brought { removed: vec![mapping("80:172.17.0.2:80")], failures, ..Brought::default() };
        let look = Look { mappings: Some(Err(Incomplete(brought).into())), ..Look::default() };
        assert_eq!(
            look.mappings.as_ref().unwrap().as_ref().unwrap_err().to_string(),
            "cannot write: no room; cannot read"
        );
        assert_eq!(look.brought().unwrap().removed.len(), 1);
        let look = Look { mappings: Some(Err(anyhow!("no lock"))), ..Look::default() };
        assert!(look.brought().is_none());
    }
}
