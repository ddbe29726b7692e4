//! The members of bridges: a program on the ingress of each sends what belongs to known connections past the host's
//! stack, and what is known of the containers behind them is where the uplinks' programs send to.
//!
//! Nothing depends on it: without an entry, packets take the way through the stack.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Error, Result};
use netfwd_common::abi::{self, Member, Role, Target, V4, V6};
use nix::net::if_::if_indextoname;

use super::{
    attach,
    hook::Hook,
    maps::{Maps, Select},
    pin::PinDir,
    xdp,
};
use crate::{
    family::Family as _,
    host::{
        interfaces::{Interface, Interfaces},
        netlink::Netlink,
        other_ends::Namespaces,
    },
};

/// Makes the members of the bridges those that are there now. Returns why some do not have the program: all else is as
/// it should be then, and their packets go through the stack.
pub fn refresh(pin_dir: &PinDir, netlink: &Netlink, interfaces: &Interfaces, maps: &mut Maps) -> Result<Vec<Error>> {
    let (present, mut wanted) = (maps.members()?, wanted(maps, interfaces)?);
    let mut failures = Vec::new();
    if maps.uplinks()?.iter().any(|(uplink, _)| xdp::pinned_mode(pin_dir, *uplink).is_some()) {
        prepare(netlink, interfaces, &mut wanted, &mut failures);
    }
    for ifindex in present.keys().filter(|ifindex| !wanted.contains_key(ifindex)) {
        unless_gone(*ifindex, attach::detach(pin_dir, netlink, interfaces, *ifindex), &mut failures);
        maps.remove_member(*ifindex)?;
        forget::<V4>(maps, *ifindex)?;
        forget::<V6>(maps, *ifindex)?;
    }
    let mut hooks = BTreeMap::new();
    for bridge in bridges(&wanted) {
        let hook = hook(pin_dir, netlink, interfaces, bridge);
        hooks.extend(unless_gone(bridge, hook, &mut failures).map(|hook| (bridge, hook)));
    }
    let mut are_new = false;
    for (ifindex, member) in &wanted {
        if present.get(ifindex) != Some(member) {
            maps.set_member(*ifindex, *member)?;
        }
        let (Some(interface), Some(hook)) = (interfaces.with_index(*ifindex), hooks.get(&member.bridge)) else {
            continue;
        };
        let is_new = add(pin_dir, netlink, interface, *hook);
        are_new |= unless_gone(*ifindex, is_new, &mut failures).unwrap_or(false);
    }
    if are_new {
        learn(netlink, maps, &wanted)?;
    }
    Ok(failures)
}

/// Makes what is behind members take frames without a socket buffer, and marks those where it does.
fn prepare(netlink: &Netlink, interfaces: &Interfaces, members: &mut BTreeMap<u32, Member>, failures: &mut Vec<Error>) {
    let ends = members.keys().filter_map(|ifindex| interfaces.with_index(*ifindex)?.other_end);
    let namespaces = Namespaces::find(netlink, &ends.map(|end| end.netns).collect());
    for (ifindex, member) in members {
        let Some(interface) = interfaces.with_index(*ifindex) else { continue };
        let Some(end) = interface.other_end else { continue };
        let prepared = namespaces.prepare(end);
        let prepared = prepared.with_context(|| format!("XDP sends nothing to what is behind {}", interface.name));
        if unless_gone(*ifindex, prepared, failures).is_some() {
            member.flags |= Member::TAKES_FRAMES;
        }
    }
}

/// Gives a member the program, and returns whether it had none.
fn add(pin_dir: &PinDir, netlink: &Netlink, member: &Interface, hook: Hook) -> Result<bool> {
    let add = || {
        attach::leave_other_hook(pin_dir, netlink, member, hook)?;
        attach::attach(pin_dir, netlink, member, Role::Member, hook)
    };
    let added = add().with_context(|| format!("what is behind {} has no fast path", member.name))?;
    Ok(!added.is_empty())
}

/// What a step for an interface came to. That it failed does not matter if the interface is gone: a container that ends
/// takes its member with it at any moment.
fn unless_gone<T>(ifindex: u32, result: Result<T>, failures: &mut Vec<Error>) -> Option<T> {
    let error = match result {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    // The name of what is gone is empty: nix takes the C library's null for an answer.
    if if_indextoname(ifindex).is_ok_and(|name| !name.is_empty()) {
        failures.push(error);
    }
    None
}

/// The bridges of members, each once.
fn bridges(members: &BTreeMap<u32, Member>) -> BTreeSet<u32> {
    members.values().map(|member| member.bridge).collect()
}

/// Members are attached as their bridge is.
fn hook(pin_dir: &PinDir, netlink: &Netlink, interfaces: &Interfaces, bridge: u32) -> Result<Hook> {
    let bridge = interfaces.with_index(bridge).context("a bridge has just gone")?;
    match attach::attachments(pin_dir, netlink, bridge)?.first() {
        Some(attachment) => Ok(attachment.hook),
        None => attach::choose_hook(bridge, None),
    }
}

/// The members of bridges whose uplinks have a fast path.
fn wanted(maps: &Maps, interfaces: &Interfaces) -> Result<BTreeMap<u32, Member>> {
    let mut wanted = BTreeMap::new();
    for (bridge, known) in maps.with_role(Role::Bridge)? {
        let address = interfaces.with_index(bridge).and_then(|bridge| bridge.hardware_address);
        let Some(gateway) = address.filter(|_| known.flags & abi::Interface::FAST_PATH != 0) else { continue };
        let members = interfaces.members_of(bridge).map(|member| (member.index, Member::new(bridge, gateway)));
        wanted.extend(members);
    }
    Ok(wanted)
}

/// What the host knows of containers already: a member's program learns of others when they announce themselves.
fn learn(netlink: &Netlink, maps: &mut Maps, members: &BTreeMap<u32, Member>) -> Result<()> {
    for bridge in bridges(members) {
        for neighbour in netlink.neighbours(bridge)? {
            let Some(member) = members.get(&neighbour.member) else { continue };
            let (container, gateway) = (neighbour.hardware_address, member.gateway);
            if let Some(address) = V4::from_ip(neighbour.address) {
                maps.v4.set_target(Target::new(address, neighbour.member, container, gateway))?;
            } else if let Some(address) = V6::from_ip(neighbour.address) {
                maps.v6.set_target(Target::new(address, neighbour.member, container, gateway))?;
            }
        }
    }
    Ok(())
}

fn forget<A: Select>(maps: &mut Maps, member: u32) -> Result<()> {
    for target in maps.family::<A>().targets()?.into_iter().filter(|target| target.member == member) {
        maps.family_mut::<A>().remove_target(&target.address)?;
    }
    Ok(())
}
