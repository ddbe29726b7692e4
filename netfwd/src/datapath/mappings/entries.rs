//! The entries of the prefix trees: which there are, and how each is written and removed.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use anyhow::{Context as _, Result, anyhow};
use aya::maps::lpm_trie::Key;
use netfwd_common::abi::{self, Endpoint, MappingKey, Protocol, Rule, V4, V6};

use super::{
    Installed,
    prefixes::{self, Prefix},
};
use crate::{
    datapath::maps::{Maps, Select},
    host::ports::PortSet,
    mapping::{HostPorts, Mapping, Ports, Transport},
};

/// An entry of a prefix tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it is.
    pub(super) place: Place,
    /// Whether its ports are in `ip_local_reserved_ports` because of it.
    pub(super) is_reserved: bool,
}

/// The key of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    address: IpAddr,
    protocol: Protocol,
    prefix: Prefix,
}

/// What the prefix trees hold.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// The mappings in force, in the order of their host parts.
    pub(super) installed: Vec<Installed>,
    /// Left behind by a process that was killed: no rule in force refers to them.
    pub(super) stale: Vec<Entry>,
    by_rule: HashMap<u32, Vec<Entry>>,
}

impl Entries {
    /// Reads the trees of both families.
    pub(super) fn read(maps: &Maps) -> Result<Self> {
        let mut entries = Self::default();
        let mut found = BTreeMap::new();
        entries.read_family::<V4>(maps, &mut found)?;
        entries.read_family::<V6>(maps, &mut found)?;
        entries.installed = found.into_values().collect();
        for one in &mut entries.installed {
            let all = entries.by_rule.get(&one.rule.id).map_or(&[][..], Vec::as_slice);
            one.is_whole &= are_all_of(all, one.mapping.host.ports);
        }
        entries.installed.sort_by_key(|installed| installed.mapping.host);
        Ok(entries)
    }

    fn read_family<A: Select>(&mut self, maps: &Maps, found: &mut BTreeMap<u32, Installed>) -> Result<()> {
        for entry in &maps.family::<A>().mappings {
            let (key, value) = entry.with_context(|| format!("cannot read the map {}", A::MAPS.mappings))?;
            let entry =
                Entry { place: Place::decode(&key), is_reserved: value.flags & abi::Mapping::<A>::RESERVED != 0 };
            if maps.is_in_force(value.rule)? {
                let mapping = decode(entry.place, &value)?;
                let installed = Installed { mapping, rule: value.rule, is_whole: true };
                let known = found.entry(value.rule.id).or_insert(installed);
                known.is_whole &= known.mapping == mapping;
                self.by_rule.entry(value.rule.id).or_default().push(entry);
            } else {
                self.stale.push(entry);
            }
        }
        Ok(())
    }

    /// The entries of a mapping in force.
    pub(super) fn of(&self, installed: &Installed) -> &[Entry] {
        self.by_rule.get(&installed.rule.id).map_or(&[], Vec::as_slice)
    }

    /// The ports that netfwd has reserved.
    pub(super) fn reserved(&self) -> PortSet {
        reserved_by(self.by_rule.values().flatten().chain(&self.stale).copied())
    }

    /// Those that it has reserved for others than `leaving`.
    pub(super) fn reserved_without(&self, leaving: &[Installed]) -> PortSet {
        let leaving: HashSet<_> = leaving.iter().map(|installed| installed.rule.id).collect();
        let rest = self.by_rule.iter().filter(|(id, _)| !leaving.contains(id));
        reserved_by(rest.flat_map(|(_, entries)| entries).copied())
    }
}

/// Whether entries are those of the ports, each port once.
fn are_all_of(entries: &[Entry], ports: Ports) -> bool {
    let mut covered: Vec<_> = entries.iter().filter_map(|entry| entry.place.prefix.ports()).collect();
    covered.sort_unstable();
    let ends = (covered.first().map(|one| one.first()), covered.last().map(|one| one.last()));
    let are_adjacent = |[one, next]: &[Ports; 2]| one.last().checked_add(1) == Some(next.first());
    ends == (Some(ports.first()), Some(ports.last())) && covered.array_windows().all(are_adjacent)
}

/// The entries of a mapping that is to be made, when `foreign` ports have been reserved by others.
pub(super) fn plan(host: &HostPorts, foreign: &PortSet) -> Vec<Entry> {
    let HostPorts { address, protocol, ports } = *host;
    let place = |prefix| Place { address, protocol: protocol.into(), prefix };
    let of_run = |(ports, is_foreign): (Ports, bool)| {
        prefixes::of(ports).map(move |prefix| Entry { place: place(prefix), is_reserved: !is_foreign })
    };
    foreign.runs(ports).flat_map(of_run).collect()
}

/// The ports that entries have reserved.
pub(super) fn reserved_by(entries: impl IntoIterator<Item = Entry>) -> PortSet {
    let mut ports = PortSet::default();
    let reserved = entries.into_iter().filter(|entry| entry.is_reserved);
    reserved.filter_map(|entry| entry.place.prefix.ports()).for_each(|one| ports.insert(one));
    ports
}

/// Adds or replaces an entry.
pub(super) fn put(maps: &mut Maps, entry: Entry, mapping: &Mapping, rule: Rule) -> Result<()> {
    match entry.place.address {
        IpAddr::V4(_) => put_in::<V4>(maps, entry, mapping, rule),
        IpAddr::V6(_) => put_in::<V6>(maps, entry, mapping, rule),
    }
}

/// The rule that an entry refers to, if it is there.
pub(super) fn rule_at(maps: &Maps, place: Place) -> Option<Rule> {
    match place.address {
        IpAddr::V4(_) => rule_in::<V4>(maps, place),
        IpAddr::V6(_) => rule_in::<V6>(maps, place),
    }
}

/// Removes an entry.
pub(super) fn remove(maps: &mut Maps, place: Place) -> Result<()> {
    match place.address {
        IpAddr::V4(_) => remove_in::<V4>(maps, place),
        IpAddr::V6(_) => remove_in::<V6>(maps, place),
    }
}

fn put_in<A: Select>(maps: &mut Maps, entry: Entry, mapping: &Mapping, rule: Rule) -> Result<()> {
    let failed = || format!("cannot write {mapping} to the map {}", A::MAPS.mappings);
    let (key, mut value) = (entry.place.encode::<A>()?, encode::<A>(mapping, rule)?);
    if entry.is_reserved {
        value.flags |= abi::Mapping::<A>::RESERVED;
    }
    maps.family_mut::<A>().mappings.insert(&key, value, 0).with_context(failed)
}

fn rule_in<A: Select>(maps: &Maps, place: Place) -> Option<Rule> {
    // A look-up finds a shorter prefix too: another one, unless it is the same rule's.
    let value = maps.family::<A>().mappings.get(&place.encode::<A>().ok()?, 0).ok()?;
    Some(value.rule)
}

fn remove_in<A: Select>(maps: &mut Maps, place: Place) -> Result<()> {
    let key = place.encode::<A>()?;
    maps.family_mut::<A>().mappings.remove(&key).with_context(|| format!("cannot write the map {}", A::MAPS.mappings))
}

impl Place {
    fn encode<A: Select>(&self) -> Result<Key<MappingKey<A>>> {
        let address = of_family(self.address)?;
        let length = MappingKey::<A>::BITS - u16::BITS + self.prefix.length;
        Ok(Key::new(length, MappingKey::new(self.protocol, address, self.prefix.port.to_be_bytes())))
    }

    fn decode<A: Select>(key: &Key<MappingKey<A>>) -> Self {
        let data = key.data();
        let length = (key.prefix_len() + u16::BITS).saturating_sub(MappingKey::<A>::BITS);
        let prefix = Prefix { port: u16::from_be_bytes(data.port), length };
        Self { address: data.address.ip(), protocol: data.protocol(), prefix }
    }
}

fn encode<A: Select>(mapping: &Mapping, rule: Rule) -> Result<abi::Mapping<A>> {
    let Mapping { host: HostPorts { ports, .. }, container, container_port } = *mapping;
    let target = Endpoint::new(of_family(container)?, container_port);
    Ok(abi::Mapping::new(rule, ports.first(), ports.last(), target))
}

fn decode<A: Select>(place: Place, value: &abi::Mapping<A>) -> Result<Mapping> {
    let Place { address, protocol, .. } = place;
    let protocol =
        Transport::try_from(protocol).map_err(|_| anyhow!("a mapping has a protocol without ports: {place:?}"))?;
    let [first, last, container_port] = [value.first_port, value.last_port, value.target.port].map(u16::from_be_bytes);
    let ports = Ports::new(first, last).with_context(|| format!("a mapping has impossible ports: {value:?}"))?;
    Ok(Mapping { host: HostPorts { address, protocol, ports }, container: value.target.address.ip(), container_port })
}

fn of_family<A: Select>(address: IpAddr) -> Result<A> {
    A::from_ip(address).with_context(|| format!("{address} is no {} address", A::NAME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::tests::mapping;

    #[test]
    fn a_mapping_is_whole_with_each_of_its_entries_once() {
        let [host, one] = ["8001-8199:172.17.0.2:1-199", "8001:172.17.0.2:1"].map(|text| mapping(text).host);
        let all = plan(&host, &PortSet::default());
        assert!(are_all_of(&all, host.ports) && all.len() > 2);
        for place in 0..all.len() {
            let mut some = all.clone();
            let left_out = some.remove(place);
            assert!(!are_all_of(&some, host.ports), "without {left_out:?}");
        }
        assert!(!are_all_of(&all, one.ports) && !are_all_of(&[], one.ports));
        let twice: Vec<_> = all.iter().chain(&plan(&one, &PortSet::default())).copied().collect();
        assert!(!are_all_of(&twice, host.ports), "an entry of before is left");
    }

    fn is_read_as_written<A: Select>(text: &str) {
        let mapping = mapping(text);
        for entry in plan(&mapping.host, &PortSet::default()) {
            let key = entry.place.encode::<A>().unwrap();
            assert_eq!(Place::decode(&key), entry.place);
            let value = encode::<A>(&mapping, Rule { id: 3, generation: 4 }).unwrap();
            assert_eq!(decode(entry.place, &value).unwrap(), mapping);
        }
    }

    #[test]
    fn a_mapping_is_read_as_it_was_written() {
        is_read_as_written::<V4>("8080:172.17.0.2:80/tcp");
        is_read_as_written::<V4>("192.0.2.1:53-99:172.17.0.3:5353-5399/udp");
        is_read_as_written::<V6>("8080:[fd00::2]:80/sctp");
        is_read_as_written::<V6>("[2001:db8::1]:1-65535:[fd00::2]:1-65535/tcp");
    }

    #[test]
    fn only_ports_that_nobody_else_has_reserved_are_netfwds() {
        let host = mapping("8000-8010:172.17.0.2:8000-8010").host;
        let mut foreign = PortSet::default();
        foreign.insert(Ports::new(8003, 8004).unwrap());
        let entries = plan(&host, &foreign);
        assert_eq!(reserved_by(entries.clone()).to_string(), "8000-8002,8005-8010");
        let mut all = PortSet::default();
        entries.iter().filter_map(|entry| entry.place.prefix.ports()).for_each(|ports| all.insert(ports));
        assert_eq!(all.to_string(), "8000-8010");
    }
}
