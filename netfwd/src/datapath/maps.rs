//! The pinned maps, in domain words.

mod family;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use netfwd_common::abi::{
    ABI_VERSION, COUNTERS_PER_HOOK, Choice, Counter, Interface, Label, Member, Role, Rule, RuleCounter, Settings, V4,
    V6, names,
};
use thiserror::Error;

use super::pin::PinDir;

pub use family::{Exclusion, FamilyMaps, Select, Subnet};

/// Why the maps cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Nothing is pinned.
    #[error("netfwd is not attached (no maps in {0}): run `netfwd attach IFACE` first")]
    NotAttached(String),
    /// What was pinned is not any more.
    #[error("netfwd was detached meanwhile")]
    Detached,
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

/// The pinned maps of an attached netfwd.
pub struct Maps {
    settings: Array<MapData, Settings>,
    interfaces: HashMap<MapData, u32, Interface>,
    generations: Array<MapData, u32>,
    choices: HashMap<MapData, Choice, u8>,
    labels: HashMap<MapData, u32, Label>,
    host_addresses: HashMap<MapData, V6, u8>,
    fast_interfaces: Array<MapData, u32>,
    members: HashMap<MapData, u32, Member>,
    /// The maps of IPv4.
    pub v4: FamilyMaps<V4>,
    /// The maps of IPv6.
    pub v6: FamilyMaps<V6>,
    /// What went through each rule, by rule id.
    pub rule_counters: PerCpuArray<MapData, RuleCounter>,
    /// Packets by interface, direction and reason: see [`netfwd_common::abi::counter_index`].
    pub counters: PerCpuArray<MapData, Counter>,
    /// What happened to connections: see [`netfwd_common::abi::FlowEvent::number`].
    pub flow_events: PerCpuArray<MapData, u64>,
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

    /// Fails if these are not the maps that are pinned any more: then nobody writes them.
    pub fn check_pinned(&self, pin_dir: &PinDir) -> Result<()> {
        let path = pin_dir.map(names::SETTINGS);
        let pinned = if path.exists() { Some(first::<Settings>(&typed(pin_dir, names::SETTINGS)?)?) } else { None };
        match pinned {
            Some(pinned) if pinned.attached == self.settings()?.attached => Ok(()),
            _ => Err(OpenError::Detached.into()),
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
        maps.set_settings(settings)?;
        Ok(maps)
    }

    fn open_all(pin_dir: &PinDir, settings: Array<MapData, Settings>) -> Result<Self> {
        Ok(Self {
            settings,
            interfaces: typed(pin_dir, names::INTERFACES)?,
            generations: typed(pin_dir, names::GENERATIONS)?,
            choices: typed(pin_dir, names::CHOICES)?,
            labels: typed(pin_dir, names::LABELS)?,
            host_addresses: typed(pin_dir, names::HOST_ADDRESSES)?,
            fast_interfaces: typed(pin_dir, names::FAST_INTERFACES)?,
            members: typed(pin_dir, names::MEMBERS)?,
            v4: FamilyMaps::open(pin_dir)?,
            v6: FamilyMaps::open(pin_dir)?,
            rule_counters: typed(pin_dir, names::RULE_COUNTERS)?,
            counters: typed(pin_dir, names::COUNTERS)?,
            flow_events: typed(pin_dir, names::FLOW_EVENTS)?,
        })
    }

    /// The maps of a family.
    #[must_use]
    pub fn family<A: Select>(&self) -> &FamilyMaps<A> {
        A::of(self)
    }

    /// The maps of a family, to be changed.
    pub fn family_mut<A: Select>(&mut self) -> &mut FamilyMaps<A> {
        A::of_mut(self)
    }

    /// The settings in force.
    pub fn settings(&self) -> Result<Settings> {
        first(&self.settings)
    }

    /// Puts settings in force, all at once.
    pub fn set_settings(&mut self, settings: &Settings) -> Result<()> {
        self.settings.set(0, settings, 0).with_context(|| cannot_write(names::SETTINGS))
    }

    /// The uplinks and bridges by interface index, in the order of their slots.
    pub fn interfaces(&self) -> Result<Vec<(u32, Interface)>> {
        let interfaces: Result<Vec<_>, _> = self.interfaces.iter().collect();
        let mut interfaces = interfaces.with_context(|| cannot_read(names::INTERFACES))?;
        interfaces.sort_by_key(|(_, interface)| interface.slot);
        Ok(interfaces)
    }

    /// The interfaces of one role by their index, in the order of their slots.
    pub fn with_role(&self, role: Role) -> Result<Vec<(u32, Interface)>> {
        let mut interfaces = self.interfaces()?;
        interfaces.retain(|(_, interface)| interface.role == role.number());
        Ok(interfaces)
    }

    /// The uplinks by interface index, in the order of their slots.
    pub fn uplinks(&self) -> Result<Vec<(u32, Interface)>> {
        self.with_role(Role::Uplink)
    }

    /// Adds or replaces an uplink or bridge.
    pub fn set_interface(&mut self, ifindex: u32, interface: &Interface) -> Result<()> {
        self.set_fast_interface(interface.slot, interface.fast(ifindex))?;
        self.interfaces.insert(ifindex, interface, 0).with_context(|| cannot_write(names::INTERFACES))
    }

    /// Removes an uplink or bridge.
    pub fn remove_interface(&mut self, ifindex: u32) -> Result<()> {
        if let Ok(interface) = self.interfaces.get(&ifindex, 0) {
            self.set_fast_interface(interface.slot, 0)?;
        }
        removed(self.interfaces.remove(&ifindex)).with_context(|| cannot_write(names::INTERFACES))
    }

    fn set_fast_interface(&mut self, slot: u32, ifindex: u32) -> Result<()> {
        self.fast_interfaces.set(slot, ifindex, 0).with_context(|| cannot_write(names::FAST_INTERFACES))
    }

    /// The options of attach that are kept, of all uplinks.
    pub fn choices(&self) -> Result<BTreeSet<Choice>> {
        let choices: Result<_, _> = self.choices.keys().collect();
        choices.with_context(|| cannot_read(names::CHOICES))
    }

    /// Keeps an option.
    pub fn add_choice(&mut self, choice: Choice) -> Result<()> {
        self.choices.insert(choice, 0, 0).with_context(|| cannot_write(names::CHOICES))
    }

    /// Keeps an option no longer.
    pub fn remove_choice(&mut self, choice: Choice) -> Result<()> {
        removed(self.choices.remove(&choice)).with_context(|| cannot_write(names::CHOICES))
    }

    /// The labels of mappings, by rule id. Some may be of a life of the rule that is over.
    pub fn labels(&self) -> Result<Vec<(u32, Label)>> {
        let labels: Result<_, _> = self.labels.iter().collect();
        labels.with_context(|| cannot_read(names::LABELS))
    }

    /// Gives a rule a label.
    pub fn set_label(&mut self, rule_id: u32, label: &Label) -> Result<()> {
        self.labels.insert(rule_id, label, 0).with_context(|| cannot_write(names::LABELS))
    }

    /// Takes a rule's label away.
    pub fn remove_label(&mut self, rule_id: u32) -> Result<()> {
        removed(self.labels.remove(&rule_id)).with_context(|| cannot_write(names::LABELS))
    }

    /// The host's own addresses, as the kernel part knows them; IPv4 ones are mapped.
    pub fn host_addresses(&self) -> Result<BTreeSet<V6>> {
        let addresses: Result<_, _> = self.host_addresses.keys().collect();
        addresses.with_context(|| cannot_read(names::HOST_ADDRESSES))
    }

    /// Makes the kernel part know these addresses as the host's own, and no others.
    pub fn set_host_addresses(&mut self, addresses: impl IntoIterator<Item = V6>) -> Result<()> {
        let (before, after) = (self.host_addresses()?, addresses.into_iter().collect::<BTreeSet<_>>());
        for address in &after - &before {
            self.host_addresses.insert(address, 0, 0).with_context(|| cannot_write(names::HOST_ADDRESSES))?;
        }
        for address in &before - &after {
            removed(self.host_addresses.remove(&address)).with_context(|| cannot_write(names::HOST_ADDRESSES))?;
        }
        Ok(())
    }

    /// The members of bridges whose packets take the fast path, by interface index.
    pub fn members(&self) -> Result<BTreeMap<u32, Member>> {
        let members: Result<_, _> = self.members.iter().collect();
        members.with_context(|| cannot_read(names::MEMBERS))
    }

    /// Adds or replaces a member.
    pub fn set_member(&mut self, ifindex: u32, member: Member) -> Result<()> {
        self.members.insert(ifindex, member, 0).with_context(|| cannot_write(names::MEMBERS))
    }

    /// Removes a member.
    pub fn remove_member(&mut self, ifindex: u32) -> Result<()> {
        removed(self.members.remove(&ifindex)).with_context(|| cannot_write(names::MEMBERS))
    }

    /// The generation of a rule that is in force.
    pub fn generation(&self, rule_id: u32) -> Result<u32> {
        self.generations.get(&rule_id, 0).with_context(|| cannot_read(names::GENERATIONS))
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

    /// How many uplinks and bridges there can be: maps that are there keep their size when another version takes them up.
    pub(super) fn max_interfaces(&self) -> u32 {
        self.fast_interfaces.len()
    }

    pub(super) fn set_generation(&mut self, rule: Rule) -> Result<()> {
        self.generations.set(rule.id, rule.generation, 0).with_context(|| cannot_write(names::GENERATIONS))
    }

    /// Sets a rule's counters to zero.
    pub fn reset_rule_counter(&mut self, rule_id: u32) -> Result<()> {
        let zero = per_cpu(RuleCounter::default())?;
        self.rule_counters.set(rule_id, zero, 0).with_context(|| cannot_write(names::RULE_COUNTERS))
    }

    /// Sets the counters of an interface's slot to zero.
    pub fn reset_interface_counters(&mut self, slot: u32) -> Result<()> {
        let count = 2 * COUNTERS_PER_HOOK;
        for index in slot * count..(slot + 1) * count {
            let zero = per_cpu(Counter::default())?;
            self.counters.set(index, zero, 0).with_context(|| cannot_write(names::COUNTERS))?;
        }
        Ok(())
    }

    /// A family's connection slots below it have been used at least once.
    pub fn high_water<A: Select>(&self) -> Result<u32> {
        let max_flows = self.settings()?.max_flows[A::FAMILY];
        Ok(u32::try_from(self.family::<A>().high_water()?).map_or(max_flows, |mark| mark.min(max_flows)))
    }
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

pub(super) fn typed<M: TryFrom<Map, Error = MapError>>(pin_dir: &PinDir, name: &str) -> Result<M> {
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
