//! Attachment by filters on the clsact queueing discipline, for kernels without TCX.

use std::{fs, mem};

use anyhow::{Context as _, Result, bail};
use aya::programs::{
    Link as _, SchedClassifier,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact},
};

use super::{
    hook::{Direction, is_attached_by_netfwd},
    load::is_pinned,
    pin::PinDir,
    tcx::attach_type,
};
use crate::host::{interfaces::Interface, netlink::Netlink, traffic_control::Filter};

const PRIORITY: u16 = 1;
/// The filter's number within its priority: "nf". A fixed one is found again without any pin.
const HANDLE: TcHandle = TcHandle::new(0, 0x6e66);

/// The id of the program that netfwd's filter on an interface runs.
pub(super) fn attached_program(
    pin_dir: &PinDir,
    netlink: &Netlink,
    interface: &Interface,
    direction: Direction,
) -> Result<Option<u32>> {
    let filters = netlink.filters(interface.index, direction)?;
    let ours = filters.into_iter().find(is_at_our_place);
    Ok(ours.and_then(|filter| filter.program_id).filter(|id| is_pinned(pin_dir, *id)))
}

/// Attaches a program before all others.
pub(super) fn attach(
    pin_dir: &PinDir,
    netlink: &Netlink,
    interface: &Interface,
    direction: Direction,
    program: &mut SchedClassifier,
) -> Result<()> {
    ensure_clsact(pin_dir, netlink, interface)?;
    let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
    let options = TcAttachOptions::Netlink(options);
    let id = program.attach_with_options(&interface.name, attach_type(direction), options)?;
    // Dropped, it would remove the filter.
    mem::forget(program.take_link(id)?);
    Ok(())
}

/// Puts a program in the place of the attached one, atomically.
pub(super) fn replace(interface: &Interface, direction: Direction, program: &mut SchedClassifier) -> Result<()> {
    let id = program.attach_to_link(link(interface, direction)?)?;
    mem::forget(program.take_link(id)?);
    Ok(())
}

/// Removes netfwd's filter, and with the last filter the clsact queueing discipline if netfwd made it.
pub(super) fn detach(pin_dir: &PinDir, netlink: &Netlink, interface: &Interface, direction: Direction) -> Result<()> {
    if attached_program(pin_dir, netlink, interface, direction)?.is_some() {
        link(interface, direction)?.detach().context("cannot remove the filter")?;
    }
    let mark = pin_dir.clsact_mark(interface.index);
    if !mark.exists() || has_filters(netlink, interface)? {
        return Ok(());
    }
    if netlink.filter_holder(interface.index)?.is_some() {
        netlink.remove_clsact(interface.index)?;
    }
    fs::remove_dir(&mark).with_context(|| format!("cannot remove {}", mark.display()))
}

fn has_filters(netlink: &Netlink, interface: &Interface) -> Result<bool> {
    for direction in Direction::ALL {
        if !netlink.filters(interface.index, direction)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn ensure_clsact(pin_dir: &PinDir, netlink: &Netlink, interface: &Interface) -> Result<()> {
    let name = &interface.name;
    match netlink.filter_holder(interface.index)?.as_deref() {
        Some("clsact") => return Ok(()),
        Some(_) => bail!(
            "{name} has an ingress queueing discipline, which leaves no room for clsact: \
             remove it with `tc qdisc del dev {name} ingress`"
        ),
        None => (),
    }
    let mark = pin_dir.clsact_mark(interface.index);
    fs::create_dir_all(&mark).with_context(|| format!("cannot make {}", mark.display()))?;
    qdisc_add_clsact(name).with_context(|| format!("cannot add the clsact queueing discipline to {name}"))
}

fn link(interface: &Interface, direction: Direction) -> Result<SchedClassifierLink> {
    SchedClassifierLink::attached(&interface.name, attach_type(direction), PRIORITY, HANDLE, None)
        .with_context(|| format!("{} is gone", interface.name))
}

fn is_at_our_place(filter: &Filter) -> bool {
    filter.priority == PRIORITY
        && filter.handle == u32::from(HANDLE)
        && filter.program_name.as_deref().is_some_and(is_attached_by_netfwd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_known_by_its_place_and_its_program() {
        let ours = Filter {
            priority: 1,
            handle: 0x6e66,
            program_name: Some("netfwd_egress".to_owned()),
            program_id: Some(42),
        };
        assert!(is_at_our_place(&ours));
        assert!(!is_at_our_place(&Filter { program_name: Some("other".to_owned()), ..ours.clone() }));
        assert!(!is_at_our_place(&Filter { handle: 1, ..ours }));
    }
}
