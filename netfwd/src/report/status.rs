//! `netfwd status`.

use std::{fs, net::Ipv4Addr, os::fd::AsFd as _, os::fd::AsRawFd as _, path::PathBuf};

use anyhow::{Context as _, Result};
use aya::{maps::MapData, programs::ProgramInfo};
use ipnet::Ipv4Net;
use netfwd_common::abi::names;
use serde::Serialize;

use super::Interface;
use crate::{
    clock,
    datapath::{
        attach::{self, Attachment},
        connections::Connections,
        hook::Direction,
        load::PROGRAMS,
        maps::{Maps, Subnet},
        pin::PinDir,
        uplinks::{Host, Ports},
    },
    host::{interfaces::Interfaces, kernel},
    render::{self, Column, Listing},
};

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
    /// Whether the host forwards packets.
    pub ip_forward: bool,
    /// The pinned programs.
    pub programs: Vec<Program>,
    /// The uplinks.
    pub uplinks: Vec<Uplink>,
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

/// An uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uplink {
    /// Which one.
    pub interface: Interface,
    /// What is attached to it; one of each direction if all is well.
    pub attachments: Vec<Attachment>,
    /// The subnets that are masqueraded.
    pub subnets: Vec<Masqueraded>,
}

/// A masqueraded subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Masqueraded {
    /// The subnet.
    pub subnet: Ipv4Net,
    /// The bridge that has it now.
    pub bridge: Option<String>,
    /// The address that it is masqueraded with.
    pub address: Ipv4Addr,
    /// The first port to choose from.
    pub port_first: u16,
    /// The last port.
    pub port_last: u16,
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
        Ok(Self {
            kernel: kernel::release()?,
            pin_dir: pin_dir.path().to_owned(),
            attached_for_seconds: now.saturating_sub(maps.settings()?.attached) / SECOND,
            ip_forward: crate::host::forwarding::is_on()?,
            programs: PROGRAMS.into_iter().map(|name| program(pin_dir, name)).collect::<Result<_>>()?,
            uplinks: uplinks(pin_dir, maps, host)?,
            memory_bytes: listed.iter().map(|map| map.memory_bytes).sum(),
            maps: listed,
        })
    }
}

fn program(pin_dir: &PinDir, name: &'static str) -> Result<Program> {
    let path = pin_dir.program(name);
    let info = ProgramInfo::from_pin(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let verified_instructions = info.verified_instruction_count();
    Ok(Program { name, id: info.id(), tag: format!("{:016x}", info.tag()), verified_instructions })
}

fn uplinks(pin_dir: &PinDir, maps: &Maps, host: &Host) -> Result<Vec<Uplink>> {
    let mut subnets = Vec::new();
    for subnet in maps.subnets()? {
        if maps.is_in_force(subnet.masquerade.rule)? {
            subnets.push(subnet);
        }
    }
    let uplink = |ifindex: u32| {
        let attachments = match host.interfaces.with_index(ifindex) {
            Some(interface) => attach::attachments(pin_dir, &host.netlink, interface)?,
            None => Vec::new(),
        };
        let own = subnets.iter().filter(|subnet| subnet.uplink == ifindex);
        let subnets = own.map(|subnet| masqueraded(subnet, &host.interfaces)).collect();
        Ok(Uplink { interface: Interface::with_index(ifindex), attachments, subnets })
    };
    maps.uplinks()?.into_iter().map(|(ifindex, _)| uplink(ifindex)).collect()
}

fn masqueraded(subnet: &Subnet, interfaces: &Interfaces) -> Masqueraded {
    Masqueraded {
        subnet: subnet.network,
        bridge: interfaces.bridge_of(subnet.network).map(|bridge| bridge.name.clone()),
        address: subnet.masquerade.address.into(),
        port_first: u16::from_be_bytes(subnet.masquerade.first_port),
        port_last: u16::from_be_bytes(subnet.masquerade.last_port),
    }
}

fn map(pin_dir: &PinDir, maps: &Maps, name: &'static str, now: u64) -> Result<Map> {
    let path = pin_dir.map(name);
    let data = MapData::from_pin(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let max_entries = data.info().with_context(|| format!("cannot examine {}", path.display()))?.max_entries();
    Ok(Map { name, entries: entries(maps, name, now)?, max_entries, memory_bytes: memory(&data)? })
}

fn entries(maps: &Maps, name: &str, now: u64) -> Result<Option<usize>> {
    Ok(match name {
        names::UPLINKS => Some(maps.uplinks()?.len()),
        names::SUBNETS => Some(maps.subnets()?.len()),
        names::MAPPINGS => Some(maps.mappings.keys().count()),
        names::CONNECTIONS => Some(Connections::open(maps)?.live(maps, now)?.len()),
        _ => None,
    })
}

fn memory(map: &MapData) -> Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd());
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let memory = text.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok());
    memory.with_context(|| format!("{path} tells no memlock"))
}

impl Listing for Status {
    fn text(&self) -> String {
        let forwarding = if self.ip_forward { "on" } else { "off: turn it on with `sysctl -w net.ipv4.ip_forward=1`" };
        let heads = [
            format!("kernel      {}", self.kernel),
            format!("pinned in   {}", self.pin_dir.display()),
            format!("attached    {} ago", render::duration(self.attached_for_seconds * SECOND)),
            format!("forwarding  {forwarding}"),
        ];
        [heads.join("\n"), self.uplinks_text(), self.programs_text(), self.maps_text()].join("\n\n")
    }
}

impl Status {
    fn uplinks_text(&self) -> String {
        let columns = ["UPLINK", "HOOK", "SUBNET", "BRIDGE", "ADDRESS", "PORTS"].map(Column::Text);
        let rows = self.uplinks.iter().flat_map(|uplink| {
            let (name, hook) = (uplink.interface.text(), uplink.hook_text());
            let row = move |rest: [String; 4]| {
                let [subnet, bridge, address, ports] = rest;
                [name.clone(), hook.clone(), subnet, bridge, address, ports]
            };
            let none = uplink.subnets.is_empty().then(|| ["-"; 4].map(str::to_owned));
            uplink.subnets.iter().map(Masqueraded::cells).chain(none).map(row)
        });
        render::table(columns, rows)
    }

    fn programs_text(&self) -> String {
        let columns = [
            Column::Text("PROGRAM"),
            Column::Number("ID"),
            Column::Text("TAG"),
            Column::Number("VERIFIED INSTRUCTIONS"),
        ];
        let rows = self.programs.iter().map(|program| {
            let verified = program.verified_instructions.map_or_else(|| "-".to_owned(), |count| count.to_string());
            [program.name.to_owned(), program.id.to_string(), program.tag.clone(), verified]
        });
        render::table(columns, rows)
    }

    fn maps_text(&self) -> String {
        let columns =
            [Column::Text("MAP"), Column::Number("ENTRIES"), Column::Number("MAXIMUM"), Column::Number("MEMORY")];
        let rows = self.maps.iter().map(|map| {
            let entries = map.entries.map_or_else(|| "-".to_owned(), |count| count.to_string());
            [map.name.to_owned(), entries, map.max_entries.to_string(), map.memory_bytes.to_string()]
        });
        let all = ["all".to_owned(), String::new(), String::new(), self.memory_bytes.to_string()];
        render::table(columns, rows.chain([all]))
    }
}

impl Uplink {
    fn hook_text(&self) -> String {
        let missing: Vec<_> = Direction::ALL
            .into_iter()
            .filter(|direction| !self.attachments.iter().any(|attachment| attachment.direction == *direction))
            .map(Direction::as_str)
            .collect();
        match self.attachments.first() {
            Some(attachment) if missing.is_empty() => attachment.hook.as_str().to_owned(),
            _ => format!("no {}", missing.join(", no ")),
        }
    }
}

impl Masqueraded {
    fn cells(&self) -> [String; 4] {
        let ports = Ports { first: self.port_first, last: self.port_last };
        [
            self.subnet.to_string(),
            self.bridge.clone().unwrap_or_else(|| "-".to_owned()),
            self.address.to_string(),
            ports.to_string(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::hook::Hook;

    fn uplink(directions: &[Direction]) -> Uplink {
        let attachment = |direction: &Direction| Attachment { direction: *direction, hook: Hook::Tcx, program_id: 7 };
        Uplink {
            interface: Interface { name: Some("eth0".to_owned()), index: 2 },
            attachments: directions.iter().map(attachment).collect(),
            subnets: Vec::new(),
        }
    }

    #[test]
    fn a_missing_program_is_told() {
        assert_eq!(uplink(&Direction::ALL).hook_text(), "TCX");
        assert_eq!(uplink(&[Direction::Ingress]).hook_text(), "no egress");
        assert_eq!(uplink(&[]).hook_text(), "no ingress, no egress");
    }
}
