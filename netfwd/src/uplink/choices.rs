//! What users choose by a word.

use clap::ValueEnum;
use netfwd_common::abi::Filtering;
use serde::{Deserialize, Serialize};

use crate::datapath::{hook::Hook, xdp};

/// Who may send to an outside port that a container has by its own doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FilteringChoice {
    /// Everybody
    Endpoint,
    /// Whomever the container has sent to, from any port
    Address,
    /// Whomever the container has sent to, from the port that it sent to
    #[default]
    AddressAndPort,
}

/// How programs are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum HookChoice {
    /// TCX if the kernel has it (6.6), else tc
    #[default]
    Auto,
    /// A TCX link
    Tcx,
    /// A filter on the clsact queueing discipline
    Tc,
}

/// Whether UDP of known flows is taken before the host's stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum XdpChoice {
    /// In the driver of hardware and of virtio, if it can
    Auto,
    /// In the driver, whatever it is
    Native,
    /// In the kernel, for any interface: no faster
    Generic,
    /// Not at all
    #[default]
    Off,
}

impl From<FilteringChoice> for Filtering {
    fn from(choice: FilteringChoice) -> Self {
        match choice {
            FilteringChoice::Endpoint => Self::Endpoint,
            FilteringChoice::Address => Self::Address,
            FilteringChoice::AddressAndPort => Self::AddressAndPort,
        }
    }
}

impl From<HookChoice> for Option<Hook> {
    fn from(choice: HookChoice) -> Self {
        match choice {
            HookChoice::Auto => None,
            HookChoice::Tcx => Some(Hook::Tcx),
            HookChoice::Tc => Some(Hook::Tc),
        }
    }
}

impl From<XdpChoice> for xdp::Choice {
    fn from(choice: XdpChoice) -> Self {
        match choice {
            XdpChoice::Auto => Self::Auto,
            XdpChoice::Native => Self::Native,
            XdpChoice::Generic => Self::Generic,
            XdpChoice::Off => Self::Off,
        }
    }
}

impl From<Filtering> for FilteringChoice {
    fn from(filtering: Filtering) -> Self {
        match filtering {
            Filtering::Endpoint => Self::Endpoint,
            Filtering::Address => Self::Address,
            Filtering::AddressAndPort => Self::AddressAndPort,
        }
    }
}

impl From<Option<Hook>> for HookChoice {
    fn from(hook: Option<Hook>) -> Self {
        match hook {
            None => Self::Auto,
            Some(Hook::Tcx) => Self::Tcx,
            Some(Hook::Tc) => Self::Tc,
        }
    }
}

impl From<xdp::Choice> for XdpChoice {
    fn from(choice: xdp::Choice) -> Self {
        match choice {
            xdp::Choice::Auto => Self::Auto,
            xdp::Choice::Native => Self::Native,
            xdp::Choice::Generic => Self::Generic,
            xdp::Choice::Off => Self::Off,
        }
    }
}
