//! What is masqueraded, as which address, and what is not.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::{Result, bail};
use ipnet::IpNet;
use netfwd_common::abi::{V4, V6};

use super::{super::overlap, Options};
use crate::{
    cli::Misuse,
    datapath::uplinks::{Choices, InUse, Networks},
    family::Family,
    host::interfaces::{Interface, Interfaces},
};

/// Both families' networks, and what is not masqueraded of what might be. An address that is in use is kept while the uplink
/// has it, for its connections' sake.
pub(super) fn resolve(
    options: &Options,
    choices: &Choices,
    uplink: &Interface,
    interfaces: &Interfaces,
    in_use: InUse,
) -> Result<(Networks<V4>, Networks<V6>, Vec<String>)> {
    let (chosen_v4, chosen_v6) =
        (chosen::<V4>(choices, uplink, interfaces)?, chosen::<V6>(choices, uplink, interfaces)?);
    refuse_without_subnets(choices, interfaces)?;
    refuse_internal_subnets(options)?;
    let (subnets_v4, subnets_v6) =
        (choices.networks::<V4>(uplink, interfaces), choices.networks::<V6>(uplink, interfaces));
    if subnets_v4.is_empty() && subnets_v6.is_empty() {
        bail!("{}", why_no_subnets(choices));
    }
    let mut notes = Vec::new();
    let v4 = match chosen_v4.or(uplink.kept(in_use.v4)).or(uplink.primary_address()) {
        Some(address) => networks(subnets_v4, address, options, &mut notes)?,
        None if subnets_v4.iter().all(|subnet| is_found::<V4>(options, *subnet)) => {
            leave_out(&subnets_v4, || why_no_ipv4(uplink, interfaces), &mut notes)
        }
        None => bail!("{}", why_no_ipv4(uplink, interfaces)),
    };
    let v6 = match chosen_v6.or(uplink.kept(in_use.v6)).or(uplink.primary_address()) {
        Some(address) => networks(subnets_v6, address, options, &mut notes)?,
        None if options.subnets.iter().any(|subnet| matches!(subnet, IpNet::V6(_))) => bail!("{}", why_no_ipv6(uplink)),
        None => leave_out(&subnets_v6, || why_no_ipv6(uplink), &mut notes),
    };
    if v4.subnets.is_empty() && v6.subnets.is_empty() {
        bail!("{}", notes.join("; "));
    }
    Ok((
        Networks { exclusions: excluded::<V4>(options), ..v4 },
        Networks { exclusions: excluded::<V6>(options), ..v6 },
        notes,
    ))
}

/// The subnets of a family that are meant, and are not masqueraded.
pub(super) fn not_masqueraded<A: Family>(
    networks: &Networks<A>,
    choices: &Choices,
    uplink: &Interface,
    interfaces: &Interfaces,
) -> Vec<IpNet> {
    let meant = choices.networks::<A>(uplink, interfaces).into_iter();
    let is_masqueraded = |subnet: &A::Net| networks.subnets.iter().any(|(network, _)| network == subnet);
    meant.filter(|subnet| !is_masqueraded(subnet)).map(Into::into).collect()
}

/// The address that the user chose.
fn chosen<A: Family>(choices: &Choices, uplink: &Interface, interfaces: &Interfaces) -> Result<Option<A>> {
    let mut of_family = choices.addresses.iter().filter_map(|address| A::from_ip(*address));
    let Some(address) = of_family.next() else { return Ok(None) };
    if let Some(second) = of_family.next() {
        let text = format!("{} and {} are two {} addresses: give one", address.ip(), second.ip(), A::NAME);
        return Err(Misuse(text).into());
    }
    if interfaces.with_address(address.ip()).is_none() {
        bail!("{} is no address of this host; {}", address.ip(), own::<A>(uplink));
    }
    Ok(Some(address))
}

fn own<A: Family>(uplink: &Interface) -> String {
    let addresses = uplink.addresses.iter().filter_map(|address| A::from_ip(address.net.addr()));
    let addresses: Vec<_> = addresses.map(|address| address.ip().to_string()).collect();
    if addresses.is_empty() {
        format!("{} has no {} address", uplink.name, A::NAME)
    } else {
        format!("{} has {}", uplink.name, addresses.join(", "))
    }
}

/// Fails if one of the chosen bridges has nothing to masquerade.
fn refuse_without_subnets(choices: &Choices, interfaces: &Interfaces) -> Result<()> {
    for name in &choices.bridges {
        let bridge = interfaces.bridge(name)?;
        if bridge.networks::<V4>().is_empty() && bridge.networks::<V6>().is_empty() {
            bail!("the bridge {name} has no address, so no subnet: give it with --subnet CIDR");
        }
    }
    Ok(())
}

/// Fails if a network is to be masqueraded and internal.
fn refuse_internal_subnets(options: &Options) -> Result<()> {
    for subnet in &options.subnets {
        if let Some(internal) = options.internal.iter().find(|internal| overlap(internal, subnet)) {
            let text =
                format!("--subnet {subnet} is to be masqueraded, and nothing of --internal {internal} is: choose one");
            return Err(Misuse(text).into());
        }
    }
    Ok(())
}

/// Whether no user has asked for a subnet.
fn is_found<A: Family>(options: &Options, subnet: A::Net) -> bool {
    let subnet = subnet.into();
    options.found.masqueraded.contains(&subnet) && !options.subnets.contains(&subnet)
}

fn networks<A: Family>(
    subnets: BTreeSet<A::Net>,
    address: A,
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Networks<A>> {
    let (conflicts, subnets): (Vec<_>, Vec<_>) = subnets.into_iter().partition(|subnet| A::contains(*subnet, address));
    for subnet in conflicts {
        let text = format!("{subnet} contains {}, the address to masquerade with", address.ip());
        if !is_found::<A>(options, subnet) {
            bail!("{text}: the host's own traffic would be masqueraded; give the containers' subnet");
        }
        notes.push(format!("does not masquerade {subnet}: {text}"));
    }
    let subnets = subnets.into_iter().map(|subnet| (subnet, address)).collect();
    Ok(Networks { subnets, exclusions: Vec::new() })
}

fn leave_out<A: Family>(subnets: &BTreeSet<A::Net>, why: impl Fn() -> String, notes: &mut Vec<String>) -> Networks<A> {
    notes.extend(subnets.iter().map(|subnet| format!("does not masquerade {subnet}: {}", why())));
    Networks::default()
}

fn excluded<A: Family>(options: &Options) -> Vec<A::Net> {
    let excluded: BTreeSet<_> = options.no_masquerade.iter().filter_map(|net| A::from_net(*net)).collect();
    excluded.into_iter().collect()
}

fn why_no_subnets(choices: &Choices) -> &'static str {
    if choices.bridges.is_empty() {
        "there is no bridge with an address: start Docker first, or give the subnet with --subnet CIDR"
    } else {
        "the bridges have no subnets: give them with --subnet CIDR"
    }
}

fn why_no_ipv4(uplink: &Interface, interfaces: &Interfaces) -> String {
    let name = &uplink.name;
    match uplink.master.and_then(|index| interfaces.with_index(index)) {
        Some(master) => {
            format!("{name} has no IPv4 address: it is a member of {0}, so attach to {0}", master.name)
        }
        None => format!("{name} has no IPv4 address: add one with `ip address add ADDRESS/LENGTH dev {name}`"),
    }
}

fn why_no_ipv6(uplink: &Interface) -> String {
    let name = &uplink.name;
    let is_global = |address: IpAddr| matches!(address, IpAddr::V6(address) if !address.is_unicast_link_local());
    let passing = uplink.addresses.iter().map(|address| address.net.addr()).find(|address| is_global(*address));
    match (uplink.ipv6, passing) {
        (None, _) => format!("{name} has no IPv6: the kernel has none, or the interface's MTU is below 1280"),
        (Some(switches), _) if switches.is_disabled => {
            let switch = format!("net.ipv6.conf.{}.disable_ipv6", name.replace('.', "/"));
            format!("IPv6 is disabled on {name} ({switch} is 1): run `sysctl -w {switch}=0`, and give it an address")
        }
        (Some(_), Some(address)) => format!(
            "{name}'s IPv6 address {address} is tentative, deprecated or temporary: attach again when it has another \
             one, or give one with --address"
        ),
        (Some(_), None) => {
            format!("{name} has no global IPv6 address: add one with `ip address add ADDRESS/LENGTH dev {name}`")
        }
    }
}
