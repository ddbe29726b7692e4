//! What netfilter's connection tracking may use, for all namespaces of the machine. It is put back afterwards.

use std::fs;

use anyhow::{Context as _, Result};

use crate::say;

/// Connections that every subject has room for.
pub(crate) const ROOM: u32 = 1 << 19;
/// Those that it has room for where a million are to be.
pub(crate) const MUCH_ROOM: u32 = 1 << 20;

const SIZES: [(&str, u32); 2] = [
    // One bucket for each connection: a longer search would be held against netfilter.
    ("/sys/module/nf_conntrack/parameters/hashsize", MUCH_ROOM),
    ("/proc/sys/net/netfilter/nf_conntrack_max", MUCH_ROOM),
];

/// What was there before. Dropping it restores that.
pub(crate) struct Raised(Vec<(&'static str, String)>);

/// Raises the sizes that are too small.
pub(crate) fn raise() -> Result<Raised> {
    let mut raised = Raised(Vec::new());
    for (path, wanted) in SIZES {
        let before = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let before = before.trim();
        if before.parse().is_ok_and(|size: u32| size >= wanted) {
            continue;
        }
        fs::write(path, wanted.to_string()).with_context(|| format!("cannot write {path}"))?;
        raised.0.push((path, before.to_owned()));
    }
    Ok(raised)
}

impl Drop for Raised {
    fn drop(&mut self) {
        for (path, before) in &self.0 {
            if let Err(error) = fs::write(path, before) {
                say::complain(format_args!("cannot put {path} back to {before}: {error}"));
            }
        }
    }
}
