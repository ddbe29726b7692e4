//! Where programs are attached: both directions of an uplink, what arrives at a bridge, by TCX or clsact.

use netfwd_common::abi::{Role, names};
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

    /// The directions in which an interface of a role has a program.
    #[must_use]
    pub const fn of(role: Role) -> &'static [Self] {
        match role {
            Role::Uplink => &Self::ALL,
            Role::Bridge | Role::Member => &[Self::Ingress],
        }
    }

    /// The program that belongs there on an interface of a role.
    #[must_use]
    pub const fn program(self, role: Role) -> &'static str {
        match (role, self) {
            (Role::Uplink, Self::Ingress) => names::INGRESS,
            (Role::Uplink, Self::Egress) => names::EGRESS,
            (Role::Bridge, _) => names::BRIDGE,
            (Role::Member, _) => names::MEMBER,
        }
    }
}

/// Whether a program of this name is attached by netfwd.
#[must_use]
pub fn is_attached_by_netfwd(program: &str) -> bool {
    [names::INGRESS, names::EGRESS, names::BRIDGE, names::MEMBER].contains(&program)
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
