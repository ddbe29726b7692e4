//! The program of the fast path that runs before the host's stack, on an uplink: attached by a link, which is pinned.

use anyhow::{Context as _, Error, Result};
use aya::programs::{XdpMode, links::FdLink};
use netfwd_common::abi;
use serde::Serialize;

use super::{
    load::{Loaded, pinned_xdp},
    pin::{self, PinDir},
};
use crate::host::{bpf, ethtool, interfaces::Interface};

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver.
    Native,
    /// By the kernel, in socket buffers.
    Generic,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Native, Self::Generic];

    /// Its name in pins, listings and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    const fn flag(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }
}

/// What attach was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// None.
    #[default]
    Off,
    /// In the driver of a device that can; else none.
    Auto,
    /// In the driver.
    Native,
    /// By the kernel.
    Generic,
}

impl Choice {
    /// All.
    pub const ALL: [Self; 4] = [Self::Off, Self::Auto, Self::Native, Self::Generic];

    /// Its number in the map of choices.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Auto => 1,
            Self::Native => 2,
            Self::Generic => 3,
        }
    }
}

/// What became of a choice.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How the program is attached now.
    pub mode: Option<Mode>,
    /// Whether that is new.
    pub is_new: bool,
    /// Whether the interface belongs to no device.
    pub is_virtual: bool,
}

/// Why the program is not attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Attached with `--xdp off`, or without `--xdp`.
    Off,
    /// The uplink has no fast path.
    NoFastPath,
    /// The interface belongs to no device, and attach was to choose.
    NoDevice,
    /// The driver did not take the program, and attach was to choose.
    Refused,
    /// It is not attached any more.
    Detached,
}

/// Attaches what a choice comes to on an uplink, and detaches what it does not.
pub fn apply(pin_dir: &PinDir, interface: &Interface, known: &abi::Interface, choice: Choice) -> Result<Outcome> {
    let (before, is_virtual) = (pinned_mode(pin_dir, interface.index), !is_device(interface)?);
    let wanted = match choice {
        _ if !known.has_fast_path() => None,
        Choice::Off => None,
        Choice::Auto => (!is_virtual).then_some(Mode::Native),
        Choice::Native => Some(Mode::Native),
        Choice::Generic => Some(Mode::Generic),
    };
    let mode = match set(pin_dir, interface, wanted) {
        Ok(()) => wanted,
        Err(_) if choice == Choice::Auto => None,
        Err(error) => return Err(after_restoring(pin_dir, interface, before, error)),
    };
    Ok(Outcome { mode, is_new: mode != before, is_virtual })
}

fn after_restoring(pin_dir: &PinDir, interface: &Interface, before: Option<Mode>, error: Error) -> Error {
    match set(pin_dir, interface, before) {
        Ok(()) => error,
        Err(second) => error.context(format!("what was attached before is not any more ({second:#})")),
    }
}

/// Attaches the pinned program in this mode and no other.
pub fn set(pin_dir: &PinDir, interface: &Interface, wanted: Option<Mode>) -> Result<()> {
    let present = attached(pin_dir, interface)?;
    if present.is_some() && present == wanted {
        return Ok(());
    }
    detach(pin_dir, interface.index)?;
    wanted.map_or(Ok(()), |mode| attach(pin_dir, interface, mode))
}

fn attach(pin_dir: &PinDir, interface: &Interface, mode: Mode) -> Result<()> {
    let what = || format!("cannot attach to {} with XDP ({}): use `--xdp off`", interface.name, mode.as_str());
    let mut program = pinned_xdp(pin_dir)?;
    let id = program.attach_to_if_index(interface.index, mode.flag()).with_context(what)?;
    let link: FdLink = program.take_link(id)?.try_into().with_context(what)?;
    let path = pin_dir.xdp_link(interface.index, mode);
    link.pin(&path).with_context(|| format!("cannot pin {}", path.display()))?;
    Ok(())
}

/// How the program is attached to an interface, as it was when the interfaces were listed.
pub fn attached(pin_dir: &PinDir, interface: &Interface) -> Result<Option<Mode>> {
    for mode in Mode::ALL {
        if let Some(link) = pin::open_link(&pin_dir.xdp_link(interface.index, mode))? {
            let id = FdLink::from(link).info().context("cannot examine an XDP link")?.program_id();
            return Ok(interface.xdp_programs.contains(&id).then_some(mode));
        }
    }
    Ok(None)
}

/// How an uplink's program is attached, or why it is not.
pub fn state(
    pin_dir: &PinDir,
    interface: &Interface,
    known: &abi::Interface,
    choice: Choice,
) -> Result<Result<Mode, Why>> {
    if let Some(mode) = attached(pin_dir, interface)? {
        return Ok(Ok(mode));
    }
    Ok(Err(match choice {
        Choice::Off => Why::Off,
        _ if !known.has_fast_path() => Why::NoFastPath,
        Choice::Auto if !is_device(interface)? => Why::NoDevice,
        Choice::Auto => Why::Refused,
        Choice::Native | Choice::Generic => Why::Detached,
    }))
}

/// How the program was attached to an interface that may be gone.
#[must_use]
pub fn pinned_mode(pin_dir: &PinDir, ifindex: u32) -> Option<Mode> {
    Mode::ALL.into_iter().find(|mode| pin_dir.xdp_link(ifindex, *mode).exists())
}

/// Puts a program in the place of the attached one, atomically.
pub(super) fn replace(pin_dir: &PinDir, ifindex: u32, loaded: &mut Loaded) -> Result<()> {
    for mode in Mode::ALL {
        if let Some(link) = pin::open_link(&pin_dir.xdp_link(ifindex, mode))? {
            loaded.xdp()?.attach_to_link(FdLink::from(link).try_into()?)?;
        }
    }
    Ok(())
}

/// Detaches from an interface, also one that is gone.
pub(super) fn detach(pin_dir: &PinDir, ifindex: u32) -> Result<()> {
    Mode::ALL.into_iter().try_for_each(|mode| {
        let path = pin_dir.xdp_link(ifindex, mode);
        bpf::detach_link(&path).with_context(|| format!("cannot detach the pinned link {}", path.display()))?;
        pin::unpin(&path)
    })
}

fn is_device(interface: &Interface) -> Result<bool> {
    ethtool::is_device(&interface.name).with_context(|| format!("cannot ask for the driver of {}", interface.name))
}
