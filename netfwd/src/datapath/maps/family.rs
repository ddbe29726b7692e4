//! The maps of one address family.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap, LpmTrie, MapData, MapError, lpm_trie::Key};
use netfwd_common::abi::{
    Endpoint, Mapping, MappingKey, Masquerade, Protocol, Rule, Slot, SubnetKey, Target, Tuple, V4, V6,
};

use super::{Maps, cannot_open, cannot_read, cannot_write, first, removed, typed};
use crate::{datapath::pin::PinDir, family::Family};

/// The maps of one address family.
pub struct FamilyMaps<A: Family> {
    subnets: LpmTrie<MapData, SubnetKey<A>, Masquerade<A>>,
    exclusions: LpmTrie<MapData, SubnetKey<A>, Rule>,
    isolated: LpmTrie<MapData, A, u8>,
    high_water: Array<MapData, u64>,
    targets: Array<MapData, Target<A>>,
    tuples: HashMap<MapData, Tuple<A>, Slot>,
    /// The mappings, by prefix.
    pub mappings: LpmTrie<MapData, MappingKey<A>, Mapping<A>>,
    /// The connections, to be read through a memory mapping of its file descriptor.
    pub connections: MapData,
}

/// A masqueraded subnet of an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet<A: Family> {
    /// The uplink's interface index.
    pub uplink: u32,
    /// The subnet.
    pub network: A::Net,
    /// How it is masqueraded.
    pub masquerade: Masquerade<A>,
}

/// Destinations that an uplink's subnets reach without being masqueraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exclusion<A: Family> {
    /// The uplink's interface index.
    pub uplink: u32,
    /// The destinations.
    pub network: A::Net,
    /// The uplink's rule.
    pub rule: Rule,
}

/// A family that has maps.
pub trait Select: Family {
    /// Its maps.
    fn of(maps: &Maps) -> &FamilyMaps<Self>;

    /// Its maps, to be changed.
    fn of_mut(maps: &mut Maps) -> &mut FamilyMaps<Self>;
}

impl Select for V4 {
    fn of(maps: &Maps) -> &FamilyMaps<Self> {
        &maps.v4
    }

    fn of_mut(maps: &mut Maps) -> &mut FamilyMaps<Self> {
        &mut maps.v4
    }
}

impl Select for V6 {
    fn of(maps: &Maps) -> &FamilyMaps<Self> {
        &maps.v6
    }

    fn of_mut(maps: &mut Maps) -> &mut FamilyMaps<Self> {
        &mut maps.v6
    }
}

impl<A: Family> FamilyMaps<A> {
    pub(super) fn open(pin_dir: &PinDir) -> Result<Self> {
        let connections = pin_dir.map(A::MAPS.connections);
        Ok(Self {
            subnets: typed(pin_dir, A::MAPS.subnets)?,
            exclusions: typed(pin_dir, A::MAPS.exclusions)?,
            isolated: typed(pin_dir, A::MAPS.isolated)?,
            high_water: typed(pin_dir, A::MAPS.high_water)?,
            targets: typed(pin_dir, A::MAPS.targets)?,
            tuples: typed(pin_dir, A::MAPS.tuples)?,
            mappings: typed(pin_dir, A::MAPS.mappings)?,
            connections: MapData::from_pin(&connections).with_context(|| cannot_open(connections.display()))?,
        })
    }

    /// The masqueraded subnets of all uplinks, also those whose rule is not in force.
    pub fn subnets(&self) -> Result<Vec<Subnet<A>>> {
        let mut subnets = Vec::new();
        for entry in &self.subnets {
            let (key, masquerade) = entry.with_context(|| cannot_read(A::MAPS.subnets))?;
            let (uplink, network) = decode(&key)?;
            subnets.push(Subnet { uplink, network, masquerade });
        }
        subnets.sort_by_key(|subnet| (subnet.uplink, subnet.network));
        Ok(subnets)
    }

    /// Where a tuple leads, as the kernel part finds it.
    pub fn slot_of(&self, tuple: &Tuple<A>) -> Result<Option<Slot>> {
        found(self.tuples.get(tuple, 0)).with_context(|| cannot_read(A::MAPS.tuples))
    }

    /// The mapping of a host endpoint, as the kernel part finds it; its rule may not be in force.
    pub fn mapping_of(&self, protocol: Protocol, host: Endpoint<A>) -> Result<Option<Mapping<A>>> {
        let key = MappingKey::new(protocol, host.address, host.port);
        let mapping = self.mappings.get(&Key::new(MappingKey::<A>::BITS, key), 0);
        found(mapping).with_context(|| cannot_read(A::MAPS.mappings))
    }

    /// How a source address is masqueraded, as the kernel part finds it; its rule may not be in force.
    pub fn masquerade_of(&self, uplink: u32, source: A) -> Result<Option<Masquerade<A>>> {
        let key = Key::new(SubnetKey::<A>::BITS, SubnetKey::new(uplink, source));
        found(self.subnets.get(&key, 0)).with_context(|| cannot_read(A::MAPS.subnets))
    }

    /// The rule that excludes a destination, as the kernel part finds it; it may not be in force.
    pub fn exclusion_of(&self, uplink: u32, destination: A) -> Result<Option<Rule>> {
        let key = Key::new(SubnetKey::<A>::BITS, SubnetKey::new(uplink, destination));
        found(self.exclusions.get(&key, 0)).with_context(|| cannot_read(A::MAPS.exclusions))
    }

    /// Whether an address is in a network that is kept apart.
    pub fn is_isolated(&self, address: A) -> Result<bool> {
        let key = Key::new(size_of::<A>() as u32 * 8, address);
        Ok(found(self.isolated.get(&key, 0)).with_context(|| cannot_read(A::MAPS.isolated))?.is_some())
    }

    /// What is noted at a place for targets.
    pub fn target_at(&self, place: u32) -> Result<Target<A>> {
        self.targets.get(&place, 0).with_context(|| cannot_read(A::MAPS.targets))
    }

    /// Where the container with an address is.
    pub fn target_of(&self, address: &A) -> Result<Option<Target<A>>> {
        for place in Target::places(address) {
            let target = self.target_at(place)?;
            if target.is_of(address) {
                return Ok(Some(target));
            }
        }
        Ok(None)
    }

    /// Where containers are.
    pub fn targets(&self) -> Result<Vec<Target<A>>> {
        let targets: Result<Vec<_>, _> = self.targets.iter().collect();
        let targets = targets.with_context(|| cannot_read(A::MAPS.targets))?;
        Ok(targets.into_iter().filter(|target| target.member != 0).collect())
    }

    /// Adds or replaces where a container is.
    pub fn set_target(&mut self, target: Target<A>) -> Result<()> {
        let place = Target::place_for(&target.address, |place| self.targets.get(&place, 0).ok());
        self.targets.set(place, target, 0).with_context(|| cannot_write(A::MAPS.targets))
    }

    /// Removes where a container is.
    pub fn remove_target(&mut self, address: &A) -> Result<()> {
        for place in Target::places(address) {
            let target = self.targets.get(&place, 0).with_context(|| cannot_read(A::MAPS.targets))?;
            if target.is_of(address) {
                self.targets.set(place, Target::UNUSED, 0).with_context(|| cannot_write(A::MAPS.targets))?;
            }
        }
        Ok(())
    }

    /// Adds or replaces a subnet.
    pub fn set_subnet(&mut self, subnet: &Subnet<A>) -> Result<()> {
        let key = encode::<A>(subnet.uplink, subnet.network);
        self.subnets.insert(&key, subnet.masquerade, 0).with_context(|| cannot_write(A::MAPS.subnets))
    }

    /// Removes a subnet.
    pub fn remove_subnet(&mut self, uplink: u32, network: A::Net) -> Result<()> {
        removed(self.subnets.remove(&encode::<A>(uplink, network))).with_context(|| cannot_write(A::MAPS.subnets))
    }

    /// The exclusions of all uplinks, also those whose rule is not in force.
    pub fn exclusions(&self) -> Result<Vec<Exclusion<A>>> {
        let mut exclusions = Vec::new();
        for entry in &self.exclusions {
            let (key, rule) = entry.with_context(|| cannot_read(A::MAPS.exclusions))?;
            let (uplink, network) = decode(&key)?;
            exclusions.push(Exclusion { uplink, network, rule });
        }
        exclusions.sort_by_key(|exclusion| (exclusion.uplink, exclusion.network));
        Ok(exclusions)
    }

    /// Adds or replaces an exclusion.
    pub fn set_exclusion(&mut self, exclusion: &Exclusion<A>) -> Result<()> {
        let key = encode::<A>(exclusion.uplink, exclusion.network);
        self.exclusions.insert(&key, exclusion.rule, 0).with_context(|| cannot_write(A::MAPS.exclusions))
    }

    /// Removes an exclusion.
    pub fn remove_exclusion(&mut self, uplink: u32, network: A::Net) -> Result<()> {
        let key = encode::<A>(uplink, network);
        removed(self.exclusions.remove(&key)).with_context(|| cannot_write(A::MAPS.exclusions))
    }

    /// The networks that are kept apart.
    pub fn isolated(&self) -> Result<BTreeSet<A::Net>> {
        let network = |key: Key<A>| key.data().net(key.prefix_len() as u8).context("a network's length is impossible");
        self.isolated.keys().map(|key| network(key.with_context(|| cannot_read(A::MAPS.isolated))?)).collect()
    }

    /// Keeps a network apart.
    pub fn add_isolated(&mut self, network: A::Net) -> Result<()> {
        self.isolated.insert(&prefix::<A>(network), 0, 0).with_context(|| cannot_write(A::MAPS.isolated))
    }

    /// Keeps a network apart no longer.
    pub fn remove_isolated(&mut self, network: A::Net) -> Result<()> {
        removed(self.isolated.remove(&prefix::<A>(network))).with_context(|| cannot_write(A::MAPS.isolated))
    }

    /// Connection slots below it have been used at least once; attempts at a full table raise it beyond their number.
    pub(super) fn high_water(&self) -> Result<u64> {
        first(&self.high_water)
    }
}

/// Not to find something is no error.
fn found<V>(result: Result<V, MapError>) -> Result<Option<V>, MapError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn encode<A: Family>(uplink: u32, network: A::Net) -> Key<SubnetKey<A>> {
    let (address, length) = A::parts(network);
    Key::new(SubnetKey::<A>::UPLINK_BITS + u32::from(length), SubnetKey::new(uplink, address))
}

fn prefix<A: Family>(network: A::Net) -> Key<A> {
    let (address, length) = A::parts(network);
    Key::new(length.into(), address)
}

fn decode<A: Family>(key: &Key<SubnetKey<A>>) -> Result<(u32, A::Net)> {
    let SubnetKey { uplink, address } = key.data();
    let length = key.prefix_len().saturating_sub(SubnetKey::<A>::UPLINK_BITS) as u8;
    let network = address.net(length).context("a subnet's length is impossible")?;
    Ok((u32::from_ne_bytes(uplink), network))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_read_as_it_was_written() {
        let network = V4::net([172, 17, 0, 0], 16).unwrap();
        let key = encode::<V4>(7, network);
        assert_eq!((key.prefix_len(), decode(&key).unwrap()), (48, (7, network)));
        let network = V6::net([0xfd; 16], 64).unwrap();
        assert_eq!(decode(&encode::<V6>(8, network)).unwrap(), (8, network));
    }
}
