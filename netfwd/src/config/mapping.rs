//! A mapping in the configuration: a text, or a table with that text and a name.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, value::MapAccessDeserializer},
};

use crate::mapping::{HostChoice, HostPorts, Mapping, ParseError, Ports, Request, Transports};

/// In the sample.
#[cfg(test)]
pub(super) const EXAMPLES: [&str; 3] = ["8080:172.17.0.2:80", "53:172.17.0.3:53/tcp+udp", "[::]:8443:[fd00:1::2]:443"];

const NO_PORT: &str = "the host port is missing or to be chosen, and a configuration is to say the same each time: write \
                       HOST_PORTS, as many as the container has";

/// Mappings that are written as one, on given host ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    map: Map,
    /// Its name in listings; may be empty.
    pub name: String,
}

/// In the grammar of `netfwd map`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Map {
    request: Request,
    ports: Ports,
}

impl Entry {
    /// The one of a mapping.
    #[must_use]
    pub const fn new(mapping: &Mapping, name: String) -> Self {
        let HostPorts { address, protocol, ports } = mapping.host;
        let request = Request {
            address,
            host: HostChoice::These(ports),
            container: mapping.container,
            container_ports: mapping.container_ports(),
            protocols: Transports::One(protocol),
        };
        Self { map: Map { request, ports }, name }
    }

    /// One for each of its protocols.
    pub fn mappings(&self) -> impl Iterator<Item = Mapping> + use<> {
        self.map.request.on(self.map.ports)
    }
}

impl TryFrom<String> for Map {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // The first line says all; the others point at the part of the text.
        let first_line = |error: ParseError| error.to_string().lines().next().unwrap_or_default().to_owned();
        let request: Request = text.parse().map_err(first_line)?;
        let HostChoice::These(ports) = request.host else { return Err(NO_PORT.to_owned()) };
        Ok(Self { request, ports })
    }
}

impl From<Map> for String {
    fn from(map: Map) -> Self {
        map.request.to_string()
    }
}

/// The table.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Named {
    /// The mapping.
    #[cfg_attr(test, schemars(with = "String"))]
    map: Map,
    /// Its name in listings.
    name: String,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping such as \"8080:172.17.0.2:80\" or { map = \"8080:172.17.0.2:80\", name = \"web\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Entry, E> {
        Map::try_from(text.to_owned()).map(|map| Entry { map, name: String::new() }).map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
        let Named { map, name } = Named::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Entry { map, name })
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.name.is_empty() {
            self.map.serialize(serializer)
        } else {
            Named { map: self.map, name: self.name.clone() }.serialize(serializer)
        }
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Entry {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mapping".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (text, named) = (generator.subschema_for::<String>(), generator.subschema_for::<Named>());
        schemars::json_schema!({ "anyOf": [text, named] })
    }
}
