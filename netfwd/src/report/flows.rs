//! `netfwd flows`.

use std::{collections::HashMap, fmt};

use netfwd_common::abi::{Connection, Protocol, Timeouts, Tuple, V4};
use serde::Serialize;

use super::{Address, Interface};
use crate::{
    datapath::connections::Flow,
    render::{self, Column, Listing},
};

/// Connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flows {
    /// The oldest first.
    pub flows: Vec<Entry>,
}

/// How many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// As many as that.
    pub count: usize,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// `tcp`, `udp` or `icmp`.
    pub protocol: &'static str,
    /// [`netfwd_common::conntrack::Phase::as_str`].
    pub state: &'static str,
    /// Where its first packet met netfwd.
    pub uplink: Interface,
    /// As the first packet.
    pub original: Way,
    /// As the answers.
    pub reply: Way,
    /// Since its first packet, in seconds.
    pub age_seconds: f64,
    /// Until it ends if no packet comes, in seconds.
    pub expires_in_seconds: f64,
    #[serde(skip)]
    age: u64,
    #[serde(skip)]
    expires_in: u64,
}

/// One direction of a connection, as its packets look before they are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// The sender.
    pub source: Address,
    /// The receiver.
    pub destination: Address,
    /// Packets seen.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
}

impl Flows {
    /// What `flows` look like at `now`.
    #[must_use]
    pub fn new(mut flows: Vec<Flow>, timeouts: &Timeouts, now: u64) -> Self {
        flows.sort_by_key(|flow| (flow.connection.created, flow.slot));
        let mut interfaces = HashMap::new();
        let mut interface =
            |index: u32| interfaces.entry(index).or_insert_with(|| Interface::with_index(index)).clone();
        let entry = |flow: &Flow| Entry::new(flow, interface(flow.connection.uplink), timeouts, now);
        Self { flows: flows.iter().map(entry).collect() }
    }
}

impl Entry {
    fn new(flow: &Flow, uplink: Interface, timeouts: &Timeouts, now: u64) -> Self {
        let Connection { original, reply, packets, bytes, .. } = flow.connection;
        let (age, expires_in) = (flow.age(now), flow.expires_in(timeouts, now));
        Self {
            protocol: protocol_name(original.protocol),
            state: flow.phase().as_str(),
            uplink,
            original: Way::new(&original, packets[0], bytes[0]),
            reply: Way::new(&reply, packets[1], bytes[1]),
            age_seconds: seconds(age),
            expires_in_seconds: seconds(expires_in),
            age,
            expires_in,
        }
    }
}

impl Way {
    fn new(tuple: &Tuple<V4>, packets: u64, bytes: u64) -> Self {
        Self { source: tuple.source.into(), destination: tuple.destination.into(), packets, bytes }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.source, self.destination)
    }
}

/// The name of a protocol in listings and filters.
#[must_use]
pub fn protocol_name(number: u8) -> &'static str {
    match Protocol::from_number(number) {
        Some(Protocol::Icmp) => "icmp",
        Some(Protocol::Tcp) => "tcp",
        Some(Protocol::Udp) => "udp",
        None => "other",
    }
}

/// Seconds, to the millisecond.
#[expect(clippy::cast_precision_loss, reason = "exact below 285,000 years")]
fn seconds(nanoseconds: u64) -> f64 {
    (nanoseconds / 1_000_000) as f64 / 1000.0
}

impl Listing for Flows {
    fn text(&self) -> String {
        let columns = [
            Column::Text("PROTOCOL"),
            Column::Text("STATE"),
            Column::Text("ORIGINAL"),
            Column::Text("REPLY"),
            Column::Number("AGE"),
            Column::Number("EXPIRES IN"),
            Column::Number("PACKETS ORIGINAL"),
            Column::Number("REPLY"),
            Column::Number("BYTES ORIGINAL"),
            Column::Number("REPLY"),
        ];
        render::table(columns, self.flows.iter().map(row))
    }
}

fn row(entry: &Entry) -> [String; 10] {
    let Entry { original, reply, .. } = entry;
    [
        entry.protocol.to_owned(),
        entry.state.to_owned(),
        original.to_string(),
        reply.to_string(),
        render::duration(entry.age),
        render::duration(entry.expires_in),
        original.packets.to_string(),
        reply.packets.to_string(),
        original.bytes.to_string(),
        reply.bytes.to_string(),
    ]
}

impl Listing for Count {
    fn text(&self) -> String {
        self.count.to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn listing() -> Flows {
        let address = |last, port| Address { address: [192, 0, 2, last].into(), port };
        let way = |source, destination, packets| Way { source, destination, packets, bytes: 60 * packets };
        let flow = Entry {
            protocol: "tcp",
            state: "established",
            uplink: Interface { name: Some("eth0".to_owned()), index: 2 },
            original: way(address(1, 40000), address(2, 8080), 6),
            reply: way(address(3, 80), address(1, 40000), 4),
            age_seconds: seconds(12_345_678_901),
            expires_in_seconds: seconds(7428 * SECOND),
            age: 12_345_678_901,
            expires_in: 7428 * SECOND,
        };
        Flows { flows: vec![flow] }
    }

    #[test]
    fn the_shape_of_the_json_stays() {
        let address = |last, port| json!({ "address": format!("192.0.2.{last}"), "port": port });
        let expected = json!({
            "protocol": "tcp",
            "state": "established",
            "uplink": { "name": "eth0", "index": 2 },
            "original": { "source": address(1, 40000), "destination": address(2, 8080), "packets": 6, "bytes": 360 },
            "reply": { "source": address(3, 80), "destination": address(1, 40000), "packets": 4, "bytes": 240 },
            "age_seconds": 12.345,
            "expires_in_seconds": 7428.0,
        });
        assert_eq!(serde_json::to_value(listing()).unwrap(), json!({ "flows": [expected] }));
        assert_eq!(serde_json::to_value(Count { count: 3 }).unwrap(), json!({ "count": 3 }));
    }

    #[test]
    fn a_line_tells_both_tuples() {
        let text = listing().text();
        let line = text.lines().nth(1).unwrap();
        assert!(line.contains("192.0.2.1:40000 -> 192.0.2.2:8080  192.0.2.3:80 -> 192.0.2.1:40000"), "{line}");
        assert!(line.contains("12s") && line.contains("2h03m"), "{line}");
    }
}
