//! Whether a packet is one that is watched. What its headers say is read from a copy of its first bytes: roughly, without
//! extension headers, because user space looks again.

use crate::abi::{TRACED_BYTES, Watch};

const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// IPv4 addresses as IPv6 ones.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

impl Watch {
    /// Whether the packet with these first bytes may be meant: none that is meant is left out.
    #[must_use]
    pub fn matches(&self, bytes: &[u8; TRACED_BYTES], link_header: u32) -> bool {
        let at = if link_header == 0 { 0 } else { 14 };
        if is_v6(bytes, at) { self.matches_v6(bytes, at) } else { self.matches_v4(bytes, at) }
    }

    fn matches_v4(&self, bytes: &[u8; TRACED_BYTES], at: usize) -> bool {
        let [first] = read(bytes, at);
        let [protocol] = read(bytes, at.wrapping_add(9));
        let (source, destination) = (read(bytes, at.wrapping_add(12)), read(bytes, at.wrapping_add(16)));
        let header = usize::from(first & 0xf).wrapping_mul(4);
        self.matches_protocol(protocol)
            && (self.matches_address(mapped(source)) || self.matches_address(mapped(destination)))
            && self.matches_ports(protocol, read(bytes, at.wrapping_add(header)))
    }

    fn matches_v6(&self, bytes: &[u8; TRACED_BYTES], at: usize) -> bool {
        let [next] = read(bytes, at.wrapping_add(6));
        let has_ports = matches!(next, TCP | UDP | SCTP);
        // Behind an extension header may be anything.
        (self.matches_protocol(next) || is_extension(next))
            && (self.matches_address(read(bytes, at.wrapping_add(8)))
                || self.matches_address(read(bytes, at.wrapping_add(24))))
            && (!has_ports || self.matches_ports(next, read(bytes, at.wrapping_add(40))))
    }

    fn matches_protocol(&self, protocol: u8) -> bool {
        self.protocol == 0 || self.protocol == protocol
    }

    fn matches_address(&self, address: [u8; 16]) -> bool {
        let word = |bytes: &[u8; 16]| u128::from_ne_bytes(*bytes);
        (word(&address) ^ word(&self.address)) & word(&self.mask) == 0
    }

    fn matches_ports(&self, protocol: u8, [a, b, c, d]: [u8; 4]) -> bool {
        let has_ports = matches!(protocol, TCP | UDP | SCTP);
        self.port == [0; 2] || has_ports && (self.port == [a, b] || self.port == [c, d])
    }
}

fn is_v6(bytes: &[u8; TRACED_BYTES], at: usize) -> bool {
    if at == 0 {
        let [first] = read(bytes, 0);
        return first >> 4 == 6;
    }
    read(bytes, 12) == ETHERTYPE_IPV6
}

/// The extension headers that a packet's transport header may be behind (RFC 8200 section 4).
const fn is_extension(next: u8) -> bool {
    matches!(next, 0 | 43 | 44 | 60)
}

fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    let [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11] = MAPPED;
    [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, a, b, c, d]
}

/// Bytes at a place; zeros where there are none.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the verifier knows the place by its caller alone")]
fn read<const N: usize>(bytes: &[u8; TRACED_BYTES], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    fn padded(frame: &[u8]) -> [u8; TRACED_BYTES] {
        let mut bytes = [0; TRACED_BYTES];
        bytes[..frame.len()].copy_from_slice(frame);
        bytes
    }

    fn v4(link: bool) -> ([u8; TRACED_BYTES], u32) {
        let mut frame = Vec::new();
        let (source, destination) = ([192, 0, 2, 1], [172, 17, 0, 2]);
        let step = if link {
            PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(source, destination, 64)
        } else {
            PacketBuilder::ipv4(source, destination, 64)
        };
        step.tcp(40000, 80, 1, 1).syn().write(&mut frame, &[]).unwrap();
        (padded(&frame), if link { 14 } else { 0 })
    }

    fn v6() -> ([u8; TRACED_BYTES], u32) {
        let mut frame = Vec::new();
        let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6([0xfd; 16], [0xfe; 16], 64);
        step.udp(5000, 53).write(&mut frame, &[]).unwrap();
        (padded(&frame), 14)
    }

    fn address(address: [u8; 16], bits: u32) -> Watch {
        Watch { address, mask: u128::MAX.checked_shl(128 - bits).unwrap_or(0).to_be_bytes(), ..Watch::OFF }
    }

    #[test]
    fn without_a_filter_every_packet_is_meant() {
        for (bytes, link_header) in [v4(true), v4(false), v6(), (padded(&[]), 14)] {
            assert!(Watch::OFF.matches(&bytes, link_header));
        }
    }

    #[test]
    fn protocol_and_port_are_those_of_the_packet() {
        for (bytes, link_header) in [v4(true), v4(false)] {
            let matches = |protocol, port: u16| {
                Watch { protocol, port: port.to_be_bytes(), ..Watch::OFF }.matches(&bytes, link_header)
            };
            assert!(matches(6, 0) && matches(0, 80) && matches(6, 40000));
            assert!(!matches(17, 0) && !matches(6, 81) && !matches(17, 80));
        }
        let (bytes, link_header) = v6();
        let port = |port: u16| Watch { port: port.to_be_bytes(), ..Watch::OFF }.matches(&bytes, link_header);
        assert!(port(53) && port(5000) && !port(54));
    }

    #[test]
    fn an_address_is_the_senders_or_the_receivers_in_the_bits_that_count() {
        let (bytes, link_header) = v4(true);
        for (wanted, bits, is_meant) in [
            ([192, 0, 2, 1], 128, true),
            ([172, 17, 0, 2], 128, true),
            ([172, 17, 0, 9], 112, true),
            ([172, 17, 0, 9], 128, false),
            ([172, 18, 0, 2], 112, false),
        ] {
            assert_eq!(address(mapped(wanted), bits).matches(&bytes, link_header), is_meant, "{wanted:?}/{bits}");
        }
        let (bytes, link_header) = v6();
        assert!(address([0xfd; 16], 128).matches(&bytes, link_header));
        assert!(address([0xfe; 16], 8).matches(&bytes, link_header));
        assert!(!address([0xfc; 16], 128).matches(&bytes, link_header));
        assert!(!address(mapped([192, 0, 2, 1]), 128).matches(&bytes, link_header));
    }

    #[test]
    fn what_is_behind_an_extension_header_may_be_meant() {
        let (mut bytes, link_header) = v6();
        bytes[20] = 44;
        assert!(Watch { protocol: 6, port: [0, 1], ..Watch::OFF }.matches(&bytes, link_header));
    }
}
