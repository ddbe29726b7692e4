//! The pinned maps, in domain words.

use std::fmt::Display;

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Pod,
    maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, PerCpuValues, lpm_trie::Key},
    util::nr_cpus,
};
use netfwd_common::abi::{
    ABI_VERSION, COUNTERS_PER_HOOK, Counter, Mapping, MappingKey, Masquerade, Rule, RuleCounter, Settings, SubnetKey,
    Uplink, V4, names,
};
use thiserror::Error;

use super::pin::PinDir;

/// The prefix tree of the mappings.
pub type MappingsV4 = LpmTrie<MapData, MappingKey<V4>, Mapping<V4>>;
type SubnetsV4 = LpmTrie<MapData, SubnetKey<V4>, Masquerade<V4>>;

/// Why the maps cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Nothing is pinned.
    #[error("netfwd is not attached (no maps in {0}): run `netfwd attach IFACE` first")]
    NotAttached(String),
    /// What is pinned cannot be seen from here.
    #[error("{0}")]
    Hidden(String),
    /// Another version of netfwd pinned them.
    #[error(
        "the maps in {directory} are of another version of netfwd (layout {found}, this one needs {ABI_VERSION}): \
         run `netfwd detach --all`, then attach again; flows and mappings end with it"
    )]
    OtherVersion {
        /// The pin directory.
        directory: String,
        /// The version of their layout.
        found: u32,
    },
}

impl OpenError {
    pub(super) fn not_attached(pin_dir: &PinDir) -> Self {
        pin_dir.why_hidden().map_or_else(|| Self::NotAttached(pin_dir.path().display().to_string()), Self::Hidden)
    }
}

/// A masqueraded subnet of an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The uplink's interface index.
    pub uplink: u32,
    /// The subnet.
    pub network: ipnet::Ipv4Net,
    /// How it is masqueraded.
    pub masquerade: Masquerade<V4>,
}

/// The pinned maps of an attached netfwd.
pub struct Maps {
    settings: Array<MapData, Settings>,
    uplinks: HashMap<MapData, u32, Uplink>,
    generations: Array<MapData, u32>,
    subnets: SubnetsV4,
    high_water: Array<MapData, u64>,
    /// The mappings, by prefix.
    pub mappings: MappingsV4,
    /// What went through each rule, by rule id.
    pub rule_counters: PerCpuArray<MapData, RuleCounter>,
    /// Packets by uplink, direction and reason: see [`netfwd_common::abi::counter_index`].
    pub counters: PerCpuArray<MapData, Counter>,
    /// What happened to connections: see [`netfwd_common::abi::FlowEvent::number`].
    pub flow_events: PerCpuArray<MapData, u64>,
    /// The connections, to be read through a memory mapping of its file descriptor.
    pub connections: MapData,
}

impl Maps {
    /// Opens the pinned maps.
    pub fn open(pin_dir: &PinDir) -> Result<Self> {
        let directory = || pin_dir.path().display().to_string();
        if !pin_dir.map(names::SETTINGS).exists() {
            return Err(OpenError::not_attached(pin_dir).into());
        }
        let settings = Array::try_from(open(pin_dir, names::SETTINGS)?)
            .map_err(|_| OpenError::OtherVersion { directory: directory(), found: 0 })?;
        match first::<Settings>(&settings)?.abi_version {
            ABI_VERSION => Self::open_all(pin_dir, settings),
            // Whoever pinned them did not come to their end.
            0 => Err(OpenError::not_attached(pin_dir).into()),
            found => Err(OpenError::OtherVersion { directory: directory(), found }.into()),
        }
    }

    /// Opens the pinned maps if there are any.
    pub fn open_if_attached(pin_dir: &PinDir) -> Result<Option<Self>> {
        match Self::open(pin_dir) {
            Ok(maps) => Ok(Some(maps)),
            Err(error) if matches!(error.downcast_ref(), Some(OpenError::NotAttached(_))) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens maps that were just made, and completes them.
    pub(super) fn initialize(pin_dir: &PinDir, settings: &Settings) -> Result<Self> {
        let mut maps = Self::open_all(pin_dir, typed(pin_dir, names::SETTINGS)?)?;
        maps.settings.set(0, settings, 0).with_context(|| cannot_write(names::SETTINGS))?;
        Ok(maps)
    }

    fn open_all(pin_dir: &PinDir, settings: Array<MapData, Settings>) -> Result<Self> {
        let connections = pin_dir.map(names::CONNECTIONS);
        Ok(Self {
            settings,
            uplinks: typed(pin_dir, names::UPLINKS)?,
            generations: typed(pin_dir, names::GENERATIONS)?,
            subnets: typed(pin_dir, names::SUBNETS)?,
            high_water: typed(pin_dir, names::HIGH_WATER)?,
            mappings: typed(pin_dir, names::MAPPINGS)?,
            rule_counters: typed(pin_dir, names::RULE_COUNTERS)?,
            counters: typed(pin_dir, names::COUNTERS)?,
            flow_events: typed(pin_dir, names::FLOW_EVENTS)?,
            connections: MapData::from_pin(&connections).with_context(|| cannot_open(connections.display()))?,
        })
    }

    /// The settings in force.
    pub fn settings(&self) -> Result<Settings> {
        first(&self.settings)
    }

    /// The uplinks by interface index, in the order of their slots.
    pub fn uplinks(&self) -> Result<Vec<(u32, Uplink)>> {
        let uplinks: Result<Vec<_>, _> = self.uplinks.iter().collect();
        let mut uplinks = uplinks.with_context(|| cannot_read(names::UPLINKS))?;
        uplinks.sort_by_key(|(_, uplink)| uplink.slot);
        Ok(uplinks)
    }

    /// Adds or replaces an uplink.
    pub fn set_uplink(&mut self, ifindex: u32, uplink: &Uplink) -> Result<()> {
        self.uplinks.insert(ifindex, uplink, 0).with_context(|| cannot_write(names::UPLINKS))
    }

    /// Removes an uplink.
    pub fn remove_uplink(&mut self, ifindex: u32) -> Result<()> {
        removed(self.uplinks.remove(&ifindex)).with_context(|| cannot_write(names::UPLINKS))
    }

    /// The masqueraded subnets of all uplinks, also those whose rule is not in force.
    pub fn subnets(&self) -> Result<Vec<Subnet>> {
        let mut subnets = Vec::new();
        for entry in &self.subnets {
            let (key, masquerade) = entry.with_context(|| cannot_read(names::SUBNETS))?;
            let SubnetKey { uplink, address } = key.data();
            let length = key.prefix_len().saturating_sub(SubnetKey::<V4>::UPLINK_BITS) as u8;
            let network = ipnet::Ipv4Net::new(address.into(), length).context("a subnet's length is impossible")?;
            subnets.push(Subnet { uplink: u32::from_ne_bytes(uplink), network, masquerade });
        }
        subnets.sort_by_key(|subnet| (subnet.uplink, subnet.network));
        Ok(subnets)
    }

    /// Adds or replaces a subnet.
    pub fn set_subnet(&mut self, subnet: &Subnet) -> Result<()> {
        let key = subnet_key(subnet.uplink, subnet.network);
        self.subnets.insert(&key, subnet.masquerade, 0).with_context(|| cannot_write(names::SUBNETS))
    }

    /// Removes a subnet.
    pub fn remove_subnet(&mut self, uplink: u32, network: ipnet::Ipv4Net) -> Result<()> {
        removed(self.subnets.remove(&subnet_key(uplink, network))).with_context(|| cannot_write(names::SUBNETS))
    }

    /// The generation of a rule that is in force.
    pub fn generation(&self, rule_id: u32) -> Result<u32> {
        self.generations.get(&rule_id, 0).with_context(|| cannot_read(names::GENERATIONS))
    }

    /// All generations in force, by rule id.
    pub fn generations(&self) -> Result<Vec<u32>> {
        let generations: Result<_, _> = self.generations.iter().collect();
        generations.with_context(|| cannot_read(names::GENERATIONS))
    }

    /// Whether a rule is in force.
    pub fn is_in_force(&self, rule: Rule) -> Result<bool> {
        Ok(self.generation(rule.id)? == rule.generation)
    }

    /// How many rules there can be.
    #[must_use]
    pub fn max_rules(&self) -> u32 {
        self.generations.len()
    }

    pub(super) fn set_generation(&mut self, rule: Rule) -> Result<()> {
        self.generations.set(rule.id, rule.generation, 0).with_context(|| cannot_write(names::GENERATIONS))
    }

    /// Sets a rule's counters to zero.
    pub fn reset_rule_counter(&mut self, rule_id: u32) -> Result<()> {
        let zero = per_cpu(RuleCounter::default())?;
        self.rule_counters.set(rule_id, zero, 0).with_context(|| cannot_write(names::RULE_COUNTERS))
    }

    /// Sets the counters of an uplink's slot to zero.
    pub fn reset_uplink_counters(&mut self, slot: u32) -> Result<()> {
        let count = 2 * COUNTERS_PER_HOOK;
        for index in slot * count..(slot + 1) * count {
            let zero = per_cpu(Counter::default())?;
            self.counters.set(index, zero, 0).with_context(|| cannot_write(names::COUNTERS))?;
        }
        Ok(())
    }

    /// Connection slots below it have been used at least once.
    pub fn high_water(&self) -> Result<u32> {
        let max_flows = self.settings()?.max_flows;
        // Attempts at a full table raise it further.
        Ok(u32::try_from(first::<u64>(&self.high_water)?).map_or(max_flows, |mark| mark.min(max_flows)))
    }
}

fn subnet_key(uplink: u32, network: ipnet::Ipv4Net) -> Key<SubnetKey<V4>> {
    let length = SubnetKey::<V4>::UPLINK_BITS + u32::from(network.prefix_len());
    Key::new(length, SubnetKey::new(uplink, network.network().octets()))
}

fn first<V: Pod>(array: &Array<MapData, V>) -> Result<V> {
    array.get(&0, 0).context("cannot read a pinned map")
}

fn per_cpu<V: Pod>(value: V) -> Result<PerCpuValues<V>> {
    let count = nr_cpus().map_err(|(path, error)| anyhow!(error).context(format!("cannot read {path}")))?;
    PerCpuValues::try_from(vec![value; count]).context("cannot make a value for each CPU")
}

/// Removing what is gone already is no error.
fn removed(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(nix::libc::ENOENT) => Ok(()),
        other => other,
    }
}

fn open(pin_dir: &PinDir, name: &str) -> Result<Map> {
    let path = pin_dir.map(name);
    let data = MapData::from_pin(&path).with_context(|| cannot_open(path.display()))?;
    Map::from_map_data(data).with_context(|| cannot_open(path.display()))
}

fn typed<M: TryFrom<Map, Error = MapError>>(pin_dir: &PinDir, name: &str) -> Result<M> {
    M::try_from(open(pin_dir, name)?)
        .with_context(|| format!("the pinned map {name} is not as this netfwd knows it: run `netfwd detach --all`"))
}

fn cannot_open(path: impl Display) -> String {
    format!("cannot open the pinned map {path}")
}

fn cannot_read(name: &str) -> String {
    format!("cannot read the map {name}")
}

fn cannot_write(name: &str) -> String {
    format!("cannot write the map {name}")
}
