//! What adding and removing means, decided before anything is changed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{Conflict, Host, Installed, Labels, Options, Wanted, settle::settle};
use crate::{
    host::ports::PortSet,
    mapping::{HostPorts, Label, Mapping, Origin, Ports, Selector, Transport},
};

/// What becomes of one mapping that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is added.
    Add(Mapping),
    /// It takes the place of others, of which those end that no other change alters.
    Replace(Mapping, Vec<Installed>),
    /// Another one gets its ports, and flows of ports that both have go on; further ones end as with [`Self::Replace`].
    Alter(Mapping, Installed, Vec<Installed>),
    /// It is in force already.
    Nothing(Installed),
}

impl Change {
    /// The mapping that was asked for.
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        match self {
            Self::Add(mapping) | Self::Replace(mapping, _) | Self::Alter(mapping, ..) => mapping,
            Self::Nothing(installed) => &installed.mapping,
        }
    }

    /// What it takes the place of.
    pub fn replaces(&self) -> impl Iterator<Item = &Installed> {
        let (heir, ended) = match self {
            Self::Replace(_, ended) => (None, ended.as_slice()),
            Self::Alter(_, heir, ended) => (Some(heir), ended.as_slice()),
            Self::Add(_) | Self::Nothing(_) => (None, [].as_slice()),
        };
        heir.into_iter().chain(ended)
    }

    /// Whether it is in force already.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing(_))
    }
}

/// Mappings by their host ports, none of which overlap, but where a change was broken off, and by their rules.
struct ByHost<'m>(BTreeMap<(HostPorts, u32), &'m Installed>);

impl<'m> ByHost<'m> {
    fn new(installed: &'m [Installed]) -> Self {
        Self(installed.iter().map(|one| ((one.mapping.host, one.rule.id), one)).collect())
    }

    /// Those that have ports of the same address.
    fn overlapping(&self, host: &HostPorts) -> Vec<Installed> {
        // In the order of address, protocol and ports, the last that may overlap begins with the host's last port.
        let mut installed: Vec<_> = self
            .0
            .range(..=(end_of(host), u32::MAX))
            .rev()
            .map(|(_, one)| **one)
            .take_while(|one| one.mapping.host.overlaps(host))
            .collect();
        installed.reverse();
        installed
    }

    fn find(&self, host: HostPorts) -> impl Iterator<Item = Installed> {
        self.0.range((host, 0)..=(host, u32::MAX)).map(|(_, one)| **one)
    }
}

/// Of the host parts that begin with the last port of this one, the greatest.
fn end_of(host: &HostPorts) -> HostPorts {
    let ports = Ports::new(host.ports.last(), u16::MAX).unwrap_or(host.ports);
    HostPorts { ports, ..*host }
}

/// The ports of mappings of one address and of any address, to see quickly that no two of them meet.
#[derive(Default)]
struct Claims<'m> {
    ports: HashMap<(bool, bool, Transport), PortSet>,
    all: Vec<&'m Mapping>,
}

impl<'m> Claims<'m> {
    fn add(&mut self, mapping: &'m Mapping) {
        let host = &mapping.host;
        self.ports.entry(Self::key(host, host.is_any())).or_default().insert(host.ports);
        self.all.push(mapping);
    }

    /// One that is of any address if this one is of one address, or the reverse, and has a port of it.
    fn beside(&self, host: &HostPorts) -> Option<&'m Mapping> {
        let has_some = self.ports.get(&Self::key(host, !host.is_any())).is_some_and(|set| set.has_any_of(host.ports));
        self.all.iter().find(|mapping| has_some && mapping.host.is_beside(host)).copied()
    }

    fn key(host: &HostPorts, is_any: bool) -> (bool, bool, Transport) {
        (is_any, host.address.is_ipv4(), host.protocol)
    }
}

/// What becomes of mappings by hand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ByHand {
    /// Of each that is wanted.
    pub(super) changes: Vec<Change>,
    /// The same, and what becomes of the ranges of Docker that lose ports to them.
    pub(super) done: Vec<Change>,
    /// What is left to Docker of these.
    pub(super) left: Vec<Wanted>,
}

/// Decides as [`plan`], but that Docker keeps the other ports of its ranges: it publishes each port by itself.
pub(super) fn by_hand(
    host: &Host,
    installed: &[Installed],
    labels: &Labels,
    wanted: &[Mapping],
    options: Options,
) -> Result<ByHand, Conflict> {
    let changes = plan(host, installed, labels, wanted, options)?;
    let left = left_to_docker(installed, labels, wanted);
    if left.is_empty() {
        return Ok(ByHand { done: changes.clone(), changes, left });
    }
    let all: Vec<_> = wanted.iter().copied().chain(left.iter().map(|one| one.mapping)).collect();
    // What can be refused has been.
    let done = plan(host, installed, labels, &all, Options { replace: true, force: true })?;
    let by_mapping: HashMap<_, _> = done.iter().map(|change| (change.mapping(), change)).collect();
    let told = |change: Change| match by_mapping.get(change.mapping()) {
        Some(Change::Replace(mapping, _)) => {
            let ended = change.replaces().map(|one| taken(one, labels, mapping));
            Change::Replace(*mapping, ended.collect())
        }
        Some(done) => (*done).clone(),
        None => change,
    };
    Ok(ByHand { changes: changes.into_iter().map(told).collect(), done, left })
}

/// What a mapping takes of another one: of Docker's its own ports alone.
fn taken(present: &Installed, labels: &Labels, mapping: &Mapping) -> Installed {
    let [_, taken, _] = present.mapping.around(mapping.host.ports);
    let is_dockers = labels.of(present.rule).origin == Origin::Docker;
    Installed { mapping: taken.filter(|_| is_dockers).unwrap_or(present.mapping), ..*present }
}

fn left_to_docker(installed: &[Installed], labels: &Labels, wanted: &[Mapping]) -> Vec<Wanted> {
    let present = ByHost::new(installed);
    let overlapping = wanted.iter().flat_map(|mapping| present.overlapping(&mapping.host));
    let overlapping: BTreeMap<_, _> = overlapping.map(|one| (one.rule.id, one)).collect();
    let labelled = overlapping.into_values().map(|one| Wanted { mapping: one.mapping, label: labels.of(one.rule) });
    let of_docker: Vec<_> = labelled.filter(|one| one.label.origin == Origin::Docker).collect();
    let by_hand: Vec<_> = wanted.iter().map(|mapping| Wanted { mapping: *mapping, label: Label::default() }).collect();
    settle(&by_hand, &HashSet::new(), &of_docker).0
}

/// Decides on all `wanted` mappings, or on none.
pub(super) fn plan(
    host: &Host,
    installed: &[Installed],
    labels: &Labels,
    wanted: &[Mapping],
    options: Options,
) -> Result<Vec<Change>, Conflict> {
    if let Some(mapping) = wanted.iter().find(|mapping| host.addresses.contains(&mapping.container)) {
        return Err(Conflict::Own { mapping: *mapping });
    }
    let present = ByHost::new(installed);
    let wanted = without_repetitions(wanted)?;
    let changes: Vec<_> =
        wanted.iter().map(|mapping| change(&present, labels, mapping, options.replace)).collect::<Result<_, _>>()?;
    let changes = one_heir_each(changes);
    if !options.force {
        refuse_beside(installed, &changes)?;
        refuse_used(host, &present, &changes)?;
    }
    Ok(changes)
}

/// The mappings in the order of their hosts' ports. Two different ones for the same port are an error.
fn without_repetitions(wanted: &[Mapping]) -> Result<Vec<Mapping>, Conflict> {
    let mut sorted = wanted.to_vec();
    sorted.sort_by_key(|mapping| mapping.host);
    sorted.dedup();
    match sorted.array_windows().find(|[first, second]| first.host.overlaps(&second.host)) {
        Some([first, second]) => Err(Conflict::Both { first: *first, second: *second }),
        None => Ok(sorted),
    }
}

fn change(present: &ByHost<'_>, labels: &Labels, wanted: &Mapping, replace: bool) -> Result<Change, Conflict> {
    let others = present.overlapping(&wanted.host);
    match others.as_slice() {
        [] => Ok(Change::Add(*wanted)),
        [same] if same.mapping == *wanted && same.is_whole => Ok(Change::Nothing(*same)),
        // What a change that was broken off has left is put right.
        _ if others.iter().any(|other| other.mapping == *wanted) => Ok(alter_or_replace(*wanted, others)),
        [other, ..] if !replace => {
            Err(Conflict::Taken { wanted: *wanted, present: other.mapping, label: labels.of(other.rule) })
        }
        _ => Ok(alter_or_replace(*wanted, others)),
    }
}

/// Of those that lead where `wanted` does, the one with the most ports lives on.
fn alter_or_replace(wanted: Mapping, mut others: Vec<Installed>) -> Change {
    let agreeing = others.iter().enumerate().filter(|(_, other)| other.mapping.agrees_with(&wanted));
    match agreeing.max_by_key(|(_, other)| other.mapping.host.ports.count()) {
        Some((place, _)) => {
            let heir = others.remove(place);
            Change::Alter(wanted, heir, others)
        }
        None => Change::Replace(wanted, others),
    }
}

/// A mapping whose ports go to several others lives on in one of them: where it has the most ports.
fn one_heir_each(changes: Vec<Change>) -> Vec<Change> {
    let mut heirs = HashMap::<u32, Mapping>::new();
    for change in &changes {
        if let Change::Alter(mapping, other, _) = change {
            let heir = heirs.entry(other.rule.id).or_insert(*mapping);
            if heir.host.ports.count() < mapping.host.ports.count() {
                *heir = *mapping;
            }
        }
    }
    let without_heirs = |mut others: Vec<Installed>| {
        others.retain(|other| !heirs.contains_key(&other.rule.id));
        others
    };
    let settle = |change| match change {
        Change::Alter(mapping, other, others) if heirs.get(&other.rule.id) == Some(&mapping) => {
            Change::Alter(mapping, other, without_heirs(others))
        }
        Change::Alter(mapping, _, others) | Change::Replace(mapping, others) => {
            Change::Replace(mapping, without_heirs(others))
        }
        Change::Add(_) | Change::Nothing(_) => change,
    };
    changes.into_iter().map(settle).collect()
}

/// A new mapping of one address and another one of any address exclude each other, as they do for Docker.
fn refuse_beside(installed: &[Installed], changes: &[Change]) -> Result<(), Conflict> {
    let ending: BTreeSet<_> = changes.iter().flat_map(Change::replaces).map(|one| one.rule.id).collect();
    let mut claims = Claims::default();
    installed.iter().filter(|one| !ending.contains(&one.rule.id)).for_each(|one| claims.add(&one.mapping));
    for change in changes.iter().filter(|change| !change.is_nothing()) {
        let wanted = change.mapping();
        if let Some(present) = claims.beside(&wanted.host) {
            return Err(Conflict::Beside { wanted: *wanted, present: *present });
        }
        claims.add(wanted);
    }
    Ok(())
}

/// A new mapping's ports are of no use to a process that has sockets there.
fn refuse_used(host: &Host, present: &ByHost<'_>, changes: &[Change]) -> Result<(), Conflict> {
    for change in changes.iter().filter(|change| !change.is_nothing()) {
        let wanted = &change.mapping().host;
        let (mut serving, mapped) = (host.sockets.serving(wanted), present.overlapping(wanted));
        // Of ports that are mapped already, that was said before.
        serving.retain(|socket| !mapped.iter().any(|one| one.mapping.host.ports.contains(socket.local.port())));
        if let Some(socket) = serving.first() {
            return Err(Conflict::Used {
                port: socket.local.port(),
                protocol: socket.protocol,
                holder: socket.holder(),
                more: serving.len() - 1,
            });
        }
    }
    Ok(())
}

/// The installed mappings that are meant: of each something, or none at all.
pub(super) fn find_all(installed: &[Installed], selectors: &[Selector]) -> Result<Vec<Installed>, Conflict> {
    let present = ByHost::new(installed);
    let mut found = BTreeMap::new();
    for (selector, protocol) in selectors.iter().flat_map(|selector| selector.each()) {
        let hosts = addresses(&selector).map(|address| HostPorts { address, protocol, ports: selector.ports });
        let those: Vec<_> = hosts.flat_map(|host| present.find(host)).collect();
        if those.is_empty() {
            return Err(missing(installed, selector));
        }
        found.extend(those.iter().map(|one| ((one.mapping.host, one.rule.id), *one)));
    }
    Ok(found.into_values().collect())
}

fn addresses(selector: &Selector) -> impl Iterator<Item = IpAddr> + use<> {
    let any = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let given = selector.address.map(|address| vec![address]);
    given.unwrap_or_else(|| any.to_vec()).into_iter()
}

fn missing(installed: &[Installed], selector: Selector) -> Conflict {
    let similar =
        installed.iter().map(|installed| installed.mapping.host).filter(|other| other.ports.overlaps(selector.ports));
    Conflict::Missing { selector, similar: similar.collect() }
}

#[cfg(test)]
mod tests;
