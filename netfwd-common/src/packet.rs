//! What the NAT may do with a packet's bytes.

/// A packet, by offsets from its first byte. In the kernel it is a socket buffer; in tests, and wherever bytes are
/// at hand, a slice.
pub trait Packet {
    /// Bytes in the packet, link-layer header included. A GSO packet's is that of all its segments.
    fn length(&self) -> u32;

    /// Whether it carries a VLAN tag, beside its bytes or in them.
    fn is_vlan_tagged(&self) -> bool;

    /// The `N` bytes at an offset; `None` past the end.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;

    /// Overwrites the bytes at an offset; `None` if that failed.
    fn store<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Option<()>;

    /// Corrects the checksum at an offset for bytes that changed from `old` to `new`; `None` if that failed.
    fn update_checksum<const N: usize>(
        &mut self,
        offset: u32,
        covers: Covers,
        old: [u8; N],
        new: [u8; N],
    ) -> Option<()>;
}

/// Where the changed bytes are, as seen from a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covers {
    /// In the IPv4 header, for its own checksum.
    IpHeader,
    /// In the pseudo-header: addresses. A checksum that the hardware is to complete holds just these.
    PseudoHeader {
        /// UDP: 0 means "no checksum" and stays (RFC 768).
        zero_is_none: bool,
    },
    /// In the transport header or payload.
    Transport {
        /// UDP: 0 means "no checksum" and stays (RFC 768).
        zero_is_none: bool,
    },
}

impl Packet for [u8] {
    fn length(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    fn is_vlan_tagged(&self) -> bool {
        false
    }

    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.get(usize::try_from(offset).ok()?..)?.first_chunk().copied()
    }

    fn store<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Option<()> {
        *self.get_mut(usize::try_from(offset).ok()?..)?.first_chunk_mut()? = bytes;
        Some(())
    }

    fn update_checksum<const N: usize>(
        &mut self,
        offset: u32,
        covers: Covers,
        old: [u8; N],
        new: [u8; N],
    ) -> Option<()> {
        let checksum = self.load(offset)?;
        let zero_is_none = match covers {
            Covers::IpHeader => false,
            Covers::PseudoHeader { zero_is_none } | Covers::Transport { zero_is_none } => zero_is_none,
        };
        if zero_is_none && checksum == [0, 0] {
            return Some(());
        }
        let updated = crate::checksum::update(checksum, &old, &new);
        self.store(offset, if zero_is_none && updated == [0, 0] { [0xff; 2] } else { updated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_or_written_past_the_end() {
        let mut bytes = [1_u8, 2, 3];
        let packet = bytes.as_mut_slice();
        assert_eq!(packet.load::<2>(1), Some([2, 3]));
        assert_eq!(packet.load::<2>(2), None);
        assert_eq!(packet.load::<1>(u32::MAX), None);
        assert_eq!(packet.store(2, [9, 9]), None);
        assert_eq!(bytes, [1, 2, 3]);
    }

    #[test]
    fn a_udp_checksum_of_zero_stays_and_never_arises() {
        let mut bytes = [0_u8, 0];
        let covers = Covers::Transport { zero_is_none: true };
        bytes.as_mut_slice().update_checksum(0, covers, [1, 2], [3, 4]).unwrap();
        assert_eq!(bytes, [0, 0]);
        // ~(~0x0001 + ~0x0000 + 0x0001) is 0x0000, which UDP sends as 0xffff.
        let mut bytes = [0_u8, 1];
        bytes.as_mut_slice().update_checksum(0, covers, [0, 0], [0, 1]).unwrap();
        assert_eq!(bytes, [0xff, 0xff]);
    }
}
