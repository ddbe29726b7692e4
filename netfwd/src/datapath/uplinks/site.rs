//! Where programs are attached: an uplink, and the bridges that belong to it.

use anyhow::Result;
use netfwd_common::abi::Role;

use super::{Host, Request};
use crate::{
    datapath::{
        attach,
        hook::{Direction, Hook},
        load,
        maps::Maps,
        pin::PinDir,
    },
    host::{forwarding::Switch, interfaces::Interface},
};

/// The interfaces that an attach is about.
pub(super) struct Site<'a> {
    pin_dir: &'a PinDir,
    host: &'a Host,
    places: Vec<Place<'a>>,
    attached: Vec<(&'a Interface, Direction, Hook)>,
}

/// An interface, and how its programs are to be attached.
struct Place<'a> {
    interface: &'a Interface,
    role: Role,
    hook: Hook,
}

impl<'a> Site<'a> {
    /// The uplink of a request and all bridges that the maps know. Without a choice by the user, what is attached stays
    /// where it is.
    pub(super) fn new(
        pin_dir: &'a PinDir,
        host: &'a Host,
        request: &'a Request,
        hook: Hook,
        maps: &Maps,
    ) -> Result<Self> {
        let bridges = maps.with_role(Role::Bridge)?;
        let bridges = bridges.iter().filter_map(|(ifindex, _)| host.interfaces.with_index(*ifindex));
        let interfaces = [(&request.interface, Role::Uplink)].into_iter().chain(bridges.map(|one| (one, Role::Bridge)));
        let mut places = Vec::new();
        for (interface, role) in interfaces {
            let present = attach::attachments(pin_dir, &host.netlink, interface)?;
            let present = present.first().map(|attachment| attachment.hook);
            places.push(Place { interface, role, hook: request.hook.or(present).unwrap_or(hook) });
        }
        Ok(Self { pin_dir, host, places, attached: Vec::new() })
    }

    /// Fails if another netfwd is attached to one of the bridges.
    pub(super) fn refuse_another(&self) -> Result<()> {
        let mut interfaces = self.places.iter().map(|place| place.interface);
        interfaces.try_for_each(|interface| attach::refuse_another(self.pin_dir, &self.host.netlink, interface))
    }

    /// Attaches what is missing.
    pub(super) fn start(&mut self) -> Result<()> {
        load::start_reaper(self.pin_dir)?;
        let Self { pin_dir, host, places, attached } = self;
        for Place { interface, role, hook } in places {
            let directions = attach::attach(pin_dir, &host.netlink, interface, *role, *hook)?;
            attached.extend(directions.into_iter().map(|direction| (*interface, direction, *hook)));
        }
        Ok(())
    }

    /// The interfaces that something was attached to.
    pub(super) fn attached(&self) -> Vec<(u32, Hook)> {
        let mut attached: Vec<_> = self.attached.iter().map(|(interface, _, hook)| (interface.index, *hook)).collect();
        attached.dedup();
        attached
    }

    /// Comes after the new hook is attached: for a moment both translate. With none, packets would leave as they are.
    pub(super) fn leave_other_hook(&self) -> Result<()> {
        let Self { pin_dir, host, places, .. } = self;
        let mut places = places.iter();
        places.try_for_each(|place| attach::leave_other_hook(pin_dir, &host.netlink, place.interface, place.hook))
    }

    /// Detaches what was attached.
    pub(super) fn undo(&self) -> Result<()> {
        let Self { pin_dir, host, attached, .. } = self;
        let mut attached = attached.iter();
        attached.try_for_each(|(interface, direction, hook)| {
            attach::detach_one(pin_dir, &host.netlink, interface, *direction, *hook)
        })
    }
}

/// What became of the host's forwarding.
#[derive(Default)]
pub(super) struct Forwarding {
    /// The switches that were set, as `sysctl` writes them.
    pub(super) switched: Vec<String>,
    /// Interfaces that do not hear the router advertisements any more that their IPv6 comes from.
    pub(super) deaf: Vec<u32>,
}

/// Turns on the forwarding that a request needs.
///
/// A host that forwards IPv6 does not hear router advertisements any more, and loses its own default route, unless told
/// to all the same: `accept_ra` 2.
pub(super) fn forward(host: &Host, request: &Request) -> Result<Forwarding> {
    let mut forwarding = Forwarding::default();
    if Switch::ipv4().turn_on()? {
        forwarding.switched.push(Switch::ipv4().name());
    }
    if !request.wanted.v6.subnets.is_empty() && Switch::ipv6().is_on()? != Some(true) {
        forward_ipv6(host, &request.interface, &mut forwarding)?;
    }
    Ok(forwarding)
}

fn forward_ipv6(host: &Host, uplink: &Interface, forwarding: &mut Forwarding) -> Result<()> {
    if uplink.ipv6.is_some_and(|switches| switches.hears_routers) {
        let accept_ra = Switch::accept_ra(&uplink.name);
        accept_ra.set("2")?;
        forwarding.switched.push(format!("{}=2", accept_ra.name()));
    }
    Switch::ipv6().turn_on()?;
    forwarding.switched.push(Switch::ipv6().name());
    let others = host.interfaces.0.iter().filter(|other| other.index != uplink.index && other.depends_on_routers());
    forwarding.deaf.extend(others.map(|other| other.index));
    Ok(())
}
