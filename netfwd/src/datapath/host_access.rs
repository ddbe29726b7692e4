//! Host access: the programs by which processes of the host reach mapped ports.
//!
//! They are attached to the root of the cgroup hierarchy by links (kernel 5.7), which are pinned. Programs of others
//! may be attached there too: all of them run.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::{Context as _, Error, Result};
use aya::{
    programs::{
        CgroupAttachMode, CgroupSockAddr,
        cgroup_sock_addr::CgroupSockAddrAttachType,
        links::{FdLink, LinkError, PinnedLink},
    },
    sys::SyscallError,
};
use netfwd_common::abi::names;
use serde::Serialize;

use super::pin::{self, PinDir};
use crate::host::cgroup;

/// Where the programs of [`names::HOST_ACCESS`] belong, in the same order.
const HOOKS: [CgroupSockAddrAttachType; names::HOST_ACCESS.len()] = [
    CgroupSockAddrAttachType::Connect4,
    CgroupSockAddrAttachType::Connect6,
    CgroupSockAddrAttachType::UDPSendMsg4,
    CgroupSockAddrAttachType::UDPSendMsg6,
    CgroupSockAddrAttachType::UDPRecvMsg4,
    CgroupSockAddrAttachType::UDPRecvMsg6,
    CgroupSockAddrAttachType::GetPeerName4,
    CgroupSockAddrAttachType::GetPeerName6,
];

/// Whether the programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All of them.
    On,
    /// None.
    Off,
    /// Some: an attach was killed.
    Partial,
}

/// What became of host access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it was.
    #[default]
    Unchanged,
    /// It was turned on.
    TurnedOn,
    /// It was turned off.
    TurnedOff,
    /// It cannot be turned on: no cgroup hierarchy of version 2 can be seen.
    NoHierarchy,
}

/// Whether the programs are attached.
pub fn state(pin_dir: &PinDir) -> Result<State> {
    let mut attached = 0;
    for name in names::HOST_ACCESS {
        attached += usize::from(linked_program(pin_dir, name)?.is_some());
    }
    Ok(match attached {
        0 => State::Off,
        _ if attached == names::HOST_ACCESS.len() => State::On,
        _ => State::Partial,
    })
}

/// Turns host access on or off. Pinned programs of this build take the place of attached ones of another.
pub fn apply(pin_dir: &PinDir, is_wanted: bool) -> Result<Outcome> {
    let before = state(pin_dir)?;
    if !is_wanted {
        detach(pin_dir)?;
        return Ok(if before == State::Off { Outcome::Unchanged } else { Outcome::TurnedOff });
    }
    let Some(root) = cgroup::root()? else {
        return Ok(Outcome::NoHierarchy);
    };
    if let Err(error) = attach(pin_dir, &root) {
        if before == State::Off {
            detach(pin_dir)?;
        }
        return Err(error.context("cannot give the host's own processes access (`--no-host-access` leaves it out)"));
    }
    Ok(if before == State::On { Outcome::Unchanged } else { Outcome::TurnedOn })
}

fn attach(pin_dir: &PinDir, root: &Path) -> Result<()> {
    let cgroup = File::open(root).with_context(|| format!("cannot open {}", root.display()))?;
    for (name, hook) in names::HOST_ACCESS.into_iter().zip(HOOKS) {
        attach_one(pin_dir, &cgroup, name, hook)
            .with_context(|| format!("cannot attach {name} to the cgroup {}", root.display()))?;
    }
    Ok(())
}

/// Attaches a pinned program unless it is. The link of another build's program gives way after that: a call that both
/// see is redirected by the first.
fn attach_one(pin_dir: &PinDir, cgroup: &File, name: &str, hook: CgroupSockAddrAttachType) -> Result<()> {
    let mut program = CgroupSockAddr::from_pin(pin_dir.program(name), hook)?;
    if linked_program(pin_dir, name)? == Some(program.info()?.id()) {
        return Ok(());
    }
    // The kernel takes no flags for a link, which is always one of several.
    let id = program.attach(cgroup, CgroupAttachMode::Single)?;
    let link: FdLink = program.take_link(id)?.try_into()?;
    let (path, fresh) = (pin_dir.host_link(name), pin_dir.host_link(&format!("{name}_new")));
    pin::unpin(&fresh)?;
    link.pin(&fresh).with_context(|| format!("cannot pin {}", fresh.display()))?;
    fs::rename(&fresh, &path).with_context(|| format!("cannot pin {}", path.display()))
}

fn detach(pin_dir: &PinDir) -> Result<()> {
    names::HOST_ACCESS.into_iter().try_for_each(|name| pin::unpin(&pin_dir.host_link(name)))
}

/// The id of the program that a pinned link has attached.
fn linked_program(pin_dir: &PinDir, name: &str) -> Result<Option<u32>> {
    let path = pin_dir.host_link(name);
    match PinnedLink::from_pin(&path) {
        Ok(link) => Ok(Some(FdLink::from(link).info().context("cannot examine a cgroup link")?.program_id())),
        Err(LinkError::SyscallError(SyscallError { io_error, .. })) if io_error.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(Error::new(error).context(format!("cannot open the pinned link {}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_belongs_where_its_name_says() {
        for (name, hook) in names::HOST_ACCESS.into_iter().zip(HOOKS) {
            let hook = format!("{hook:?}").to_lowercase().replace("udp", "");
            assert_eq!(name, format!("netfwd_{hook}"));
        }
    }
}
