//! How many records there are, of which kind: one pass over each table answers all who ask.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use netfwd_common::{
    abi::{Rule, Side, V4, V6},
    conntrack::Phase,
};

use crate::{
    clock,
    datapath::{
        connections::{Connections, Flow},
        maps::{Maps, Select},
    },
    family::Family,
};

/// The records that live now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Those of IPv4.
    pub ipv4: Counted,
    /// Those of IPv6.
    pub ipv6: Counted,
    /// Connections of both families, by the rule by which they were made.
    pub by_rule: HashMap<Rule, u64>,
}

/// The records of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Connections by [`Phase::as_str`]; each phase is there, also with zero.
    pub phases: BTreeMap<&'static str, usize>,
    /// Records that connections share: bindings, permissions, accounts.
    pub shared: usize,
    /// Records at most, of both kinds.
    pub maximum: u32,
}

impl Census {
    /// Reads both tables.
    pub fn take(maps: &Maps) -> Result<Self> {
        let mut by_rule = HashMap::new();
        let ipv4 = count::<V4>(maps, &mut by_rule)?;
        let ipv6 = count::<V6>(maps, &mut by_rule)?;
        Ok(Self { ipv4, ipv6, by_rule })
    }
}

impl Counted {
    fn new(maximum: u32) -> Self {
        Self { phases: Phase::ALL.into_iter().map(|phase| (phase.as_str(), 0)).collect(), shared: 0, maximum }
    }

    /// Counts the live records of a family, and adds its connections to those of their rules.
    pub fn of<A: Select>(maps: &Maps, records: &[Flow<A>], by_rule: &mut HashMap<Rule, u64>) -> Result<Self> {
        let mut counted = Self::new(maps.settings()?.max_flows[A::FAMILY]);
        for record in records {
            counted.add(record, by_rule);
        }
        Ok(counted)
    }

    /// How many connections.
    #[must_use]
    pub fn active(&self) -> usize {
        self.phases.values().sum()
    }

    fn add<A: Family>(&mut self, record: &Flow<A>, by_rule: &mut HashMap<Rule, u64>) {
        if Side::is_of_packets(record.connection.original.side) {
            *self.phases.entry(record.phase().as_str()).or_default() += 1;
            *by_rule.entry(record.connection.rule).or_default() += 1;
        } else {
            self.shared += 1;
        }
    }
}

fn count<A: Select>(maps: &Maps, by_rule: &mut HashMap<Rule, u64>) -> Result<Counted> {
    Counted::of(maps, &Connections::<A>::open(maps)?.records(maps, clock::now()?)?, by_rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_phase_and_rule_and_shared_records_apart() {
        let (mut counted, mut by_rule) = (Counted::new(9), HashMap::new());
        let mut record = Flow::<V4>::empty();
        record.connection.rule = Rule { id: 3, generation: 1 };
        counted.add(&record, &mut by_rule);
        counted.add(&record, &mut by_rule);
        record.connection.original.side = Side::Binding.number();
        counted.add(&record, &mut by_rule);
        assert_eq!((counted.active(), counted.phases["unreplied"], counted.phases["reset"]), (2, 2, 0));
        assert_eq!((counted.shared, counted.maximum), (1, 9));
        assert_eq!(by_rule, [(Rule { id: 3, generation: 1 }, 2)].into());
    }
}
