//! Attaching the programs to an uplink or bridge, and detaching them.

use anyhow::{Context as _, Result, bail};
use aya::programs::SchedClassifier;
use netfwd_common::abi::Role;
use serde::Serialize;

use super::{
    hook::{Direction, Hook, is_attached_by_netfwd},
    load::{Loaded, is_pinned, pinned_program},
    pin::PinDir,
    tc, tcx, xdp,
};
use crate::host::{
    bpf,
    interfaces::{Interface, Interfaces},
    kernel::{self, Unsupported},
    netlink::Netlink,
};

/// A program on an uplink or bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// Which way.
    pub direction: Direction,
    /// By what.
    pub hook: Hook,
    /// The id of the program.
    pub program_id: u32,
}

/// What is attached to an interface.
pub fn attachments(pin_dir: &PinDir, netlink: &Netlink, interface: &Interface) -> Result<Vec<Attachment>> {
    let mut found = Vec::new();
    for direction in Direction::ALL {
        if let Some(program_id) = tcx::attached_program(pin_dir, interface, direction)? {
            found.push(Attachment { direction, hook: Hook::Tcx, program_id });
        }
        if let Some(program_id) = tc::attached_program(pin_dir, netlink, interface, direction)? {
            found.push(Attachment { direction, hook: Hook::Tc, program_id });
        }
    }
    Ok(found)
}

/// The hook to use: TCX where the kernel has it, unless the user chose.
pub fn choose_hook(interface: &Interface, wanted: Option<Hook>) -> Result<Hook> {
    match (wanted, tcx::is_supported(interface)?) {
        (Some(Hook::Tcx), false) => Err(Unsupported::NoTcx(kernel::release()?).into()),
        (Some(hook), _) => Ok(hook),
        (None, true) => Ok(Hook::Tcx),
        (None, false) => Ok(Hook::Tc),
    }
}

/// Fails if a netfwd that is pinned elsewhere is attached to an interface: two would translate every packet twice.
///
/// What a process without `CAP_SYS_ADMIN` finds with TCX has no name, and counts as somebody else's.
pub fn refuse_another(pin_dir: &PinDir, netlink: &Netlink, interface: &Interface) -> Result<()> {
    for direction in Direction::ALL {
        for Other { id, name } in others(pin_dir, netlink, interface, direction)? {
            if name.is_some_and(|name| is_attached_by_netfwd(&name)) {
                bail!(
                    "{0} has the program {id} of another netfwd on its {1}: detach that one with its own --pin-dir, \
                     or remove a filter that was left over with `tc filter del dev {0} {1}`",
                    interface.name,
                    direction.as_str()
                );
            }
        }
    }
    Ok(())
}

/// A program on an interface that is not pinned here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its id.
    pub id: u32,
    /// Its name, if this process may know it.
    pub name: Option<String>,
}

/// The programs on one side of an interface, by TCX and by traffic control, that are not pinned here.
pub fn others(pin_dir: &PinDir, netlink: &Netlink, interface: &Interface, direction: Direction) -> Result<Vec<Other>> {
    let programs = tcx::programs(interface, direction)?.into_iter();
    let programs = programs.filter(|id| !is_pinned(pin_dir, *id)).map(|id| Other { id, name: bpf::program_name(id) });
    let filters = netlink.filters(interface.index, direction)?.into_iter();
    let filters = filters.filter_map(|filter| Some(Other { id: filter.program_id?, name: filter.program_name }));
    Ok(programs.chain(filters.filter(|other| !is_pinned(pin_dir, other.id))).collect())
}

/// Attaches the pinned programs of a role where they are missing, and returns what was attached.
pub fn attach(
    pin_dir: &PinDir,
    netlink: &Netlink,
    interface: &Interface,
    role: Role,
    hook: Hook,
) -> Result<Vec<Direction>> {
    let present = attachments(pin_dir, netlink, interface)?;
    let is_missing = |direction: &Direction| {
        !present.iter().any(|attachment| attachment.direction == *direction && attachment.hook == hook)
    };
    let mut attached = Vec::new();
    for direction in Direction::of(role).iter().copied().filter(is_missing) {
        let mut program = pinned_program(pin_dir, direction.program(role))?;
        let result = match hook {
            Hook::Tcx => tcx::attach(pin_dir, interface, direction, &mut program),
            Hook::Tc => tc::attach(pin_dir, netlink, interface, direction, &mut program),
        };
        if let Err(error) = result {
            for direction in attached {
                detach_one(pin_dir, netlink, interface, direction, hook)?;
            }
            let (program, interface) = (direction.program(role), &interface.name);
            let what = format!("cannot attach {program} to {interface} with {}", hook.as_str());
            return Err(error.context(what));
        }
        attached.push(direction);
    }
    Ok(attached)
}

/// Detaches what is attached to an interface by another hook than this one.
pub fn leave_other_hook(pin_dir: &PinDir, netlink: &Netlink, interface: &Interface, hook: Hook) -> Result<()> {
    for other in attachments(pin_dir, netlink, interface)?.iter().filter(|other| other.hook != hook) {
        detach_one(pin_dir, netlink, interface, other.direction, other.hook)?;
    }
    Ok(())
}

/// Detaches one program.
pub fn detach_one(
    pin_dir: &PinDir,
    netlink: &Netlink,
    interface: &Interface,
    direction: Direction,
    hook: Hook,
) -> Result<()> {
    match hook {
        Hook::Tcx => tcx::detach(pin_dir, interface.index, direction),
        Hook::Tc => tc::detach(pin_dir, netlink, interface, direction),
    }
    .with_context(|| format!("cannot detach from {}'s {}", interface.name, direction.as_str()))
}

/// Detaches everything from an interface, also one that is gone.
pub fn detach(pin_dir: &PinDir, netlink: &Netlink, interfaces: &Interfaces, ifindex: u32) -> Result<()> {
    let interface = interfaces.with_index(ifindex);
    xdp::detach(pin_dir, ifindex)?;
    for direction in Direction::ALL {
        tcx::detach(pin_dir, ifindex, direction)?;
        if let Some(interface) = interface {
            detach_one(pin_dir, netlink, interface, direction, Hook::Tc)?;
        }
    }
    Ok(())
}

/// Puts newly loaded programs in the place of the attached and pinned ones, without a packet in between that is not
/// translated.
pub fn replace(
    pin_dir: &PinDir,
    netlink: &Netlink,
    interfaces: &[(&Interface, Role)],
    loaded: &mut Loaded,
) -> Result<()> {
    // First, and for good: with either program of an uplink either of these works.
    for (interface, _) in interfaces {
        xdp::replace(pin_dir, interface.index, loaded)
            .with_context(|| format!("cannot replace the XDP program of {}", interface.name))?;
    }
    let mut replaced: Vec<(&Interface, Role, Attachment)> = Vec::new();
    for (interface, role) in interfaces {
        for attachment in attachments(pin_dir, netlink, interface)? {
            let program = loaded.program(attachment.direction.program(*role))?;
            if let Err(error) = replace_one(pin_dir, interface, attachment, program) {
                for (interface, role, attachment) in replaced {
                    let mut old = pinned_program(pin_dir, attachment.direction.program(role))?;
                    replace_one(pin_dir, interface, attachment, &mut old)?;
                }
                return Err(error);
            }
            replaced.push((interface, *role, attachment));
        }
    }
    loaded.pin(pin_dir)
}

fn replace_one(
    pin_dir: &PinDir,
    interface: &Interface,
    attachment: Attachment,
    program: &mut SchedClassifier,
) -> Result<()> {
    let Attachment { direction, hook, .. } = attachment;
    match hook {
        Hook::Tcx => tcx::replace(pin_dir, interface.index, direction, program),
        Hook::Tc => tc::replace(interface, direction, program),
    }
    .with_context(|| format!("cannot replace the program on {}'s {}", interface.name, direction.as_str()))
}
