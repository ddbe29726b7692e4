//! The uplinks and bridges, as `netfwd status` tells of them.

use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;
use netfwd_common::abi::{self, Role, V4, V6};
use serde::Serialize;

use super::{
    filtering_name,
    paths::{self, Member, Path, Paths},
};
use crate::{
    datapath::{
        attach::{self, Attachment},
        maps::{Maps, Select, Subnet},
        pin::PinDir,
        ports::{self, Range},
        uplinks::{Choices, Host},
        xdp,
    },
    host::interfaces::Interfaces,
    report::Interface,
};

/// An uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uplink {
    /// Which one.
    pub interface: Interface,
    /// What is attached to it; one of each direction if all is well.
    pub attachments: Vec<Attachment>,
    /// The subnets that are masqueraded.
    pub subnets: Vec<Masqueraded>,
    /// Destinations that are not masqueraded.
    pub exclusions: Vec<IpNet>,
    /// How its hooks translate.
    pub options: Options,
    /// The path of packets of known flows.
    #[serde(flatten)]
    pub path: Path,
    /// Whether those of UDP are taken before the host's stack.
    pub xdp: Xdp,
}

/// An uplink's program before the host's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Xdp {
    /// What attach was told.
    pub wanted: xdp::Choice,
    /// How it is attached.
    pub mode: Option<xdp::Mode>,
    /// Why it is not.
    pub why: Option<xdp::Why>,
}

/// A bridge that has a masqueraded subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bridge {
    /// Which one.
    pub interface: Interface,
    /// What is attached to it; one on its ingress if all is well.
    pub attachments: Vec<Attachment>,
    /// How its hook translates.
    pub options: Options,
    /// Its members.
    pub members: Vec<Member>,
}

/// A masqueraded subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Masqueraded {
    /// The subnet.
    pub subnet: IpNet,
    /// The bridge that has it now.
    pub bridge: Option<String>,
    /// The address that it is masqueraded with.
    pub address: IpAddr,
    /// Whether that is still an address of the host.
    pub address_present: bool,
    /// The lowest port to choose from.
    pub port_first: u16,
    /// The highest port.
    pub port_last: u16,
    /// All ports to choose from.
    pub ports: Vec<Range>,
}

/// How hooks translate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Options {
    /// The ports to choose from for what is in no masqueraded subnet.
    pub ports: Vec<Range>,
    /// Whether an even port gets an even one, and an odd port an odd one.
    pub parity: bool,
    /// Who may send to an outside port: [`filtering_name`].
    pub filtering: &'static str,
    /// Outside ports that one source may have at once; `None` for any number.
    pub max_ports_per_source: Option<u32>,
    /// The largest TCP segments.
    pub max_segment: Segments,
    /// Whether a TCP segment in the middle of an unknown connection opens it.
    pub pick_up: bool,
    /// Whether what belongs to known connections is sent past the host's stack.
    pub fast_path: bool,
    /// Whether it keeps networks apart.
    pub isolation: Option<Isolation>,
}

/// How an interface keeps networks apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// An uplink, whose masqueraded subnets are isolated.
    Isolate,
    /// A bridge, from which nothing is forwarded.
    Internal,
}

/// Sizes in bytes; `None` where they are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Segments {
    /// Over IPv4.
    pub ipv4: Option<u16>,
    /// Over IPv6.
    pub ipv6: Option<u16>,
}

/// The uplinks.
pub(crate) fn uplinks(pin_dir: &PinDir, maps: &Maps, host: &Host) -> Result<Vec<Uplink>> {
    let mut uplinks = Vec::new();
    for (ifindex, known) in maps.uplinks()? {
        let (mut subnets, mut exclusions) = (Vec::new(), Vec::new());
        add_networks::<V4>(maps, host, (ifindex, &known), &mut subnets, &mut exclusions)?;
        add_networks::<V6>(maps, host, (ifindex, &known), &mut subnets, &mut exclusions)?;
        let attachments = attachments(pin_dir, host, ifindex)?;
        uplinks.push(Uplink {
            interface: Interface::with_index(ifindex),
            path: paths::of_uplink(&known, &attachments),
            xdp: xdp_of(pin_dir, maps, host, (ifindex, &known))?,
            attachments,
            subnets,
            exclusions,
            options: Options::of(&known),
        });
    }
    Ok(uplinks)
}

fn xdp_of(pin_dir: &PinDir, maps: &Maps, host: &Host, (ifindex, known): (u32, &abi::Interface)) -> Result<Xdp> {
    let wanted = Choices::of(ifindex, &maps.choices()?).xdp;
    let state = match host.interfaces.with_index(ifindex) {
        Some(interface) => xdp::state(pin_dir, interface, known, wanted)?,
        None => Err(xdp::Why::Detached),
    };
    Ok(Xdp { wanted, mode: state.ok(), why: state.err() })
}

/// The bridges.
pub(super) fn bridges(pin_dir: &PinDir, maps: &Maps, host: &Host, paths: &Paths<'_>) -> Result<Vec<Bridge>> {
    let mut bridges = Vec::new();
    for (ifindex, known) in maps.with_role(Role::Bridge)? {
        bridges.push(Bridge {
            interface: Interface::with_index(ifindex),
            attachments: attachments(pin_dir, host, ifindex)?,
            options: Options::of(&known),
            members: paths.members(ifindex, &known)?,
        });
    }
    Ok(bridges)
}

fn attachments(pin_dir: &PinDir, host: &Host, ifindex: u32) -> Result<Vec<Attachment>> {
    let interface = host.interfaces.with_index(ifindex);
    interface.map_or_else(|| Ok(Vec::new()), |interface| attach::attachments(pin_dir, &host.netlink, interface))
}

fn add_networks<A: Select>(
    maps: &Maps,
    host: &Host,
    (ifindex, known): (u32, &abi::Interface),
    subnets: &mut Vec<Masqueraded>,
    exclusions: &mut Vec<IpNet>,
) -> Result<()> {
    for subnet in maps.family::<A>().subnets()? {
        if subnet.uplink == ifindex && maps.is_in_force(subnet.masquerade.rule)? {
            subnets.push(masqueraded(&subnet, &host.interfaces));
        }
    }
    let own = maps.family::<A>().exclusions()?.into_iter();
    let own = own.filter(|exclusion| exclusion.uplink == ifindex && exclusion.rule == known.rule);
    exclusions.extend(own.map(|exclusion| exclusion.network.into()));
    Ok(())
}

fn masqueraded<A: Select>(subnet: &Subnet<A>, interfaces: &Interfaces) -> Masqueraded {
    let (network, address) = (subnet.network.into(), subnet.masquerade.address.ip());
    let ports = ports::ranges(&subnet.masquerade.ports);
    Masqueraded {
        subnet: network,
        bridge: interfaces.bridge_of(network).map(|bridge| bridge.name.clone()),
        address,
        address_present: interfaces.with_address(address).is_some(),
        port_first: ports.iter().map(|range| range.first).min().unwrap_or_default(),
        port_last: ports.iter().map(|range| range.last).max().unwrap_or_default(),
        ports,
    }
}

impl Options {
    /// What hooks know.
    pub(super) fn of(known: &abi::Interface) -> Self {
        let [ipv4, ipv6] = known.max_segment.map(|size| Some(u16::from_be_bytes(size)).filter(|size| *size != 0));
        Self {
            ports: ports::ranges(&known.ports),
            parity: ports::keeps_parity(&known.ports),
            filtering: filtering_name(known.filtering()),
            max_ports_per_source: Some(known.max_ports_per_source).filter(|count| *count != 0),
            max_segment: Segments { ipv4, ipv6 },
            pick_up: known.flags & abi::Interface::PICK_UP != 0,
            fast_path: known.flags & abi::Interface::FAST_PATH != 0,
            isolation: match () {
                () if known.flags & abi::Interface::ISOLATE != 0 => Some(Isolation::Isolate),
                () if known.flags & abi::Interface::INTERNAL != 0 => Some(Isolation::Internal),
                () => None,
            },
        }
    }
}
