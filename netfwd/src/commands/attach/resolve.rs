//! From what was typed to what it means on this host.

use std::{collections::BTreeSet, net::Ipv4Addr};

use anyhow::{Result, bail};
use ipnet::Ipv4Net;

use super::Args;
use crate::{
    datapath::uplinks::{Request, Wanted},
    host::interfaces::{Interface, Interfaces},
};

/// What to attach.
pub(super) struct Resolved {
    pub(super) request: Request,
}

/// Validates everything, before anything is done.
pub(super) fn resolve(args: &Args, interfaces: &Interfaces) -> Result<Resolved> {
    let interface = interfaces.named(&args.interface)?;
    let link_header = interface.link_header()?;
    let address = address(args, interface, interfaces)?;
    let subnets = subnets(args, interface, interfaces)?;
    for subnet in &subnets {
        if subnet.contains(&address) {
            bail!(
                "{subnet} contains {address}, the address to masquerade with: the host's own traffic would be \
                 masqueraded; give the containers' subnet"
            );
        }
    }
    let ports = args.ports.unwrap_or_default();
    let wanted = Wanted { ifindex: interface.index, link_header, address, ports, subnets };
    let (hook, max_flows) = (args.hook.hook(), args.max_flows);
    Ok(Resolved { request: Request { interface: interface.clone(), wanted, hook, max_flows } })
}

fn address(args: &Args, uplink: &Interface, interfaces: &Interfaces) -> Result<Ipv4Addr> {
    let Some(primary) = uplink.primary_address() else {
        let Some(master) = uplink.master.and_then(|index| interfaces.with_index(index)) else {
            bail!("{0} has no IPv4 address: add one with `ip address add ADDRESS/LENGTH dev {0}`", uplink.name);
        };
        bail!("{} has no IPv4 address: it is a member of {1}, so attach to {1}", uplink.name, master.name);
    };
    match args.address {
        None => Ok(primary),
        Some(address) if interfaces.with_address(address).is_some() => Ok(address),
        Some(address) => {
            let own: Vec<_> = uplink.addresses.iter().map(|own| own.addr().to_string()).collect();
            bail!("{address} is no address of this host; {} has {}", uplink.name, own.join(", "))
        }
    }
}

fn subnets(args: &Args, uplink: &Interface, interfaces: &Interfaces) -> Result<Vec<Ipv4Net>> {
    let mut subnets: BTreeSet<_> = args.subnets.iter().copied().collect();
    for name in &args.bridges {
        let bridge = interfaces.bridge(name)?;
        if bridge.addresses.is_empty() {
            bail!("the bridge {name} has no IPv4 address, so no subnet: give it with --subnet CIDR");
        }
        subnets.extend(networks(bridge));
    }
    if subnets.is_empty() {
        let bridges = interfaces.bridges().filter(|bridge| bridge.index != uplink.index);
        subnets.extend(bridges.flat_map(networks));
    }
    if subnets.is_empty() {
        bail!("there is no bridge with an IPv4 address: start Docker first, or give the subnet with --subnet CIDR");
    }
    Ok(subnets.into_iter().collect())
}

fn networks(bridge: &Interface) -> impl Iterator<Item = Ipv4Net> {
    bridge.addresses.iter().map(Ipv4Net::trunc)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn interface(index: u32, name: &str, addresses: &[&str]) -> Interface {
        Interface {
            index,
            name: name.to_owned(),
            link_type: 1,
            is_bridge: name.starts_with("br"),
            master: None,
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    fn host() -> Interfaces {
        Interfaces(vec![
            interface(2, "eth0", &["192.0.2.1/24", "192.0.2.9/24"]),
            interface(3, "br0", &["10.1.0.1/16"]),
            interface(4, "br1", &["10.2.0.1/16"]),
            interface(5, "br2", &[]),
            Interface { master: Some(3), ..interface(6, "eth1", &[]) },
        ])
    }

    fn wanted(line: &str, interfaces: &Interfaces) -> Result<Wanted> {
        let words = ["attach"].into_iter().chain(line.split(' '));
        let args = Line::try_parse_from(words).unwrap().args;
        Ok(resolve(&args, interfaces)?.request.wanted)
    }

    fn failure(line: &str, interfaces: &Interfaces) -> String {
        wanted(line, interfaces).unwrap_err().to_string()
    }

    fn subnets(line: &str) -> Vec<String> {
        wanted(line, &host()).unwrap().subnets.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_subnets_of_all_bridges_are_masqueraded_unless_some_are_given() {
        assert_eq!(subnets("eth0"), ["10.1.0.0/16", "10.2.0.0/16"]);
        assert_eq!(subnets("eth0 --bridge br1"), ["10.2.0.0/16"]);
        assert_eq!(
            subnets("eth0 --bridge br1 --subnet 10.9.0.0/24 --subnet 10.2.0.0/16"),
            ["10.2.0.0/16", "10.9.0.0/24"]
        );
    }

    #[test]
    fn a_bridge_that_is_the_uplink_is_not_masqueraded() {
        assert_eq!(subnets("br0"), ["10.2.0.0/16"]);
    }

    #[test]
    fn the_address_is_the_primary_one_unless_given() {
        assert_eq!(wanted("eth0", &host()).unwrap().address, Ipv4Addr::new(192, 0, 2, 1));
        let other = wanted("eth0 --address 192.0.2.9", &host()).unwrap();
        assert_eq!(other.address, Ipv4Addr::new(192, 0, 2, 9));
        let text = failure("eth0 --address 192.0.2.7", &host());
        assert_eq!(text, "192.0.2.7 is no address of this host; eth0 has 192.0.2.1, 192.0.2.9");
    }

    #[test]
    fn what_cannot_be_attached_to_is_refused() {
        assert!(failure("eth9", &host()).contains("there are eth0, br0"));
        assert!(failure("br2", &host()).contains("br2 has no IPv4 address: add one"));
        assert!(failure("eth1", &host()).contains("member of br0, so attach to br0"));
        assert!(failure("eth0 --bridge eth1", &host()).contains("not a bridge; there are br0, br1, br2"));
        assert!(failure("eth0 --bridge br2", &host()).contains("no subnet"));
        let bare = Interfaces(host().0.into_iter().take(1).collect());
        assert!(failure("eth0", &bare).contains("no bridge with an IPv4 address"));
    }

    #[test]
    fn the_hosts_own_subnet_is_not_masqueraded() {
        assert!(failure("eth0 --subnet 0.0.0.0/0", &host()).contains("the host's own traffic"));
    }
}
