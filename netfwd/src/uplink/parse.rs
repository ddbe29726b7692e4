//! The values of options, and what is wrong with them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    datapath::ports::{MAX_RANGES, Range},
    host::interfaces::is_link_local,
};

/// RFC 9293 section 3.7.1: what every IPv4 host takes.
pub const MIN_SEGMENT: u16 = 536;
/// The largest IP packet, less two headers of 20 bytes.
pub const MAX_SEGMENT: u16 = 65_495;

/// Connections of a family that maps may be made for.
pub const MAX_FLOWS: u32 = 16_777_216;

/// The largest TCP segment that is let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clamp {
    /// As the uplink's MTU allows.
    Mtu,
    /// Of so many bytes over IPv4.
    Bytes(u16),
}

/// A subnet; bits of hosts in it do not matter.
pub fn subnet(text: &str) -> Result<IpNet, String> {
    let subnet = text.parse().map_err(|_| why_no_subnet(text)).map(|subnet: IpNet| subnet.trunc())?;
    if is_link_local(subnet) {
        return Err("link-local addresses never leave their link, so there is nothing to masquerade".to_owned());
    }
    Ok(subnet)
}

/// Destinations; bits of hosts in them do not matter.
pub fn destinations(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| why_no_subnet(text)).map(|subnet: IpNet| subnet.trunc())
}

/// An address.
pub fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "not an address such as 192.0.2.1 or 2001:db8::1".to_owned())
}

/// Ranges of ports, or single ones, the lowest first.
pub fn ports(text: &str) -> Result<Vec<Range>, String> {
    let mut ranges: Vec<_> = text.split(',').map(range).collect::<Result<_, _>>()?;
    if ranges.len() > MAX_RANGES {
        return Err(format!("{} ranges, of which there may be {MAX_RANGES}", ranges.len()));
    }
    ranges.sort_unstable();
    let overlap = ranges.array_windows().find(|[one, next]| next.first <= one.last);
    match overlap {
        Some([one, next]) => {
            Err(format!("the ranges {}-{} and {}-{} overlap", one.first, one.last, next.first, next.last))
        }
        None => Ok(ranges),
    }
}

/// `mtu` or a number of bytes.
pub fn clamp(text: &str) -> Result<Clamp, String> {
    if text == "mtu" {
        return Ok(Clamp::Mtu);
    }
    let bytes = text.parse().ok().filter(|bytes| (MIN_SEGMENT..=MAX_SEGMENT).contains(bytes));
    bytes
        .map(Clamp::Bytes)
        .ok_or_else(|| format!("neither `mtu` nor a segment's size in bytes from {MIN_SEGMENT} to {MAX_SEGMENT}"))
}

fn range(text: &str) -> Result<Range, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(format!("the first port, {first}, is above the last one, {last}"));
    }
    Ok(Range { first, last })
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("`{text}` is no port: ports are 1 to 65535"))
}

fn why_no_subnet(text: &str) -> String {
    match text.parse() {
        Ok(IpAddr::V4(address)) => format!("the prefix length is missing, as in {address}/16"),
        Ok(IpAddr::V6(address)) => format!("the prefix length is missing, as in {address}/64"),
        Err(_) => "not a subnet such as 172.17.0.0/16 or fd00:1::/64".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_networks() {
        assert_eq!(subnet("172.17.0.1/16"), Ok("172.17.0.0/16".parse().unwrap()));
        assert_eq!(subnet("fd00:1::7/64"), Ok("fd00:1::/64".parse().unwrap()));
        assert_eq!(subnet("172.17.0.1").unwrap_err(), "the prefix length is missing, as in 172.17.0.1/16");
        assert_eq!(subnet("fd00::1").unwrap_err(), "the prefix length is missing, as in fd00::1/64");
        for text in ["172.17.0.0/33", "fd00::/129", "docker0"] {
            assert_eq!(subnet(text).unwrap_err(), "not a subnet such as 172.17.0.0/16 or fd00:1::/64");
        }
        assert!(subnet("fe80::/64").unwrap_err().contains("never leave their link"));
        assert_eq!(destinations("10.9.9.9/8"), Ok("10.0.0.0/8".parse().unwrap()));
    }

    #[test]
    fn addresses_are_of_any_family() {
        assert_eq!(address("192.0.2.1"), Ok([192, 0, 2, 1].into()));
        assert!(address("2001:db8::1").unwrap().is_ipv6());
        assert!(address("192.0.2").unwrap_err().contains("not an address"));
    }

    #[test]
    fn ports_are_up_to_four_ranges_within_1_to_65535() {
        let range = |first, last| Range { first, last };
        assert_eq!(ports("1024-65535"), Ok(vec![range(1024, 65535)]));
        assert_eq!(ports("90-99,80"), Ok(vec![range(80, 80), range(90, 99)]));
        for (text, part) in [
            ("0-80", "`0`"),
            ("1-65536", "`65536`"),
            ("9-8", "above"),
            ("1-2,", "`` is no port"),
            ("1-5,5-9", "the ranges 1-5 and 5-9 overlap"),
            ("1-1,2-2,3-3,4-4,5-5", "5 ranges, of which there may be 4"),
        ] {
            assert!(ports(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn segments_are_as_the_mtu_allows_or_of_a_possible_size() {
        assert_eq!(clamp("mtu"), Ok(Clamp::Mtu));
        assert_eq!(clamp("536"), Ok(Clamp::Bytes(536)));
        for text in ["535", "65496", "MTU", ""] {
            assert!(clamp(text).unwrap_err().contains("from 536 to 65495"), "{text}");
        }
    }
}
