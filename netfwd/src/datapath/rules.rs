//! Rules: their ids, and the one write that makes a rule take effect or ends it with all its flows.
//!
//! An id is in use while an uplink or bridge, a mapping or a subnet refers to it. A rule is made in this order: allocate, write
//! its entries, [`activate`]; or activate before the entries where an entry replaces another one and no packet may
//! come in between. It ends by [`end`], then its entries are removed.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use netfwd_common::abi::{Rule, V4, V6};

use super::maps::{Maps, Select};

/// Gives out the ids that are free.
pub struct Allocator {
    used: HashSet<u32>,
    next: u32,
}

impl Allocator {
    /// With the ids that are in use now.
    pub fn new(maps: &Maps) -> Result<Self> {
        let mut used: HashSet<_> = maps.interfaces()?.into_iter().map(|(_, interface)| interface.rule.id).collect();
        add_used::<V4>(maps, &mut used)?;
        add_used::<V6>(maps, &mut used)?;
        Ok(Self { used, next: 0 })
    }

    /// A new rule, not in force yet.
    pub fn allocate(&mut self, maps: &Maps) -> Result<Rule> {
        let id = (self.next..maps.max_rules())
            .find(|id| !self.used.contains(id))
            .with_context(|| format!("all {} rules are in use: remove mappings or subnets", maps.max_rules()))?;
        self.next = id + 1;
        Ok(Rule { id, generation: following(maps.generation(id)?) })
    }
}

fn add_used<A: Select>(maps: &Maps, used: &mut HashSet<u32>) -> Result<()> {
    let maps = maps.family::<A>();
    used.extend(maps.subnets()?.into_iter().map(|subnet| subnet.masquerade.rule.id));
    for entry in &maps.mappings {
        let (_, mapping) = entry.with_context(|| format!("cannot read the map {}", A::MAPS.mappings))?;
        used.insert(mapping.rule.id);
    }
    Ok(())
}

/// Makes a rule take effect, with its counters at zero.
pub fn activate(maps: &mut Maps, rule: Rule) -> Result<()> {
    maps.reset_rule_counter(rule.id)?;
    maps.set_generation(rule)
}

/// Ends a rule and all its flows, at once. Ending one that is not in force changes nothing.
pub fn end(maps: &mut Maps, rule: Rule) -> Result<()> {
    if !maps.is_in_force(rule)? {
        return Ok(());
    }
    maps.set_generation(Rule { generation: following(rule.generation), ..rule })
}

/// Generation 0 is never in force.
fn following(generation: u32) -> u32 {
    generation.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_never_become_zero() {
        assert_eq!(following(0), 1);
        assert_eq!(following(u32::MAX), 1);
    }
}
