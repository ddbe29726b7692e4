//! Whose a mapping is, and its name.

use std::fmt;

use serde::Serialize;

/// Where a mapping comes from, and its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// Where it comes from.
    pub origin: Origin,
    /// Its name, such as that of its container; may be empty.
    pub name: String,
}

/// Where a mapping comes from. Whoever makes mappings removes its own alone; a port that two ask for goes to the first
/// of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// `netfwd map`.
    #[default]
    Hand,
    /// The configuration file.
    Config,
    /// A port that a container publishes.
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
}
