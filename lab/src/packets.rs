//! What a capture saw.

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use etherparse::{NetSlice, SlicedPacket};
use pcap_file::pcap::PcapReader;
use tempfile::TempDir;

use crate::checksum::{Checksum, judge};
use crate::process::Process;
use crate::quoted::judge_quoted;

const PRINT: Duration = Duration::from_mins(1);

/// The packets of a finished capture. They are in a file, as many as they may be, until this is dropped.
#[derive(Debug)]
pub struct Packets {
    file: PathBuf,
    _directory: TempDir,
    lost: u64,
}

/// A packet of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<A = Ipv4Addr> {
    /// The source address.
    pub source: A,
    /// The destination address.
    pub destination: A,
    /// The number of the protocol above IP.
    pub protocol: u8,
    /// The time to live; the hop limit of IPv6.
    pub ttl: u8,
    /// What follows the IP header and its extensions.
    pub payload: Vec<u8>,
}

/// The verdicts on the checksums of a capture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checksums {
    /// How many packets have complete, right checksums.
    pub complete: u64,
    /// How many have a right partial checksum.
    pub partial: u64,
    /// How many UDP datagrams have none.
    pub absent: u64,
    /// How many were not judged.
    pub unchecked: u64,
    /// Each wrong one, as text.
    pub bad: Vec<String>,
    /// Each wrong one in a packet that an ICMP error quotes, as text: of the IP header, and of the transport if the
    /// packet is quoted whole. Of what was sent with a partial checksum, the kernel's own translation makes it wrong.
    pub quoted: Vec<String>,
}

impl Packets {
    pub(crate) fn new(file: PathBuf, directory: TempDir, lost: u64) -> Self {
        Self { file, _directory: directory, lost }
    }

    /// How many packets matched, but came too fast to be captured.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// One line for each packet, as tcpdump prints it, without the time.
    pub fn lines(&self) -> Result<Vec<String>> {
        let mut command = Command::new("tcpdump");
        command.args(["-Z", "root", "-nn", "-t", "-r"]).arg(&self.file);
        let output = Process::start(command, "tcpdump".to_owned())?.succeed(PRINT)?;
        Ok(output.stdout.lines().map(str::to_owned).collect())
    }

    /// The IPv4 packets, all in memory.
    pub fn ipv4(&self) -> Result<Vec<Packet>> {
        let mut packets = Vec::new();
        self.for_each(|frame, _| packets.extend(parse_ipv4(frame)))?;
        Ok(packets)
    }

    /// The IPv6 packets, all in memory.
    pub fn ipv6(&self) -> Result<Vec<Packet<Ipv6Addr>>> {
        let mut packets = Vec::new();
        self.for_each(|frame, _| packets.extend(parse_ipv6(frame)))?;
        Ok(packets)
    }

    /// The frames as captured, all in memory.
    pub fn frames(&self) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        self.for_each(|frame, _| frames.push(frame.to_vec()))?;
        Ok(frames)
    }

    /// The verdicts on all checksums; [`Checksum`] tells how an honest one is possible on a veth.
    pub fn checksums(&self) -> Result<Checksums> {
        let mut checksums = Checksums::default();
        let mut number = 0_u64;
        self.for_each(|frame, whole| {
            number += 1;
            let checksum = if whole { judge(frame) } else { Checksum::Unchecked };
            checksums.count(number, checksum);
            checksums.quoted.extend(judge_quoted(frame).map(|text| format!("quoted in packet {number}: {text}")));
        })?;
        Ok(checksums)
    }

    /// The wrong checksums, as text.
    pub fn bad_checksums(&self) -> Result<Vec<String>> {
        Ok(self.checksums()?.bad)
    }

    fn for_each(&self, mut see: impl FnMut(&[u8], bool)) -> Result<()> {
        let name = || format!("cannot read the capture {}", self.file.display());
        let mut reader = PcapReader::new(File::open(&self.file).with_context(name)?).with_context(name)?;
        while let Some(packet) = reader.next_packet() {
            let packet = packet.with_context(name)?;
            see(&packet.data, packet.data.len() == packet.orig_len as usize);
        }
        Ok(())
    }
}

impl Checksums {
    fn count(&mut self, number: u64, checksum: Checksum) {
        match checksum {
            Checksum::Complete => self.complete += 1,
            Checksum::Partial => self.partial += 1,
            Checksum::Absent => self.absent += 1,
            Checksum::Unchecked => self.unchecked += 1,
            Checksum::Bad(text) => self.bad.push(format!("packet {number}: {text}")),
        }
    }
}

fn parse_ipv4(frame: &[u8]) -> Option<Packet> {
    let Ok(SlicedPacket { net: Some(NetSlice::Ipv4(packet)), .. }) = SlicedPacket::from_ethernet(frame) else {
        return None;
    };
    let header = packet.header();
    Some(Packet {
        source: header.source_addr(),
        destination: header.destination_addr(),
        protocol: header.protocol().0,
        ttl: header.ttl(),
        payload: packet.payload().payload.to_vec(),
    })
}

fn parse_ipv6(frame: &[u8]) -> Option<Packet<Ipv6Addr>> {
    let Ok(SlicedPacket { net: Some(NetSlice::Ipv6(packet)), .. }) = SlicedPacket::from_ethernet(frame) else {
        return None;
    };
    let (header, payload) = (packet.header(), packet.payload());
    Some(Packet {
        source: header.source_addr(),
        destination: header.destination_addr(),
        protocol: payload.ip_number.0,
        ttl: header.hop_limit(),
        payload: payload.payload.to_vec(),
    })
}
