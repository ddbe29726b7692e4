//! `netfwd status`.

mod interfaces;
mod paths;
mod text;

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use aya::{maps::MapData, programs::ProgramInfo};
use ipnet::IpNet;
use netfwd_common::abi::{Filtering, V4, V6, names};
use serde::Serialize;

use crate::{
    clock,
    datapath::{
        connections::Connections,
        host_access::{self, State},
        load,
        maps::{Maps, Select},
        pin::PinDir,
        uplinks::Host,
    },
    host::{forwarding::Switch, kernel},
};

pub(crate) use interfaces::uplinks;
pub use interfaces::{Bridge, Isolation, Masqueraded, Options, Segments, Uplink, Xdp};
pub use paths::{Container, Member, Path, Why};

use paths::Paths;

const SECOND: u64 = 1_000_000_000;

/// What is attached, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The running kernel's release.
    pub kernel: String,
    /// Where everything is pinned.
    pub pin_dir: PathBuf,
    /// Seconds since the first uplink was attached.
    pub attached_for_seconds: u64,
    /// Whether the host forwards IPv4 packets.
    pub ip_forward: bool,
    /// Whether the host forwards IPv6 packets; `None` on one without IPv6.
    pub ipv6_forward: Option<bool>,
    /// Whether processes of the host reach mapped ports.
    pub host_access: State,
    /// The networks that are kept apart.
    pub isolated: Vec<IpNet>,
    /// The pinned programs.
    pub programs: Vec<Program>,
    /// The uplinks.
    pub uplinks: Vec<Uplink>,
    /// The bridges that have a masqueraded subnet.
    pub bridges: Vec<Bridge>,
    /// The pinned maps.
    pub maps: Vec<Map>,
    /// What the maps take together.
    pub memory_bytes: u64,
}

/// A pinned program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its id in the kernel.
    pub id: u32,
    /// The kernel's digest of its instructions, in hexadecimal.
    pub tag: String,
    /// Instructions that the verifier looked at.
    pub verified_instructions: Option<u32>,
}

/// A pinned map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Map {
    /// Its name.
    pub name: &'static str,
    /// How many entries are in use, where that means something.
    pub entries: Option<usize>,
    /// How many there can be.
    pub max_entries: u32,
    /// Memory, as the kernel accounts it.
    pub memory_bytes: u64,
}

impl Status {
    /// Asks the kernel, and reads the maps.
    pub fn gather(pin_dir: &PinDir, maps: &Maps, host: &Host) -> Result<Self> {
        let now = clock::now()?;
        let listed: Vec<_> =
            names::MAPS.into_iter().map(|name| map(pin_dir, maps, name, now)).collect::<Result<_>>()?;
        let uplinks = uplinks(pin_dir, maps, host)?;
        let has_fast_uplink = uplinks.iter().any(|uplink| uplink.path == Path::Fast);
        let has_xdp = uplinks.iter().any(|uplink| uplink.xdp.mode.is_some());
        let paths = Paths::new(pin_dir, maps, host, has_fast_uplink, has_xdp)?;
        Ok(Self {
            kernel: kernel::release()?,
            pin_dir: pin_dir.path().to_owned(),
            attached_for_seconds: now.saturating_sub(maps.settings()?.attached) / SECOND,
            ip_forward: Switch::ipv4().is_on()? == Some(true),
            ipv6_forward: Switch::ipv6().is_on()?,
            host_access: host_access::state(pin_dir)?,
            isolated: isolated::<V4>(maps)?.chain(isolated::<V6>(maps)?).collect(),
            programs: load::programs().map(|name| program(pin_dir, name)).collect::<Result<_>>()?,
            uplinks,
            bridges: interfaces::bridges(pin_dir, maps, host, &paths)?,
            memory_bytes: listed.iter().map(|map| map.memory_bytes).sum(),
            maps: listed,
        })
    }
}

/// The name of a kind of filtering, as users write it.
#[must_use]
pub const fn filtering_name(filtering: Filtering) -> &'static str {
    match filtering {
        Filtering::Endpoint => "endpoint",
        Filtering::Address => "address",
        Filtering::AddressAndPort => "address-and-port",
    }
}

fn isolated<A: Select>(maps: &Maps) -> Result<impl Iterator<Item = IpNet> + use<A>> {
    Ok(maps.family::<A>().isolated()?.into_iter().map(Into::into))
}

fn program(pin_dir: &PinDir, name: &'static str) -> Result<Program> {
    let path = pin_dir.program(name);
    let info = ProgramInfo::from_pin(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let verified_instructions = info.verified_instruction_count();
    Ok(Program { name, id: info.id(), tag: format!("{:016x}", info.tag()), verified_instructions })
}

fn map(pin_dir: &PinDir, maps: &Maps, name: &'static str, now: u64) -> Result<Map> {
    let data = open(pin_dir, name)?;
    let max_entries = data.info().with_context(|| format!("cannot examine the map {name}"))?.max_entries();
    let entries = match name {
        names::INTERFACES => Some(maps.interfaces()?.len()),
        names::CHOICES => Some(maps.choices()?.len()),
        names::HOST_ADDRESSES => Some(maps.host_addresses()?.len()),
        _ => entries::<V4>(maps, name, now)?.or(entries::<V6>(maps, name, now)?),
    };
    Ok(Map { name, entries, max_entries, memory_bytes: memory(&data)? })
}

fn entries<A: Select>(maps: &Maps, name: &str, now: u64) -> Result<Option<usize>> {
    let family = maps.family::<A>();
    Ok(match name {
        _ if name == A::MAPS.subnets => Some(family.subnets()?.len()),
        _ if name == A::MAPS.exclusions => Some(family.exclusions()?.len()),
        _ if name == A::MAPS.isolated => Some(family.isolated()?.len()),
        _ if name == A::MAPS.mappings => Some(family.mappings.keys().count()),
        _ if name == A::MAPS.connections => Some(Connections::<A>::open(maps)?.records(maps, now)?.len()),
        _ => None,
    })
}

/// The memory of a pinned map in bytes, as the kernel accounts it.
pub(crate) fn memory_of(pin_dir: &PinDir, name: &str) -> Result<u64> {
    memory(&open(pin_dir, name)?)
}

fn open(pin_dir: &PinDir, name: &str) -> Result<MapData> {
    let path = pin_dir.map(name);
    MapData::from_pin(&path).with_context(|| format!("cannot open {}", path.display()))
}

fn memory(map: &MapData) -> Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd());
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let memory = text.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok());
    memory.with_context(|| format!("{path} tells no memlock"))
}
