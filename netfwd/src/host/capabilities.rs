//! What this process may do.

use anyhow::{Context as _, Result, ensure};
use caps::{CapSet, Capability, CapsHashSet};

/// Loading programs and maps; attaching them, and the network's switches; pointers and timers in programs.
const NEEDED: [Capability; 3] = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON];

/// Fails if a capability that netfwd needs is missing.
pub fn check() -> Result<()> {
    let missing = missing()?;
    ensure!(missing.is_empty(), "{}", message(&missing));
    Ok(())
}

/// The capabilities that netfwd needs and this process has not.
pub fn missing() -> Result<Vec<Capability>> {
    let held = held()?;
    Ok(NEEDED.into_iter().filter(|capability| !held.contains(capability)).collect())
}

/// Whether this process may look at other processes, their namespaces and any program in the kernel.
pub fn sees_all() -> Result<bool> {
    let held = held()?;
    Ok([Capability::CAP_SYS_ADMIN, Capability::CAP_SYS_PTRACE].iter().all(|capability| held.contains(capability)))
}

/// Whether this process may mount file systems.
pub fn may_mount() -> Result<bool> {
    Ok(held()?.contains(&Capability::CAP_SYS_ADMIN))
}

fn held() -> Result<CapsHashSet> {
    caps::read(None, CapSet::Effective).context("cannot read this process's capabilities")
}

fn message(missing: &[Capability]) -> String {
    let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
    format!("missing {}: run it as root, for example with sudo, or give it these capabilities", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_capability_is_named() {
        let text = message(&[Capability::CAP_BPF, Capability::CAP_PERFMON]);
        assert_eq!(
            text,
            "missing CAP_BPF, CAP_PERFMON: run it as root, for example with sudo, or give it these capabilities"
        );
    }
}
