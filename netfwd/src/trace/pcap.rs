//! Both sides of traced packets in a file for Wireshark and tcpdump (pcapng).

use std::{borrow::Cow, fs::File, io::BufWriter, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use netfwd_common::abi::{TRACED_BYTES, Traced};
use pcap_file::{
    DataLink,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
        },
    },
};

/// The file's interfaces: a packet is in it twice.
const SIDES: [&str; 2] = ["before", "after"];
/// Timestamps count in units of 10 to the power of minus that.
const NANOSECONDS: u8 = 9;
/// Bytes before an IP header.
const ETHERNET: usize = 14;

/// A file that is being written.
pub struct Pcap {
    writer: PcapNgWriter<BufWriter<File>>,
}

impl Pcap {
    /// Makes the file, in the place of one with the same name.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = || format!("cannot write {}", path.display());
        let file = File::create(path).with_context(failed)?;
        let mut writer = PcapNgWriter::new(BufWriter::new(file)).with_context(failed)?;
        for name in SIDES {
            let options = vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ];
            let snaplen = (TRACED_BYTES + ETHERNET) as u32;
            let interface = InterfaceDescriptionBlock { linktype: DataLink::ETHERNET, snaplen, options };
            writer.write_pcapng_block(interface).with_context(failed)?;
        }
        Ok(Self { writer })
    }

    /// Adds a packet as it was and as it has become; `time` is in nanoseconds since 1970, and `comment` is for both.
    pub fn add(&mut self, traced: &Traced, time: u64, comment: &str) -> Result<()> {
        for (number, interface_id) in [(0, 0), (1, 1)] {
            let length = traced.lengths[number];
            let Some(bytes) = traced.bytes[number].get(..traced.kept[number] as usize) else { continue };
            if length == 0 {
                continue;
            }
            let (data, added) = ethernet(bytes, traced.link_header);
            let block = EnhancedPacketBlock {
                interface_id,
                timestamp: Duration::from_nanos(time),
                original_len: length.saturating_add(added),
                data,
                options: vec![EnhancedPacketOption::Comment(Cow::Borrowed(comment))],
            };
            self.writer.write_pcapng_block(block).context("cannot write the capture's file")?;
        }
        Ok(())
    }

    /// Writes what is not in the file yet.
    pub fn flush(&mut self) -> Result<()> {
        std::io::Write::flush(self.writer.get_mut()).context("cannot write the capture's file")
    }
}

/// A packet with an Ethernet header, and bytes that were added for it.
fn ethernet(bytes: &[u8], link_header: u32) -> (Cow<'_, [u8]>, u32) {
    if link_header != 0 {
        return (Cow::Borrowed(bytes), 0);
    }
    let ethertype: [u8; 2] = if bytes.first().is_some_and(|byte| byte >> 4 == 6) { [0x86, 0xdd] } else { [8, 0] };
    (Cow::Owned([&[0; 12][..], &ethertype, bytes].concat()), ETHERNET as u32)
}
