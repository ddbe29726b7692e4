//! `netfwd map`.

use anyhow::Result;

use ipnet::IpNet;

use crate::{
    cli,
    context::Context,
    datapath::{
        addresses,
        mappings::{self, Change, Host, Options},
        maps::Maps,
        members,
    },
    host::netlink::Netlink,
    mapping::{HostPorts, Mapping, Request},
    persist::{Prepared, Store},
    render,
    report::mappings::Mapped,
};

/// Forward host ports to containers
///
/// What arrives at an uplink for the host port goes to the container, and its answers come back from the host's
/// address. Either all mappings are added or none. Adding a mapping again changes nothing.
///
/// Mapped ports are kept from the host's own sockets (`net.ipv4.ip_local_reserved_ports`) until they are unmapped.
///
/// Examples: `netfwd map 8080:172.17.0.2:80 53:172.17.0.3:53/tcp+udp`, `netfwd map 172.17.0.2:80`,
/// `netfwd map 8000-8999:172.17.0.2:8000-8999`, `netfwd map 8080:[fd00::2]:80`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to forward: `[HOST_IP:][HOST_PORTS:]CONTAINER_IP:PORTS[/tcp|udp|sctp|tcp+udp]`
    ///
    /// The protocol is tcp unless given. IPv6 addresses are in brackets. Without `HOST_IP`, or with 0.0.0.0 or `[::]`, the
    /// mapping is for every address of the host of the container's family; 127.0.0.1 or `[::1]` is for the host itself
    /// alone.
    ///
    /// Ports are one or FIRST-LAST, and a range is one mapping. Several `HOST_PORTS` for one port of the container:
    /// a free one of them is taken. Without `HOST_PORTS` a free one of `ip_local_port_range` is taken, or as many in a
    /// row as the container has. What was taken is printed.
    #[arg(required = true, value_name = "MAPPING")]
    mappings: Vec<Request>,

    /// Take host ports over from other mappings, whose flows end at once
    ///
    /// If only the range changes and its ports lead where they did, flows of the ports that stay go on. Of a range that
    /// Docker publishes it takes the given ports alone; flows go on of the larger part of the others.
    #[arg(long)]
    replace: bool,

    /// Map also ports that sockets of the host use, and one address beside any address
    ///
    /// Remote clients then reach the container, not the socket. Of two mappings the one of one address goes before
    /// the one of any.
    #[arg(long)]
    force: bool,

    /// Keep the mappings across reboots, until they are unmapped: `netfwd run` makes them again
    #[arg(long)]
    persist: bool,
}

/// Adds the mappings.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let _lock = context.pin_dir.lock()?;
    let mut maps = Maps::open(&context.pin_dir)?;
    let netlink = Netlink::connect()?;
    let interfaces = netlink.interfaces()?;
    let host = Host::look(&interfaces, &args.mappings)?;
    let options = Options { replace: args.replace, force: args.force };
    let planned = mappings::plan(&maps, &host, &args.mappings, options)?;
    let mappings: Vec<_> = planned.changes.iter().map(Change::mapping).collect();
    let kept = keep(&context.store, &mappings, args.persist)?;
    planned.apply(&mut maps)?;
    kept.map(Prepared::commit).transpose()?;
    addresses::refresh(&mut maps, &interfaces)?;
    for error in members::refresh(&context.pin_dir, &netlink, &interfaces, &mut maps)? {
        context.warn(&cli::one_line(&error));
    }
    render::show(context, &Mapped::from(planned.changes.as_slice()))?;
    warn_of_strangers(&maps, &host, &mappings, context)
}

/// Keeps the mappings across reboots if that is wanted, and no more what they take the place of. `None` if nothing changes.
fn keep(store: &Store, mappings: &[&Mapping], persist: bool) -> Result<Option<Prepared>> {
    let before = store.read()?;
    let mut kept = before.clone();
    for mapping in mappings {
        kept.retain(|host, one| one == *mapping || !host.overlaps(&mapping.host));
        if persist {
            kept.insert(mapping.host, **mapping);
        }
    }
    if kept == before { Ok(None) } else { store.prepare(&kept).map(Some) }
}

/// A mapping to an address that is in no masqueraded subnet, or of an address that the host does not have, is likely
/// to be a mistake.
fn warn_of_strangers(maps: &Maps, host: &Host, mappings: &[&Mapping], context: &Context) -> Result<()> {
    let subnets = maps.v4.subnets()?.into_iter().map(|subnet| subnet.network.into());
    let subnets: Vec<IpNet> =
        subnets.chain(maps.v6.subnets()?.into_iter().map(|subnet| subnet.network.into())).collect();
    for mapping in mappings {
        let Mapping { host: HostPorts { address, .. }, container, .. } = mapping;
        if !subnets.iter().any(|subnet| subnet.contains(container)) {
            context.warn(&format!(
                "{container} of {mapping} is in no masqueraded subnet: check the address, or add its subnet with \
                 `netfwd attach IFACE --subnet CIDR`"
            ));
        }
        let is_the_hosts = address.is_unspecified() || address.is_loopback() || host.addresses.contains(address);
        if !is_the_hosts {
            context.warn(&format!("{address} of {mapping} is no address of this host: nothing reaches it until it is"));
        }
    }
    Ok(())
}
