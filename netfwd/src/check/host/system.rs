//! The kernel, what this process may do, and where things are mounted.

use super::{Attached, Facts};
use crate::check::{Finding, list};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![kernel(facts)];
    findings.extend(jit(facts));
    findings.extend([capabilities(facts), pins(facts), cgroup(facts), attached(facts)]);
    findings
}

fn kernel(facts: &Facts) -> Finding {
    let kernel = &facts.kernel;
    let why = "netfwd's programs are not loaded without it";
    if let Some(unsupported) = &kernel.unsupported {
        return Finding::problem("kernel", unsupported.clone()).because(why);
    }
    let hook = if kernel.has_tcx { "TCX" } else { "no TCX, which came with 6.6: clsact is used" };
    match &kernel.lacks {
        None => Finding::ok("kernel", format!("{} with BTF; what else it can do is not to be asked", kernel.release)),
        Some(lacks) if lacks.is_empty() => {
            Finding::ok("kernel", format!("{} with BTF, all functions that are needed, and {hook}", kernel.release))
        }
        Some(lacks) => Finding::problem("kernel", format!("{} has no {}", kernel.release, list(lacks)))
            .because(why)
            .todo("boot kernel 6.1 or later"),
    }
}

fn jit(facts: &Facts) -> Option<Finding> {
    if facts.kernel.compiles? {
        return Some(Finding::ok("compiler", "the kernel compiles BPF programs"));
    }
    let finding = Finding::warning("compiler", "the kernel interprets BPF programs");
    Some(finding.because("each packet costs several times as much").todo("sysctl -w net.core.bpf_jit_enable=1"))
}

fn capabilities(facts: &Facts) -> Finding {
    let missing = &facts.missing_capabilities;
    match () {
        () if !missing.is_empty() => Finding::problem("capabilities", format!("missing {}", list(missing)))
            .because("without them nothing can be attached, changed or listed; some of what follows was not looked at")
            .todo("run it as root: sudo netfwd check"),
        () if facts.sees_all => Finding::ok("capabilities", "all that are needed"),
        () => Finding::ok(
            "capabilities",
            "all that are needed; without CAP_SYS_ADMIN and CAP_SYS_PTRACE some programs and processes have no name here",
        ),
    }
}

fn pins(facts: &Facts) -> Finding {
    let pins = &facts.pins;
    let path = pins.path.display();
    match () {
        () if !pins.is_bpffs && pins.may_mount => {
            Finding::ok("pins", format!("no BPF file system is mounted for {path}; attach mounts it"))
        }
        () if !pins.is_bpffs => Finding::problem("pins", format!("no BPF file system is mounted for {path}"))
            .because("programs and maps are kept there, and this process may not mount it")
            .todo(format!(
                "mount -t bpf bpf {}",
                if pins.path.starts_with("/sys/fs/bpf") { "/sys/fs/bpf".to_owned() } else { path.to_string() }
            )),
        () if !pins.is_writable => Finding::problem("pins", format!("this user may not write to {path}"))
            .because("programs and maps are kept there")
            .todo(format!("install -d -o $(id -un) {path}, as root")),
        () => Finding::ok("pins", format!("{path} is on a BPF file system")),
    }
}

fn cgroup(facts: &Facts) -> Finding {
    if facts.has_cgroup2 {
        return Finding::ok("cgroup", "version 2 is mounted");
    }
    Finding::warning("cgroup", "no hierarchy of version 2 is mounted")
        .because("without it processes of this host do not reach mapped ports (host access)")
        .todo("mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified, then attach again")
}

fn attached(facts: &Facts) -> Finding {
    let names = |links: Vec<&super::Link>| list(&links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>());
    let (uplinks, bridges) = (names(facts.uplinks().collect()), names(facts.bridges().collect()));
    match &facts.attached {
        Attached::Yes { .. } => Finding::ok("netfwd", format!("attached to {uplinks}; bridges: {bridges}")),
        Attached::No if uplinks.is_empty() => {
            Finding::warning("netfwd", "not attached, and no default route says what the uplink is")
                .because("nothing was looked at that depends on the uplink")
                .todo("netfwd check IFACE")
        }
        Attached::No => Finding::ok("netfwd", format!("not attached; looks at {uplinks}, bridges: {bridges}")),
        Attached::Unknown(why) => Finding::problem("netfwd", why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{
        Level::{Problem, Warning},
        host::{complaints, well},
    };

    #[test]
    fn what_the_system_lacks_is_found() {
        let mut facts = well();
        facts.kernel.lacks = Some(vec!["bpf_loop"]);
        facts.kernel.compiles = Some(false);
        facts.missing_capabilities = vec!["CAP_BPF".to_owned()];
        facts.has_cgroup2 = false;
        let found: Vec<_> = complaints(judge, &facts).into_iter().map(|(level, subject, _)| (level, subject)).collect();
        let expected = [(Problem, "kernel"), (Warning, "compiler"), (Problem, "capabilities"), (Warning, "cgroup")];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_bpf_file_system_is_needed_by_those_who_cannot_mount_it() {
        let mut facts = well();
        facts.pins.is_bpffs = false;
        assert!(complaints(judge, &facts).is_empty());
        facts.pins.may_mount = false;
        assert_eq!(complaints(judge, &facts), [(Problem, "pins", "mount -t bpf bpf /sys/fs/bpf".to_owned())]);
        facts.pins.path = "/run/pins".into();
        assert_eq!(complaints(judge, &facts)[0].2, "mount -t bpf bpf /run/pins");
        facts.pins.is_bpffs = true;
        facts.pins.is_writable = false;
        assert_eq!(complaints(judge, &facts)[0].2, "install -d -o $(id -un) /run/pins, as root");
    }

    #[test]
    fn without_an_uplink_one_has_to_be_named() {
        let mut facts = well();
        facts.attached = Attached::No;
        assert!(complaints(judge, &facts).is_empty());
        facts.links.clear();
        assert_eq!(complaints(judge, &facts), [(Warning, "netfwd", "netfwd check IFACE".to_owned())]);
    }
}
