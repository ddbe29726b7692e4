//! Uplinks as users describe them, on the command line or in the configuration, and what that means on this host.

mod choices;
pub mod parse;
mod resolve;
mod told;

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use netfwd_common::abi::Filtering;

use crate::{
    datapath::{hook::Hook, ports::Range, uplinks::Choices, xdp},
    mapping::Origin,
};

pub use crate::datapath::uplinks::Found;
pub use choices::{FilteringChoice, HookChoice, XdpChoice};
pub use parse::Clamp;
pub use resolve::{Resolved, resolve};

/// An uplink, and how its packets are translated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, as users set it")]
pub struct Options {
    /// The name of its interface.
    pub interface: String,
    /// Bridges whose subnets are masqueraded; without any, and without subnets, those of all bridges.
    pub bridges: Vec<String>,
    /// Subnets that are masqueraded.
    pub subnets: Vec<IpNet>,
    /// The addresses to masquerade with, at most one a family; without one it is the uplink's primary address.
    pub addresses: Vec<IpAddr>,
    /// Destinations that are not masqueraded.
    pub no_masquerade: Vec<IpNet>,
    /// Whether the subnets that are masqueraded are kept apart.
    pub isolate: bool,
    /// Networks that are kept apart and not masqueraded: nothing is forwarded from the bridges that have them.
    pub internal: Vec<IpNet>,
    /// More of both, of which a user said nothing.
    pub found: Found,
    /// The ports to choose from; without any the usual ones.
    pub ports: Vec<Range>,
    /// Whether an even port gets an even one, and an odd port an odd one.
    pub parity: bool,
    /// Who may send to an outside port that a container has by its own doing.
    pub filtering: Filtering,
    /// Outside ports that one container address may have at once; `None` for any number.
    pub max_ports_per_source: Option<u32>,
    /// The largest TCP segments; `None` leaves them alone.
    pub clamp_mss: Option<Clamp>,
    /// Whether a TCP segment in the middle of an unknown connection opens it.
    pub pick_up: bool,
    /// Whether packets of known flows go past the host's stack.
    pub fast_path: bool,
    /// Whether UDP of known flows is taken before the host's stack, and how.
    pub xdp: xdp::Choice,
    /// The hook; `None` for the best that there is.
    pub hook: Option<Hook>,
    /// Whether processes of the host reach mapped ports. The last uplink that is attached decides for all.
    pub host_access: bool,
    /// IPv4 and IPv6 records at most, when the first uplink is attached.
    pub max_flows: [Option<u32>; 2],
    /// Who attaches it.
    pub origin: Origin,
}

impl Options {
    /// An uplink of which nothing else is said.
    #[must_use]
    pub fn new(interface: &str) -> Self {
        Self {
            interface: interface.to_owned(),
            bridges: Vec::new(),
            subnets: Vec::new(),
            addresses: Vec::new(),
            no_masquerade: Vec::new(),
            isolate: false,
            internal: Vec::new(),
            found: Found::default(),
            ports: Vec::new(),
            parity: false,
            filtering: Filtering::default(),
            max_ports_per_source: None,
            clamp_mss: None,
            pick_up: false,
            fast_path: true,
            xdp: xdp::Choice::default(),
            hook: None,
            host_access: true,
            max_flows: [None; 2],
            origin: Origin::Hand,
        }
    }

    /// What is kept beside what comes of it.
    #[must_use]
    pub fn choices(&self) -> Choices {
        Choices {
            addresses: self.addresses.iter().copied().collect(),
            subnets: self.subnets.iter().copied().collect(),
            bridges: self.bridges.iter().cloned().collect(),
            xdp: self.xdp,
            internal: self.internal.iter().copied().collect(),
            apart: BTreeSet::new(),
            found: self.found.clone(),
            origin: self.origin,
        }
    }
}

/// Whether two networks have an address in common.
pub(crate) fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}
