//! Asking the host. What may not be asked is left out.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Result;
use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};
use netfwd_common::abi::Role;
use nix::{
    fcntl::{AT_FDCWD, AtFlags},
    unistd::{AccessFlags, faccessat},
};

use super::{Attached, Conflict, Facts, Kernel, Link, MappedPorts, Other, Pins};
use crate::{
    datapath::{
        attach,
        hook::Direction,
        load::is_pinned,
        mappings::{self, Labels},
        maps::Maps,
        pin::PinDir,
        uplinks::Host,
    },
    host::{
        bpf, capabilities, cgroup,
        firewall::Firewall,
        forwarding::Switch,
        interfaces::{Interface, Ipv6, is_link_local},
        kernel,
        ports::{PortSet, ephemeral, reserved},
        sockets::{Holder, Sockets},
    },
    mapping::{Mapping, Origin},
};

/// What netfwd's programs call that is newer than BPF itself, by the name it has in bpf-helpers(7).
const HELPERS: [(&str, BpfHelper); 7] = [
    ("bpf_loop", BpfHelper::BPF_FUNC_loop),
    ("bpf_timer_init", BpfHelper::BPF_FUNC_timer_init),
    ("bpf_redirect_peer", BpfHelper::BPF_FUNC_redirect_peer),
    ("bpf_redirect_neigh", BpfHelper::BPF_FUNC_redirect_neigh),
    ("bpf_skc_lookup_tcp", BpfHelper::BPF_FUNC_skc_lookup_tcp),
    ("bpf_check_mtu", BpfHelper::BPF_FUNC_check_mtu),
    ("bpf_fib_lookup", BpfHelper::BPF_FUNC_fib_lookup),
];

/// Looks at the host, with this interface as an uplink, or without one with those that are attached; if there are none,
/// with those of the default routes.
pub fn gather(pin_dir: &PinDir, uplink: Option<&str>) -> Result<Facts> {
    let host = Host::look()?;
    let missing = capabilities::missing()?;
    let may_ask = missing.is_empty();
    let maps = if may_ask { Maps::open_if_attached(pin_dir).map_err(|error| format!("{error:#}")) } else { Ok(None) };
    let maps = maps.as_ref().map(Option::as_ref);
    let interfaces = interfaces(&host, maps.ok().flatten(), uplink)?;
    let links = links(&host, &interfaces)?;
    let mut facts = Facts {
        kernel: kernel(may_ask)?,
        missing_capabilities: missing.iter().map(ToString::to_string).collect(),
        sees_all: capabilities::sees_all()?,
        pins: pins(pin_dir)?,
        has_cgroup2: cgroup::root()?.is_some(),
        attached: match maps {
            Ok(None) => Attached::No,
            Ok(Some(maps)) => Attached::Yes { is_fast: maps.uplinks()?.iter().any(|(_, known)| known.has_fast_path()) },
            Err(why) => Attached::Unknown(why.clone()),
        },
        links,
        forwards: [Switch::ipv4().is_on()?, Switch::ipv6().is_on()?],
        firewall: Firewall::read(),
        is_liberal: number("net/netfilter/nf_conntrack_tcp_be_liberal").map(|value| value != 0),
        filters_bridged: ["iptables", "ip6tables"]
            .iter()
            .any(|name| number(&format!("net/bridge/bridge-nf-call-{name}")) == Some(1)),
        ..Facts::default()
    };
    if may_ask {
        facts.others = others(pin_dir, &host, &interfaces)?;
    }
    if let Ok(Some(maps)) = maps {
        (facts.conflicts, facts.ports) = ports(maps)?;
    }
    Ok(facts)
}

/// Uplinks and bridges.
fn interfaces<'h>(host: &'h Host, maps: Option<&Maps>, uplink: Option<&str>) -> Result<Vec<&'h Interface>> {
    let mut chosen: Vec<&Interface> = host.interfaces.bridges().collect();
    let attached = match maps {
        Some(maps) => maps.with_role(Role::Uplink)?.into_iter().map(|(index, _)| index).collect(),
        None => Vec::new(),
    };
    let uplinks: Vec<u32> = match uplink {
        Some(name) => vec![host.interfaces.named(name)?.index],
        None if attached.is_empty() => host.netlink.default_uplinks()?.into_iter().collect(),
        None => attached,
    };
    chosen.retain(|bridge| !uplinks.contains(&bridge.index));
    chosen.splice(..0, uplinks.iter().filter_map(|index| host.interfaces.with_index(*index)));
    Ok(chosen)
}

fn kernel(may_ask: bool) -> Result<Kernel> {
    let lacks = may_ask.then(|| {
        // Where the question fails, attach will say why.
        let lacks = |helper| matches!(is_helper_supported(ProgramType::SchedClassifier, helper), Ok(false));
        HELPERS.into_iter().filter(|(_, helper)| lacks(*helper)).map(|(name, _)| name).collect()
    });
    // The first interface of each network namespace is the loopback.
    let has_tcx = may_ask && bpf::tcx_programs(1, Direction::Ingress).is_ok_and(|programs| programs.is_some());
    Ok(Kernel {
        release: kernel::release()?,
        unsupported: kernel::check().err().map(|error| error.to_string()),
        lacks,
        has_tcx,
        compiles: number("net/core/bpf_jit_enable").map(|value| value != 0),
    })
}

fn pins(pin_dir: &PinDir) -> Result<Pins> {
    let path = pin_dir.path();
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    Ok(Pins {
        path: path.to_owned(),
        is_bpffs: pin_dir.is_on_bpffs(),
        is_writable: faccessat(AT_FDCWD, existing, AccessFlags::W_OK, AtFlags::AT_EACCESS).is_ok(),
        may_mount: capabilities::may_mount()?,
    })
}

fn links(host: &Host, interfaces: &[&Interface]) -> Result<Vec<Link>> {
    let defaults = host.netlink.default_uplinks()?;
    Ok(interfaces.iter().map(|interface| link(interface, &defaults)).collect())
}

fn link(interface: &Interface, defaults: &BTreeSet<u32>) -> Link {
    let of = |family: &str, name: &str| {
        let switch = |interface: &str| number(&format!("net/{family}/conf/{interface}/{name}"));
        switch(&interface.name).max(switch("all"))
    };
    let own = |family: &str| number(&format!("net/{family}/conf/{}/forwarding", interface.name));
    let is_on = |value: Option<u32>| value.map(|value| value != 0);
    let has_ipv6 = interface.ipv6.is_some_and(|Ipv6 { is_disabled, .. }| !is_disabled)
        && interface.addresses.iter().any(|address| address.net.addr().is_ipv6() && !is_link_local(address.net));
    Link {
        name: interface.name.clone(),
        is_bridge: interface.is_bridge,
        is_default: defaults.contains(&interface.index),
        has_ipv6,
        forwards: [is_on(own("ipv4")), is_on(own("ipv6"))],
        rp_filter: of("ipv4", "rp_filter").and_then(|value| u8::try_from(value).ok()).unwrap_or_default(),
        routes_localnet: of("ipv4", "route_localnet").is_some_and(|value| value != 0),
    }
}

/// A number below /proc/sys; `None` where there is none, or it is not for this process.
fn number(path: &str) -> Option<u32> {
    fs::read_to_string(Path::new("/proc/sys").join(path)).ok()?.trim().parse().ok()
}

fn others(pin_dir: &PinDir, host: &Host, interfaces: &[&Interface]) -> Result<Vec<Other>> {
    let mut others = Vec::new();
    for interface in interfaces {
        let other = |hook: &'static str, id, name| Other { interface: interface.name.clone(), hook, id, name };
        for direction in Direction::ALL {
            let found = attach::others(pin_dir, &host.netlink, interface, direction)?;
            others.extend(found.into_iter().map(|found| other(direction.as_str(), found.id, found.name)));
        }
        let foreign = interface.xdp_programs.iter().filter(|id| !is_pinned(pin_dir, **id));
        others.extend(foreign.map(|id| other("XDP", *id, bpf::program_name(*id))));
    }
    Ok(others)
}

fn ports(maps: &Maps) -> Result<(Vec<Conflict>, MappedPorts)> {
    let (installed, labels, sockets) = (mappings::list(maps)?, Labels::read(maps)?, Sockets::read()?);
    let mut conflicts = Vec::new();
    let mut mapped = PortSet::default();
    for one in &installed {
        mapped.insert(one.mapping.host.ports);
        conflicts.extend(conflict(&sockets, &one.mapping, labels.of(one.rule).origin));
    }
    let reserved = reserved()?;
    let mut to_reserve = reserved.clone();
    to_reserve.insert_all(&mapped);
    let mut open = mapped;
    open.remove_all(&reserved);
    let mut given = PortSet::default();
    given.insert(ephemeral()?);
    open.keep_all(&given);
    Ok((conflicts, MappedPorts { count: installed.len(), open, to_reserve }))
}

/// The first socket that serves a mapped port. Docker's own keep the ports that its containers publish.
fn conflict(sockets: &Sockets, mapping: &Mapping, origin: Origin) -> Option<Conflict> {
    sockets.serving(&mapping.host).into_iter().find_map(|socket| {
        let holder = socket.holder();
        let is_docker = holder.as_ref().map_or(origin == Origin::Docker, Holder::is_docker);
        (!is_docker).then(|| Conflict { mapping: *mapping, port: socket.local.port(), holder })
    })
}
