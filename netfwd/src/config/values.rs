//! Values of keys, which are written as on the command line.

use std::{
    fmt,
    marker::PhantomData,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    datapath::ports::{self, Range},
    metrics,
    uplink::{Clamp, parse},
};

/// Reads a text. What fails in here is about the value alone, also in an array.
struct Text<T>(PhantomData<T>);

impl<T: TryFrom<String, Error = String>> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::try_from(text.to_owned()).map_err(E::custom)
    }
}

/// A value that is a text in the file.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident($inner:ty), $parse:expr, $write:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(into = "String")]
        #[cfg_attr(test, schemars(with = "String", inline))]
        pub struct $name(pub $inner);

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                $parse(&text).map(Self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                $write(&value.0)
            }
        }
    };
}

text!(
    /// A subnet such as `172.17.0.0/16` or `fd00:1::/64`
    Subnet(IpNet), parse::subnet, IpNet::to_string
);
text!(
    /// Destinations such as `10.0.0.0/8` or `fd00:1::/64`
    Destinations(IpNet), parse::destinations, IpNet::to_string
);
text!(
    /// An address such as `192.0.2.1` or `2001:db8::1`
    Address(IpAddr), parse::address, IpAddr::to_string
);
text!(
    /// Up to four ranges of ports, such as 1024-65535 or 2000-2999,4000
    Ports(Vec<Range>), parse::ports, |ranges: &Vec<Range>| ports::written(ranges)
);
text!(
    /// An address and a port such as `127.0.0.1:19753` or `[::1]:19753`
    Listen(SocketAddr), metrics::address, SocketAddr::to_string
);
text!(
    /// A socket's path, or an address such as <tcp://127.0.0.1:2375>
    Socket(String), socket, String::clone
);

/// A value that is a whole number in the file.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $range:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "u32")]
        pub struct $name(u32);

        impl TryFrom<i64> for $name {
            type Error = String;

            fn try_from(number: i64) -> Result<Self, String> {
                let count = u32::try_from(number).ok().filter(|count| $range.contains(count));
                let (first, last) = ($range.start(), $range.end());
                count.map(Self).ok_or_else(|| format!("{number} is not in {first} to {last}"))
            }
        }

        impl From<u32> for $name {
            /// Of a number that was read elsewhere, which is possible.
            fn from(number: u32) -> Self {
                Self(number)
            }
        }

        impl From<$name> for u32 {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "integer", "minimum": $range.start(), "maximum": $range.end() })
            }
        }
    };
}

number!(
    /// How many, at least one.
    Count, 1_u32..=u32::MAX
);
number!(
    /// Flows at most.
    Flows, 1_u32..=parse::MAX_FLOWS
);

/// The largest TCP segments: `"mtu"`, or a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment(pub Clamp);

impl<'de> Deserialize<'de> for Segment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SegmentVisitor)
    }
}

struct SegmentVisitor;

impl de::Visitor<'_> for SegmentVisitor {
    type Value = Segment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"mtu\" or a number of bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Segment, E> {
        parse::clamp(text).map(Segment).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Segment, E> {
        self.visit_str(&bytes.to_string())
    }
}

impl Serialize for Segment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Clamp::Mtu => serializer.serialize_str("mtu"),
            Clamp::Bytes(bytes) => serializer.serialize_u16(bytes),
        }
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Segment {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Segment".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (first, last) = (parse::MIN_SEGMENT, parse::MAX_SEGMENT);
        schemars::json_schema!({
            "anyOf": [{ "const": "mtu" }, { "type": "integer", "minimum": first, "maximum": last }],
        })
    }
}

/// An address as the Docker command line takes it, or a path.
fn socket(text: &str) -> Result<String, String> {
    let schemes = ["unix://", "tcp://", "http://"];
    match text {
        path if path.starts_with('/') => Ok(format!("unix://{path}")),
        address if schemes.iter().any(|scheme| address.starts_with(scheme)) => Ok(address.to_owned()),
        _ => Err("neither a path such as /var/run/docker.sock nor an address such as tcp://127.0.0.1:2375".to_owned()),
    }
}

/// Such a value is not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
pub(super) const fn is_true(value: &bool) -> bool {
    *value
}

/// Such a value is not written.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
