//! What a stream of flows looks like on the wire.

use std::net::Ipv4Addr;

use super::abi::{HEADERS, Stream, WORDS};

/// The shortest Ethernet frame, without the checksum that an interface adds.
pub(super) const FRAME: usize = 60;
const ETHERNET: usize = 14;
const IP_LENGTH: u16 = (FRAME - ETHERNET) as u16;
const UDP_LENGTH: u16 = IP_LENGTH - 20;
const UDP: u8 = 17;
const TTL: u8 = 64;

/// One end of all flows of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// The hardware address.
    pub(super) hardware: [u8; 6],
    /// The address and port of flow 0.
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
    /// Whether others have others.
    pub(super) many_addresses: bool,
    pub(super) many_ports: bool,
}

/// The stream from `source` to `destination`, whose flows have so many ports for each address.
pub(super) fn stream(source: End, destination: End, ports_per_address: u32, flows: u32) -> Stream {
    let headers = headers(source.hardware, destination.hardware);
    let ends = [source, destination];
    Stream {
        template: words(&headers),
        ip_sum: sum(&headers[ETHERNET..ETHERNET + 20]),
        // The pseudo-header has the length again.
        udp_sum: u32::from(UDP) + 2 * u32::from(UDP_LENGTH),
        addresses: ends.map(|end| end.address.to_bits()),
        ports: ends.map(|end| end.port.into()),
        vary_address: ends.map(|end| end.many_addresses.into()),
        vary_port: ends.map(|end| end.many_ports.into()),
        ports_per_address,
        flows,
        next: 0,
        padding: 0,
    }
}

/// All but checksums, addresses and ports.
fn headers(source: [u8; 6], destination: [u8; 6]) -> [u8; HEADERS] {
    let mut headers = [0; HEADERS];
    let mut put = |at: usize, bytes: &[u8]| headers[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &destination);
    put(6, &source);
    put(12, &0x0800_u16.to_be_bytes());
    put(14, &[0x45, 0]);
    put(16, &IP_LENGTH.to_be_bytes());
    put(22, &[TTL, UDP]);
    put(38, &UDP_LENGTH.to_be_bytes());
    headers
}

fn words(headers: &[u8]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(headers.chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_ne_bytes(whole);
    }
    words
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_the_headers_in_the_order_of_the_wire() {
        let headers = headers([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]);
        let bytes: Vec<_> = words(&headers).into_iter().flat_map(u64::to_ne_bytes).take(HEADERS).collect();
        assert_eq!(bytes, headers);
        assert_eq!(bytes[..14], [7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6, 8, 0]);
    }

    #[test]
    fn the_sum_is_of_words_in_network_order() {
        assert_eq!(sum(&[0x45, 0, 0xff, 1]), 0x4500 + 0xff01);
    }
}
