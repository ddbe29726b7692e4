//! Writing an uplink's maps: everything that can fail first, each step with the one that undoes it; then what ends
//! rules, which cannot be undone.

use anyhow::{Context as _, Result};
use ipnet::Ipv4Net;
use netfwd_common::abi::{MAX_UPLINKS, Masquerade, Rule, Uplink};

use super::changes::{Change, Wanted, bytes, plan};
use crate::datapath::{
    maps::{Maps, Subnet},
    rules::{self, Allocator},
};

/// A write to the maps.
#[derive(Clone, Copy)]
enum Step {
    SetUplink(u32, Uplink),
    RemoveUplink(u32),
    SetSubnet(Subnet),
    RemoveSubnet(u32, Ipv4Net),
    End(Rule),
}

/// Changes that have taken effect, and can be finished or undone.
pub(super) struct Pending {
    changes: Vec<Change>,
    undo: Vec<Step>,
    finish: Vec<Step>,
}

impl Pending {
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

/// Makes the maps hold what is wanted.
pub(super) fn configure(maps: &mut Maps, wanted: &Wanted) -> Result<Pending> {
    let uplink = maps.uplinks()?.into_iter().find(|(ifindex, _)| *ifindex == wanted.ifindex).map(|(_, uplink)| uplink);
    let generations = maps.generations()?;
    let is_in_force = |subnet: &Subnet| {
        let Rule { id, generation } = subnet.masquerade.rule;
        generations.get(id as usize) == Some(&generation)
    };
    let subnets = subnets_of(maps, wanted.ifindex)?;
    let (live, dead): (Vec<_>, Vec<_>) = subnets.into_iter().partition(is_in_force);
    let changes = plan(uplink.as_ref(), &live, wanted);
    let remove = |subnet: Subnet| Step::RemoveSubnet(subnet.uplink, subnet.network);
    let unwanted = dead.into_iter().filter(|subnet| !wanted.subnets.contains(&subnet.network));
    let mut pending = Pending { changes: changes.clone(), undo: Vec::new(), finish: unwanted.map(remove).collect() };
    let mut allocator = Allocator::new(maps)?;
    for change in changes {
        if let Err(error) = make(maps, &mut allocator, wanted, change, &mut pending) {
            return Err(super::after_undoing(error, pending.undo(maps)));
        }
    }
    Ok(pending)
}

/// Ends everything that an uplink's maps hold.
pub(super) fn remove(maps: &mut Maps, ifindex: u32) -> Result<()> {
    let mut steps = Vec::new();
    for subnet in subnets_of(maps, ifindex)? {
        steps.push(Step::End(subnet.masquerade.rule));
        steps.push(Step::RemoveSubnet(ifindex, subnet.network));
    }
    for (_, uplink) in maps.uplinks()?.into_iter().filter(|(index, _)| *index == ifindex) {
        steps.push(Step::End(uplink.rule));
        steps.push(Step::RemoveUplink(ifindex));
    }
    run(steps, maps)
}

fn make(
    maps: &mut Maps,
    allocator: &mut Allocator,
    wanted: &Wanted,
    change: Change,
    pending: &mut Pending,
) -> Result<()> {
    let ifindex = wanted.ifindex;
    let (first_port, last_port) = bytes(wanted.ports);
    match change {
        Change::AddUplink => {
            let slot = free_slot(maps)?;
            maps.reset_uplink_counters(slot)?;
            let rule = new_rule(maps, allocator, pending)?;
            pending.undo.push(Step::RemoveUplink(ifindex));
            maps.set_uplink(ifindex, &Uplink { slot, link_header: wanted.link_header, rule, first_port, last_port })
        }
        Change::AlterUplink(uplink) => {
            pending.undo.push(Step::SetUplink(ifindex, uplink));
            maps.set_uplink(ifindex, &Uplink { link_header: wanted.link_header, first_port, last_port, ..uplink })
        }
        Change::AddSubnet(network) => {
            let rule = new_rule(maps, allocator, pending)?;
            let masquerade = Masquerade { address: wanted.address.octets(), first_port, last_port, rule };
            pending.undo.push(Step::RemoveSubnet(ifindex, network));
            maps.set_subnet(&Subnet { uplink: ifindex, network, masquerade })
        }
        Change::MoveSubnet(subnet) => {
            let rule = new_rule(maps, allocator, pending)?;
            let masquerade = Masquerade { address: wanted.address.octets(), first_port, last_port, rule };
            pending.undo.push(Step::SetSubnet(subnet));
            pending.finish.push(Step::End(subnet.masquerade.rule));
            maps.set_subnet(&Subnet { masquerade, ..subnet })
        }
        Change::AlterSubnet(subnet) => {
            let masquerade = Masquerade { first_port, last_port, ..subnet.masquerade };
            pending.undo.push(Step::SetSubnet(subnet));
            maps.set_subnet(&Subnet { masquerade, ..subnet })
        }
        Change::RemoveSubnet(subnet) => {
            pending.finish.push(Step::End(subnet.masquerade.rule));
            pending.finish.push(Step::RemoveSubnet(ifindex, subnet.network));
            Ok(())
        }
    }
}

/// A rule that is in force before anything refers to it, so that no packet meets an entry without one.
fn new_rule(maps: &mut Maps, allocator: &mut Allocator, pending: &mut Pending) -> Result<Rule> {
    let rule = allocator.allocate(maps)?;
    pending.undo.push(Step::End(rule));
    rules::activate(maps, rule)?;
    Ok(rule)
}

fn free_slot(maps: &Maps) -> Result<u32> {
    let uplinks = maps.uplinks()?;
    (0..MAX_UPLINKS)
        .find(|slot| uplinks.iter().all(|(_, uplink)| uplink.slot != *slot))
        .with_context(|| format!("{MAX_UPLINKS} uplinks are attached, which is the most: detach one"))
}

fn subnets_of(maps: &Maps, ifindex: u32) -> Result<Vec<Subnet>> {
    let mut subnets = maps.subnets()?;
    subnets.retain(|subnet| subnet.uplink == ifindex);
    Ok(subnets)
}

/// Runs all steps, also after a failure, and returns the first one.
fn run(steps: impl IntoIterator<Item = Step>, maps: &mut Maps) -> Result<()> {
    let results: Vec<_> = steps.into_iter().map(|step| run_one(step, maps)).collect();
    results.into_iter().collect()
}

fn run_one(step: Step, maps: &mut Maps) -> Result<()> {
    match step {
        Step::SetUplink(ifindex, uplink) => maps.set_uplink(ifindex, &uplink),
        Step::RemoveUplink(ifindex) => maps.remove_uplink(ifindex),
        Step::SetSubnet(subnet) => maps.set_subnet(&subnet),
        Step::RemoveSubnet(ifindex, network) => maps.remove_subnet(ifindex, network),
        Step::End(rule) => rules::end(maps, rule),
    }
}
