//! `netfwd list`.

pub(crate) mod changed;

use std::net::IpAddr;

use anyhow::Result;
use serde::Serialize;

use super::{Through, Traffic, census::Census};
use crate::{
    datapath::{
        mappings::{self, Installed, Labels},
        maps::Maps,
    },
    mapping::{HostPorts, Label, Mapping, Origin, bracketed},
    render::{self, Column, Listing},
};

pub use changed::{Kind, Mapped, Outcome, Parts, Unmapped};

/// All mappings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mappings {
    /// In the order of their host ports.
    pub mappings: Vec<Entry>,
}

/// A mapping, and what went through it since it was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The host's part.
    pub host: Host,
    /// The container's part.
    pub container: Container,
    /// Where the mapping comes from.
    pub origin: Origin,
    /// Its name, of Docker the container's.
    pub name: Option<String>,
    /// From the client to the container.
    pub r#in: Traffic,
    /// From the container to the client.
    pub out: Traffic,
    /// Its connections.
    pub flows: Flows,
}

/// Host ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Host {
    /// `null` is any address of the host of the container's family.
    pub address: Option<IpAddr>,
    /// The first port.
    pub port_first: u16,
    /// The last port.
    pub port_last: u16,
}

/// Container ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Container {
    /// The container's address.
    pub address: IpAddr,
    /// The first port.
    pub port_first: u16,
    /// The last port.
    pub port_last: u16,
}

/// How many connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flows {
    /// Live now.
    pub active: u64,
    /// Made since the mapping was added.
    pub total: u64,
}

impl Mappings {
    /// Reads the maps.
    pub fn gather(maps: &Maps) -> Result<Self> {
        Self::with(maps, &Census::take(maps)?)
    }

    /// Reads the counters; `census` is of the same maps.
    pub fn with(maps: &Maps, census: &Census) -> Result<Self> {
        let labels = Labels::read(maps)?;
        let entry = |Installed { mapping, rule, .. }| {
            let Through { original, reply, flows } = Through::read(maps, rule)?;
            let flows = Flows { active: census.by_rule.get(&rule).copied().unwrap_or_default(), total: flows };
            Ok(Entry { r#in: original, out: reply, flows, ..Entry::unused(&mapping, labels.of(rule)) })
        };
        let mappings: Result<_> = mappings::list(maps)?.into_iter().map(entry).collect();
        Ok(Self { mappings: mappings? })
    }
}

impl Entry {
    fn unused(mapping: &Mapping, label: Label) -> Self {
        let Label { origin, name } = label;
        Self {
            origin,
            name: (!name.is_empty()).then_some(name),
            protocol: mapping.host.protocol.to_string(),
            host: Host::of(mapping),
            container: Container::of(mapping),
            r#in: Traffic::default(),
            out: Traffic::default(),
            flows: Flows::default(),
        }
    }
}

impl Entry {
    /// The host's part, such as `*:8080`.
    #[must_use]
    pub fn host_text(&self) -> String {
        let any = if self.container.address.is_ipv4() { "*" } else { "[::]" };
        let address = self.host.address.map_or_else(|| any.to_owned(), bracketed);
        format!("{address}:{}", ports(self.host.port_first, self.host.port_last))
    }

    /// The container's part, such as `172.17.0.2:80`.
    #[must_use]
    pub fn target(&self) -> String {
        let Container { address, port_first, port_last } = self.container;
        format!("{}:{}", bracketed(address), ports(port_first, port_last))
    }
}

impl Host {
    fn of(mapping: &Mapping) -> Self {
        let HostPorts { address, ports, .. } = mapping.host;
        let address = (!mapping.host.is_any()).then_some(address);
        Self { address, port_first: ports.first(), port_last: ports.last() }
    }
}

impl Container {
    fn of(mapping: &Mapping) -> Self {
        let ports = mapping.container_ports();
        Self { address: mapping.container, port_first: ports.first(), port_last: ports.last() }
    }
}

impl Listing for Mappings {
    fn text(&self) -> String {
        let columns = [
            Column::Text("HOST"),
            Column::Text("CONTAINER"),
            Column::Text("PROTOCOL"),
            Column::Text("ORIGIN"),
            Column::Text("NAME"),
            Column::Number("PACKETS IN"),
            Column::Number("OUT"),
            Column::Number("BYTES IN"),
            Column::Number("OUT"),
            Column::Number("FLOWS ACTIVE"),
            Column::Number("TOTAL"),
        ];
        render::table(columns, self.mappings.iter().map(row))
    }
}

fn row(entry: &Entry) -> [String; 11] {
    let Entry { protocol, origin, name, r#in, out, flows, .. } = entry;
    [
        entry.host_text(),
        entry.target(),
        protocol.clone(),
        origin.to_string(),
        name.clone().unwrap_or_else(|| "-".to_owned()),
        r#in.packets.to_string(),
        out.packets.to_string(),
        r#in.bytes.to_string(),
        out.bytes.to_string(),
        flows.active.to_string(),
        flows.total.to_string(),
    ]
}

fn ports(first: u16, last: u16) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::mapping::tests::mapping;

    /// A mapping of Docker's through which this went in each direction.
    pub(crate) fn used(text: &str, name: &str, traffic: Traffic) -> Entry {
        let label = Label { origin: Origin::Docker, name: name.to_owned() };
        let flows = Flows { active: 1, total: 2 };
        Entry { r#in: traffic, out: traffic, flows, ..Entry::unused(&mapping(text), label) }
    }

    fn listing() -> Mappings {
        let used = Entry {
            r#in: Traffic { packets: 6, bytes: 432 },
            out: Traffic { packets: 4, bytes: 1234 },
            flows: Flows { active: 1, total: 2 },
            ..Entry::unused(&mapping("8080:172.17.0.2:80"), Label { origin: Origin::Docker, name: "web".to_owned() })
        };
        let others = ["192.0.2.1:53:172.17.0.3:5353/udp", "8000-8010:[fd00::2]:80-90/sctp", "[::1]:80:[fd00::2]:80"];
        Mappings {
            mappings: [used]
                .into_iter()
                .chain(others.map(|text| Entry::unused(&mapping(text), Label::default())))
                .collect(),
        }
    }

    #[test]
    fn the_shape_of_the_json_stays() {
        let json = serde_json::to_value(listing()).unwrap();
        let expected = json!({
            "protocol": "tcp",
            "host": { "address": null, "port_first": 8080, "port_last": 8080 },
            "container": { "address": "172.17.0.2", "port_first": 80, "port_last": 80 },
            "origin": "docker",
            "name": "web",
            "in": { "packets": 6, "bytes": 432 },
            "out": { "packets": 4, "bytes": 1234 },
            "flows": { "active": 1, "total": 2 },
        });
        assert_eq!(json["mappings"][0], expected);
        assert_eq!(json["mappings"][1]["host"]["address"], "192.0.2.1");
        assert_eq!((&json["mappings"][1]["origin"], &json["mappings"][1]["name"]), (&json!("hand"), &json!(null)));
        let (host, container) = (&json["mappings"][2]["host"], &json["mappings"][2]["container"]);
        assert_eq!(*host, json!({ "address": null, "port_first": 8000, "port_last": 8010 }));
        assert_eq!(*container, json!({ "address": "fd00::2", "port_first": 80, "port_last": 90 }));
    }

    #[test]
    fn the_table_has_a_line_for_each_mapping() {
        let text = listing().text();
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["*:8080", "172.17.0.2:80", "tcp", "docker", "web", "6", "4", "432", "1234", "1", "2"]);
        assert_eq!(lines[2][..5], ["192.0.2.1:53", "172.17.0.3:5353", "udp", "hand", "-"]);
        assert_eq!(lines[3][..3], ["[::]:8000-8010", "[fd00::2]:80-90", "sctp"]);
        assert_eq!(lines[4][..3], ["[::1]:80", "[fd00::2]:80", "tcp"]);
    }
}
