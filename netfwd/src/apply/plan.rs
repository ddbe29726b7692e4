//! What a configuration differs in from what is running: pure code, which decides before anything is done.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

use ipnet::IpNet;
use netfwd_common::abi::Timeouts;

use crate::{
    config,
    datapath::mappings::Wanted as Owned,
    mapping::{HostPorts, Mapping, Origin},
};

/// An uplink as it is, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// As a configuration has it.
    pub options: config::Uplink,
    /// The subnets that are masqueraded by that, and the address for each.
    pub masqueraded: BTreeMap<IpNet, IpAddr>,
    /// Who attached it.
    pub origin: Origin,
}

/// What is running.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The uplinks by name.
    pub uplinks: BTreeMap<String, Uplink>,
    /// The mappings, none of which overlap.
    pub mappings: BTreeMap<HostPorts, Owned>,
    /// The timeouts.
    pub timeouts: Timeouts,
    /// Whether the host's own processes reach mapped ports.
    pub host_access: bool,
}

/// What a configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The uplinks by name.
    pub uplinks: BTreeMap<String, Uplink>,
    /// The mappings, none of which overlap.
    pub mappings: Vec<Owned>,
    /// The timeouts; `None` leaves them as they are.
    pub timeouts: Option<Timeouts>,
    /// Whether the host's own processes are to reach mapped ports.
    pub host_access: bool,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Attach an uplink.
    Attach(Box<Uplink>),
    /// Make an uplink another one.
    Alter {
        /// As it is.
        before: Box<Uplink>,
        /// As it is to be.
        after: Box<Uplink>,
    },
    /// Turn host access on or off.
    HostAccess(bool),
    /// Set the timeouts.
    Timeouts {
        /// As they are.
        before: Timeouts,
        /// As they are to be.
        after: Timeouts,
    },
    /// Add a mapping.
    Map(Owned),
    /// Add a mapping in the place of others.
    Replace(Owned, Vec<Owned>),
    /// Give a mapping another label: the first becomes the second.
    Relabel(Owned, Owned),
    /// Remove a mapping.
    Unmap(Owned),
    /// Detach an uplink.
    Detach(Box<Uplink>),
}

/// What is to be done, and what stays though the configuration does not have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which it is done.
    pub steps: Vec<Step>,
    /// Uplinks that were attached by hand, or for Docker's sake.
    pub kept_uplinks: Vec<Uplink>,
    /// Mappings that were made by hand.
    pub kept_mappings: Vec<Mapping>,
}

/// Why a configuration cannot be brought about. Nothing has been done then.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A host port has a mapping that was made by hand.
    #[error("{} is mapped to {} by hand: unmap it first (`netfwd unmap`), or take {wanted} out of the file", .present.host, .present.target())]
    Taken {
        /// What the configuration says.
        wanted: Mapping,
        /// What was made by hand.
        present: Mapping,
    },
    /// A mapping leads to the host itself.
    #[error("{} of {mapping} is an address of this host: give the container's own address", .mapping.container)]
    Own {
        /// What the configuration says.
        mapping: Mapping,
    },
    /// There would be mappings and no uplink.
    #[error("the configuration has mappings, and no uplink is attached: add an [[uplink]], or attach one")]
    NoUplink,
    /// With the last uplink mappings of others would go.
    #[error(
        "no uplink would be left, and {0} which the configuration does not have would go too: unmap first, or keep an \
         [[uplink]]"
    )]
    Last(Mapping),
}

/// What has to be done to bring the configuration about. `own` are the host's addresses.
pub(super) fn diff(desired: &Desired, present: &State, own: &HashSet<IpAddr>) -> Result<Plan, Refusal> {
    let mut plan = Plan::default();
    plan.steps
        .extend(desired.uplinks.iter().filter_map(|(name, uplink)| uplink_step(present.uplinks.get(name), uplink)));
    let others = present.uplinks.iter().filter(|(name, _)| !desired.uplinks.contains_key(*name));
    let (kept, leaving): (Vec<_>, _) =
        others.map(|(_, uplink)| uplink.clone()).partition(|uplink| uplink.origin != Origin::Config);
    if desired.uplinks.is_empty() && kept.is_empty() {
        refuse_without_uplink(desired, present)?;
    } else {
        plan.steps
            .extend((desired.host_access != present.host_access).then_some(Step::HostAccess(desired.host_access)));
        let timeouts = desired.timeouts.filter(|timeouts| *timeouts != present.timeouts);
        plan.steps.extend(timeouts.map(|after| Step::Timeouts { before: present.timeouts, after }));
    }
    add_mappings(&mut plan, desired, present, own)?;
    plan.steps.extend(leaving.into_iter().map(|uplink| Step::Detach(Box::new(uplink))));
    plan.kept_uplinks = kept;
    Ok(plan)
}

/// One that was attached by hand and is as the configuration says stays what it is.
fn uplink_step(present: Option<&Uplink>, wanted: &Uplink) -> Option<Step> {
    let Some(before) = present else { return Some(Step::Attach(Box::new(wanted.clone()))) };
    let is_same = (&before.options, &before.masqueraded) == (&wanted.options, &wanted.masqueraded);
    (!is_same).then(|| Step::Alter { before: Box::new(before.clone()), after: Box::new(wanted.clone()) })
}

fn refuse_without_uplink(desired: &Desired, present: &State) -> Result<(), Refusal> {
    if !desired.mappings.is_empty() {
        return Err(Refusal::NoUplink);
    }
    match present.mappings.values().find(|one| one.label.origin != Origin::Config) {
        Some(other) => Err(Refusal::Last(other.mapping)),
        None => Ok(()),
    }
}

fn add_mappings(plan: &mut Plan, desired: &Desired, present: &State, own: &HashSet<IpAddr>) -> Result<(), Refusal> {
    // What stays as it is or gives way, once.
    let mut settled = HashSet::new();
    for wanted in &desired.mappings {
        if own.contains(&wanted.mapping.container) {
            return Err(Refusal::Own { mapping: wanted.mapping });
        }
        let in_the_way = present.mappings.values().filter(|one| one.is_in_the_way_of(wanted));
        // What was made by hand goes before the configuration.
        let by_hand = |one: &&Owned| one.label.origin == Origin::Hand && one.mapping != wanted.mapping;
        if let Some(present) = in_the_way.clone().find(by_hand) {
            return Err(Refusal::Taken { wanted: wanted.mapping, present: present.mapping });
        }
        let in_the_way: Vec<_> = in_the_way.filter(|one| !settled.contains(&one.mapping.host)).cloned().collect();
        settled.extend(in_the_way.iter().map(|one| one.mapping.host));
        plan.steps.extend(mapping_step(wanted, in_the_way));
    }
    let others = present.mappings.values().filter(|one| !settled.contains(&one.mapping.host));
    for other in others {
        match other.label.origin {
            Origin::Config => plan.steps.push(Step::Unmap(other.clone())),
            Origin::Hand => plan.kept_mappings.push(other.mapping),
            // What Docker publishes is looked after by the agent.
            Origin::Docker => (),
        }
    }
    Ok(())
}

/// What gives way is the configuration's own, or what Docker publishes.
fn mapping_step(wanted: &Owned, in_the_way: Vec<Owned>) -> Option<Step> {
    match in_the_way.as_slice() {
        [] => Some(Step::Map(wanted.clone())),
        [same] if same.mapping != wanted.mapping => Some(Step::Replace(wanted.clone(), in_the_way)),
        [same] if same.label.origin == Origin::Hand || same.label.is_kept_as(&wanted.label) => None,
        [same] => Some(Step::Relabel(same.clone(), wanted.clone())),
        _ => Some(Step::Replace(wanted.clone(), in_the_way)),
    }
}

#[cfg(test)]
mod tests;
