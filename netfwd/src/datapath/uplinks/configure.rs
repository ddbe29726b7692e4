//! Writing an uplink's maps: everything that can fail first, each step with the one that undoes it; then what ends
//! rules, which cannot be undone.

use anyhow::{Context as _, Result};
use netfwd_common::abi::{self, Masquerade, PortChoice, Rule, V4, V6};

use super::{
    Choices, after_undoing,
    changes::{Change, FamilyChange, Networks, Present, Wanted, plan},
    isolation,
};
use crate::datapath::{
    maps::{Exclusion, Maps, Select, Subnet},
    rules::{self, Allocator},
};

/// A write to the maps.
type Step = Box<dyn FnOnce(&mut Maps) -> Result<()>>;

/// Changes that have taken effect, and can be finished or undone.
#[derive(Default)]
pub(super) struct Pending {
    changes: Vec<Change>,
    undo: Vec<Step>,
    finish: Vec<Step>,
}

impl Pending {
    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Ends the rules that were replaced, and returns what changed.
    pub(super) fn finish(self, maps: &mut Maps) -> Result<Vec<Change>> {
        run(self.finish, maps)?;
        Ok(self.changes)
    }

    /// Puts everything back.
    pub(super) fn undo(self, maps: &mut Maps) -> Result<()> {
        run(self.undo.into_iter().rev(), maps)
    }
}

/// Makes the maps hold what is wanted of an uplink, and what `bridges` says of bridges then.
pub(super) fn configure(
    maps: &mut Maps,
    wanted: &Wanted,
    bridges: impl FnOnce(&Maps) -> Result<Vec<(u32, abi::Interface)>>,
) -> Result<Pending> {
    let mut maker = Maker { allocator: Allocator::new(maps)?, pending: Pending::default() };
    match maker.make(maps, wanted, bridges) {
        Ok(()) => Ok(maker.pending),
        Err(error) => Err(after_undoing(error, maker.pending.undo(maps))),
    }
}

/// Ends everything that the maps hold of an uplink or bridge.
pub(super) fn remove(maps: &mut Maps, ifindex: u32) -> Result<()> {
    let mut steps = Vec::new();
    remove_networks::<V4>(maps, ifindex, &mut steps)?;
    remove_networks::<V6>(maps, ifindex, &mut steps)?;
    for (_, interface) in maps.interfaces()?.into_iter().filter(|(index, _)| *index == ifindex) {
        steps.push(end(interface.rule));
        steps.push(Box::new(move |maps| maps.remove_interface(ifindex)));
    }
    let choices = maps.choices()?.into_iter().filter(|choice| choice.uplink == ifindex);
    steps.extend(choices.map(|choice| -> Step { Box::new(move |maps| maps.remove_choice(choice)) }));
    run(steps, maps).and(isolation::refresh(maps))
}

fn remove_networks<A: Select>(maps: &Maps, ifindex: u32, steps: &mut Vec<Step>) -> Result<()> {
    for subnet in of_uplink(maps.family::<A>().subnets()?, ifindex, |subnet| subnet.uplink) {
        steps.push(end(subnet.masquerade.rule));
        steps.push(remove_subnet::<A>(ifindex, subnet.network));
    }
    for exclusion in of_uplink(maps.family::<A>().exclusions()?, ifindex, |exclusion| exclusion.uplink) {
        steps.push(remove_exclusion::<A>(ifindex, exclusion.network));
    }
    Ok(())
}

/// Makes changes, and notes how they are undone and finished.
struct Maker {
    allocator: Allocator,
    pending: Pending,
}

impl Maker {
    fn make(
        &mut self,
        maps: &mut Maps,
        wanted: &Wanted,
        bridges: impl FnOnce(&Maps) -> Result<Vec<(u32, abi::Interface)>>,
    ) -> Result<()> {
        let Wanted { ifindex, interface, choices, v4, v6 } = wanted;
        let rule = self.interface(maps, *ifindex, interface)?;
        self.networks(maps, *ifindex, v4, &interface.ports, rule)?;
        self.networks(maps, *ifindex, v6, &interface.ports, rule)?;
        self.choices(maps, *ifindex, choices)?;
        self.isolation(maps, *ifindex, v4)?;
        self.isolation(maps, *ifindex, v6)?;
        for (ifindex, bridge) in bridges(maps)? {
            self.interface(maps, ifindex, &bridge)?;
        }
        Ok(())
    }

    /// Makes the hooks of an interface know what is wanted, and returns its rule.
    fn interface(&mut self, maps: &mut Maps, ifindex: u32, wanted: &abi::Interface) -> Result<Rule> {
        let present = maps.interfaces()?.into_iter().find(|(index, _)| *index == ifindex).map(|(_, present)| present);
        let Some(before) = present.filter(|present| present.role == wanted.role) else {
            return self.new_interface(maps, ifindex, wanted, present);
        };
        let after = abi::Interface { slot: before.slot, rule: before.rule, ..*wanted };
        if after != before {
            self.pending.undo.push(set_interface(ifindex, before));
            maps.set_interface(ifindex, &after)?;
            self.pending.changes.push(Change::AlterInterface { ifindex, before, after });
        }
        Ok(before.rule)
    }

    fn new_interface(
        &mut self,
        maps: &mut Maps,
        ifindex: u32,
        wanted: &abi::Interface,
        other_role: Option<abi::Interface>,
    ) -> Result<Rule> {
        let slot = free_slot(maps)?;
        maps.reset_interface_counters(slot)?;
        let rule = self.new_rule(maps)?;
        match other_role {
            None => self.pending.undo.push(Box::new(move |maps| maps.remove_interface(ifindex))),
            Some(before) => {
                self.pending.undo.push(set_interface(ifindex, before));
                self.pending.finish.push(end(before.rule));
            }
        }
        maps.set_interface(ifindex, &abi::Interface { slot, rule, ..*wanted })?;
        self.pending.changes.push(Change::AddInterface(ifindex));
        Ok(rule)
    }

    fn choices(&mut self, maps: &mut Maps, ifindex: u32, wanted: &Choices) -> Result<()> {
        let (mut present, wanted) = (maps.choices()?, wanted.keys(ifindex));
        present.retain(|choice| choice.uplink == ifindex);
        for choice in &wanted - &present {
            self.pending.undo.push(Box::new(move |maps| maps.remove_choice(choice)));
            maps.add_choice(choice)?;
        }
        for choice in &present - &wanted {
            self.pending.undo.push(Box::new(move |maps| maps.add_choice(choice)));
            maps.remove_choice(choice)?;
        }
        Ok(())
    }

    fn isolation<A: Select>(&mut self, maps: &mut Maps, ifindex: u32, networks: &Networks<A>) -> Result<()> {
        let (present, wanted) = (maps.family::<A>().isolated()?, isolation::wanted(maps, Some((ifindex, networks)))?);
        for network in &wanted - &present {
            self.pending.undo.push(Box::new(move |maps| maps.family_mut::<A>().remove_isolated(network)));
            maps.family_mut::<A>().add_isolated(network)?;
            self.pending.changes.push(Change::Isolate(network.into()));
        }
        for network in &present - &wanted {
            self.pending.undo.push(Box::new(move |maps| maps.family_mut::<A>().add_isolated(network)));
            maps.family_mut::<A>().remove_isolated(network)?;
            self.pending.changes.push(Change::Expose(network.into()));
        }
        Ok(())
    }

    fn networks<A: Select>(
        &mut self,
        maps: &mut Maps,
        ifindex: u32,
        wanted: &Networks<A>,
        ports: &PortChoice,
        rule: Rule,
    ) -> Result<()> {
        let (present, dead) = present::<A>(maps, ifindex)?;
        let dead =
            dead.into_iter().filter(|subnet| wanted.subnets.iter().all(|(network, _)| *network != subnet.network));
        self.pending.finish.extend(dead.map(|subnet| remove_subnet::<A>(ifindex, subnet.network)));
        for change in plan(&present, wanted, ports, rule) {
            let exclusion = present.exclusions.iter().find(|one| FamilyChange::RemoveExclusion(one.network) == change);
            match change {
                FamilyChange::AddExclusion(network) => {
                    self.pending.undo.push(remove_exclusion::<A>(ifindex, network));
                    maps.family_mut::<A>().set_exclusion(&Exclusion { uplink: ifindex, network, rule })?;
                }
                FamilyChange::RemoveExclusion(network) => {
                    self.pending.undo.extend(exclusion.copied().map(set_exclusion));
                    maps.family_mut::<A>().remove_exclusion(ifindex, network)?;
                }
                FamilyChange::AddSubnet(..)
                | FamilyChange::MoveSubnet(..)
                | FamilyChange::AlterSubnet(_)
                | FamilyChange::RemoveSubnet(_) => self.subnet(maps, ifindex, change, *ports)?,
            }
            self.pending.changes.push(change.told());
        }
        Ok(())
    }

    fn subnet<A: Select>(
        &mut self,
        maps: &mut Maps,
        uplink: u32,
        change: FamilyChange<A>,
        ports: PortChoice,
    ) -> Result<()> {
        let written = match change {
            FamilyChange::AddSubnet(network, address) => {
                let masquerade = Masquerade { address, ports, rule: self.new_rule(maps)? };
                self.pending.undo.push(remove_subnet::<A>(uplink, network));
                Subnet { uplink, network, masquerade }
            }
            FamilyChange::MoveSubnet(subnet, address) => {
                let masquerade = Masquerade { address, ports, rule: self.new_rule(maps)? };
                self.pending.undo.push(set_subnet(subnet));
                self.pending.finish.push(end(subnet.masquerade.rule));
                Subnet { masquerade, ..subnet }
            }
            FamilyChange::AlterSubnet(subnet) => {
                self.pending.undo.push(set_subnet(subnet));
                Subnet { masquerade: Masquerade { ports, ..subnet.masquerade }, ..subnet }
            }
            FamilyChange::RemoveSubnet(subnet) => {
                self.pending.finish.push(end(subnet.masquerade.rule));
                self.pending.finish.push(remove_subnet::<A>(uplink, subnet.network));
                return Ok(());
            }
            FamilyChange::AddExclusion(_) | FamilyChange::RemoveExclusion(_) => return Ok(()),
        };
        maps.family_mut::<A>().set_subnet(&written)
    }

    /// A rule that is in force before anything refers to it, so that no packet meets an entry without one.
    fn new_rule(&mut self, maps: &mut Maps) -> Result<Rule> {
        let rule = self.allocator.allocate(maps)?;
        self.pending.undo.push(end(rule));
        rules::activate(maps, rule)?;
        Ok(rule)
    }
}

fn end(rule: Rule) -> Step {
    Box::new(move |maps| rules::end(maps, rule))
}

fn set_interface(ifindex: u32, interface: abi::Interface) -> Step {
    Box::new(move |maps| maps.set_interface(ifindex, &interface))
}

fn set_subnet<A: Select>(subnet: Subnet<A>) -> Step {
    Box::new(move |maps| maps.family_mut::<A>().set_subnet(&subnet))
}

fn remove_subnet<A: Select>(uplink: u32, network: A::Net) -> Step {
    Box::new(move |maps| maps.family_mut::<A>().remove_subnet(uplink, network))
}

fn set_exclusion<A: Select>(exclusion: Exclusion<A>) -> Step {
    Box::new(move |maps| maps.family_mut::<A>().set_exclusion(&exclusion))
}

fn remove_exclusion<A: Select>(uplink: u32, network: A::Net) -> Step {
    Box::new(move |maps| maps.family_mut::<A>().remove_exclusion(uplink, network))
}

fn free_slot(maps: &Maps) -> Result<u32> {
    let (interfaces, most) = (maps.interfaces()?, maps.max_interfaces());
    (0..most)
        .find(|slot| interfaces.iter().all(|(_, interface)| interface.slot != *slot))
        .with_context(|| format!("{most} uplinks and bridges are attached, which is the most: detach one"))
}

/// What a family's maps hold of an uplink, and the subnets whose rule is not in force.
pub(super) fn present<A: Select>(maps: &Maps, ifindex: u32) -> Result<(Present<A>, Vec<Subnet<A>>)> {
    let (mut subnets, mut dead) = (Vec::new(), Vec::new());
    for subnet in of_uplink(maps.family::<A>().subnets()?, ifindex, |subnet| subnet.uplink) {
        if maps.is_in_force(subnet.masquerade.rule)? { &mut subnets } else { &mut dead }.push(subnet);
    }
    let exclusions = of_uplink(maps.family::<A>().exclusions()?, ifindex, |exclusion| exclusion.uplink);
    Ok((Present { subnets, exclusions }, dead))
}

fn of_uplink<T>(mut all: Vec<T>, ifindex: u32, uplink: impl Fn(&T) -> u32) -> Vec<T> {
    all.retain(|one| uplink(one) == ifindex);
    all
}

/// Runs all steps, also after a failure, and returns the first one.
fn run(steps: impl IntoIterator<Item = Step>, maps: &mut Maps) -> Result<()> {
    let results: Vec<_> = steps.into_iter().map(|step| step(maps)).collect();
    results.into_iter().collect()
}
