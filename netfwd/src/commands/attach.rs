//! `netfwd attach`.

mod parse;
mod resolve;

use std::net::Ipv4Addr;

use anyhow::Result;
use clap::ValueEnum;
use ipnet::Ipv4Net;

use crate::{
    context::Context,
    datapath::{
        hook::Hook,
        uplinks::{self, Change, Host, Ports, Report, Wanted},
    },
    host::{forwarding, interfaces::Interfaces},
};
use resolve::Resolved;

/// Attach to an uplink and masquerade the bridges' subnets
///
/// What leaves the host through IFACE from a masqueraded subnet gets the host's address, and answers find their way
/// back. Mapped ports (`netfwd map`) are served on IFACE. The command ends; the translation goes on in the kernel.
///
/// Attaching again with the same arguments changes nothing; with other arguments it applies the difference, and only
/// flows of subnets that are removed or get another address end. For several uplinks, attach each.
///
/// Example: `netfwd attach eth0 --bridge docker0`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The interface to the outside, the uplink
    #[arg(value_name = "IFACE")]
    pub(super) interface: String,

    /// Masquerade the subnets of this bridge [default: those of all bridges]
    #[arg(long = "bridge", value_name = "NAME")]
    bridges: Vec<String>,

    /// Masquerade this subnet
    #[arg(long = "subnet", value_name = "CIDR", value_parser = parse::subnet)]
    subnets: Vec<Ipv4Net>,

    /// Masquerade with this address of the host [default: the uplink's primary address]
    #[arg(long, value_name = "IP", value_parser = parse::address)]
    address: Option<Ipv4Addr>,

    /// Choose from these ports when a source port is taken [default: 1024-65535]
    #[arg(long, value_name = "LOW-HIGH", value_parser = parse::ports)]
    ports: Option<Ports>,

    /// How to attach
    #[arg(long, value_enum, default_value_t = HookChoice::Auto)]
    hook: HookChoice,

    /// Connections at most, when the first uplink is attached [default: 262144]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    max_flows: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HookChoice {
    /// TCX if the kernel has it (6.6), else tc
    Auto,
    /// A TCX link
    Tcx,
    /// A filter on the clsact queueing discipline
    Tc,
}

impl HookChoice {
    const fn hook(self) -> Option<Hook> {
        match self {
            Self::Auto => None,
            Self::Tcx => Some(Hook::Tcx),
            Self::Tc => Some(Hook::Tc),
        }
    }
}

/// Attaches.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let host = Host::look()?;
    let resolved = resolve::resolve(args, &host.interfaces)?;
    let report = uplinks::attach(&context.pin_dir, &host, &resolved.request)?;
    for line in lines(&resolved, &report, &host.interfaces) {
        context.say(&line)?;
    }
    context.say_more(&format!("maps and programs are pinned in {}", context.pin_dir.path().display()))?;
    let wanted = &resolved.request.wanted;
    for network in wanted.subnets.iter().filter(|network| !report.concerns(**network)) {
        context.say_more(&format!("masquerades {network} as {}, as before", wanted.address))?;
    }
    Ok(())
}

fn lines(resolved: &Resolved, report: &Report, interfaces: &Interfaces) -> Vec<String> {
    let interface = &resolved.request.interface;
    let mut lines = Vec::new();
    if let Some(hook) = report.attached {
        lines.push(format!("attached to {} (ifindex {}) with {}", interface.name, interface.index, hook.as_str()));
    }
    if report.replaced_programs {
        lines.push("put the programs of this version in the place of the attached ones".to_owned());
    }
    lines.extend(report.changes.iter().filter_map(|change| change_line(change, resolved, interfaces)));
    if report.turned_on_forwarding {
        lines.push(format!("turned on {}", forwarding::NAME));
    }
    lines.extend(report.forgotten.iter().map(|ifindex| format!("forgot the uplink {}", interfaces.name_of(*ifindex))));
    if lines.is_empty() {
        lines.push(format!("already attached to {}, nothing changed", interface.name));
    }
    lines
}

fn change_line(change: &Change, resolved: &Resolved, interfaces: &Interfaces) -> Option<String> {
    let named = |network: &Ipv4Net| match interfaces.bridge_of(*network) {
        Some(bridge) => format!("{network} ({})", bridge.name),
        None => network.to_string(),
    };
    let Wanted { address, ports, .. } = &resolved.request.wanted;
    match change {
        Change::AddUplink => None,
        Change::AlterUplink(_) => Some(format!("chooses from ports {ports} for the host's own flows")),
        Change::AlterSubnet(subnet) => Some(format!("chooses from ports {ports} for {}", named(&subnet.network))),
        Change::AddSubnet(network) => Some(format!("masquerades {} as {address}", named(network))),
        Change::MoveSubnet(subnet) => {
            let before = Ipv4Addr::from(subnet.masquerade.address);
            Some(format!("masquerades {} as {address}, no longer as {before}", named(&subnet.network)))
        }
        Change::RemoveSubnet(subnet) => Some(format!("no longer masquerades {}", named(&subnet.network))),
    }
}
