//! What this process may do.

use anyhow::{Context as _, Result, ensure};
use caps::{CapSet, Capability, CapsHashSet};

/// Loading programs and maps; attaching them, and the network's switches; pointers and timers in programs.
const NEEDED: [Capability; 3] = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON];
/// What the kernel grants to `CAP_SYS_ADMIN` too, of which these were once a part (`capabilities(7)`).
const PARTS_OF_SYS_ADMIN: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_PERFMON];

/// Fails if a capability that netfwd needs is missing.
pub fn check() -> Result<()> {
    let missing = missing()?;
    ensure!(missing.is_empty(), "{}", message(&missing));
    Ok(())
}

/// The capabilities that netfwd needs and this process has not.
pub fn missing() -> Result<Vec<Capability>> {
    Ok(missing_among(&held()?))
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

fn missing_among(held: &CapsHashSet) -> Vec<Capability> {
    let mut granted = held.clone();
    if held.contains(&Capability::CAP_SYS_ADMIN) {
        granted.extend(PARTS_OF_SYS_ADMIN);
    }
    NEEDED.into_iter().filter(|capability| !granted.contains(capability)).collect()
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
    fn the_right_to_administer_the_system_takes_the_place_of_two() {
        use Capability::{CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN};
        let missing = |held: &[Capability]| missing_among(&held.iter().copied().collect());
        assert_eq!(missing(&[CAP_SYS_ADMIN]), [CAP_NET_ADMIN]);
        assert_eq!(missing(&[CAP_SYS_ADMIN, CAP_NET_ADMIN]), []);
        assert_eq!(missing(&[CAP_BPF, CAP_NET_ADMIN]), [CAP_PERFMON]);
    }

    #[test]
    fn each_missing_capability_is_named() {
        let text = message(&[Capability::CAP_BPF, Capability::CAP_PERFMON]);
        assert_eq!(
            text,
            "missing CAP_BPF, CAP_PERFMON: run it as root, for example with sudo, or give it these capabilities"
        );
    }
}
