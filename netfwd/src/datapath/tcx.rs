//! Attachment by TCX links (kernel 6.6), which are pinned.

use anyhow::{Context as _, Result};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, links::FdLink, tc::TcAttachOptions};

use super::{
    hook::Direction,
    pin::{self, PinDir},
};
use crate::host::{bpf, interfaces::Interface};

/// Whether the kernel has TCX.
pub(super) fn is_supported(interface: &Interface) -> Result<bool> {
    Ok(query(interface, Direction::Ingress)?.is_some())
}

/// The ids of the programs on an interface; none without TCX.
pub(super) fn programs(interface: &Interface, direction: Direction) -> Result<Vec<u32>> {
    Ok(query(interface, direction)?.unwrap_or_default())
}

/// The id of the program that the pinned link has attached. `None` without a link, and for one whose interface is
/// gone.
pub(super) fn attached_program(pin_dir: &PinDir, interface: &Interface, direction: Direction) -> Result<Option<u32>> {
    let Some(link) = pin::open_link(&pin_dir.link(interface.index, direction))? else {
        return Ok(None);
    };
    let link = FdLink::from(link);
    let id = link.info().context("cannot examine a TCX link")?.program_id();
    Ok(programs(interface, direction)?.contains(&id).then_some(id))
}

/// Attaches a program before all others.
pub(super) fn attach(
    pin_dir: &PinDir,
    interface: &Interface,
    direction: Direction,
    program: &mut SchedClassifier,
) -> Result<()> {
    // A link whose interface is gone keeps its pin.
    detach(pin_dir, interface.index, direction)?;
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(&interface.name, attach_type(direction), options)?;
    let link: FdLink = program.take_link(id)?.try_into()?;
    let path = pin_dir.link(interface.index, direction);
    link.pin(&path).with_context(|| format!("cannot pin {}", path.display()))?;
    Ok(())
}

/// Puts a program in the place of the attached one, atomically.
pub(super) fn replace(
    pin_dir: &PinDir,
    ifindex: u32,
    direction: Direction,
    program: &mut SchedClassifier,
) -> Result<()> {
    let Some(link) = pin::open_link(&pin_dir.link(ifindex, direction))? else {
        return Ok(());
    };
    program.attach_to_link(FdLink::from(link).try_into()?)?;
    Ok(())
}

/// Detaches what a pinned link has attached.
pub(super) fn detach(pin_dir: &PinDir, ifindex: u32, direction: Direction) -> Result<()> {
    pin::unpin(&pin_dir.link(ifindex, direction))
}

/// The ids of the programs on an interface, or `None` without TCX.
fn query(interface: &Interface, direction: Direction) -> Result<Option<Vec<u32>>> {
    bpf::tcx_programs(interface.index, direction)
        .with_context(|| format!("cannot ask for the TCX programs of {}", interface.name))
}

pub(super) const fn attach_type(direction: Direction) -> TcAttachType {
    match direction {
        Direction::Ingress => TcAttachType::Ingress,
        Direction::Egress => TcAttachType::Egress,
    }
}
