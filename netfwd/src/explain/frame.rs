//! The bytes of a packet that is on its way.

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Who sends and gets a frame on an interface without an address.
pub(super) const NOBODY: [u8; 6] = [0x02, 0, 0, 0, 0, 1];

/// A packet's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// All of them.
    pub bytes: Vec<u8>,
    /// Those before its IP header.
    pub link_header: u32,
}

impl Frame {
    /// Gives it the link-layer header of the interface that it is on.
    pub(super) fn carry(&mut self, link_header: u32) {
        if self.link_header == link_header {
            return;
        }
        if link_header == 0 {
            self.bytes.drain(..ETHERNET);
        } else {
            let is_v4 = self.bytes.first().is_some_and(|byte| byte >> 4 == 4);
            let ethertype: [u8; 2] = if is_v4 { [0x08, 0x00] } else { [0x86, 0xdd] };
            self.bytes.splice(..0, [&NOBODY[..], &NOBODY, &ethertype].concat());
        }
        self.link_header = link_header;
    }
}
