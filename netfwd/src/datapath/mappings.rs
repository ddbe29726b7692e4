//! The mappings in the maps: list, add, remove.
//!
//! A mapping is one rule, and one entry of the prefix tree for each prefix of its ports. The rule's generation makes
//! all of it take effect, or end, at once.

mod plan;
mod prefixes;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use aya::maps::lpm_trie::Key;
use netfwd_common::abi::{self, Address as _, Endpoint, MappingKey, Protocol, Rule, V4, names};

use super::{
    maps::Maps,
    rules::{self, Allocator},
};
use crate::mapping::{HostPorts, Mapping, Ports, Transport};

pub use plan::{Change, Conflict};

/// A mapping in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    /// What it maps.
    pub mapping: Mapping,
    /// Its rule, to which its counters and connections refer.
    pub rule: Rule,
}

type EntryKey = Key<MappingKey<V4>>;

/// The mappings in force, in the order of their host ports.
pub fn list(maps: &Maps) -> Result<Vec<Installed>> {
    Ok(read(maps)?.installed)
}

/// Adds mappings, all or none, and says what became of each.
///
/// A mapping that is in force already stays as it is. Another one on the same host port is an error, unless
/// `replace`: then it ends, with all its flows.
pub fn add(maps: &mut Maps, wanted: &[Mapping], replace: bool) -> Result<Vec<Change>> {
    let Entries { installed, stale } = read(maps)?;
    let changes = plan::plan(&installed, wanted, replace)?;
    remove_entries(maps, stale)?;
    let mut made = Vec::new();
    if let Err(error) = make(maps, &changes, &mut made) {
        return Err(match undo(maps, &made) {
            Ok(()) => error.context("no mapping was added"),
            Err(second) => error.context(format!("mappings were added in part, and cannot be removed ({second:#})")),
        });
    }
    for Installed { mapping, rule } in changes.iter().flat_map(Change::replaces) {
        end(maps, &mapping.host, *rule)?;
    }
    Ok(changes)
}

/// Removes mappings, all or none, with all their flows.
pub fn remove(maps: &mut Maps, hosts: &[HostPorts]) -> Result<Vec<Mapping>> {
    let Entries { installed, stale } = read(maps)?;
    let leaving = plan::find_all(&installed, hosts)?;
    remove_entries(maps, stale)?;
    for Installed { mapping, rule } in &leaving {
        end(maps, &mapping.host, *rule)?;
    }
    Ok(leaving.into_iter().map(|installed| installed.mapping).collect())
}

/// Removes all mappings, with all their flows.
pub fn remove_all(maps: &mut Maps) -> Result<Vec<Mapping>> {
    let hosts: Vec<_> = list(maps)?.into_iter().map(|installed| installed.mapping.host).collect();
    remove(maps, &hosts)
}

/// What the prefix tree holds.
struct Entries {
    installed: Vec<Installed>,
    /// Left behind by a process that was killed: no rule in force refers to them.
    stale: Vec<EntryKey>,
}

fn read(maps: &Maps) -> Result<Entries> {
    let (mut found, mut stale) = (BTreeMap::new(), Vec::new());
    for entry in &maps.mappings {
        let (key, value) = entry.with_context(|| format!("cannot read the map {}", names::MAPPINGS))?;
        if maps.is_in_force(value.rule)? {
            found.insert(value.rule.id, Installed { mapping: decode(key.data(), &value)?, rule: value.rule });
        } else {
            stale.push(key);
        }
    }
    let mut installed: Vec<_> = found.into_values().collect();
    installed.sort_by_key(|installed| installed.mapping.host);
    Ok(Entries { installed, stale })
}

fn decode(key: MappingKey<V4>, value: &abi::Mapping<V4>) -> Result<Mapping> {
    let protocol = match key.protocol() {
        Some(Protocol::Tcp) => Transport::Tcp,
        Some(Protocol::Udp) => Transport::Udp,
        Some(Protocol::Icmp) | None => bail!("a mapping has a protocol without ports: {key:?}"),
    };
    let [first, last, target] = [value.first_port, value.last_port, value.target.port].map(u16::from_be_bytes);
    let ports = Ports::new(first, last).with_context(|| format!("a mapping has impossible ports: {value:?}"))?;
    let address = (key.address != V4::UNSPECIFIED).then(|| key.address.into());
    let host = HostPorts { address, ports, protocol };
    Ok(Mapping { host, container: value.target.address.into(), container_port: target })
}

fn encode(mapping: &Mapping, rule: Rule) -> abi::Mapping<V4> {
    let Mapping { host: HostPorts { ports, .. }, container, container_port } = mapping;
    abi::Mapping::new(rule, ports.first(), ports.last(), Endpoint::new(container.octets(), *container_port))
}

fn keys(host: &HostPorts) -> impl Iterator<Item = EntryKey> + use<> {
    let address = host.address.map_or(V4::UNSPECIFIED, |address| address.octets());
    let protocol = host.protocol.into();
    prefixes::of(host.ports).map(move |prefix| {
        let length = MappingKey::<V4>::BITS - u16::BITS + prefix.length;
        Key::new(length, MappingKey::new(protocol, address, prefix.port.to_be_bytes()))
    })
}

/// Puts the new mappings in force; what was begun is in `made`, also on failure.
fn make<'c>(maps: &mut Maps, changes: &'c [Change], made: &mut Vec<(&'c Change, Rule)>) -> Result<()> {
    let mut allocator = Allocator::new(maps)?;
    for change in changes.iter().filter(|change| !change.is_nothing()) {
        let rule = allocator.allocate(maps)?;
        made.push((change, rule));
        // What replaces another mapping is in force before it takes its place: no packet comes in between.
        if !change.replaces().is_empty() {
            rules::activate(maps, rule)?;
        }
        insert(maps, change.mapping(), rule)?;
    }
    for (change, rule) in made {
        if change.replaces().is_empty() {
            rules::activate(maps, *rule)?;
        }
    }
    Ok(())
}

fn undo(maps: &mut Maps, made: &[(&Change, Rule)]) -> Result<()> {
    for (change, rule) in made {
        end(maps, &change.mapping().host, *rule)?;
        for Installed { mapping, rule } in change.replaces() {
            insert(maps, mapping, *rule)?;
        }
    }
    Ok(())
}

fn insert(maps: &mut Maps, mapping: &Mapping, rule: Rule) -> Result<()> {
    let value = encode(mapping, rule);
    for key in keys(&mapping.host) {
        let inserted = maps.mappings.insert(&key, value, 0);
        inserted.with_context(|| format!("cannot write {mapping} to the map {}", names::MAPPINGS))?;
    }
    Ok(())
}

/// Ends a rule, then removes those of its entries that no other rule has taken over.
fn end(maps: &mut Maps, host: &HostPorts, rule: Rule) -> Result<()> {
    rules::end(maps, rule)?;
    let is_own = |key: &EntryKey| maps.mappings.get(key, 0).is_ok_and(|value| value.rule == rule);
    let own: Vec<_> = keys(host).filter(is_own).collect();
    remove_entries(maps, own)
}

fn remove_entries(maps: &mut Maps, keys: impl IntoIterator<Item = EntryKey>) -> Result<()> {
    for key in keys {
        maps.mappings.remove(&key).with_context(|| format!("cannot write the map {}", names::MAPPINGS))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_read_as_it_was_written() {
        for text in ["8080:172.17.0.2:80/tcp", "192.0.2.1:53:172.17.0.3:5353/udp"] {
            let mapping: Mapping = text.parse().unwrap();
            let key = keys(&mapping.host).next().unwrap();
            assert_eq!(key.prefix_len(), MappingKey::<V4>::BITS);
            let value = encode(&mapping, Rule { id: 3, generation: 4 });
            assert_eq!(decode(key.data(), &value).unwrap(), mapping);
        }
    }
}
