//! `netfwd flows`.

mod event;

use std::fmt;

use netfwd_common::abi::{Connection, Timeouts, Tuple, V4, V6};
use serde::Serialize;

use super::{Address, Interface};
use crate::{
    datapath::connections::Flow,
    family::Family,
    render::{self, Column, Listing},
};

pub use event::{Event, Kind, Names};

/// Connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flows {
    /// The oldest first.
    pub flows: Vec<Entry>,
}

/// Bindings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bindings {
    /// The oldest first.
    pub bindings: Vec<Binding>,
}

/// The outside port that an inside endpoint has towards everybody (RFC 4787 REQ-1).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Binding {
    /// Its name, or its number where it has none.
    pub protocol: String,
    /// The container's endpoint.
    pub inside: Address,
    /// The host's address and port.
    pub outside: Address,
    /// The connections that hold it.
    pub flows: u32,
    /// Since it was made, in seconds.
    pub age_seconds: f64,
    /// Since nobody holds it, in seconds; 0 while somebody does.
    pub idle_seconds: f64,
    #[serde(skip)]
    created: u64,
    #[serde(skip)]
    age: u64,
    #[serde(skip)]
    idle: u64,
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
    /// Its name, or its number where it has none.
    pub protocol: String,
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
    created: u64,
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
    /// What the flows of both families look like at `now`.
    #[must_use]
    pub fn new(v4: &[Flow<V4>], v6: &[Flow<V6>], timeouts: &Timeouts, now: u64) -> Self {
        let mut names = Names::new();
        let mut flows: Vec<_> = v4.iter().map(|flow| Entry::new(flow, &mut names, timeouts, now)).collect();
        flows.extend(v6.iter().map(|flow| Entry::new(flow, &mut names, timeouts, now)));
        flows.sort_by_key(|entry| entry.created);
        Self { flows }
    }
}

impl Entry {
    fn new<A: Family>(flow: &Flow<A>, names: &mut Names, timeouts: &Timeouts, now: u64) -> Self {
        let Connection { original, reply, packets, bytes, interface, created, .. } = flow.connection;
        let (age, expires_in) = (flow.age(now), flow.expires_in(timeouts, now));
        Self {
            protocol: original.protocol().to_string(),
            state: flow.phase().as_str(),
            uplink: names.entry(interface).or_insert_with(|| Interface::with_index(interface)).clone(),
            original: Way::new(&original, packets[0], bytes[0]),
            reply: Way::new(&reply, packets[1], bytes[1]),
            age_seconds: seconds(age),
            expires_in_seconds: seconds(expires_in),
            created,
            age,
            expires_in,
        }
    }
}

impl Bindings {
    /// What the bindings of both families look like at `now`.
    #[must_use]
    pub fn new(v4: &[Flow<V4>], v6: &[Flow<V6>], now: u64) -> Self {
        let mut bindings: Vec<_> = v4.iter().map(|record| Binding::new(record, now)).collect();
        bindings.extend(v6.iter().map(|record| Binding::new(record, now)));
        bindings.sort_by_key(|binding| binding.created);
        Self { bindings }
    }
}

impl Binding {
    fn new<A: Family>(record: &Flow<A>, now: u64) -> Self {
        let Connection { original, reply, created, .. } = record.connection;
        let flows = record.holders();
        let (age, idle) = (record.age(now), if flows == 0 { record.idle(now) } else { 0 });
        Self {
            protocol: original.protocol().to_string(),
            inside: original.source.into(),
            outside: reply.destination.into(),
            flows,
            age_seconds: seconds(age),
            idle_seconds: seconds(idle),
            created,
            age,
            idle,
        }
    }
}

impl Way {
    fn new<A: Family>(tuple: &Tuple<A>, packets: u64, bytes: u64) -> Self {
        Self { source: tuple.source.into(), destination: tuple.destination.into(), packets, bytes }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.source, self.destination)
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
        entry.protocol.clone(),
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

impl Listing for Bindings {
    fn text(&self) -> String {
        let columns = [
            Column::Text("PROTOCOL"),
            Column::Text("INSIDE"),
            Column::Text("OUTSIDE"),
            Column::Number("FLOWS"),
            Column::Number("AGE"),
            Column::Number("IDLE"),
        ];
        let rows = self.bindings.iter().map(|binding| {
            let idle = if binding.flows == 0 { render::duration(binding.idle) } else { "-".to_owned() };
            let [inside, outside] = [binding.inside, binding.outside].map(|endpoint| endpoint.to_string());
            let age = render::duration(binding.age);
            [binding.protocol.clone(), inside, outside, binding.flows.to_string(), age, idle]
        });
        render::table(columns, rows)
    }
}

impl Listing for Count {
    fn text(&self) -> String {
        self.count.to_string()
    }
}

#[cfg(test)]
mod tests {
    use netfwd_common::abi::Endpoint;
    use serde_json::json;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    pub(super) fn entry() -> Entry {
        let address = |last, port| Address { address: [192, 0, 2, last].into(), port };
        let way = |source, destination, packets| Way { source, destination, packets, bytes: 60 * packets };
        Entry {
            protocol: "tcp".to_owned(),
            state: "established",
            uplink: Interface { name: Some("eth0".to_owned()), index: 2 },
            original: way(address(1, 40000), address(2, 8080), 6),
            reply: way(address(3, 80), address(1, 40000), 4),
            age_seconds: seconds(12_345_678_901),
            expires_in_seconds: seconds(7428 * SECOND),
            created: 0,
            age: 12_345_678_901,
            expires_in: 7428 * SECOND,
        }
    }

    fn listing() -> Flows {
        Flows { flows: vec![entry()] }
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
    fn a_binding_tells_its_endpoints_and_who_holds_it() {
        let mut record = Flow::<V6>::empty();
        let [inside, outside] = [1, 2].map(|last| u128::to_be_bytes(0xfd00 << 112 | last));
        record.connection.original.source = Endpoint::new(inside, 5000);
        record.connection.original.protocol = 17;
        record.connection.reply.destination = Endpoint::new(outside, 6000);
        let idle = Bindings::new(&[], &[record], 9 * SECOND);
        assert!(
            idle.text().ends_with("udp       [fd00::1]:5000  [fd00::2]:6000      0  9.0s  9.0s"),
            "{}",
            idle.text()
        );
        record.connection.state |= 2 << 8;
        let json = serde_json::to_value(Bindings::new(&[], &[record], 9 * SECOND)).unwrap();
        let expected = json!({
            "protocol": "udp",
            "inside": { "address": "fd00::1", "port": 5000 },
            "outside": { "address": "fd00::2", "port": 6000 },
            "flows": 2,
            "age_seconds": 9.0,
            "idle_seconds": 0.0,
        });
        assert_eq!(json, json!({ "bindings": [expected] }));
    }

    #[test]
    fn a_line_tells_both_tuples() {
        let text = listing().text();
        let line = text.lines().nth(1).unwrap();
        assert!(line.contains("192.0.2.1:40000 -> 192.0.2.2:8080  192.0.2.3:80 -> 192.0.2.1:40000"), "{line}");
        assert!(line.contains("12s") && line.contains("2h03m"), "{line}");
    }
}
