//! What a Docker Engine says: which ports its containers publish, and which networks it has. It is what should be; the
//! kernel part is not touched here.
//!
//! [`Watch`] follows an [`Engine`] and hands out a whole [`State`] whenever it has changed. What becomes of what the
//! engine says is decided by pure functions: `published` and `gateway` for containers, `networks` for networks, `event`
//! for what is to be asked again.

mod engine;
mod event;
mod explain;
mod gateway;
mod networks;
mod published;
mod session;
mod watch;

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::mapping::Mapping;

pub use engine::{Description, Engine};
pub use watch::Watch;

/// An id that the engine gave: 64 hexadecimal digits. Names may change, ids do not.
pub type Id = String;

/// All that an engine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The containers that run, paused ones too.
    pub containers: BTreeMap<Id, Container>,
    /// The networks of the bridge driver.
    pub networks: BTreeMap<Id, Network>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name, without Docker's slash.
    pub name: String,
    /// What it publishes now. Consecutive ports are one mapping.
    pub mappings: Vec<Mapping>,
}

/// A network that is a bridge of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The interface.
    pub bridge: String,
    /// Its subnets.
    pub subnets: Vec<IpNet>,
    /// Those of the subnets whose containers are to reach the outside by the host's address.
    pub masqueraded: Vec<IpNet>,
    /// Those of the subnets that Docker keeps from other networks and from the outside, but for published ports.
    pub apart: Vec<IpNet>,
    /// Whether its containers are to reach nobody outside (`docker network create --internal`).
    pub is_internal: bool,
}

/// News of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// All that it has now. After [`Update::Lost`] it also says that the engine is back, if nothing has changed.
    Changed(State),
    /// It cannot be asked, for this reason, and is tried again and again. What was known of it still holds: containers
    /// live on without their engine.
    Lost(String),
}
