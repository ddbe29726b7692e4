//! What may take the fast path before there is a socket buffer.

use crate::{abi::Protocol, packet::Direct, parse::Family};

use super::plain::{ETHERTYPE_AT, ETHERTYPE_IPV4, ETHERTYPE_IPV6};

/// The family of a frame that carries UDP right behind an IP header; [`Family::Other`] of every other one.
///
/// TCP is not for this hook: frames that leave from here do not meet the uplink's generic receive offload, which makes of
/// many segments one packet for all that follows. docs/operations.md has the figures.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the fast path is one function")]
pub fn datagram<P: Direct>(packet: &P) -> Family {
    let (family, protocol) = match packet.words(ETHERTYPE_AT) {
        Some([ETHERTYPE_IPV4]) => (Family::V4, packet.words(22).map(second)),
        Some([ETHERTYPE_IPV6]) => (Family::V6, packet.words(20).map(first)),
        _ => return Family::Other,
    };
    if protocol.map(Protocol::from_number) == Some(Protocol::UDP) { family } else { Family::Other }
}

fn first([word]: [u16; 1]) -> u8 {
    let [byte, _] = word.to_ne_bytes();
    byte
}

fn second([word]: [u16; 1]) -> u8 {
    let [_, byte] = word.to_ne_bytes();
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ethertype: [u8; 2], protocol_at: usize, protocol: u8) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[12..14].copy_from_slice(&ethertype);
        frame[protocol_at] = protocol;
        frame
    }

    #[test]
    fn udp_of_both_families_is_taken_and_nothing_else() {
        for (ethertype, at, family) in [([8, 0], 23, Family::V4), ([0x86, 0xdd], 20, Family::V6)] {
            assert_eq!(datagram(&frame(ethertype, at, 17)), family);
            for protocol in [6, 1, 58, 132, 0] {
                assert_eq!(datagram(&frame(ethertype, at, protocol)), Family::Other, "{protocol}");
            }
            assert_eq!(datagram(&frame(ethertype, at, 17)[..20].to_vec()), Family::Other, "cut off");
        }
        assert_eq!(datagram(&frame([0x81, 0], 23, 17)), Family::Other, "behind a VLAN tag");
        assert_eq!(datagram(&Vec::new()), Family::Other);
    }
}
