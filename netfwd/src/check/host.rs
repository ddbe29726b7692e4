//! `netfwd check`: kernel, switches, rules and programs of others.

mod firewall;
mod gather;
mod ports;
mod programs;
mod switches;
mod system;

use std::path::PathBuf;

use super::{Finding, Report};
use crate::{
    host::{firewall::Firewall, ports::PortSet, sockets::Holder},
    mapping::Mapping,
};

/// What is the case on this host.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    kernel: Kernel,
    /// The capabilities that are missing.
    missing_capabilities: Vec<String>,
    /// Whether this process sees other processes and the kernel's programs.
    sees_all: bool,
    pins: Pins,
    /// Whether a cgroup hierarchy of version 2 can be seen.
    has_cgroup2: bool,
    attached: Attached,
    /// The uplinks and bridges.
    links: Vec<Link>,
    /// `net.ipv4.ip_forward`, and that of IPv6.
    forwards: [Option<bool>; 2],
    firewall: Firewall,
    /// `nf_conntrack_tcp_be_liberal`, where connections are tracked.
    is_liberal: Option<bool>,
    /// `bridge-nf-call-iptables` or its sibling of IPv6.
    filters_bridged: bool,
    /// Programs of others.
    others: Vec<Other>,
    /// Sockets that serve a mapped port.
    conflicts: Vec<Conflict>,
    ports: MappedPorts,
}

/// The kernel.
#[derive(Clone, Debug, Default)]
struct Kernel {
    release: String,
    /// Why netfwd cannot run on it.
    unsupported: Option<String>,
    /// What it was asked for and does not have; `None` if this process may not ask.
    lacks: Option<Vec<&'static str>>,
    has_tcx: bool,
    /// Whether it compiles BPF programs; `None` where that is not to be seen.
    compiles: Option<bool>,
}

/// The pin directory.
#[derive(Clone, Debug, Default)]
struct Pins {
    path: PathBuf,
    is_bpffs: bool,
    is_writable: bool,
    /// Whether this process may mount.
    may_mount: bool,
}

/// Whether netfwd is attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Attached {
    /// It is not.
    #[default]
    No,
    /// It is, with or without a fast path.
    Yes { is_fast: bool },
    /// What is pinned cannot be read, for this reason.
    Unknown(String),
}

/// An uplink or a bridge.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Link {
    name: String,
    is_bridge: bool,
    /// Whether a default route leads through it.
    is_default: bool,
    /// Whether it has an IPv6 address beyond its link.
    has_ipv6: bool,
    /// `forwarding` of both families.
    forwards: [Option<bool>; 2],
    /// `rp_filter`, the greater of its own and that of all interfaces.
    rp_filter: u8,
    /// `route_localnet`, its own or that of all interfaces.
    routes_localnet: bool,
}

/// A program of somebody else.
#[derive(Clone, Debug)]
struct Other {
    interface: String,
    /// `ingress`, `egress` or `XDP`.
    hook: &'static str,
    id: u32,
    name: Option<String>,
}

/// A socket that serves a mapped port.
#[derive(Clone, Debug)]
struct Conflict {
    mapping: Mapping,
    port: u16,
    holder: Option<Holder>,
}

/// Mapped ports among those that the kernel gives to sockets.
#[derive(Clone, Debug, Default)]
struct MappedPorts {
    count: usize,
    /// Those that the kernel may give to a socket all the same.
    open: PortSet,
    /// All that should be in `ip_local_reserved_ports`.
    to_reserve: PortSet,
}

pub use gather::gather;

/// What the facts come to.
#[must_use]
pub fn judge(facts: &Facts) -> Report {
    let all: [fn(&Facts) -> Vec<Finding>; 5] =
        [system::judge, switches::judge, firewall::judge, programs::judge, ports::judge];
    Report::new(all.iter().flat_map(|judge| judge(facts)).collect())
}

impl Facts {
    fn uplinks(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| !link.is_bridge)
    }

    fn bridges(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| link.is_bridge)
    }

    fn is_attached(&self) -> bool {
        matches!(self.attached, Attached::Yes { .. })
    }
}

/// A host on which all is well.
#[cfg(test)]
fn well() -> Facts {
    let link = |name: &str, is_bridge| Link {
        name: name.to_owned(),
        is_bridge,
        is_default: !is_bridge,
        forwards: [Some(true); 2],
        ..Link::default()
    };
    Facts {
        kernel: Kernel {
            release: "6.12.0".to_owned(),
            lacks: Some(Vec::new()),
            has_tcx: true,
            compiles: Some(true),
            ..Kernel::default()
        },
        sees_all: true,
        pins: Pins { path: "/sys/fs/bpf/netfwd".into(), is_bpffs: true, is_writable: true, may_mount: true },
        has_cgroup2: true,
        attached: Attached::Yes { is_fast: true },
        links: vec![link("ens33", false), link("docker0", true)],
        forwards: [Some(true); 2],
        ..Facts::default()
    }
}

/// What one judge says other than that all is well.
#[cfg(test)]
fn complaints(judge: fn(&Facts) -> Vec<Finding>, facts: &Facts) -> Vec<(super::Level, &'static str, String)> {
    let bad = judge(facts).into_iter().filter(|finding| finding.level != super::Level::Ok);
    bad.map(|finding| (finding.level, finding.subject, finding.todo.unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;

    #[test]
    fn a_host_on_which_all_is_well_has_nothing_but_good_findings() {
        let report = judge(&well());
        assert_eq!((report.problems, report.warnings), (0, 0), "{report:#?}");
        assert!(report.findings.len() >= 8 && report.findings.iter().all(|finding| finding.level == Level::Ok));
    }
}
