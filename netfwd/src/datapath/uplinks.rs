//! Uplinks: attaching one, changing what it masquerades, detaching it. Each is done completely or not at all.

mod bridges;
mod changes;
mod choices;
mod configure;
mod follow;
mod isolation;
mod site;

use anyhow::{Context as _, Error, Result, bail};
use ipnet::IpNet;
use netfwd_common::abi::{Role, Settings, V4, V6};

use super::{
    addresses, attach,
    hook::Hook,
    host_access,
    load::{self, Loaded},
    mappings,
    maps::{Maps, Select},
    members,
    pin::{Lock, PinDir},
    xdp,
};
use crate::{
    clock,
    host::{
        interfaces::{Interface, Interfaces},
        namespace,
        netlink::Netlink,
    },
};
use configure::Pending;
use site::{Forwarding, Site};

pub use changes::{Change, Networks, Wanted};
pub use choices::{Choices, Found};
pub use follow::{Followed, Round, follow, present, with_found};

/// IPv4 records at most, unless the user chooses; of IPv6 a quarter of the IPv4 ones.
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
    /// Records at most of IPv4 and of IPv6, if the user chose.
    pub max_flows: [Option<u32>; 2],
    /// Whether processes of the host reach mapped ports at the host's own addresses.
    pub host_access: bool,
}

/// The addresses that an uplink masquerades with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// The IPv4 address.
    pub v4: Option<V4>,
    /// The IPv6 address.
    pub v6: Option<V6>,
}

impl InUse {
    /// Those of an uplink, by its name; none where it is not attached.
    pub fn of(pin_dir: &PinDir, interfaces: &Interfaces, uplink: &str) -> Result<Self> {
        let Ok(uplink) = interfaces.named(uplink) else { return Ok(Self::default()) };
        let Some(maps) = Maps::open_if_attached(pin_dir)? else { return Ok(Self::default()) };
        Ok(Self { v4: in_use(&maps, uplink.index)?, v6: in_use(&maps, uplink.index)? })
    }
}

fn in_use<A: Select>(maps: &Maps, ifindex: u32) -> Result<Option<A>> {
    let (present, _) = configure::present::<A>(maps, ifindex)?;
    Ok(present.subnets.first().map(|subnet| subnet.masquerade.address))
}

/// What an attach did.
#[derive(Debug, Default)]
pub struct Report {
    /// The interfaces that a program was attached to: the uplink, and bridges.
    pub attached: Vec<(u32, Hook)>,
    /// Whether programs of another build were replaced.
    pub replaced_programs: bool,
    /// What changed in the maps.
    pub changes: Vec<Change>,
    /// What became of host access.
    pub host_access: host_access::Outcome,
    /// What became of XDP.
    pub xdp: xdp::Outcome,
    /// The switches of the host that were set, as `sysctl` writes them: forwarding, and what goes with it.
    pub switched: Vec<String>,
    /// Other interfaces whose IPv6 comes from router advertisements, which they do not hear any more.
    pub deaf: Vec<u32>,
    /// Uplinks that are gone, and were forgotten.
    pub forgotten: Vec<u32>,
    /// Bridges that have no masqueraded subnet any more, and were left.
    pub left: Vec<u32>,
    /// Why members of bridges do not have the program of the fast path.
    pub slow: Vec<Error>,
}

impl Report {
    /// Whether a subnet is among what changed.
    #[must_use]
    pub fn concerns(&self, network: IpNet) -> bool {
        self.changes.iter().any(|change| change.subnet() == Some(network))
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
    attach_under(&pin_dir.prepare()?, pin_dir, host, request)
}

/// The same for who holds the lock, which the pin directory gave when it was prepared.
pub fn attach_under(_lock: &Lock, pin_dir: &PinDir, host: &Host, request: &Request) -> Result<Report> {
    if let Some(mut maps) = Maps::open_if_attached(pin_dir)? {
        return attach_further(pin_dir, host, request, &mut maps);
    }
    attach_first(pin_dir, host, request).map_err(|error| after_undoing(error, remove_everything(pin_dir, host)))
}

fn attach_first(pin_dir: &PinDir, host: &Host, request: &Request) -> Result<Report> {
    let hook = attach::choose_hook(&request.interface, request.hook)?;
    attach::refuse_another(pin_dir, &host.netlink, &request.interface)?;
    let max_flows = max_flows(request.max_flows);
    clear(pin_dir, host)?;
    Loaded::new(pin_dir, max_flows)?.pin(pin_dir)?;
    let mut settings = Settings::new(max_flows, clock::now()?, namespace::cookie()?);
    settings.build = load::build(pin_dir);
    let mut maps = Maps::initialize(pin_dir, &settings)?;
    attach_uplink(pin_dir, host, request, hook, &mut maps)
}

/// Records at most of IPv4 and of IPv6.
#[must_use]
pub fn max_flows(chosen: [Option<u32>; 2]) -> [u32; 2] {
    let v4 = chosen[0].unwrap_or(DEFAULT_MAX_FLOWS);
    [v4, chosen[1].unwrap_or((v4 / 4).max(1))]
}

fn attach_further(pin_dir: &PinDir, host: &Host, request: &Request, maps: &mut Maps) -> Result<Report> {
    let hook = attach::choose_hook(&request.interface, request.hook)?;
    attach::refuse_another(pin_dir, &host.netlink, &request.interface)?;
    refuse_other_limits(request.max_flows, maps.settings()?.max_flows)?;
    let forgotten = forget_gone(pin_dir, host, maps)?;
    let replaced_programs = replace_programs(pin_dir, host, maps)?;
    let report = attach_uplink(pin_dir, host, request, hook, maps)?;
    Ok(Report { replaced_programs, forgotten, ..report })
}

/// Fails if the maps have not as much room as the user chose.
pub fn refuse_other_limits(chosen: [Option<u32>; 2], present: [u32; 2]) -> Result<()> {
    for ((wanted, present), family) in chosen.into_iter().zip(present).zip(["IPv4", "IPv6"]) {
        if wanted.is_some_and(|wanted| wanted != present) {
            bail!(
                "the maps have room for {present} {family} flows, which cannot change now: run `netfwd detach --all` first"
            );
        }
    }
    Ok(())
}

/// Puts this build's programs in the place of another's, and returns whether there were others.
fn replace_programs(pin_dir: &PinDir, host: &Host, maps: &mut Maps) -> Result<bool> {
    let mut settings = maps.settings()?;
    if settings.build == load::build(pin_dir) {
        return Ok(false);
    }
    let mut loaded = Loaded::new(pin_dir, settings.max_flows)?;
    let are_others = !loaded.is_pinned(pin_dir)?;
    if are_others {
        attach::replace(pin_dir, &host.netlink, &attached(host, maps)?, &mut loaded)?;
    }
    settings.build = load::build(pin_dir);
    maps.set_settings(&settings)?;
    Ok(are_others)
}

/// The interfaces that have programs.
fn attached<'h>(host: &'h Host, maps: &Maps) -> Result<Vec<(&'h Interface, Role)>> {
    let mut interfaces = Vec::new();
    for role in [Role::Uplink, Role::Bridge] {
        let known = maps.with_role(role)?.into_iter();
        interfaces.extend(known.filter_map(|(ifindex, _)| Some((host.interfaces.with_index(ifindex)?, role))));
    }
    let members = maps.members()?.into_keys().filter_map(|ifindex| host.interfaces.with_index(ifindex));
    interfaces.extend(members.map(|member| (member, Role::Member)));
    Ok(interfaces)
}

fn attach_uplink(pin_dir: &PinDir, host: &Host, request: &Request, hook: Hook, maps: &mut Maps) -> Result<Report> {
    let ifindex = request.interface.index;
    let was_bridge = maps.with_role(Role::Bridge)?.iter().any(|(index, _)| *index == ifindex);
    addresses::refresh(maps, &host.interfaces)?;
    let pending = configure::configure(maps, &request.wanted, |maps| bridges::wanted(maps, host, Some(ifindex)))?;
    let report = complete(pin_dir, host, request, hook, maps, pending, was_bridge)?;
    let slow = members::refresh(pin_dir, &host.netlink, &host.interfaces, maps)?;
    Ok(Report { slow, ..report })
}

/// Attaches what belongs to changes of the maps, or undoes them.
fn complete(
    pin_dir: &PinDir,
    host: &Host,
    request: &Request,
    hook: Hook,
    maps: &mut Maps,
    pending: Pending,
    was_bridge: bool,
) -> Result<Report> {
    let xdp_before = xdp::pinned_mode(pin_dir, request.interface.index);
    let mut site = match Site::new(pin_dir, host, request, hook, maps) {
        Ok(site) => site,
        Err(error) => return Err(after_undoing(error, pending.undo(maps))),
    };
    match start(&mut site, was_bridge, pin_dir, host, request) {
        Ok((Forwarding { switched, deaf }, host_access, xdp)) => {
            site.leave_other_hook()?;
            let changes = pending.finish(maps)?;
            let left = bridges::leave_unneeded(pin_dir, host, maps)?;
            let attached = site.attached();
            Ok(Report { attached, changes, host_access, xdp, switched, deaf, left, ..Report::default() })
        }
        Err(error) => {
            let undone = xdp::set(pin_dir, &request.interface, xdp_before).and(site.undo()).and(pending.undo(maps));
            let back = was_bridge.then_some(Role::Bridge);
            let back = back.map(|role| attach::attach(pin_dir, &host.netlink, &request.interface, role, hook));
            Err(after_undoing(error, undone.and(back.transpose().map(drop))))
        }
    }
}

/// Attaches everything that a request needs, turns on forwarding, and says what became of host access.
fn start(
    site: &mut Site<'_>,
    was_bridge: bool,
    pin_dir: &PinDir,
    host: &Host,
    request: &Request,
) -> Result<(Forwarding, host_access::Outcome, xdp::Outcome)> {
    site.refuse_another()?;
    if was_bridge {
        // The program of a bridge makes room for an uplink's.
        attach::detach(pin_dir, &host.netlink, &host.interfaces, request.interface.index)?;
    }
    site.start()?;
    let Wanted { interface, choices, .. } = &request.wanted;
    let xdp = xdp::apply(pin_dir, &request.interface, interface, choices.xdp)?;
    let forwarding = site::forward(host, request)?;
    Ok((forwarding, host_access::apply(pin_dir, request.host_access)?, xdp))
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
    match pin_dir.try_lock()? {
        Some(lock) => detach_under(&lock, pin_dir, host, ifindexes),
        None => Ok((Vec::new(), false)),
    }
}

/// The same for who holds the lock.
pub fn detach_under(_lock: &Lock, pin_dir: &PinDir, host: &Host, ifindexes: &[u32]) -> Result<(Vec<u32>, bool)> {
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
    } else {
        bridges::leave_unneeded(pin_dir, host, &mut maps)?;
        members::refresh(pin_dir, &host.netlink, &host.interfaces, &mut maps)?;
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
    release_ports(pin_dir)?;
    pin_dir.remove().context("cannot remove what is pinned")
}

/// Those of maps that this netfwd can read.
fn release_ports(pin_dir: &PinDir) -> Result<()> {
    Maps::open(pin_dir).map_or(Ok(()), |maps| mappings::ports::release_all(&maps))
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

/// Forgets interfaces that are gone, and returns the uplinks among them.
fn forget_gone(pin_dir: &PinDir, host: &Host, maps: &mut Maps) -> Result<Vec<u32>> {
    let mut gone = maps.interfaces()?;
    gone.retain(|(ifindex, _)| host.interfaces.with_index(*ifindex).is_none());
    for (ifindex, _) in &gone {
        attach::detach(pin_dir, &host.netlink, &host.interfaces, *ifindex)?;
        configure::remove(maps, *ifindex)?;
    }
    gone.retain(|(_, interface)| interface.role == Role::Uplink.number());
    Ok(gone.into_iter().map(|(ifindex, _)| ifindex).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ipv6_there_are_a_quarter_as_many_flows_unless_chosen() {
        assert_eq!(max_flows([None, None]), [262_144, 65_536]);
        assert_eq!(max_flows([Some(1000), None]), [1000, 250]);
        assert_eq!(max_flows([Some(3), None]), [3, 1]);
        assert_eq!(max_flows([None, Some(9)]), [262_144, 9]);
    }
}
