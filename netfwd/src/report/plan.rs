//! `netfwd apply`.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use netfwd_common::abi::Timeouts;
use serde::Serialize;

use crate::{
    apply::plan::{self, Step, Uplink},
    datapath::{mappings::Wanted as Owned, timeouts::ALL},
    mapping::{Mapping, Origin},
    render::Listing,
};

/// What the keys of an uplink are that have a default.
const DEFAULTS: [(&str, &str); 7] = [
    ("isolate", "false"),
    ("parity", "false"),
    ("filtering", "address-and-port"),
    ("pick-up", "false"),
    ("fast-path", "true"),
    ("xdp", "off"),
    ("hook", "auto"),
];

/// What applying a configuration changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Whether it has been done.
    pub applied: bool,
    /// What changes, in the order in which it is done.
    pub changes: Vec<Entry>,
    /// What stays though the configuration does not have it, because it was made by hand or for Docker's sake.
    pub kept: Vec<Kept>,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What becomes of it.
    pub change: Kind,
    /// What changes, in a few words.
    pub what: String,
    /// A line for each part of it.
    pub details: Vec<String>,
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is new.
    Add,
    /// It becomes another.
    Change,
    /// It ends.
    Remove,
}

/// What stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// What it is, in a few words.
    pub what: String,
    /// Whose it is: not the configuration's.
    pub origin: Origin,
    /// The command that ends it.
    pub ended_by: String,
}

impl Plan {
    /// As it is told.
    #[must_use]
    pub fn new(plan: &plan::Plan, applied: bool) -> Self {
        let uplinks = plan.kept_uplinks.iter().map(|uplink| Kept {
            what: format!("uplink {}", name(uplink)),
            origin: uplink.origin,
            ended_by: format!("netfwd detach {}", name(uplink)),
        });
        let mappings = plan.kept_mappings.iter().map(|mapping| Kept {
            what: mapped(mapping),
            origin: Origin::Hand,
            ended_by: format!("netfwd unmap {}", mapping.host),
        });
        Self { applied, changes: plan.steps.iter().map(entry).collect(), kept: uplinks.chain(mappings).collect() }
    }
}

fn entry(step: &Step) -> Entry {
    let (change, what, details) = match step {
        Step::Attach(uplink) => (Kind::Add, format!("uplink {}", name(uplink)), attached(uplink)),
        Step::Alter { before, after } => (Kind::Change, format!("uplink {}", name(after)), altered(before, after)),
        Step::HostAccess(is_on) => (Kind::Change, "host-access".to_owned(), vec![format!("{} -> {is_on}", !is_on)]),
        Step::Timeouts { before, after } => (Kind::Change, "timeouts".to_owned(), timeouts(before, after)),
        Step::Map(one) => (Kind::Add, owned(one), Vec::new()),
        Step::Replace(one, others) => {
            let instead = others.iter().map(|other| format!("instead of {}", labelled(other))).collect();
            (Kind::Change, owned(one), instead)
        }
        Step::Relabel(before, after) => (Kind::Change, owned(after), vec![format!("was {}", labelled(before))]),
        Step::Unmap(one) => (Kind::Remove, owned(one), Vec::new()),
        Step::Detach(uplink) => (Kind::Remove, format!("uplink {}", name(uplink)), Vec::new()),
    };
    Entry { change, what, details }
}

fn name(uplink: &Uplink) -> &str {
    uplink.options.interface.get_ref()
}

fn mapped(mapping: &Mapping) -> String {
    format!("mapping {} to {}", mapping.host, mapping.target())
}

/// As the configuration has it.
fn owned(one: &Owned) -> String {
    let name = &one.label.name;
    if name.is_empty() { mapped(&one.mapping) } else { format!("{} ({name})", mapped(&one.mapping)) }
}

/// As it is, with its origin.
fn labelled(one: &Owned) -> String {
    let (mapping, label) = (&one.mapping, &one.label);
    let name = if label.name.is_empty() { String::new() } else { format!(" {}", label.name) };
    format!("{} to {} ({}{name})", mapping.host, mapping.target(), label.origin)
}

/// The keys of an uplink but for its name, as they are in a file.
fn keys(uplink: &Uplink) -> BTreeMap<String, String> {
    let text = toml::to_string(&uplink.options).unwrap_or_default();
    let keys = text.lines().filter_map(|line| line.split_once(" = "));
    keys.filter(|(key, _)| *key != "interface").map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn attached(uplink: &Uplink) -> Vec<String> {
    let keys = keys(uplink).into_iter().map(|(key, value)| format!("{key} = {value}"));
    keys.chain(uplink.masqueraded.iter().map(masquerades)).collect()
}

fn masquerades((subnet, address): (&IpNet, &IpAddr)) -> String {
    format!("masquerades {subnet} as {address}")
}

fn altered(before: &Uplink, after: &Uplink) -> Vec<String> {
    let (old, new) = (keys(before), keys(after));
    let mut lines: Vec<_> = differences(&old, &new)
        .map(|(key, old, new)| format!("{key} {} -> {}", value(key, old), value(key, new)))
        .collect();
    lines.extend(differences(&before.masqueraded, &after.masqueraded).map(|(subnet, old, new)| match (old, new) {
        (Some(old), Some(new)) => format!("masquerades {subnet} as {old} -> {new}"),
        (None, Some(new)) => format!("+ {}", masquerades((subnet, new))),
        (old, None) => format!("- masquerades {subnet}{}", old.map(|old| format!(" as {old}")).unwrap_or_default()),
    }));
    lines
}

/// The value of a key, which may be left out of the file: a word without its quotes.
fn value<'t>(key: &str, given: Option<&'t String>) -> &'t str {
    let default = || DEFAULTS.iter().find(|(name, _)| *name == key).map_or("unset", |(_, value)| *value);
    let word = |text: &'t String| text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    given.map_or_else(default, word)
}

/// What two tables have not in common, in the order of keys.
fn differences<'t, K: Ord, V: PartialEq>(
    old: &'t BTreeMap<K, V>,
    new: &'t BTreeMap<K, V>,
) -> impl Iterator<Item = (&'t K, Option<&'t V>, Option<&'t V>)> {
    let mut keys: Vec<_> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let pairs = keys.into_iter().map(|key| (key, old.get(key), new.get(key)));
    pairs.filter(|(_, old, new)| old != new)
}

fn timeouts(before: &Timeouts, after: &Timeouts) -> Vec<String> {
    let seconds = ALL.iter().map(|timeout| (timeout.name, timeout.seconds(*before), timeout.seconds(*after)));
    let changed = seconds.filter(|(_, before, after)| before != after);
    changed.map(|(name, before, after)| format!("{name} {before} -> {after}")).collect()
}

impl Listing for Plan {
    fn text(&self) -> String {
        let mut lines: Vec<_> = self.changes.iter().flat_map(Entry::lines).collect();
        lines.extend(self.kept.iter().map(Kept::line));
        lines.push(self.sum());
        lines.join("\n")
    }
}

impl Kept {
    fn line(&self) -> String {
        let Self { what, origin, ended_by } = self;
        let whose = if *origin == Origin::Docker { "attached for Docker" } else { "made by hand" };
        format!("= {what} stays: {whose} (`{ended_by}`)")
    }
}

impl Plan {
    fn sum(&self) -> String {
        let count = |kind| self.changes.iter().filter(|entry| entry.change == kind).count();
        match [Kind::Add, Kind::Change, Kind::Remove].map(count) {
            [0, 0, 0] => "No changes.".to_owned(),
            [added, changed, removed] if self.applied => {
                format!("Applied: {added} added, {changed} changed, {removed} removed.")
            }
            [added, changed, removed] => format!("Plan: {added} to add, {changed} to change, {removed} to remove."),
        }
    }
}

impl Entry {
    fn lines(&self) -> Vec<String> {
        let sign = match self.change {
            Kind::Add => '+',
            Kind::Change => '~',
            Kind::Remove => '-',
        };
        let head = format!("{sign} {}", self.what);
        match self.details.as_slice() {
            [one] if self.change == Kind::Change => vec![format!("{head}: {one}")],
            more => [head].into_iter().chain(more.iter().map(|line| format!("    {line}"))).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
