use core::{fmt::Debug, hash::Hash};

use super::names::{FamilyMaps, V4_MAPS, V6_MAPS};

/// An IPv4 address as it is on the wire.
pub type V4 = [u8; 4];

/// An IPv6 address as it is on the wire.
pub type V6 = [u8; 16];

mod sealed {
    /// Map types are plain old data for the two families alone.
    pub trait Sealed {}
    impl Sealed for super::V4 {}
    impl Sealed for super::V6 {}
}

/// An address of one of the two widths. Code is generic over it; only parsing and map access know the family.
pub trait Address: sealed::Sealed + Copy + Eq + Hash + Debug + 'static {
    /// The wildcard: "any local address" in a mapping.
    const UNSPECIFIED: Self;
    /// Where the source address is in an IP header of this family.
    const SOURCE_AT: u32;
    /// Where the destination address is.
    const DESTINATION_AT: u32;
    /// Where the header's own checksum is, if it has one.
    const CHECKSUM_AT: Option<u32>;
    /// Bytes of its header without options or extension headers.
    const HEADER_LENGTH: u32;
    /// Where the header says how many hops are left.
    const HOPS_AT: u32;
    /// 0 for IPv4, 1 for IPv6: its place in pairs such as [`super::Settings::max_flows`].
    const FAMILY: usize;
    /// The names of its maps.
    const MAPS: FamilyMaps;

    /// A word that depends on all of it, to choose a place in a table by.
    fn word(&self) -> u32;

    /// Whether it is of the loopback network.
    fn is_loopback(&self) -> bool;

    /// Whether packets to it reach one host through a network: neither loopback, multicast, broadcast nor
    /// unspecified.
    fn is_unicast(&self) -> bool;
}

impl Address for V4 {
    const UNSPECIFIED: Self = [0; 4];
    const SOURCE_AT: u32 = 12;
    const DESTINATION_AT: u32 = 16;
    const CHECKSUM_AT: Option<u32> = Some(10);
    const HEADER_LENGTH: u32 = 20;
    const HOPS_AT: u32 = 8;
    const FAMILY: usize = 0;
    const MAPS: FamilyMaps = V4_MAPS;

    fn word(&self) -> u32 {
        u32::from_le_bytes(*self)
    }

    fn is_loopback(&self) -> bool {
        matches!(self, [127, ..])
    }

    fn is_unicast(&self) -> bool {
        // RFC 6890: 0/8 this network, 127/8 loopback, 224/4 multicast, 240/4 reserved and broadcast.
        let [first, ..] = *self;
        !matches!(first, 0 | 127 | 224..)
    }
}

impl Address for V6 {
    const UNSPECIFIED: Self = [0; 16];
    const SOURCE_AT: u32 = 8;
    const DESTINATION_AT: u32 = 24;
    const CHECKSUM_AT: Option<u32> = None;
    const HEADER_LENGTH: u32 = 40;
    const HOPS_AT: u32 = 7;
    const FAMILY: usize = 1;
    const MAPS: FamilyMaps = V6_MAPS;

    fn word(&self) -> u32 {
        let (words, _) = self.as_chunks();
        words.iter().fold(0, |word, part| word.rotate_left(7) ^ u32::from_le_bytes(*part))
    }

    fn is_loopback(&self) -> bool {
        *self == 1_u128.to_be_bytes()
    }

    fn is_unicast(&self) -> bool {
        let [first, ..] = *self;
        first != 0xff && *self != Self::UNSPECIFIED && !self.is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unicast_excludes_loopback_multicast_and_broadcast() {
        assert!([192, 0, 2, 1].is_unicast());
        for other in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
            assert!(!other.is_unicast(), "{other:?}");
        }
        assert!(!1_u128.to_be_bytes().is_unicast());
        assert!(!V6::UNSPECIFIED.is_unicast());
    }
}
