//! The values of options, and what is wrong with them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::datapath::uplinks::Ports;

const NO_IPV6: &str = "IPv6 is not supported yet";

/// A subnet; bits of hosts in it do not matter.
pub(super) fn subnet(text: &str) -> Result<Ipv4Net, String> {
    match text.parse() {
        Ok(IpNet::V4(subnet)) => Ok(subnet.trunc()),
        Ok(IpNet::V6(_)) => Err(NO_IPV6.to_owned()),
        Err(_) => Err(why_no_subnet(text)),
    }
}

/// An address.
pub(super) fn address(text: &str) -> Result<Ipv4Addr, String> {
    match text.parse() {
        Ok(IpAddr::V4(address)) => Ok(address),
        Ok(IpAddr::V6(_)) => Err(NO_IPV6.to_owned()),
        Err(_) => Err("not an IPv4 address such as 192.0.2.1".to_owned()),
    }
}

/// A range of ports.
pub(super) fn ports(text: &str) -> Result<Ports, String> {
    let (first, last) = text.split_once('-').ok_or("not a range of ports such as 1024-65535")?;
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(format!("the first port, {first}, is above the last one, {last}"));
    }
    Ok(Ports { first, last })
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("`{text}` is no port: ports are 1 to 65535"))
}

fn why_no_subnet(text: &str) -> String {
    match text.parse() {
        Ok(IpAddr::V4(address)) => format!("the prefix length is missing, as in {address}/16"),
        Ok(IpAddr::V6(_)) => NO_IPV6.to_owned(),
        Err(_) => "not an IPv4 subnet such as 172.17.0.0/16".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_networks() {
        assert_eq!(subnet("172.17.0.1/16"), Ok("172.17.0.0/16".parse().unwrap()));
        assert_eq!(subnet("172.17.0.1").unwrap_err(), "the prefix length is missing, as in 172.17.0.1/16");
        assert_eq!(subnet("172.17.0.0/33").unwrap_err(), "not an IPv4 subnet such as 172.17.0.0/16");
        for text in ["fd00::/8", "fd00::1"] {
            assert_eq!(subnet(text).unwrap_err(), NO_IPV6);
        }
    }

    #[test]
    fn addresses_are_ipv4() {
        assert_eq!(address("192.0.2.1"), Ok(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(address("::1").unwrap_err(), NO_IPV6);
        assert!(address("192.0.2").unwrap_err().contains("not an IPv4 address"));
    }

    #[test]
    fn ports_are_a_range_within_1_to_65535() {
        assert_eq!(ports("1024-65535"), Ok(Ports { first: 1024, last: 65535 }));
        assert_eq!(ports("80-80"), Ok(Ports { first: 80, last: 80 }));
        for (text, part) in [("1024", "range"), ("0-80", "`0`"), ("1-65536", "`65536`"), ("9-8", "above")] {
            assert!(ports(text).unwrap_err().contains(part), "{text}");
        }
    }
}
