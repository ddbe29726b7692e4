//! `netfwd stats`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use netfwd_common::abi::{self, FlowEvent, Reason, Role, counter_index, names};
use serde::Serialize;

use super::{
    Interface, Traffic,
    census::{Census, Counted},
};
use crate::{
    datapath::maps::Maps,
    render::{self, Column, Listing},
};

/// Everything that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Packets, by uplink.
    pub uplinks: Vec<Uplink>,
    /// Packets that containers sent, by bridge.
    pub bridges: Vec<Bridge>,
    /// Connections.
    pub flows: Flows,
    /// Packets that were dropped because no port was free towards their destination.
    pub port_allocation_failures: u64,
}

/// What went through an uplink since it was attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uplink {
    /// Which one.
    pub interface: Interface,
    /// What arrived.
    pub ingress: Direction,
    /// What left.
    pub egress: Direction,
}

/// What arrived at a bridge from its containers since it is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bridge {
    /// Which one.
    pub interface: Interface,
    /// What arrived.
    pub ingress: Direction,
}

/// One direction of an uplink or bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Direction {
    /// All packets.
    #[serde(flatten)]
    pub all: Traffic,
    /// Rewritten.
    pub translated: Traffic,
    /// Those of them that were sent past the host's stack.
    pub fast_path: Traffic,
    /// Those of these that were sent before there was a socket buffer.
    pub xdp: Traffic,
    /// Left as they were.
    pub passed: Outcome,
    /// Not let through.
    pub dropped: Outcome,
}

/// Packets that ended alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// All of them.
    #[serde(flatten)]
    pub all: Traffic,
    /// By [`Reason::as_str`]; each reason is there, also with zero.
    pub reasons: BTreeMap<&'static str, Traffic>,
}

/// Connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flows {
    /// Live now.
    pub active: usize,
    /// At most.
    pub maximum: u64,
    /// Those of IPv4.
    pub ipv4: Table,
    /// Those of IPv6.
    pub ipv6: Table,
    /// Made.
    pub created: u64,
    /// Ended by their timeout.
    pub expired: u64,
    /// Ended with their mapping or masquerade, or on request.
    pub ended: u64,
    /// Half open, and their place was needed.
    pub evicted: u64,
}

/// The use of one family's table of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Connections that live now.
    pub active: usize,
    /// Records that connections share: bindings, permissions, accounts.
    pub shared: usize,
    /// Records at most, of both kinds.
    pub maximum: u32,
}

impl Stats {
    /// Reads the maps.
    pub fn gather(maps: &Maps) -> Result<Self> {
        Self::with(maps, &Census::take(maps)?)
    }

    /// Reads the counters; `census` is of the same maps.
    pub fn with(maps: &Maps, census: &Census) -> Result<Self> {
        let uplink = |(ifindex, slot)| {
            let interface = Interface::with_index(ifindex);
            Ok(Uplink { interface, ingress: direction(maps, slot, false)?, egress: direction(maps, slot, true)? })
        };
        let uplinks = maps.uplinks()?.into_iter().map(|(ifindex, kept)| (ifindex, kept.slot));
        let uplinks: Vec<_> = uplinks.map(uplink).collect::<Result<_>>()?;
        let bridge = |(ifindex, kept): (u32, abi::Interface)| {
            Ok(Bridge { interface: Interface::with_index(ifindex), ingress: direction(maps, kept.slot, false)? })
        };
        let bridges: Vec<_> = maps.with_role(Role::Bridge)?.into_iter().map(bridge).collect::<Result<_>>()?;
        let directions = uplinks.iter().flat_map(|uplink| [&uplink.ingress, &uplink.egress]);
        let directions = directions.chain(bridges.iter().map(|bridge| &bridge.ingress));
        let exhausted =
            directions.filter_map(|direction| direction.dropped.reasons.get(Reason::PortsExhausted.as_str()));
        let port_allocation_failures = exhausted.map(|traffic| traffic.packets).sum();
        Ok(Self { flows: flows(maps, census)?, port_allocation_failures, uplinks, bridges })
    }
}

fn direction(maps: &Maps, slot: u32, egress: bool) -> Result<Direction> {
    let counters = Reason::ALL.into_iter().map(|reason| {
        let counters = maps.counters.get(&counter_index(slot, egress, reason), 0);
        let counters = counters.with_context(|| format!("cannot read the map {}", names::COUNTERS))?;
        Ok((reason, Traffic::sum(counters.iter().copied())))
    });
    Ok(Direction::new(counters.collect::<Result<_>>()?))
}

fn flows(maps: &Maps, census: &Census) -> Result<Flows> {
    let event = |event: FlowEvent| {
        let counts = maps.flow_events.get(&event.number(), 0);
        let counts = counts.with_context(|| format!("cannot read the map {}", names::FLOW_EVENTS))?;
        Ok::<u64, anyhow::Error>(counts.iter().sum())
    };
    let (ipv4, ipv6) = (Table::of(&census.ipv4), Table::of(&census.ipv6));
    Ok(Flows {
        active: ipv4.active + ipv6.active,
        maximum: u64::from(ipv4.maximum) + u64::from(ipv6.maximum),
        ipv4,
        ipv6,
        created: event(FlowEvent::Created)?,
        expired: event(FlowEvent::Expired)?,
        ended: event(FlowEvent::Ended)?,
        evicted: event(FlowEvent::Evicted)?,
    })
}

impl Table {
    fn of(counted: &Counted) -> Self {
        Self { active: counted.active(), shared: counted.shared, maximum: counted.maximum }
    }
}

impl Direction {
    fn new(counters: Vec<(Reason, Traffic)>) -> Self {
        let mut direction = Self {
            all: Traffic::default(),
            translated: Traffic::default(),
            fast_path: Traffic::default(),
            xdp: Traffic::default(),
            passed: Outcome::default(),
            dropped: Outcome::default(),
        };
        for (reason, traffic) in counters {
            direction.all = direction.all.plus(traffic);
            if reason == Reason::Translated {
                direction.translated = direction.translated.plus(traffic);
            } else if reason == Reason::FastPath {
                direction.translated = direction.translated.plus(traffic);
                direction.fast_path = direction.fast_path.plus(traffic);
            } else if reason == Reason::Xdp {
                direction.translated = direction.translated.plus(traffic);
                direction.fast_path = direction.fast_path.plus(traffic);
                direction.xdp = traffic;
            } else if reason.is_drop() {
                direction.dropped.add(reason, traffic);
            } else {
                direction.passed.add(reason, traffic);
            }
        }
        direction
    }
}

impl Outcome {
    fn add(&mut self, reason: Reason, traffic: Traffic) {
        self.all = self.all.plus(traffic);
        self.reasons.insert(reason.as_str(), traffic);
    }
}

impl Listing for Stats {
    fn text(&self) -> String {
        let failures = format!("port allocation failures: {}", self.port_allocation_failures);
        let tables = [self.totals(), self.reasons(), self.flows.text(), self.flows.tables(), failures];
        tables.into_iter().filter(|table| !table.is_empty()).collect::<Vec<_>>().join("\n\n")
    }
}

impl Stats {
    /// Every hook that counts: its interface, what it is called, and its counters.
    pub(crate) fn hooks(&self) -> impl Iterator<Item = (&Interface, &'static str, &Direction)> {
        let uplinks = self.uplinks.iter().flat_map(|Uplink { interface, ingress, egress }| {
            [(interface, "ingress", ingress), (interface, "egress", egress)]
        });
        uplinks.chain(self.bridges.iter().map(|bridge| (&bridge.interface, "bridge ingress", &bridge.ingress)))
    }

    fn totals(&self) -> String {
        let columns = [
            Column::Text("INTERFACE"),
            Column::Text("DIRECTION"),
            Column::Number("PACKETS"),
            Column::Number("BYTES"),
            Column::Number("TRANSLATED"),
            Column::Number("FAST PATH"),
            Column::Number("XDP"),
            Column::Number("PASSED"),
            Column::Number("DROPPED"),
        ];
        let rows =
            self.hooks().map(|(interface, name, Direction { all, translated, fast_path, xdp, passed, dropped })| {
                let counts = [
                    all.packets,
                    all.bytes,
                    translated.packets,
                    fast_path.packets,
                    xdp.packets,
                    passed.all.packets,
                    dropped.all.packets,
                ];
                let [packets, bytes, translated, fast, xdp, passed, dropped] = counts.map(|count| count.to_string());
                [interface.text(), name.to_owned(), packets, bytes, translated, fast, xdp, passed, dropped]
            });
        render::table(columns, rows)
    }

    /// Why packets were passed or dropped, as far as any were.
    fn reasons(&self) -> String {
        let columns = [
            Column::Text("INTERFACE"),
            Column::Text("DIRECTION"),
            Column::Text("OUTCOME"),
            Column::Text("REASON"),
            Column::Number("PACKETS"),
            Column::Number("BYTES"),
        ];
        let mut rows = Vec::new();
        for (interface, name, direction) in self.hooks() {
            for (outcome, reasons) in [("passed", &direction.passed), ("dropped", &direction.dropped)] {
                let seen = reasons.reasons.iter().filter(|(_, traffic)| traffic.packets != 0);
                rows.extend(seen.map(|(reason, Traffic { packets, bytes })| {
                    let [packets, bytes] = [packets, bytes].map(ToString::to_string);
                    let [direction, outcome, reason] = [name, outcome, reason].map(str::to_owned);
                    [interface.text(), direction, outcome, reason, packets, bytes]
                }));
            }
        }
        if rows.is_empty() { String::new() } else { render::table(columns, rows) }
    }
}

impl Flows {
    fn text(self) -> String {
        let columns = ["FLOWS ACTIVE", "MAXIMUM", "CREATED", "EXPIRED", "ENDED", "EVICTED"].map(Column::Number);
        let Self { active, maximum, created, expired, ended, evicted, .. } = self;
        let row = [active as u64, maximum, created, expired, ended, evicted];
        render::table(columns, [row.map(|count| count.to_string())])
    }

    fn tables(self) -> String {
        let columns = [
            Column::Text("FAMILY"),
            Column::Number("FLOWS"),
            Column::Number("SHARED RECORDS"),
            Column::Number("MAXIMUM"),
        ];
        let rows = [("IPv4", self.ipv4), ("IPv6", self.ipv6)].map(|(name, table)| {
            let Table { active, shared, maximum } = table;
            [name.to_owned(), active.to_string(), shared.to_string(), maximum.to_string()]
        });
        render::table(columns, rows)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// Of an uplink through which this went in each direction, and of whose packets two were dropped.
    pub(crate) fn example(translated: Traffic, created: u64) -> Stats {
        let direction = || Direction::new(vec![(Reason::FastPath, translated), (Reason::TableFull, traffic(2))]);
        let interface = Interface { name: Some("eth0".to_owned()), index: 2 };
        let uplinks = vec![Uplink { interface, ingress: direction(), egress: direction() }];
        let ipv4 = Table { active: 1, shared: 1, maximum: 1000 };
        let flows = Flows { active: 1, maximum: 1250, ipv4, created, ..Flows::default() };
        Stats { uplinks, bridges: Vec::new(), flows, port_allocation_failures: 0 }
    }

    fn traffic(packets: u64) -> Traffic {
        Traffic { packets, bytes: packets * 100 }
    }

    fn stats() -> Stats {
        let counters = |dropped| {
            let translated = [(Reason::Translated, 6), (Reason::FastPath, 3), (Reason::Xdp, 1)];
            let counts = [&translated[..], &[(Reason::NotOurs, 5), (dropped, 2)]].concat();
            let count = |reason| counts.iter().find(|(counted, _)| *counted == reason).map_or(0, |(_, count)| *count);
            Reason::ALL.into_iter().map(|reason| (reason, traffic(count(reason)))).collect()
        };
        let uplink = Uplink {
            interface: Interface { name: Some("eth0".to_owned()), index: 2 },
            ingress: Direction::new(counters(Reason::TableFull)),
            egress: Direction::new(counters(Reason::PortsExhausted)),
        };
        let bridge = Bridge {
            interface: Interface { name: Some("docker0".to_owned()), index: 3 },
            ingress: Direction::new(counters(Reason::Unroutable)),
        };
        let ipv4 = Table { active: 1, shared: 1, maximum: 1000 };
        let ipv6 = Table { active: 0, shared: 0, maximum: 250 };
        let flows = Flows { active: 1, maximum: 1250, ipv4, ipv6, created: 4, expired: 2, ended: 1, evicted: 0 };
        Stats { uplinks: vec![uplink], bridges: vec![bridge], flows, port_allocation_failures: 2 }
    }

    #[test]
    fn the_shape_of_the_json_stays() {
        let json = serde_json::to_value(stats()).unwrap();
        let egress = &json["uplinks"][0]["egress"];
        assert_eq!(json["uplinks"][0]["interface"], json!({ "name": "eth0", "index": 2 }));
        assert_eq!((&egress["packets"], &egress["bytes"]), (&json!(17), &json!(1700)));
        assert_eq!(egress["translated"], json!({ "packets": 10, "bytes": 1000 }));
        assert_eq!(egress["fast_path"], json!({ "packets": 4, "bytes": 400 }));
        assert_eq!(egress["xdp"], json!({ "packets": 1, "bytes": 100 }));
        assert_eq!(egress["passed"]["packets"], 5);
        assert_eq!(egress["passed"]["reasons"]["not-ours"], json!({ "packets": 5, "bytes": 500 }));
        assert_eq!(egress["dropped"]["packets"], 2);
        assert_eq!(egress["dropped"]["reasons"]["ports-exhausted"], json!({ "packets": 2, "bytes": 200 }));
        assert_eq!(egress["dropped"]["reasons"]["table-full"], json!({ "packets": 0, "bytes": 0 }));
        assert_eq!(json["bridges"][0]["interface"], json!({ "name": "docker0", "index": 3 }));
        assert_eq!(json["bridges"][0]["ingress"]["dropped"]["reasons"]["unroutable"]["packets"], 2);
        let flows = json!({
            "active": 1,
            "maximum": 1250,
            "ipv4": { "active": 1, "shared": 1, "maximum": 1000 },
            "ipv6": { "active": 0, "shared": 0, "maximum": 250 },
            "created": 4,
            "expired": 2,
            "ended": 1,
            "evicted": 0,
        });
        assert_eq!(json["flows"], flows);
        assert_eq!(json["port_allocation_failures"], 2);
    }

    #[test]
    fn each_reason_is_passed_or_dropped_or_translated() {
        let direction = Direction::new(Reason::ALL.into_iter().map(|reason| (reason, traffic(1))).collect());
        assert_eq!(direction.all.packets, Reason::ALL.len() as u64);
        assert_eq!(direction.passed.reasons.len() + direction.dropped.reasons.len() + 3, Reason::ALL.len());
    }

    #[test]
    fn the_text_has_reasons_only_where_there_were_packets() {
        let text = stats().text();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let lines: Vec<_> = text.lines().map(words).collect();
        assert!(lines.contains(&words("eth0 egress 17 1700 10 4 1 5 2")), "{text}");
        assert!(lines.contains(&words("eth0 egress dropped ports-exhausted 2 200")), "{text}");
        assert!(lines.contains(&words("docker0 bridge ingress dropped unroutable 2 200")), "{text}");
        assert!(lines.contains(&words("IPv4 1 1 1000")), "{text}");
        assert!(!text.contains("no-memory"), "{text}");
        assert!(text.ends_with("port allocation failures: 2"), "{text}");
    }
}
