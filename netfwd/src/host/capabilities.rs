//! What this process may do.

use anyhow::{Context as _, Result, ensure};
use caps::{CapSet, Capability};

/// Loading programs and maps; attaching them; pointers and timers in programs; looking up by its id what is attached.
const NEEDED: [Capability; 4] =
    [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON, Capability::CAP_SYS_ADMIN];

/// Fails if a capability that netfwd needs is missing.
pub fn check() -> Result<()> {
    let held = caps::read(None, CapSet::Effective).context("cannot read this process's capabilities")?;
    let missing: Vec<_> = NEEDED.into_iter().filter(|capability| !held.contains(capability)).collect();
    ensure!(missing.is_empty(), "{}", message(&missing));
    Ok(())
}

fn message(missing: &[Capability]) -> String {
    let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
    format!("missing {}: run it as root, for example with sudo", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_capability_is_named() {
        let text = message(&[Capability::CAP_BPF, Capability::CAP_PERFMON]);
        assert_eq!(text, "missing CAP_BPF, CAP_PERFMON: run it as root, for example with sudo");
    }
}
