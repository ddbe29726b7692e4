//! From what was typed to what it means on this host.

mod networks;
#[cfg(test)]
mod tests;

use anyhow::Result;
use netfwd_common::abi::{self, Role, Rule};

use super::{Clamp, Options};
use crate::{
    datapath::{
        ports,
        uplinks::{InUse, Request, Wanted},
    },
    host::interfaces::{Interface, Interfaces},
};

/// The IP and TCP headers of a segment without options.
const HEADERS: [u32; 2] = [40, 60];
/// What an IPv6 link carries at least (RFC 8200 section 5), less these headers.
const MIN_SEGMENT_V6: u16 = 1280 - 60;

/// What to attach.
#[derive(Debug)]
pub struct Resolved {
    /// What attach is told.
    pub request: Request,
    /// What is not done, and why.
    pub notes: Vec<String>,
}

/// Validates everything, before anything is done.
pub fn resolve(options: &Options, interfaces: &Interfaces, in_use: InUse) -> Result<Resolved> {
    let uplink = interfaces.named(&options.interface)?;
    let interface = interface(options, uplink)?;
    let mut choices = options.choices();
    let (v4, v6, notes) = networks::resolve(options, &choices, uplink, interfaces, in_use)?;
    if options.isolate {
        choices.apart.extend(networks::not_masqueraded(&v4, &choices, uplink, interfaces));
        choices.apart.extend(networks::not_masqueraded(&v6, &choices, uplink, interfaces));
    }
    let wanted = Wanted { ifindex: uplink.index, interface, choices, v4, v6 };
    let request = Request {
        interface: uplink.clone(),
        wanted,
        hook: options.hook,
        max_flows: options.max_flows,
        host_access: options.host_access,
    };
    Ok(Resolved { request, notes })
}

fn interface(options: &Options, uplink: &Interface) -> Result<abi::Interface> {
    Ok(abi::Interface {
        slot: 0,
        link_header: uplink.link_header()?,
        rule: Rule::default(),
        ports: ports::choice(&options.ports, options.parity),
        max_ports_per_source: options.max_ports_per_source.unwrap_or(0),
        max_segment: options.clamp_mss.map_or([0; 2], |clamp| segments(clamp, uplink.mtu)).map(u16::to_be_bytes),
        filtering: options.filtering.number(),
        role: Role::Uplink.number(),
        flags: flags(options),
        pad: 0,
    })
}

fn flags(options: &Options) -> u8 {
    let pick_up = if options.pick_up { abi::Interface::PICK_UP } else { 0 };
    let fast_path = if options.fast_path { abi::Interface::FAST_PATH } else { 0 };
    let isolate = if options.isolate { abi::Interface::ISOLATE } else { 0 };
    pick_up | fast_path | isolate
}

/// The largest TCP segments over IPv4 and IPv6.
pub(super) fn segments(clamp: Clamp, mtu: u32) -> [u16; 2] {
    match clamp {
        Clamp::Mtu => HEADERS.map(|headers| u16::try_from(mtu.saturating_sub(headers)).unwrap_or(u16::MAX).max(1)),
        Clamp::Bytes(bytes) => [bytes, (bytes - 20).max(MIN_SEGMENT_V6)],
    }
}
