//! Timeouts in the configuration, by the names that `netfwd timeouts` has for them.

use std::{collections::BTreeMap, fmt, sync::LazyLock};

use netfwd_common::abi;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::datapath::timeouts::{ALL, MAX_SECONDS, Timeout};

static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| ALL.iter().map(|timeout| timeout.name).collect());

/// Seconds of timeouts, by name; others have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeouts(BTreeMap<&'static str, u64>);

impl Timeouts {
    /// As the kernel part has them.
    #[must_use]
    pub fn in_force(&self) -> abi::Timeouts {
        let mut timeouts = abi::Timeouts::default();
        for (timeout, seconds) in self.0.iter().filter_map(|(name, seconds)| Some((Timeout::named(name)?, seconds))) {
            timeout.set(&mut timeouts, *seconds);
        }
        timeouts
    }

    /// What the kernel part has, apart from defaults.
    #[must_use]
    pub fn of(timeouts: &abi::Timeouts) -> Self {
        let seconds = |timeout: &Timeout| (timeout.name, timeout.seconds(*timeouts));
        let is_default = |timeout: &&Timeout| timeout.seconds(*timeouts) == timeout.seconds(abi::Timeouts::default());
        Self(ALL.iter().filter(|timeout| !is_default(timeout)).map(seconds).collect())
    }
}

/// A name that there is.
struct Name(&'static str);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Timeout::named(&name).map(|timeout| Self(timeout.name));
        known.ok_or_else(|| de::Error::unknown_field(&name, &NAMES))
    }
}

/// Possible seconds.
struct Seconds(u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        let seconds = u64::try_from(number).ok().filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
        let wrong = || de::Error::custom(format!("a timeout has 1 to {MAX_SECONDS} whole seconds (30 days)"));
        seconds.map(Self).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Timeouts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Timeouts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of timeouts, such as udp = 180")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Timeouts, A::Error> {
        let mut timeouts = Timeouts::default();
        while let Some((Name(name), Seconds(seconds))) = map.next_entry()? {
            timeouts.0.insert(name, seconds);
        }
        Ok(timeouts)
    }
}

impl Serialize for Timeouts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Timeouts {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timeouts".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let properties: serde_json::Map<_, _> = ALL.iter().map(property).collect();
        schemars::json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
    }
}

#[cfg(test)]
fn property(timeout: &Timeout) -> (String, serde_json::Value) {
    let description = match timeout.minimum {
        Some(minimum) => format!("At least {minimum} by {}.", timeout.note),
        None => format!("{}{}.", timeout.note[..1].to_uppercase(), &timeout.note[1..]),
    };
    let schema = serde_json::json!({
        "description": description,
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_SECONDS,
        "default": timeout.seconds(abi::Timeouts::default()),
    });
    (timeout.name.to_owned(), schema)
}
