//! Uplinks: attaching one, changing what it masquerades, detaching it. Each is done completely or not at all.

mod changes;
mod configure;

use anyhow::{Context as _, Error, Result, bail};
use ipnet::Ipv4Net;
use netfwd_common::abi::Settings;

use super::{
    attach,
    hook::{Direction, Hook},
    load::{self, Loaded},
    maps::Maps,
    pin::PinDir,
};
use crate::{
    clock,
    host::{
        forwarding,
        interfaces::{Interface, Interfaces},
        netlink::Netlink,
    },
};

pub use changes::{Change, Ports, Wanted};

/// Connections at most, unless the user chooses.
pub const DEFAULT_MAX_FLOWS: u32 = 262_144;

/// What is to be attached, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// The uplink's interface.
    pub interface: Interface,
    /// What its maps are to hold.
    pub wanted: Wanted,
    /// The hook, if the user chose.
    pub hook: Option<Hook>,
    /// Connections at most, if the user chose.
    pub max_flows: Option<u32>,
}

/// What an attach did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The hook, if a program was attached.
    pub attached: Option<Hook>,
    /// Whether programs of another build were replaced.
    pub replaced_programs: bool,
    /// What changed in the maps.
    pub changes: Vec<Change>,
    /// Whether forwarding was turned on.
    pub turned_on_forwarding: bool,
    /// Interfaces that are gone, and were forgotten.
    pub forgotten: Vec<u32>,
}

impl Report {
    /// Whether a subnet is among what changed.
    #[must_use]
    pub fn concerns(&self, network: Ipv4Net) -> bool {
        self.changes.iter().any(|change| change.network() == Some(network))
    }
}

/// The host, as uplinks need it.
pub struct Host {
    /// The connection to the kernel.
    pub netlink: Netlink,
    /// The interfaces.
    pub interfaces: Interfaces,
}

impl Host {
    /// Looks at the host.
    pub fn look() -> Result<Self> {
        let netlink = Netlink::connect()?;
        let interfaces = netlink.interfaces()?;
        Ok(Self { netlink, interfaces })
    }
}

/// Attaches an uplink, or changes it to what is wanted.
pub fn attach(pin_dir: &PinDir, host: &Host, request: &Request) -> Result<Report> {
    let hook = attach::choose_hook(&request.interface, request.hook)?;
    let _lock = pin_dir.prepare()?;
    if let Some(mut maps) = Maps::open_if_attached(pin_dir)? {
        return attach_further(pin_dir, host, request, hook, &mut maps);
    }
    attach_first(pin_dir, host, request, hook).map_err(|error| after_undoing(error, remove_everything(pin_dir, host)))
}

fn attach_first(pin_dir: &PinDir, host: &Host, request: &Request, hook: Hook) -> Result<Report> {
    attach::refuse_another(pin_dir, &host.netlink, &request.interface)?;
    let max_flows = request.max_flows.unwrap_or(DEFAULT_MAX_FLOWS);
    clear(pin_dir, host)?;
    Loaded::new(pin_dir, max_flows)?.pin(pin_dir)?;
    let mut maps = Maps::initialize(pin_dir, &Settings::new(max_flows, clock::now()?))?;
    attach_uplink(pin_dir, host, request, hook, &mut maps)
}

fn attach_further(pin_dir: &PinDir, host: &Host, request: &Request, hook: Hook, maps: &mut Maps) -> Result<Report> {
    attach::refuse_another(pin_dir, &host.netlink, &request.interface)?;
    let max_flows = maps.settings()?.max_flows;
    if request.max_flows.is_some_and(|wanted| wanted != max_flows) {
        bail!("the maps have room for {max_flows} flows, which cannot change now: run `netfwd detach --all` first");
    }
    let forgotten = forget_gone(pin_dir, host, maps)?;
    let mut loaded = Loaded::new(pin_dir, max_flows)?;
    let replaced_programs = !loaded.is_pinned(pin_dir)?;
    if replaced_programs {
        let uplinks = maps.uplinks()?;
        let uplinks: Vec<_> = uplinks.iter().filter_map(|(index, _)| host.interfaces.with_index(*index)).collect();
        attach::replace(pin_dir, &host.netlink, &uplinks, &mut loaded)?;
    }
    let report = attach_uplink(pin_dir, host, request, hook, maps)?;
    Ok(Report { replaced_programs, forgotten, ..report })
}

fn attach_uplink(pin_dir: &PinDir, host: &Host, request: &Request, hook: Hook, maps: &mut Maps) -> Result<Report> {
    let site = Site::new(pin_dir, host, request, hook)?;
    let pending = configure::configure(maps, &request.wanted)?;
    let mut attached = Vec::new();
    match site.start(&mut attached) {
        Ok(turned_on_forwarding) => {
            site.leave_other_hook()?;
            let changes = pending.finish(maps)?;
            let attached = (!attached.is_empty()).then_some(site.hook);
            Ok(Report { attached, changes, turned_on_forwarding, ..Report::default() })
        }
        Err(error) => {
            let detached = site.detach(&attached);
            Err(after_undoing(error, detached.and(pending.undo(maps))))
        }
    }
}

/// Where an uplink is attached.
struct Site<'a> {
    pin_dir: &'a PinDir,
    host: &'a Host,
    interface: &'a Interface,
    hook: Hook,
}

impl<'a> Site<'a> {
    /// Without a choice by the user, what is attached stays where it is.
    fn new(pin_dir: &'a PinDir, host: &'a Host, request: &'a Request, hook: Hook) -> Result<Self> {
        let interface = &request.interface;
        let present = attach::attachments(pin_dir, &host.netlink, interface)?;
        let present = present.first().map(|attachment| attachment.hook);
        Ok(Self { pin_dir, host, interface, hook: request.hook.or(present).unwrap_or(hook) })
    }

    /// Attaches what is missing, and returns whether forwarding had to be turned on.
    fn start(&self, attached: &mut Vec<Direction>) -> Result<bool> {
        load::start_reaper(self.pin_dir)?;
        *attached = attach::attach(self.pin_dir, &self.host.netlink, self.interface, self.hook)?;
        let turn_on = !forwarding::is_on()?;
        if turn_on {
            forwarding::turn_on()?;
        }
        Ok(turn_on)
    }

    /// Comes after the new hook is attached: for a moment both translate. With none, packets would leave as they are.
    fn leave_other_hook(&self) -> Result<()> {
        let Self { pin_dir, host, interface, hook } = self;
        let present = attach::attachments(pin_dir, &host.netlink, interface)?;
        present
            .iter()
            .filter(|other| other.hook != *hook)
            .try_for_each(|other| attach::detach_one(pin_dir, &host.netlink, interface, other.direction, other.hook))
    }

    fn detach(&self, directions: &[Direction]) -> Result<()> {
        let Self { pin_dir, host, interface, hook } = self;
        directions
            .iter()
            .try_for_each(|direction| attach::detach_one(pin_dir, &host.netlink, interface, *direction, *hook))
    }
}

fn after_undoing(error: Error, undone: Result<()>) -> Error {
    match undone {
        Ok(()) => error,
        Err(second) => error.context(format!("what was done cannot be undone ({second:#}): run `netfwd detach --all`")),
    }
}

/// Detaches uplinks by their interface index. Returns those that were attached, and whether nothing is attached any
/// more: then everything that was pinned is gone.
pub fn detach(pin_dir: &PinDir, host: &Host, ifindexes: &[u32]) -> Result<(Vec<u32>, bool)> {
    let Some(_lock) = pin_dir.try_lock()? else {
        return Ok((Vec::new(), false));
    };
    let Some(mut maps) = Maps::open_if_attached(pin_dir)? else {
        return Ok((Vec::new(), false));
    };
    forget_gone(pin_dir, host, &mut maps)?;
    let mut detached: Vec<_> = maps.uplinks()?.into_iter().map(|(ifindex, _)| ifindex).collect();
    detached.retain(|ifindex| ifindexes.contains(ifindex));
    for ifindex in &detached {
        attach::detach(pin_dir, &host.netlink, &host.interfaces, *ifindex)?;
        configure::remove(&mut maps, *ifindex)?;
    }
    let is_last = maps.uplinks()?.is_empty();
    if is_last {
        remove_everything(pin_dir, host)?;
    }
    Ok((detached, is_last))
}

/// Detaches all uplinks and removes everything, whichever version of netfwd pinned it. Returns whether there was
/// anything.
pub fn detach_all(pin_dir: &PinDir, host: &Host) -> Result<bool> {
    let Some(_lock) = pin_dir.try_lock()? else {
        return Ok(false);
    };
    remove_everything(pin_dir, host)?;
    Ok(true)
}

/// Removes what an attach that was killed has left.
fn clear(pin_dir: &PinDir, host: &Host) -> Result<()> {
    if pin_dir.is_empty()? {
        return Ok(());
    }
    detach_everywhere(pin_dir, host)?;
    pin_dir.clear()
}

fn remove_everything(pin_dir: &PinDir, host: &Host) -> Result<()> {
    detach_everywhere(pin_dir, host)?;
    pin_dir.remove().context("cannot remove what is pinned")
}

/// Goes on after a failure, so that as much as possible is detached, and returns the first one.
fn detach_everywhere(pin_dir: &PinDir, host: &Host) -> Result<()> {
    let results: Vec<_> = host
        .interfaces
        .0
        .iter()
        .map(|interface| attach::detach(pin_dir, &host.netlink, &host.interfaces, interface.index))
        .collect();
    results.into_iter().collect()
}

fn forget_gone(pin_dir: &PinDir, host: &Host, maps: &mut Maps) -> Result<Vec<u32>> {
    let mut gone: Vec<_> = maps.uplinks()?.into_iter().map(|(ifindex, _)| ifindex).collect();
    gone.retain(|ifindex| host.interfaces.with_index(*ifindex).is_none());
    for ifindex in &gone {
        attach::detach(pin_dir, &host.netlink, &host.interfaces, *ifindex)?;
        configure::remove(maps, *ifindex)?;
    }
    Ok(gone)
}
