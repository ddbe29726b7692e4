//! What the listings tell, gathered from the maps. The shapes of their JSON are in docs/json.md and never change:
//! fields are only added.

pub mod census;
pub mod explain;
pub mod flows;
pub mod mappings;
pub mod packet;
pub mod plan;
pub mod stats;
pub mod status;
pub mod timeouts;
pub mod trace;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result};
use netfwd_common::abi::{Counter, Endpoint, Rule, names};
use nix::net::if_::if_indextoname;
use serde::Serialize;

use crate::{datapath::maps::Maps, family::Family};

/// Packets and their bytes, from the IP header on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Packets; a GSO packet counts as one.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// The port; for ICMP echo the identifier on the requester's side, and 0 on the other.
    pub port: u16,
}

/// An interface of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name; `null` when it is gone.
    pub name: Option<String>,
    /// Its index.
    pub index: u32,
}

/// What went through a mapping or masqueraded subnet since it was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Through {
    /// In the direction of the first packet.
    pub(crate) original: Traffic,
    /// In the direction of the answers.
    pub(crate) reply: Traffic,
    /// Connections made.
    pub(crate) flows: u64,
}

impl Through {
    pub(crate) fn read(maps: &Maps, rule: Rule) -> Result<Self> {
        let counters = maps.rule_counters.get(&rule.id, 0);
        let counters = counters.with_context(|| format!("cannot read the map {}", names::RULE_COUNTERS))?;
        Ok(Self {
            original: Traffic::sum(counters.iter().map(|counter| counter.original)),
            reply: Traffic::sum(counters.iter().map(|counter| counter.reply)),
            flows: counters.iter().map(|counter| counter.flows).sum(),
        })
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            original: self.original.plus(other.original),
            reply: self.reply.plus(other.reply),
            flows: self.flows.wrapping_add(other.flows),
        }
    }
}

impl Interface {
    pub(crate) fn with_index(index: u32) -> Self {
        let name = if_indextoname(index).ok().and_then(|name| name.into_string().ok());
        Self { name, index }
    }

    pub(crate) fn text(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("ifindex {} (gone)", self.index))
    }
}

impl Traffic {
    /// The sum of the values of all CPUs.
    fn sum(counters: impl IntoIterator<Item = Counter>) -> Self {
        counters.into_iter().fold(Self::default(), |sum, Counter { packets, bytes }| sum.plus(Self { packets, bytes }))
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { packets: self.packets.wrapping_add(other.packets), bytes: self.bytes.wrapping_add(other.bytes) }
    }

    /// Without a part of it.
    pub(crate) fn minus(self, part: Self) -> Self {
        Self { packets: self.packets.saturating_sub(part.packets), bytes: self.bytes.saturating_sub(part.bytes) }
    }
}

impl<A: Family> From<Endpoint<A>> for Address {
    fn from(endpoint: Endpoint<A>) -> Self {
        Self { address: endpoint.address.ip(), port: u16::from_be_bytes(endpoint.port) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            // The responder of ICMP echo has no port.
            0 => write!(f, "{}", self.address),
            port => write!(f, "{}", SocketAddr::new(self.address, port)),
        }
    }
}
