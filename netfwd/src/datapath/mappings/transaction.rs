//! Changes of the maps, each all or nothing.

use std::collections::HashMap;

use anyhow::Result;
use netfwd_common::abi::{Rule, V4, V6};

use super::{
    Change, Installed,
    entries::{self, Entries, Entry},
    labels,
    ports::Reservations,
};
use crate::{
    clock,
    datapath::{
        connections::Connections,
        maps::{Maps, Select},
        rules::{self, Allocator},
    },
    host::ports::{self, PortSet},
    mapping::{Label, Mapping},
};

/// What was begun of one change.
struct Made<'c> {
    change: &'c Change,
    rule: Rule,
    /// Its entries, of which `done` are written.
    entries: Vec<Entry>,
    done: usize,
}

/// Puts changes in force, each mapping with its label; without one it is made by hand. `reserved` are the ports that the
/// host's sockets do not get now.
pub(super) fn add(
    maps: &mut Maps,
    before: &Entries,
    reserved: &PortSet,
    changes: &[Change],
    labels: &HashMap<Mapping, Label>,
) -> Result<()> {
    for change in changes {
        if let Change::Nothing(installed) = change {
            labels::set(maps, installed.rule, &label_of(labels, &installed.mapping))?;
        }
    }
    if changes.iter().all(Change::is_nothing) {
        return Ok(());
    }
    remove_all(maps, &before.stale)?;
    let reservations = Reservations::new(reserved.clone(), before);
    let mut made = Vec::new();
    if let Err(error) = make(maps, before, &reservations, changes, labels, &mut made) {
        return Err(match undo(maps, before, &made).and(reservations.restore()) {
            Ok(()) => error.context("no mapping was added"),
            Err(second) => error.context(format!("mappings were added in part, and cannot be removed ({second:#})")),
        });
    }
    for made in &made {
        finish(maps, before, made)?;
        if let Change::Alter(mapping, present, _) = made.change {
            labels::set(maps, present.rule, &label_of(labels, mapping))?;
        }
    }
    Ok(())
}

fn label_of(labels: &HashMap<Mapping, Label>, mapping: &Mapping) -> Label {
    labels.get(mapping).cloned().unwrap_or_default()
}

/// Ends mappings with all their flows. What is left of them is removed with the next change.
pub(super) fn end(maps: &mut Maps, leaving: &[Installed]) -> Result<()> {
    leaving.iter().try_for_each(|installed| rules::end(maps, installed.rule))
}

/// Removes mappings with all their flows, and returns them.
pub(super) fn remove(maps: &mut Maps, before: &Entries, leaving: &[Installed]) -> Result<Vec<Mapping>> {
    let reservations = Reservations::new(ports::reserved()?, before);
    reservations.set(&before.reserved_without(leaving))?;
    remove_all(maps, &before.stale)?;
    end(maps, leaving)?;
    for installed in leaving {
        remove_all(maps, before.of(installed))?;
    }
    Ok(leaving.iter().map(|installed| installed.mapping).collect())
}

/// What is begun is in `made`, also on failure.
fn make<'c>(
    maps: &mut Maps,
    before: &Entries,
    reservations: &Reservations,
    changes: &'c [Change],
    labels: &HashMap<Mapping, Label>,
    made: &mut Vec<Made<'c>>,
) -> Result<()> {
    let mut allocator = Allocator::new(maps)?;
    for change in changes.iter().filter(|change| !change.is_nothing()) {
        let entries = entries::plan(&change.mapping().host, &reservations.foreign);
        let rule = match change {
            Change::Alter(_, present, _) => present.rule,
            Change::Add(_) | Change::Replace(..) | Change::Nothing(_) => {
                let rule = allocator.allocate(maps)?;
                labels::set(maps, rule, &label_of(labels, change.mapping()))?;
                rule
            }
        };
        // What replaces another mapping is in force before it takes its place: no packet comes in between.
        if let Change::Replace(..) = change {
            rules::activate(maps, rule)?;
        }
        made.push(Made { change, rule, entries, done: 0 });
        if let Some(made) = made.last_mut() {
            made.write(maps)?;
        }
    }
    let leaving: Vec<_> = changes.iter().flat_map(Change::replaces).copied().collect();
    let mut own = before.reserved_without(&leaving);
    own.insert_all(&entries::reserved_by(made.iter().flat_map(|made| made.entries.clone())));
    reservations.set(&own)?;
    let added = made.iter().filter(|made| matches!(made.change, Change::Add(_)));
    added.into_iter().try_for_each(|made| rules::activate(maps, made.rule))
}

impl Made<'_> {
    fn write(&mut self, maps: &mut Maps) -> Result<()> {
        for entry in &self.entries {
            entries::put(maps, *entry, self.change.mapping(), self.rule)?;
            self.done += 1;
        }
        Ok(())
    }

    fn written(&self) -> &[Entry] {
        self.entries.get(..self.done).unwrap_or_default()
    }
}

fn undo(maps: &mut Maps, before: &Entries, made: &[Made<'_>]) -> Result<()> {
    for Made { change, rule, .. } in made {
        if !matches!(change, Change::Alter(..)) {
            rules::end(maps, *rule)?;
        }
    }
    for made in made {
        remove_all_but(maps, made.rule, made.written(), &old_entries(before, made))?;
        for installed in made.change.replaces() {
            put_all(maps, before.of(installed), installed)?;
        }
    }
    Ok(())
}

/// The entries that an altered mapping had.
fn old_entries(before: &Entries, made: &Made<'_>) -> Vec<Entry> {
    match made.change {
        Change::Alter(_, present, _) => before.of(present).to_vec(),
        Change::Add(_) | Change::Replace(..) | Change::Nothing(_) => Vec::new(),
    }
}

fn put_all(maps: &mut Maps, entries: &[Entry], installed: &Installed) -> Result<()> {
    entries.iter().try_for_each(|entry| entries::put(maps, *entry, &installed.mapping, installed.rule))
}

/// Ends what the change has taken the place of.
fn finish(maps: &mut Maps, before: &Entries, made: &Made<'_>) -> Result<()> {
    match made.change {
        Change::Add(_) | Change::Nothing(_) => Ok(()),
        Change::Replace(_, replaced) => end_replaced(maps, before, replaced),
        Change::Alter(mapping, present, replaced) => {
            end_replaced(maps, before, replaced)?;
            remove_all_but(maps, present.rule, before.of(present), &made.entries)?;
            end_flows_beyond(maps, mapping, present.rule)
        }
    }
}

/// An entry for fewer ports goes before one for more: the old ones go while their rule is in force.
fn end_replaced(maps: &mut Maps, before: &Entries, replaced: &[Installed]) -> Result<()> {
    for installed in replaced {
        remove_all_but(maps, installed.rule, before.of(installed), &[])?;
        rules::end(maps, installed.rule)?;
    }
    Ok(())
}

/// Removes a rule's entries but for those at the places of `kept`, and those that another rule has taken over.
fn remove_all_but(maps: &mut Maps, rule: Rule, entries: &[Entry], kept: &[Entry]) -> Result<()> {
    let is_kept = |entry: &Entry| kept.iter().any(|other| other.place == entry.place);
    let is_own = |entry: &Entry| entries::rule_at(maps, entry.place) == Some(rule);
    let own: Vec<_> = entries.iter().filter(|entry| !is_kept(entry) && is_own(entry)).copied().collect();
    remove_all(maps, &own)
}

fn remove_all(maps: &mut Maps, entries: &[Entry]) -> Result<()> {
    entries.iter().try_for_each(|entry| entries::remove(maps, entry.place))
}

/// Ends those flows of a mapping's rule that came to other host ports than it has now.
fn end_flows_beyond(maps: &Maps, mapping: &Mapping, rule: Rule) -> Result<()> {
    if mapping.host.address.is_ipv4() {
        end_flows_in::<V4>(maps, mapping, rule)
    } else {
        end_flows_in::<V6>(maps, mapping, rule)
    }
}

fn end_flows_in<A: Select>(maps: &Maps, mapping: &Mapping, rule: Rule) -> Result<()> {
    let connections = Connections::<A>::open(maps)?;
    for flow in connections.live(maps, clock::now()?)? {
        let port = u16::from_be_bytes(flow.connection.original.destination.port);
        if flow.connection.rule == rule && !mapping.host.ports.contains(port) {
            // It may have ended by itself.
            let _was_alive = connections.condemn(&flow);
        }
    }
    Ok(())
}
