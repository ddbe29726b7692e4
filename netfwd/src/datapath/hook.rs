//! Where programs are attached: both directions of an uplink, by TCX or clsact.

use netfwd_common::abi::names;
use serde::Serialize;

/// A direction of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// What arrives.
    Ingress,
    /// What leaves.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// Its name in pins, listings and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// The program that belongs there.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Ingress => names::INGRESS,
            Self::Egress => names::EGRESS,
        }
    }
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// A TCX link, from kernel 6.6 on.
    Tcx,
    /// A filter on the clsact queueing discipline.
    Tc,
}

impl Hook {
    /// Its name in sentences.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcx => "TCX",
            Self::Tc => "clsact",
        }
    }
}
