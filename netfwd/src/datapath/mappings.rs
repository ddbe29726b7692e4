//! The mappings in the maps: list, add, remove.
//!
//! A mapping is one rule, and one entry of the prefix tree for each prefix of its ports. The rule's generation makes
//! all of it take effect, or end, at once.

mod choose;
mod conflict;
mod entries;
mod labels;
mod plan;
pub mod ports;
mod prefixes;
mod settle;
mod transaction;

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use anyhow::{Error, Result};
use netfwd_common::abi::Rule;

use super::maps::Maps;
use crate::{
    host::{
        interfaces::Interfaces,
        ports::{PortSet, ephemeral, reserved},
        sockets::Sockets,
    },
    mapping::{HostChoice, Label, Mapping, Origin, Ports, Request, Selector},
};
use entries::Entries;
use plan::ByHand;

pub use choose::Exhausted;
pub use conflict::Conflict;
pub use labels::Labels;
pub use plan::Change;
pub use settle::{Refused, Wanted};

/// A mapping in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    /// What it maps.
    pub mapping: Mapping,
    /// Its rule, to which its counters and connections refer.
    pub rule: Rule,
    /// Whether its entries are all there, and no others: not where a process was killed that changed it.
    pub is_whole: bool,
}

/// What may stand in a new mapping's way, and does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Mappings of the same host ports end.
    pub replace: bool,
    /// Sockets of the host, and mappings of any address beside those of one, are left as they are.
    pub force: bool,
}

/// The host, as mappings need it.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its addresses.
    pub addresses: HashSet<IpAddr>,
    /// Its sockets.
    pub sockets: Sockets,
    /// The ports that its sockets get by themselves.
    pub ephemeral: Ports,
    /// Those that they do not get.
    pub reserved: PortSet,
}

impl Host {
    /// Looks at the host for these requests: where one leaves the choice of a port to netfwd, at its connections as well.
    pub fn look(interfaces: &Interfaces, requests: &[Request]) -> Result<Self> {
        let sockets = Sockets::read()?;
        let is_choice = requests.iter().any(|request| !matches!(request.host, HostChoice::These(_)));
        let addresses = interfaces.0.iter().flat_map(|interface| &interface.addresses);
        Ok(Self {
            addresses: addresses.map(|address| address.net.addr()).collect(),
            sockets: if is_choice { sockets.with_connected()? } else { sockets },
            ephemeral: ephemeral()?,
            reserved: reserved()?,
        })
    }
}

/// The mappings in force, in the order of their host parts.
pub fn list(maps: &Maps) -> Result<Vec<Installed>> {
    Ok(Entries::read(maps)?.installed)
}

/// What adding mappings by hand would do.
#[derive(Debug)]
pub struct Planned {
    entries: Entries,
    reserved: PortSet,
    /// Beside what was asked for, what is left to Docker of its ranges, with its labels.
    done: Vec<Change>,
    labels: HashMap<Mapping, Label>,
    /// What becomes of each that was asked for.
    pub changes: Vec<Change>,
}

/// Decides what becomes of mappings by hand, all or none, and does nothing.
///
/// A mapping that is in force already stays as it is. What stands in the way of another one is a [`Conflict`], unless
/// the options say otherwise.
pub fn plan(maps: &Maps, host: &Host, requests: &[Request], options: Options) -> Result<Planned> {
    let (entries, labels) = (Entries::read(maps)?, Labels::read(maps)?);
    let wanted = choose::choose(host, &entries.installed, requests)?;
    let ByHand { changes, done, left } = plan::by_hand(host, &entries.installed, &labels, &wanted, options)?;
    let labels = left.into_iter().map(|one| (one.mapping, one.label)).collect();
    Ok(Planned { entries, reserved: host.reserved.clone(), done, labels, changes })
}

impl Planned {
    /// Does it, completely or not at all. Nothing has changed meanwhile: the caller holds the lock.
    pub fn apply(&self, maps: &mut Maps) -> Result<()> {
        transaction::add(maps, &self.entries, &self.reserved, &self.done, &self.labels)
    }
}

/// What bringing mappings about came to.
#[derive(Debug, Default)]
pub struct Brought {
    /// What became of each that could be, and whose it is.
    pub changes: Vec<(Change, Label)>,
    /// Those that were not wanted any more.
    pub removed: Vec<Mapping>,
    /// Those that could not be.
    pub refused: Vec<Refused>,
    /// What failed.
    pub failures: Vec<Error>,
}

/// Makes the mappings of `origins` those that are wanted, and no others, or changes nothing. What is in force already
/// stays as it is, and so do mappings of other origins: of these none gives way. Docker's give way to all others. Sockets
/// of the host do not stand in the way.
pub fn bring(maps: &mut Maps, host: &Host, origins: &[Origin], wanted: &[Wanted]) -> Result<()> {
    let mut plan = Bringing::plan(maps, host, origins, wanted)?;
    if let Some(refused) = plan.refused.extract_if(.., |one| one.wanted.label.origin != Origin::Docker).next() {
        return Err(refused.why.into());
    }
    plan.add(maps, host)?;
    plan.remove(maps)
}

/// As [`bring`], but all that can be is done, whatever fails: another container may have the address by now of one that
/// is not wanted any more.
pub fn bring_what_can_be(maps: &mut Maps, host: &Host, origins: &[Origin], wanted: &[Wanted]) -> Result<Brought> {
    let mut plan = Bringing::plan(maps, host, origins, wanted)?;
    let added = plan.add(maps, host);
    if added.is_err() {
        plan.give_up();
    }
    transaction::end(maps, &plan.leaving)?;
    let removed = plan.remove(maps);
    Ok(Brought { failures: [added, removed].into_iter().filter_map(Result::err).collect(), ..plan.brought() })
}

/// What bringing mappings about takes.
struct Bringing {
    entries: Entries,
    own: Vec<Installed>,
    wanted: HashMap<Mapping, Label>,
    changes: Vec<Change>,
    leaving: Vec<Installed>,
    refused: Vec<Refused>,
}

impl Bringing {
    fn plan(maps: &Maps, host: &Host, origins: &[Origin], wanted: &[Wanted]) -> Result<Self> {
        let (entries, labels) = (Entries::read(maps)?, Labels::read(maps)?);
        let (own, others): (Vec<_>, Vec<_>) =
            entries.installed.iter().copied().partition(|one| origins.contains(&labels.of(one.rule).origin));
        let kept = |one: &Installed| Wanted { mapping: one.mapping, label: labels.of(one.rule) };
        let others: Vec<_> = others.iter().map(kept).collect();
        let (settled, refused) = settle::settle(&others, &host.addresses, wanted);
        let mappings: Vec<_> = settled.iter().map(|wanted| wanted.mapping).collect();
        let options = Options { replace: true, force: true };
        let changes = plan::plan(host, &entries.installed, &labels, &mappings, options)?;
        let wanted = settled.into_iter().map(|wanted| (wanted.mapping, wanted.label)).collect();
        let leaving = leaving(&own, &wanted, &changes);
        Ok(Self { entries, own, wanted, changes, leaving, refused })
    }

    fn add(&self, maps: &mut Maps, host: &Host) -> Result<()> {
        transaction::add(maps, &self.entries, &host.reserved, &self.changes, &self.wanted)
    }

    /// Takes up that nothing can be added. What gets other ports stays as it is: it leads where it should.
    fn give_up(&mut self) {
        self.changes.retain(|change| matches!(change, Change::Alter(..) | Change::Nothing(_)));
        self.leaving = leaving(&self.own, &self.wanted, &self.changes);
        self.changes.retain(Change::is_nothing);
    }

    fn remove(&self, maps: &mut Maps) -> Result<()> {
        if self.leaving.is_empty() {
            return Ok(());
        }
        let entries = Entries::read(maps)?;
        transaction::remove(maps, &entries, &self.leaving).map(drop)
    }

    fn brought(self) -> Brought {
        let Self { wanted, changes, leaving, refused, .. } = self;
        let with_label = |change: Change| {
            let label = wanted.get(change.mapping()).cloned().unwrap_or_default();
            (change, label)
        };
        Brought {
            changes: changes.into_iter().map(with_label).collect(),
            removed: leaving.iter().map(|one| one.mapping).collect(),
            refused,
            failures: Vec::new(),
        }
    }
}

/// Those that are not wanted, but for those that changes have taken the place of.
fn leaving(own: &[Installed], wanted: &HashMap<Mapping, Label>, changes: &[Change]) -> Vec<Installed> {
    let replaced: HashSet<_> = changes.iter().flat_map(Change::replaces).map(|one| one.rule.id).collect();
    let is_leaving = |one: &&Installed| !wanted.contains_key(&one.mapping) && !replaced.contains(&one.rule.id);
    own.iter().filter(is_leaving).copied().collect()
}

/// Makes mappings by hand that are not there, and returns them. One whose port has another mapping, or whose container's
/// address is the host's own, is left out.
pub fn restore(maps: &mut Maps, host: &Host, kept: Vec<Mapping>) -> Result<Vec<(Change, Label)>> {
    let entries = Entries::read(maps)?;
    let is_free = |mapping: &Mapping| {
        let taken = entries.installed.iter().any(|one| one.mapping.host.overlaps(&mapping.host));
        !taken && !host.addresses.contains(&mapping.container)
    };
    let missing: Vec<_> = kept.into_iter().filter(is_free).collect();
    let options = Options { replace: false, force: true };
    let changes = plan::plan(host, &entries.installed, &Labels::default(), &missing, options)?;
    transaction::add(maps, &entries, &host.reserved, &changes, &HashMap::new())?;
    Ok(changes.into_iter().map(|change| (change, Label::default())).collect())
}

/// Removes mappings, all or none, with all their flows.
pub fn remove(maps: &mut Maps, selectors: &[Selector]) -> Result<Vec<Mapping>> {
    let entries = Entries::read(maps)?;
    let leaving = plan::find_all(&entries.installed, selectors)?;
    transaction::remove(maps, &entries, &leaving)
}

/// The mappings that [`remove`] would remove.
pub fn find(maps: &Maps, selectors: &[Selector]) -> Result<Vec<Mapping>> {
    Ok(plan::find_all(&list(maps)?, selectors)?.into_iter().map(|one| one.mapping).collect())
}

/// Removes all mappings, with all their flows.
pub fn remove_all(maps: &mut Maps) -> Result<Vec<Mapping>> {
    let entries = Entries::read(maps)?;
    transaction::remove(maps, &entries, &entries.installed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::mapping::tests::mapping;

    /// A host with nothing on it.
    pub(crate) fn host() -> Host {
        Host {
            addresses: HashSet::new(),
            sockets: Sockets::default(),
            ephemeral: Ports::new(32768, 60999).unwrap(),
            reserved: PortSet::default(),
        }
    }

    /// Mappings in force.
    pub(crate) fn installed(texts: &[&str]) -> Vec<Installed> {
        let rule = |id| Rule { id, generation: 1 };
        (0..)
            .zip(texts)
            .map(|(id, text)| Installed { mapping: mapping(text), rule: rule(id), is_whole: true })
            .collect()
    }

    #[test]
    fn what_cannot_be_replaced_leaves_and_what_cannot_be_altered_stays() {
        let own = installed(&["80:172.17.0.2:80", "81:172.17.0.2:81", "90:172.17.0.2:90", "91:172.17.0.2:91"]);
        let wanted = ["80:172.17.0.3:80", "90-95:172.17.0.2:90-95", "91:172.17.0.2:91", "99:172.17.0.2:99"];
        let [replacing, altering, staying, new] = wanted.map(mapping);
        let changes = vec![
            Change::Replace(replacing, vec![own[0]]),
            Change::Alter(altering, own[2], Vec::new()),
            Change::Nothing(own[3]),
            Change::Add(new),
        ];
        let wanted = [replacing, altering, staying, new].map(|mapping| (mapping, Label::default())).into();
        let leaving = leaving(&own, &wanted, &changes);
        assert_eq!(leaving, [own[1]], "one that is replaced has ended already");
        let entries = Entries::default();
        let mut plan = Bringing { entries, own: own.clone(), wanted, changes, leaving, refused: Vec::new() };
        plan.give_up();
        assert_eq!(plan.leaving, [own[0], own[1]]);
        let brought = plan.brought();
        assert_eq!(brought.changes, [(Change::Nothing(own[3]), Label::default())]);
        assert_eq!(brought.removed, [own[0].mapping, own[1].mapping]);
    }
}
