//! Following the host: what its addresses and bridges have become is what the uplinks masquerade with, and masquerade.

mod desired;

use anyhow::{Context as _, Error, Result};
use netfwd_common::abi::{self, V4, V6};

use super::{Choices, Found, Host, Networks, Report, Request, Wanted, bridges, complete, configure, forget_gone};
use crate::{
    datapath::{
        addresses::{self, Changed},
        attach, host_access,
        maps::{Maps, Select},
        members,
        pin::PinDir,
    },
    host::interfaces::{Interface, Interfaces},
};

/// What following the host came to.
#[derive(Debug, Default)]
pub struct Round {
    /// The interfaces as they were found.
    pub interfaces: Interfaces,
    /// The uplinks that are attached, with what was to be done for each.
    pub uplinks: Vec<Followed>,
    /// Uplinks that are gone, and were forgotten.
    pub forgotten: Vec<u32>,
    /// What became of the host's addresses.
    pub addresses: Changed,
    /// Why members of bridges do not have the program of the fast path.
    pub slow: Vec<Error>,
}

/// What following the host came to for one uplink.
#[derive(Debug)]
pub struct Followed {
    /// What was wanted of it.
    pub request: Request,
    /// Masqueraded subnets that now contain the address that they would be masqueraded with.
    pub conflicts: Vec<ipnet::IpNet>,
    /// What was done; nothing if everything was as wanted.
    pub done: Result<Option<Report>>,
}

/// Does for each attached uplink what its attach would do on the host as it is now, but that an address that is still
/// there is not changed for another one. `None` if nothing is attached.
pub fn follow(pin_dir: &PinDir) -> Result<Option<Round>> {
    let Some(_lock) = pin_dir.try_lock()? else { return Ok(None) };
    let Some(mut maps) = Maps::open_if_attached(pin_dir)? else { return Ok(None) };
    // Whoever held the lock may have looked later than before it was waited for.
    let host = Host::look()?;
    let addresses = addresses::refresh(&mut maps, &host.interfaces)?;
    let forgotten = forget_gone(pin_dir, &host, &mut maps)?;
    let mut uplinks = Vec::new();
    for (ifindex, interface) in maps.uplinks()? {
        if let Some(uplink) = host.interfaces.with_index(ifindex) {
            uplinks.push(follow_uplink(pin_dir, &host, &mut maps, uplink, interface)?);
        }
    }
    let slow = members::refresh(pin_dir, &host.netlink, &host.interfaces, &mut maps)?;
    Ok(Some(Round { interfaces: host.interfaces, uplinks, forgotten, addresses, slow }))
}

fn follow_uplink(
    pin_dir: &PinDir,
    host: &Host,
    maps: &mut Maps,
    uplink: &Interface,
    interface: abi::Interface,
) -> Result<Followed> {
    let present = present(maps, uplink.index, interface)?;
    let (wanted, conflicts) = desired::desired(&present, uplink, &host.interfaces);
    let request = Request {
        interface: uplink.clone(),
        wanted,
        hook: None,
        max_flows: [None; 2],
        host_access: host_access::state(pin_dir)? != host_access::State::Off,
    };
    let done = apply(pin_dir, host, &request, maps);
    Ok(Followed { request, conflicts, done })
}

/// What would attach an uplink as it is, but for the networks that were found. `host_access` and `max_flows` are as usual.
pub fn with_found(pin_dir: &PinDir, host: &Host, present: &Wanted, found: Found) -> Result<Request> {
    let uplink = host.interfaces.with_index(present.ifindex).context("the interface is gone")?;
    let choices = Choices { found, ..present.choices.clone() };
    let (wanted, _) = desired::desired(&Wanted { choices, ..present.clone() }, uplink, &host.interfaces);
    let attached = attach::attachments(pin_dir, &host.netlink, uplink)?;
    Ok(Request {
        interface: uplink.clone(),
        wanted,
        hook: attached.first().map(|attachment| attachment.hook),
        max_flows: [None; 2],
        host_access: true,
    })
}

/// What the maps hold of an uplink.
pub fn present(maps: &Maps, ifindex: u32, interface: abi::Interface) -> Result<Wanted> {
    Ok(Wanted {
        ifindex,
        interface,
        choices: Choices::of(ifindex, &maps.choices()?),
        v4: networks::<V4>(maps, ifindex, &interface)?,
        v6: networks::<V6>(maps, ifindex, &interface)?,
    })
}

fn networks<A: Select>(maps: &Maps, ifindex: u32, interface: &abi::Interface) -> Result<Networks<A>> {
    let (present, _) = configure::present::<A>(maps, ifindex)?;
    let exclusions = present.exclusions.into_iter().filter(|exclusion| exclusion.rule == interface.rule);
    Ok(Networks {
        subnets: present.subnets.into_iter().map(|subnet| (subnet.network, subnet.masquerade.address)).collect(),
        exclusions: exclusions.map(|exclusion| exclusion.network).collect(),
    })
}

fn apply(pin_dir: &PinDir, host: &Host, request: &Request, maps: &mut Maps) -> Result<Option<Report>> {
    // Bridges go on as they are: no attach has said anything else about them.
    let pending = configure::configure(maps, &request.wanted, |maps| bridges::wanted(maps, host, None))?;
    if pending.is_empty() {
        pending.finish(maps)?;
        return Ok(None);
    }
    let attached = attach::attachments(pin_dir, &host.netlink, &request.interface)?;
    let hook = match attached.first() {
        Some(attachment) => attachment.hook,
        None => attach::choose_hook(&request.interface, None)?,
    };
    complete(pin_dir, host, request, hook, maps, pending, false).map(Some)
}
