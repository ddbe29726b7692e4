//! What an attach did, in sentences.

use ipnet::IpNet;
use netfwd_common::abi;

use crate::{
    cli,
    datapath::{
        host_access::Outcome,
        ports,
        uplinks::{Change, Report, Request, Wanted},
        xdp,
    },
    family::Family as _,
    host::{forwarding::Switch, interfaces::Interfaces},
    report::status,
};

/// A line for each thing that changed, or one that nothing did.
pub(super) fn lines(request: &Request, report: &Report, interfaces: &Interfaces) -> Vec<String> {
    let mut lines = changes(request, report, interfaces);
    if lines.is_empty() {
        lines.push(format!("already attached to {}, nothing changed", request.interface.name));
    }
    lines
}

/// A line for each thing that changed.
pub(in crate::commands) fn changes(request: &Request, report: &Report, interfaces: &Interfaces) -> Vec<String> {
    let mut lines = Vec::new();
    for (ifindex, hook) in &report.attached {
        lines.push(format!("attached to {} (ifindex {ifindex}) with {}", interfaces.name_of(*ifindex), hook.as_str()));
    }
    lines.extend(report.xdp.is_new.then(|| {
        let name = &request.interface.name;
        report.xdp.mode.map_or_else(
            || format!("detached from {name}'s XDP"),
            |mode| format!("attached to {name} with XDP ({})", mode.as_str()),
        )
    }));
    match report.host_access {
        Outcome::TurnedOn => lines.push("serves mapped ports to this host's own processes too".to_owned()),
        Outcome::TurnedOff => lines.push("no longer serves mapped ports to this host's own processes".to_owned()),
        Outcome::Unchanged | Outcome::NoHierarchy => (),
    }
    if report.replaced_programs {
        lines.push("put the programs of this version in the place of the attached ones".to_owned());
    }
    lines.extend(report.changes.iter().flat_map(|change| change_lines(change, request, interfaces)));
    lines.extend(report.left.iter().map(|ifindex| format!("detached from {}", interfaces.name_of(*ifindex))));
    lines.extend(report.switched.iter().map(|switch| match switch.split_once('=') {
        None => format!("turned on {switch}"),
        Some(_) => format!("set {switch}, so that router advertisements are still heard"),
    }));
    lines.extend(report.forgotten.iter().map(|ifindex| format!("forgot the uplink {}", interfaces.name_of(*ifindex))));
    lines
}

/// A line for each interface that suffers from what was set.
pub(in crate::commands) fn warnings(report: &Report, interfaces: &Interfaces) -> Vec<String> {
    let warning = |ifindex: &u32| {
        let name = interfaces.name_of(*ifindex);
        format!(
            "{name} does not hear router advertisements any more, from which its IPv6 comes: run `sysctl -w {}=2`",
            Switch::accept_ra(&name).name()
        )
    };
    report.deaf.iter().map(warning).chain(report.slow.iter().map(cli::one_line)).collect()
}

/// What XDP cannot see on such an interface.
pub(in crate::commands) fn unfinished_checksums(name: &str, xdp: &xdp::Outcome) -> Option<String> {
    let mode = xdp.mode.filter(|mode| *mode == xdp::Mode::Generic || xdp.is_virtual)?;
    Some(format!(
        "XDP ({}) on {name} breaks packets whose sender left the checksum to its hardware and that never met any, as \
         those of this machine's other network namespaces: turn that off there (`ethtool -K eth0 tx off`), or use \
         `--xdp off`",
        mode.as_str()
    ))
}

/// A line for each subnet that stayed as it was.
pub(super) fn kept(wanted: &Wanted, report: &Report) -> Vec<String> {
    let v4 = wanted.v4.subnets.iter().map(|(network, address)| (IpNet::from(*network), address.ip()));
    let v6 = wanted.v6.subnets.iter().map(|(network, address)| (IpNet::from(*network), address.ip()));
    let kept = v4.chain(v6).filter(|(network, _)| !report.concerns(*network));
    kept.map(|(network, address)| format!("masquerades {network} as {address}, as before")).collect()
}

fn change_lines(change: &Change, request: &Request, interfaces: &Interfaces) -> Vec<String> {
    let named = |network: &IpNet| match interfaces.bridge_of(*network) {
        Some(bridge) => format!("{network} ({})", bridge.name),
        None => network.to_string(),
    };
    let chosen = ports::text(&request.wanted.interface.ports);
    match change {
        Change::AddInterface(_) => Vec::new(),
        Change::AlterInterface { ifindex, before, after } => {
            let name = interfaces.name_of(*ifindex);
            option_lines(before, after).into_iter().map(|line| format!("{line} on {name}")).collect()
        }
        Change::AlterSubnet(network) => vec![format!("chooses from ports {chosen} for {}", named(network))],
        Change::AddSubnet(network, address) => vec![format!("masquerades {} as {address}", named(network))],
        Change::MoveSubnet { network, before, after } => {
            vec![format!("masquerades {} as {after}, no longer as {before}", named(network))]
        }
        Change::RemoveSubnet(network) => vec![format!("no longer masquerades {}", named(network))],
        Change::AddExclusion(network) => vec![format!("does not masquerade what goes to {}", named(network))],
        Change::RemoveExclusion(network) => vec![format!("masquerades what goes to {} again", named(network))],
        Change::Isolate(network) => vec![format!("isolates {}", named(network))],
        Change::Expose(network) => vec![format!("no longer isolates {}", named(network))],
    }
}

/// What hooks know now and did not know before.
fn option_lines(before: &abi::Interface, after: &abi::Interface) -> Vec<String> {
    let mut lines = Vec::new();
    if before.ports != after.ports {
        lines.push(format!("chooses from ports {} for the host's own flows", ports::text(&after.ports)));
    }
    if before.filtering != after.filtering {
        lines.push(format!("filters by {}", status::filtering_name(after.filtering())));
    }
    if before.max_ports_per_source != after.max_ports_per_source {
        lines.push(match after.max_ports_per_source {
            0 => "gives each source any number of ports".to_owned(),
            count => format!("gives each source {count} ports at most"),
        });
    }
    if before.max_segment != after.max_segment {
        lines.push(match after.max_segment.map(u16::from_be_bytes) {
            [0, 0] => "leaves the size of TCP segments alone".to_owned(),
            [v4, v6] => format!("limits TCP segments to {v4} bytes over IPv4 and {v6} over IPv6"),
        });
    }
    let changed = before.flags ^ after.flags;
    if changed & abi::Interface::FAST_PATH != 0 {
        let is_on = after.flags & abi::Interface::FAST_PATH != 0;
        let path = if is_on { "past the host's stack" } else { "through the host's stack" };
        lines.push(format!("sends known flows {path}"));
    }
    if changed & abi::Interface::PICK_UP != 0 {
        let picks_up = after.flags & abi::Interface::PICK_UP != 0;
        let verb = if picks_up { "picks up" } else { "does not pick up" };
        lines.push(format!("{verb} TCP connections in their middle"));
    }
    if changed & abi::Interface::INTERNAL != 0 {
        let is_internal = after.flags & abi::Interface::INTERNAL != 0;
        lines.push(if is_internal { "forwards nothing" } else { "forwards again" }.to_owned());
    }
    // That networks are isolated is told of each.
    if before.link_header != after.link_header {
        lines.push(format!("takes {} bytes for the link's header", after.link_header));
    }
    lines
}

#[cfg(test)]
mod tests {
    use netfwd_common::abi::{Filtering, PortChoice, Rule};

    use super::*;
    use crate::datapath::ports::Range;

    #[test]
    fn each_option_that_changed_is_told() {
        let before = abi::Interface {
            slot: 0,
            link_header: 14,
            rule: Rule::default(),
            ports: PortChoice::default(),
            max_ports_per_source: 0,
            max_segment: [[0; 2]; 2],
            filtering: 0,
            role: 0,
            flags: 0,
            pad: 0,
        };
        let after = abi::Interface {
            ports: ports::choice(&[Range { first: 2000, last: 3000 }], true),
            max_ports_per_source: 7,
            max_segment: [1400_u16, 1380].map(u16::to_be_bytes),
            filtering: Filtering::Endpoint.number(),
            flags: abi::Interface::PICK_UP,
            ..before
        };
        let expected = [
            "chooses from ports 2000-3000 of the same parity for the host's own flows",
            "filters by endpoint",
            "gives each source 7 ports at most",
            "limits TCP segments to 1400 bytes over IPv4 and 1380 over IPv6",
            "picks up TCP connections in their middle",
        ];
        assert_eq!(option_lines(&before, &after), expected);
        let expected = [
            "chooses from ports 1024-65535 for the host's own flows",
            "filters by address-and-port",
            "gives each source any number of ports",
            "leaves the size of TCP segments alone",
            "does not pick up TCP connections in their middle",
        ];
        assert_eq!(option_lines(&after, &before), expected);
    }
}
