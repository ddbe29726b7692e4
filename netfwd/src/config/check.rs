//! What contradicts itself.

use std::{net::IpAddr, ops::Range};

use toml::Spanned;

use super::{Address, Config, Subnet, Uplink};
use crate::uplink::overlap;

/// Two places that exclude each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contradiction {
    /// What is wrong.
    pub(super) message: String,
    /// The first place, in bytes.
    pub(super) first: Range<usize>,
    /// The second one.
    pub(super) second: Range<usize>,
}

/// Fails if an uplink or a host port is there twice, or an uplink cannot be as it is described.
pub(super) fn check(config: &Config) -> Result<(), Contradiction> {
    let uplinks: Vec<_> = config.uplinks.iter().map(|uplink| &uplink.interface).collect();
    refuse_pairs(&uplinks, |first, second| (first == second).then(|| format!("the uplink {second} is there twice")))?;
    config.uplinks.iter().try_for_each(check_uplink)?;
    let mappings: Vec<_> = config.mappings.iter().collect();
    refuse_pairs(&mappings, |first, second| {
        let pairs = second.mappings().flat_map(|second| first.mappings().map(move |first| (first, second)));
        let shared = pairs.into_iter().find(|(first, second)| first.host.overlaps(&second.host));
        shared.map(|(first, second)| format!("{} is mapped already, by {first}", second.host))
    })
}

fn check_uplink(uplink: &Uplink) -> Result<(), Contradiction> {
    let addresses: Vec<_> = uplink.addresses.iter().collect();
    refuse_pairs(&addresses, |Address(first), Address(second)| {
        (first != second && first.is_ipv4() == second.is_ipv4())
            .then(|| format!("{first} and {second} are two {} addresses: give one", family(first)))
    })?;
    for subnet in &uplink.subnets {
        for internal in &uplink.internal {
            let (Subnet(one), Subnet(other)) = (subnet.get_ref(), internal.get_ref());
            if overlap(one, other) {
                let message = format!("{one} is to be masqueraded, and nothing of the internal {other} is: choose one");
                return Err(Contradiction { message, first: internal.span(), second: subnet.span() });
            }
        }
    }
    Ok(())
}

fn family(address: &IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn refuse_pairs<T>(all: &[&Spanned<T>], problem: impl Fn(&T, &T) -> Option<String>) -> Result<(), Contradiction> {
    for (place, second) in all.iter().enumerate() {
        for first in all.iter().take(place) {
            if let Some(message) = problem(first.get_ref(), second.get_ref()) {
                return Err(Contradiction { message, first: first.span(), second: second.span() });
            }
        }
    }
    Ok(())
}
