//! Whether netfwd's fast path is on in the kernel tests that do not ask for it themselves.

use clap::ValueEnum;

/// What netfwd takes for its `--fast-path` where that is not given.
const VARIABLE: &str = "NETFWD_FAST_PATH";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FastPath {
    On,
    Off,
}

impl FastPath {
    /// The variable that tells netfwd, with its value.
    pub(super) const fn variable(self) -> (&'static str, &'static str) {
        match self {
            Self::On => (VARIABLE, "on"),
            Self::Off => (VARIABLE, "off"),
        }
    }

    /// The name of a level that runs so.
    pub(super) fn name(self, level: &str) -> String {
        match self {
            Self::On => level.to_owned(),
            Self::Off => format!("{level}, fast path off"),
        }
    }
}
