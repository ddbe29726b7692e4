//! `netfwd unmap`.

use anyhow::Result;

use crate::{
    context::Context,
    datapath::{addresses, mappings, maps::Maps},
    host::netlink::Netlink,
    mapping::{Mapping, Selector},
    persist::Store,
    render,
    report::mappings::Unmapped,
};

/// Stop forwarding host ports
///
/// The mappings end, and all their flows with them, at once. Either all are removed or none. They are not kept across
/// reboots any more.
///
/// Examples: `netfwd unmap 8080 53/tcp+udp`, `netfwd unmap 192.0.2.1:8000-8999`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to remove: `[HOST_IP:]HOST_PORTS[/tcp|udp|sctp|tcp+udp]`, as `netfwd list` shows it
    ///
    /// Without `HOST_IP` it is the mappings of any address, of IPv4 and of IPv6; 0.0.0.0 or `[::]` means one of the two.
    #[arg(required_unless_present = "all", value_name = "HOST_PORTS")]
    hosts: Vec<Selector>,

    /// Remove all mappings
    #[arg(long, conflicts_with = "hosts")]
    all: bool,
}

/// Removes the mappings.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let _lock = context.pin_dir.lock()?;
    let mut maps = Maps::open(&context.pin_dir)?;
    let leaving = if args.all { None } else { Some(mappings::find(&maps, &args.hosts)?) };
    forget(&context.store, leaving.as_deref())?;
    let removed = if args.all { mappings::remove_all(&mut maps)? } else { mappings::remove(&mut maps, &args.hosts)? };
    addresses::refresh(&mut maps, &Netlink::connect()?.interfaces()?)?;
    render::show(context, &Unmapped::from(removed))
}

/// Keeps mappings, or all, no longer across reboots.
fn forget(store: &Store, leaving: Option<&[Mapping]>) -> Result<()> {
    let mut kept = store.read()?;
    let before = kept.len();
    kept.retain(|host, _| leaving.is_some_and(|leaving| !leaving.iter().any(|mapping| mapping.host == *host)));
    if kept.len() < before { store.prepare(&kept)?.commit() } else { Ok(()) }
}
