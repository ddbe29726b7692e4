//! A Prometheus for tests: Debian's package, unpacked.

use anyhow::Result;

use super::unpacked::{self, unpack};

/// Why there is none, if it is so.
pub(super) fn obstacle() -> Option<String> {
    // cargo sets NETFWD_PROMETHEUS for what it runs: see `.cargo/config.toml`.
    lab::Prometheus::obstacle()
}

/// Unpacks it to where `lab` looks for it.
pub(super) fn bring() -> Result<()> {
    unpacked::bring("prometheus", |directory| unpack(&["prometheus"], directory))
}
