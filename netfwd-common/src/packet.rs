//! What the NAT may do with a packet's bytes.

use crate::{abi::MAX_HELD, checksum::Change};

/// A packet, by offsets from its first byte. In the kernel it is a socket buffer; in tests, and wherever bytes are
/// at hand, a slice.
pub trait Packet {
    /// Bytes in the packet, link-layer header included. A GSO packet's is that of all its segments.
    fn length(&self) -> u32;

    /// Whether it carries a VLAN tag, beside its bytes or in them.
    fn is_vlan_tagged(&self) -> bool;

    /// The `N` bytes at an offset; `None` past the end.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;

    /// Loads the bytes at an offset to their place; `None` past the end.
    fn load_into<const N: usize>(&self, offset: u32, bytes: &mut [u8; N]) -> Option<()> {
        *bytes = self.load(offset)?;
        Some(())
    }

    /// Overwrites bytes whose change a checksum in the packet makes up for; `None` if that failed.
    fn store<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Option<()>;

    /// Overwrites bytes whose change no checksum makes up for, so that an interface's sum over the whole packet
    /// (the kernel's `CHECKSUM_COMPLETE`) has to be corrected for it; `None` if that failed.
    fn store_uncovered<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Option<()>;

    /// Corrects the checksum at an offset for bytes that changed from `old` to `new`; `None` if that failed.
    fn update_checksum<const N: usize>(
        &mut self,
        offset: u32,
        covers: Covers,
        old: [u8; N],
        new: [u8; N],
    ) -> Option<()>;

    /// Cuts the packet's end off or adds bytes to it, so that it has this length; `None` if that failed. What is
    /// added is to be written. It is no GSO packet any more.
    fn resize(&mut self, length: u32) -> Option<()>;

    /// Removes bytes between the link-layer header and the IP header; `None` if that failed. If a checksum that the
    /// interface was to compute began in them, the next [`store_uncovered`](Self::store_uncovered) ends that.
    fn remove_behind_link_header(&mut self, length: u32) -> Option<()>;

    /// Whether an interface is there and carries the packet without fragmenting it.
    fn fits(&self, ifindex: u32) -> bool;

    /// Keeps a copy of it, and gives a ticket for that; `None` if there is no room.
    fn hold_back(&self) -> Option<u32>;

    /// Lets the copies go for which the first `count` tickets were given, where this packet is. `None` if it is not the
    /// same any more.
    fn release_held(&mut self, tickets: &[u32; MAX_HELD], count: u32, is_egress: bool) -> Option<()>;
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

/// A packet with an Ethernet header, whose first bytes are at hand: what the fast path needs. It works on 16-bit words
/// as they are in memory; the Internet checksum does not mind (RFC 1071 section 2).
pub trait Direct {
    /// Bytes in the packet, the Ethernet header included. A GSO packet's is that of all its segments.
    fn length(&self) -> u32;

    /// The `N` words from byte `at` on; `None` if they are not at hand.
    fn words<const N: usize>(&self, at: usize) -> Option<[u16; N]>;

    /// Overwrites the `N` words from byte `at` on; `None` if they are not at hand.
    fn set_words<const N: usize>(&mut self, at: usize, words: [u16; N]) -> Option<()>;

    /// Overwrites the `N` words from byte `at` on, an even number of them, and says what that changes; `None` if they are
    /// not at hand.
    fn replace<const N: usize>(&mut self, at: usize, words: &[u16; N]) -> Option<Change>;

    /// Corrects the transport checksum at byte `at` for what has changed; `None` if that failed.
    fn correct(&mut self, at: u32, corrections: &Corrections) -> Option<()>;

    /// Bytes of payload in each segment of a GSO packet; 0 of another.
    fn segment(&self) -> u32;

    /// Whether an interface is there and carries the packet without fragmenting it.
    fn fits(&self, ifindex: u32) -> bool;
}

/// What has changed in a packet, for its transport checksum and for an interface's sum over the whole packet.
#[derive(Clone, Copy, Debug)]
pub struct Corrections {
    /// The addresses: [`Covers::PseudoHeader`].
    pub addresses: Change,
    /// The ports: [`Covers::Transport`].
    pub ports: Change,
    /// What no checksum in the IP header makes up for.
    pub uncovered: Change,
    /// UDP: 0 means "no checksum" and stays (RFC 768).
    pub zero_is_none: bool,
}

impl Corrections {
    /// Nothing has changed.
    pub const NONE: Self =
        Self { addresses: Change::NONE, ports: Change::NONE, uncovered: Change::NONE, zero_is_none: false };

    /// The transport checksum of the changed packet, as words are in memory, from the one that it had.
    #[inline]
    #[must_use]
    pub fn correct(&self, checksum: u16) -> u16 {
        if self.zero_is_none && checksum == 0 {
            return 0;
        }
        let corrected = self.addresses.and(self.ports).correct(checksum);
        if self.zero_is_none && corrected == 0 { 0xffff } else { corrected }
    }
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

    fn store_uncovered<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Option<()> {
        self.store(offset, bytes)
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

    /// A slice has the length that it has.
    fn resize(&mut self, _: u32) -> Option<()> {
        None
    }

    fn remove_behind_link_header(&mut self, _: u32) -> Option<()> {
        None
    }

    /// Bytes alone go nowhere.
    fn fits(&self, _: u32) -> bool {
        false
    }

    /// Bytes alone cannot be kept.
    fn hold_back(&self) -> Option<u32> {
        None
    }

    fn release_held(&mut self, _: &[u32; MAX_HELD], _: u32, _: bool) -> Option<()> {
        Some(())
    }
}

/// With an Ethernet header.
#[cfg(any(test, feature = "memory"))]
impl Packet for Vec<u8> {
    fn length(&self) -> u32 {
        self.as_slice().length()
    }

    fn is_vlan_tagged(&self) -> bool {
        false
    }

    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.as_slice().load(offset)
    }

    fn store<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Option<()> {
        self.as_mut_slice().store(offset, bytes)
    }

    fn store_uncovered<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Option<()> {
        self.as_mut_slice().store_uncovered(offset, bytes)
    }

    fn update_checksum<const N: usize>(
        &mut self,
        offset: u32,
        covers: Covers,
        old: [u8; N],
        new: [u8; N],
    ) -> Option<()> {
        self.as_mut_slice().update_checksum(offset, covers, old, new)
    }

    fn resize(&mut self, length: u32) -> Option<()> {
        // Nothing may rely on what is added.
        Self::resize(self, usize::try_from(length).ok()?, 0xa5);
        Some(())
    }

    fn remove_behind_link_header(&mut self, length: u32) -> Option<()> {
        let end = usize::try_from(length).ok()?.checked_add(14)?;
        (end <= self.len()).then(|| drop(self.drain(14..end)))
    }

    /// As Ethernet interfaces do.
    fn fits(&self, _: u32) -> bool {
        self.len() <= 1514
    }

    /// Bytes alone cannot be kept.
    fn hold_back(&self) -> Option<u32> {
        None
    }

    fn release_held(&mut self, _: &[u32; MAX_HELD], _: u32, _: bool) -> Option<()> {
        Some(())
    }
}

#[cfg(any(test, feature = "memory"))]
impl Direct for Vec<u8> {
    fn length(&self) -> u32 {
        self.as_slice().length()
    }

    fn words<const N: usize>(&self, at: usize) -> Option<[u16; N]> {
        let (bytes, _) = self.get(at..)?.as_chunks::<2>();
        bytes.first_chunk().map(|words| words.map(u16::from_ne_bytes))
    }

    fn set_words<const N: usize>(&mut self, at: usize, words: [u16; N]) -> Option<()> {
        let (bytes, _) = self.get_mut(at..)?.as_chunks_mut::<2>();
        *bytes.first_chunk_mut()? = words.map(u16::to_ne_bytes);
        Some(())
    }

    fn replace<const N: usize>(&mut self, at: usize, words: &[u16; N]) -> Option<Change> {
        let change = Change::of(self.words(at)?, *words);
        self.set_words(at, *words)?;
        Some(change)
    }

    fn correct(&mut self, at: u32, corrections: &Corrections) -> Option<()> {
        let checksum = u16::from_ne_bytes(self.load(at)?);
        self.store(at, corrections.correct(checksum).to_ne_bytes())
    }

    fn segment(&self) -> u32 {
        0
    }

    fn fits(&self, ifindex: u32) -> bool {
        Packet::fits(self, ifindex)
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
    fn a_corrected_checksum_of_zero_stays_and_never_arises_where_it_means_none() {
        let corrections =
            |zero_is_none| Corrections { ports: Change::of([0], [1_u16.to_be()]), zero_is_none, ..Corrections::NONE };
        assert_eq!(corrections(true).correct(0), 0);
        assert_eq!(corrections(true).correct(1_u16.to_be()), 0xffff);
        assert_eq!(corrections(false).correct(1_u16.to_be()), 0);
        assert_eq!(corrections(true).correct(5_u16.to_be()), 4_u16.to_be());
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
