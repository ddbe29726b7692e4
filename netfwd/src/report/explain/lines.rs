//! What a journey has found out, in words.

use netfwd_common::{
    abi::{Endpoint, Mapping, Protocol, Side, Tuple},
    conntrack::State,
};
use nix::net::if_::if_indextoname;

use crate::{
    datapath::mappings::Labels,
    explain::{Known, Note, Visit},
    family::Family,
    report::Address,
};

/// The connection that the packet belongs to already.
pub(super) fn track<A: Known>(visit: &Visit<A>) -> String {
    match &visit.connection {
        Some(connection) if !connection.is_new => {
            let record = &connection.record;
            let phase = State(record.state).phase(record.original.protocol).as_str();
            format!("found, {phase}: {}", both(&record.original, &record.reply))
        }
        _ => "no connection has these endpoints".to_owned(),
    }
}

/// What was found for a packet that has none.
pub(super) fn choose<A: Known>(visit: &Visit<A>, labels: &Labels) -> Vec<String> {
    if visit.connection.as_ref().is_some_and(|connection| !connection.is_new) {
        return vec!["nothing: the connection says it".to_owned()];
    }
    let mut lines = Vec::new();
    for note in &visit.notes {
        let line = line(note, labels);
        lines.extend(line.filter(|line| !lines.contains(line)));
    }
    if visit.side == Side::Outside && !visit.notes.iter().any(is_mapping) {
        lines.insert(0, "no mapping".to_owned());
    }
    if let Some(connection) = &visit.connection {
        lines.push(format!("opens {}", both(&connection.record.original, &connection.record.reply)));
    }
    lines
}

fn is_mapping<A>(note: &Note<A>) -> bool {
    matches!(note, Note::Mapping { found: Some(_), .. })
}

fn line<A: Known>(note: &Note<A>, labels: &Labels) -> Option<String> {
    match note {
        Note::Mapping { protocol, host, found: Some(mapping) } => Some(mapped(*protocol, *host, mapping, labels)),
        Note::Masquerade { uplink, source, found: Some(masquerade) } => {
            Some(format!("{} is masqueraded as {} on {}", source.ip(), masquerade.address.ip(), name(*uplink)))
        }
        Note::Masquerade { uplink, source, found: None } => {
            Some(format!("{} is in no subnet that is masqueraded on {}", source.ip(), name(*uplink)))
        }
        Note::Exclusion { destination, is_excluded: true } => {
            Some(format!("{} is excluded from masquerading", destination.ip()))
        }
        Note::Isolated { destination, is_isolated: true } => {
            Some(format!("{} is in an isolated network", destination.ip()))
        }
        Note::Socket { local, is_there: true } => {
            Some(format!("a socket of the host has {}: another port", Address::from(*local)))
        }
        Note::Local { address, is_local: false } => Some(format!("{} is not the host's own address", address.ip())),
        Note::Route { destination, interface } => {
            let way = interface
                .map_or_else(|| "nowhere, or to the host itself".to_owned(), |index| format!("by {}", name(index)));
            Some(format!("the way to {} is {way}", destination.ip()))
        }
        Note::Reserve { tuple, was_free: false } if Side::is_of_packets(tuple.side) => {
            Some(format!("port {} is taken", u16::from_be_bytes(tuple.destination.port)))
        }
        Note::Target { address, member } => Some(format!("{} is behind {}", address.ip(), name(*member))),
        Note::Find { .. }
        | Note::Mapping { .. }
        | Note::Exclusion { .. }
        | Note::Isolated { .. }
        | Note::Socket { .. }
        | Note::Local { .. }
        | Note::Reserve { .. } => None,
    }
}

fn mapped<A: Family>(protocol: Protocol, host: Endpoint<A>, mapping: &Mapping<A>, labels: &Labels) -> String {
    let any = host.address == A::UNSPECIFIED;
    let port = u16::from_be_bytes(host.port);
    let host = if any { format!("port {port}/{protocol}") } else { format!("{}/{protocol}", Address::from(host)) };
    let target = mapping.target_of(u16::to_be_bytes(port));
    format!("{host} is mapped to {} ({})", Address::from(target), labels.of(mapping.rule))
}

fn both<A: Family>(original: &Tuple<A>, reply: &Tuple<A>) -> String {
    let [original, reply] = [original, reply].map(|tuple| {
        let [source, destination] = [tuple.source, tuple.destination].map(Address::from);
        format!("{source} -> {destination}")
    });
    format!("original {original}, reply {reply}")
}

fn name(index: u32) -> String {
    let name = if_indextoname(index).ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| format!("ifindex {index}"))
}
