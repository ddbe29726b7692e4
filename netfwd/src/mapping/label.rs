//! Whose a mapping is, and its name.

use std::fmt;

use netfwd_common::abi;
use serde::Serialize;

/// Where a mapping comes from, and its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// Where it comes from.
    pub origin: Origin,
    /// Its name, such as that of its container; may be empty.
    pub name: String,
}

impl Label {
    /// As much of the name as the maps keep.
    #[must_use]
    pub fn kept_name(&self) -> &str {
        let length = self.name.floor_char_boundary(abi::Label::MAX_NAME);
        self.name.get(..length).unwrap_or_default()
    }

    /// Whether the maps keep the same of both.
    #[must_use]
    pub fn is_kept_as(&self, other: &Self) -> bool {
        (self.origin, self.kept_name()) == (other.origin, other.kept_name())
    }
}

/// Where a mapping comes from, or an uplink. Whoever makes mappings removes its own alone; a port that two ask for goes to
/// the first of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// `netfwd map`, `netfwd attach`.
    #[default]
    Hand,
    /// The configuration file.
    Config,
    /// A port that a container publishes, or an uplink that is attached for Docker's sake.
    Docker,
}

impl Origin {
    /// Its number in the maps.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Hand => 0,
            Self::Config => 1,
            Self::Docker => 2,
        }
    }

    /// The one with a number. A number that nobody has written is nobody's to remove but the user's.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Config,
            2 => Self::Docker,
            _ => Self::Hand,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hand => "hand",
            Self::Config => "config",
            Self::Docker => "docker",
        })
    }
}

/// As `docker web`.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, name } = self;
        if name.is_empty() { write!(f, "{origin}") } else { write!(f, "{origin} {name}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_it_was_written() {
        for origin in [Origin::Hand, Origin::Config, Origin::Docker] {
            assert_eq!(Origin::from_number(origin.number()), origin);
        }
        assert_eq!(Origin::from_number(99), Origin::Hand);
    }

    #[test]
    fn names_that_differ_beyond_what_is_kept_are_kept_as_the_same() {
        let label = |name: String| Label { origin: Origin::Config, name };
        let long = |end: &str| label("x".repeat(abi::Label::MAX_NAME) + end);
        assert!(long("one").is_kept_as(&long("")) && long("").is_kept_as(&long("two")));
        assert!(!label("one".to_owned()).is_kept_as(&label("two".to_owned())));
        assert!(!long("").is_kept_as(&Label { origin: Origin::Docker, ..long("") }));
    }
}
