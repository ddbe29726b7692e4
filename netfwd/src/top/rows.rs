//! The rows of the panes, with their rates.

use std::{cmp::Ordering, collections::HashMap, fmt::Write as _};

use super::{
    sample::{Flow, Id},
    table::Row,
};
use crate::report::{
    Traffic,
    mappings::{Entry, Host},
    stats::Stats,
};

/// From one sample to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elapsed(
    /// In nanoseconds.
    pub(super) u64,
);

/// A mapping, with what goes through it in a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MappingRow {
    /// The mapping.
    pub(super) entry: Entry,
    /// From the client to the container.
    pub(super) r#in: Traffic,
    /// From the container to the client.
    pub(super) out: Traffic,
    /// Connections made in a second.
    pub(super) new_flows: u64,
}

/// A connection, with what goes through it in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlowRow {
    /// The connection.
    pub(super) flow: Flow,
    /// In the direction of its first packet, and of the answers.
    pub(super) rates: [Traffic; 2],
}

/// Packets that are dropped at one hook for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DropRow {
    /// The interface.
    pub(super) interface: String,
    /// Which of its hooks.
    pub(super) hook: &'static str,
    /// [`netfwd_common::abi::Reason::as_str`].
    pub(super) reason: &'static str,
    /// Dropped in a second.
    pub(super) rate: Traffic,
    /// Dropped since the interface was attached.
    pub(super) total: Traffic,
}

impl Elapsed {
    /// What a counter rises by in a second. One that has begun anew has not risen.
    pub(super) fn rate(self, before: u64, after: u64) -> u64 {
        let rise = u128::from(after.saturating_sub(before)) * 1_000_000_000;
        rise.checked_div(self.0.into()).map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
    }

    /// The same of two counters.
    pub(super) fn traffic(self, before: Traffic, after: Traffic) -> Traffic {
        Traffic { packets: self.rate(before.packets, after.packets), bytes: self.rate(before.bytes, after.bytes) }
    }
}

/// The mappings, compared with what they were.
pub(super) fn mappings(before: &[MappingRow], entries: Vec<Entry>, elapsed: Elapsed) -> Vec<MappingRow> {
    let before: HashMap<_, _> = before.iter().map(|row| (key(&row.entry), &row.entry)).collect();
    let row = |entry: Entry| {
        let old = before.get(&key(&entry)).copied().unwrap_or(&entry);
        let (r#in, out) = (elapsed.traffic(old.r#in, entry.r#in), elapsed.traffic(old.out, entry.out));
        let new_flows = elapsed.rate(old.flows.total, entry.flows.total);
        MappingRow { entry, r#in, out, new_flows }
    };
    entries.into_iter().map(row).collect()
}

/// The connections, compared with what they were; both in the order of their ids. A new one began from nothing.
pub(super) fn flows(before: &[FlowRow], flows: &[Flow], elapsed: Elapsed) -> Vec<FlowRow> {
    let mut before = before.iter().map(|row| &row.flow).peekable();
    let row = |flow: &Flow| {
        while before.next_if(|old| old.id < flow.id).is_some() {}
        let old = before.next_if(|old| old.id == flow.id).map_or([Traffic::default(); 2], |old| old.traffic);
        let rates = [elapsed.traffic(old[0], flow.traffic[0]), elapsed.traffic(old[1], flow.traffic[1])];
        FlowRow { flow: *flow, rates }
    };
    flows.iter().map(row).collect()
}

/// What is dropped, where anything was.
pub(super) fn drops(before: &[DropRow], stats: &Stats, elapsed: Elapsed) -> Vec<DropRow> {
    let before: HashMap<_, _> = before.iter().map(|row| (row.key(), row.total)).collect();
    let mut rows = Vec::new();
    for (interface, hook, direction) in stats.hooks() {
        for (reason, total) in &direction.dropped.reasons {
            let mut row =
                DropRow { interface: interface.text(), hook, reason, rate: Traffic::default(), total: *total };
            let old = before.get(&row.key()).copied().unwrap_or_default();
            row.rate = elapsed.traffic(old, row.total);
            rows.extend((row.total.packets > 0).then_some(row));
        }
    }
    rows
}

fn key(entry: &Entry) -> (String, Host) {
    (entry.protocol.clone(), entry.host.clone())
}

fn sum(pair: [Traffic; 2], part: fn(Traffic) -> u64) -> u64 {
    let [one, other] = pair.map(part);
    one.saturating_add(other)
}

const fn packets(traffic: Traffic) -> u64 {
    traffic.packets
}

const fn bytes(traffic: Traffic) -> u64 {
    traffic.bytes
}

impl Row for MappingRow {
    type Key = (String, Host);
    const SORTS: &'static [&'static str] = &["bytes/s", "packets/s", "flows", "new flows/s", "name", "host"];

    fn key(&self) -> (String, Host) {
        key(&self.entry)
    }

    fn compare(&self, other: &Self, sort: usize) -> Ordering {
        let (one, two) = ([self.r#in, self.out], [other.r#in, other.out]);
        match sort {
            0 => sum(two, bytes).cmp(&sum(one, bytes)),
            1 => sum(two, packets).cmp(&sum(one, packets)),
            2 => other.entry.flows.active.cmp(&self.entry.flows.active),
            3 => other.new_flows.cmp(&self.new_flows),
            4 => self.entry.name.cmp(&other.entry.name),
            // They come in the order of their host parts.
            _ => Ordering::Equal,
        }
    }

    fn write_text(&self, text: &mut String) {
        let Entry { protocol, name, .. } = &self.entry;
        let (name, host, container) =
            (name.as_deref().unwrap_or_default(), self.entry.host_text(), self.entry.target());
        // Writing to a string does not fail.
        write!(text, "{name} {host} {container} {protocol}").ok();
    }
}

impl Row for FlowRow {
    type Key = Id;
    const SORTS: &'static [&'static str] = &["bytes/s", "packets/s", "bytes", "age", "state", "original", "reply"];

    fn key(&self) -> Id {
        self.flow.id
    }

    fn compare(&self, other: &Self, sort: usize) -> Ordering {
        let (one, two) = (&self.flow, &other.flow);
        match sort {
            0 => sum(other.rates, bytes).cmp(&sum(self.rates, bytes)),
            1 => sum(other.rates, packets).cmp(&sum(self.rates, packets)),
            2 => sum(two.traffic, bytes).cmp(&sum(one.traffic, bytes)),
            3 => two.age.cmp(&one.age),
            4 => one.phase.as_str().cmp(two.phase.as_str()),
            5 => one.original.cmp(&two.original),
            _ => one.reply.cmp(&two.reply),
        }
    }

    fn write_text(&self, text: &mut String) {
        let Flow { protocol, phase, original, reply, .. } = &self.flow;
        let ([from, to], [back_from, back_to]) = (original, reply);
        // Writing to a string does not fail.
        write!(text, "{protocol} {} {from} {to} {back_from} {back_to}", phase.as_str()).ok();
    }
}

impl Row for DropRow {
    type Key = (String, &'static str, &'static str);
    const SORTS: &'static [&'static str] = &["packets/s", "packets", "reason"];

    fn key(&self) -> Self::Key {
        (self.interface.clone(), self.hook, self.reason)
    }

    fn compare(&self, other: &Self, sort: usize) -> Ordering {
        match sort {
            0 => (other.rate.packets, other.total.packets).cmp(&(self.rate.packets, self.total.packets)),
            1 => other.total.packets.cmp(&self.total.packets),
            _ => self.reason.cmp(other.reason),
        }
    }

    fn write_text(&self, text: &mut String) {
        // Writing to a string does not fail.
        write!(text, "{} {} {}", self.interface, self.hook, self.reason).ok();
    }
}
