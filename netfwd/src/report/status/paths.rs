//! Which path packets of known flows take, and why: past the host's stack, or through it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use anyhow::Result;
use netfwd_common::abi::{self, V4, V6};
use serde::Serialize;

use crate::{
    datapath::{
        attach::{self, Attachment},
        hook::Direction,
        maps::{Maps, Select},
        pin::PinDir,
        uplinks::Host,
    },
    host::interfaces::{self, is_link_local},
    report::Interface,
};

/// Bytes of an Ethernet header.
const ETHERNET: u32 = 14;

/// The path of packets of known flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "path", content = "why", rename_all = "kebab-case")]
pub enum Path {
    /// Past the host's stack.
    Fast,
    /// Through the host's stack, for this reason.
    Stack(Why),
}

/// Why packets go through the host's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Attached with `--fast-path off`.
    Off,
    /// The uplink's frames have no Ethernet header.
    NoEthernet,
    /// The uplink's program is not attached any more.
    Detached,
    /// The member has no program.
    NoProgram,
    /// No uplink has a fast path.
    NoUplink,
    /// The uplink that masquerades its bridge's subnet was attached with `--fast-path off`; of several, the one
    /// attached last.
    BridgeOff,
    /// Nothing is forwarded from its bridge, which has an internal network.
    Internal,
    /// The member is no veth device whose other end is in another network namespace.
    NoVeth,
    /// The bridge had another Ethernet address when the member got its program.
    GatewayChanged,
    /// The container has not announced its address since its member got the program.
    NotAnnounced,
}

/// A member of a bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Which one.
    pub interface: Interface,
    /// What is attached to it; one on its ingress if it has a fast path.
    pub attachments: Vec<Attachment>,
    /// The path of any of its containers' packets.
    #[serde(flatten)]
    pub path: Path,
    /// Whether it is sent what is taken before the host's stack; nothing if no uplink takes anything there.
    pub xdp: Option<bool>,
    /// The addresses behind it that netfwd or the host's neighbour table knows.
    pub containers: Vec<Container>,
}

/// An address of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Container {
    /// The address.
    pub address: IpAddr,
    /// The path of its packets.
    #[serde(flatten)]
    pub path: Path,
}

/// The path that an uplink allows for.
pub(super) fn of_uplink(known: &abi::Interface, attachments: &[Attachment]) -> Path {
    match () {
        () if known.flags & abi::Interface::FAST_PATH == 0 => Path::Stack(Why::Off),
        () if known.link_header != ETHERNET => Path::Stack(Why::NoEthernet),
        () if !has_ingress(attachments) => Path::Stack(Why::Detached),
        () => Path::Fast,
    }
}

fn has_ingress(attachments: &[Attachment]) -> bool {
    attachments.iter().any(|attachment| attachment.direction == Direction::Ingress)
}

/// What tells the members' paths.
pub(super) struct Paths<'h> {
    pin_dir: &'h PinDir,
    host: &'h Host,
    members: BTreeMap<u32, abi::Member>,
    /// Addresses by the member that netfwd knows them to be behind.
    targets: BTreeSet<(u32, IpAddr)>,
    has_fast_uplink: bool,
    has_xdp: bool,
}

impl<'h> Paths<'h> {
    pub(super) fn new(
        pin_dir: &'h PinDir,
        maps: &Maps,
        host: &'h Host,
        has_fast_uplink: bool,
        has_xdp: bool,
    ) -> Result<Self> {
        let targets = &targets::<V4>(maps)? | &targets::<V6>(maps)?;
        Ok(Self { pin_dir, host, members: maps.members()?, targets, has_fast_uplink, has_xdp })
    }

    /// The members of a bridge.
    pub(super) fn members(&self, bridge: u32, known: &abi::Interface) -> Result<Vec<Member>> {
        let neighbours = self.host.netlink.neighbours(bridge)?.into_iter();
        let mut places: BTreeSet<_> = neighbours.map(|neighbour| (neighbour.member, neighbour.address)).collect();
        places.extend(&self.targets);
        let members = self.host.interfaces.0.iter().filter(|interface| interface.master == Some(bridge));
        members.map(|member| self.member(bridge, known, member, &places)).collect()
    }

    fn member(
        &self,
        bridge: u32,
        known: &abi::Interface,
        member: &interfaces::Interface,
        places: &BTreeSet<(u32, IpAddr)>,
    ) -> Result<Member> {
        let attachments = attach::attachments(self.pin_dir, &self.host.netlink, member)?;
        let obstacle = self.obstacle(bridge, known, member, &attachments);
        let path = |address| match obstacle {
            Some(why) => Path::Stack(why),
            None if self.targets.contains(&(member.index, address)) => Path::Fast,
            None => Path::Stack(Why::NotAnnounced),
        };
        let behind = places.iter().filter(|(index, address)| *index == member.index && !is_of_link(*address));
        let containers: Vec<_> =
            behind.map(|(_, address)| Container { address: *address, path: path(*address) }).collect();
        let any_is_fast = containers.iter().any(|container| container.path == Path::Fast);
        let path = if any_is_fast { Path::Fast } else { Path::Stack(obstacle.unwrap_or(Why::NotAnnounced)) };
        let xdp = self.has_xdp.then(|| self.members.get(&member.index).is_some_and(abi::Member::takes_frames));
        Ok(Member { interface: Interface::with_index(member.index), attachments, path, xdp, containers })
    }

    /// What keeps all packets of a member from the fast path.
    fn obstacle(
        &self,
        bridge: u32,
        known: &abi::Interface,
        member: &interfaces::Interface,
        attachments: &[Attachment],
    ) -> Option<Why> {
        let entry = self.members.get(&member.index);
        let gateway = self.host.interfaces.with_index(bridge).and_then(|bridge| bridge.hardware_address);
        match entry {
            _ if known.flags & abi::Interface::INTERNAL != 0 => Some(Why::Internal),
            _ if !self.has_fast_uplink => Some(Why::NoUplink),
            _ if known.flags & abi::Interface::FAST_PATH == 0 => Some(Why::BridgeOff),
            _ if !member.leads_elsewhere => Some(Why::NoVeth),
            Some(entry) if has_ingress(attachments) => (Some(entry.gateway) != gateway).then_some(Why::GatewayChanged),
            _ => Some(Why::NoProgram),
        }
    }
}

fn targets<A: Select>(maps: &Maps) -> Result<BTreeSet<(u32, IpAddr)>> {
    Ok(maps.family::<A>().targets()?.into_iter().map(|target| (target.member, target.address.ip())).collect())
}

/// Whether an address never leaves its link, and so no uplink's or mapping's packets are for it.
fn is_of_link(address: IpAddr) -> bool {
    is_link_local(address.into())
}

#[cfg(test)]
mod tests {
    use netfwd_common::abi::{PortChoice, Rule};

    use super::*;
    use crate::datapath::hook::Hook;

    #[test]
    fn an_uplink_is_fast_if_it_was_attached_so_and_has_an_ethernet_header_and_its_program() {
        let uplink = |flags, link_header| abi::Interface {
            slot: 0,
            link_header,
            rule: Rule::default(),
            ports: PortChoice::default(),
            max_ports_per_source: 0,
            max_segment: [[0; 2]; 2],
            filtering: 0,
            role: 0,
            flags,
            pad: 0,
        };
        let attached = Direction::ALL.map(|direction| Attachment { direction, hook: Hook::Tcx, program_id: 7 });
        let on = abi::Interface::FAST_PATH;
        assert_eq!(of_uplink(&uplink(on, ETHERNET), &attached), Path::Fast);
        assert_eq!(of_uplink(&uplink(0, ETHERNET), &attached), Path::Stack(Why::Off));
        assert_eq!(of_uplink(&uplink(on, 0), &attached), Path::Stack(Why::NoEthernet));
        assert_eq!(of_uplink(&uplink(on, ETHERNET), &[]), Path::Stack(Why::Detached));
    }
}
