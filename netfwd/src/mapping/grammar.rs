//! The grammar: `[HOST_IP:][HOST_PORTS:]CONTAINER_IP:PORTS[/tcp|udp|sctp|tcp+udp]`, and
//! `[HOST_IP:]HOST_PORTS[/tcp|udp|sctp|tcp+udp]`. IPv6 addresses are in brackets; ports are one or `FIRST-LAST`.

mod part;

use std::{fmt, net::IpAddr, str::FromStr};

use part::{Part, split, whole};

use super::{HostChoice, Ports, Request, Selector, any_of_family};

/// What is wrong with a mapping, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    text: String,
    part: String,
    at: usize,
    name: &'static str,
    problem: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, part, at, name, problem } = self;
        writeln!(f, "{name} `{part}` in `{text}`: {problem}")?;
        let before = text.get(..*at).unwrap_or_default().chars().count();
        writeln!(f, "  {text}")?;
        write!(f, "  {:before$}{}", "", "^".repeat(part.chars().count().max(1)))
    }
}

impl std::error::Error for ParseError {}

const MAPPING: &str = "a mapping is [HOST_IP:][HOST_PORTS:]CONTAINER_IP:PORTS[/tcp|udp|sctp|tcp+udp]";
const HOST_PART: &str = "[HOST_IP:]HOST_PORTS[/tcp|udp|sctp|tcp+udp]";

impl FromStr for Request {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (parts, protocols) = split(text)?;
        let (address, host, container, inside) = match *parts.as_slice() {
            [container, inside] => (None, None, container, inside),
            [address, container, inside] if address.is_address() => (Some(address), None, container, inside),
            [host, container, inside] => (None, Some(host), container, inside),
            [address, host, container, inside] => {
                (Some(address), Some(host).filter(|part| !part.is_empty()), container, inside)
            }
            _ => return Err(whole(text).wrong(MAPPING)),
        };
        let address = address.map(|part| Ok((part, part.named("host address").host_address()?))).transpose()?;
        let choice = host.map(|part| Ok((part, part.named("host port").ports()?))).transpose()?;
        let container = container.named("container address").container_address()?;
        let container_ports = inside.named("container port").ports()?;
        Ok(Self {
            address: family_checked(address, container)?,
            host: chosen(choice, container_ports)?,
            container,
            container_ports,
            protocols,
        })
    }
}

/// The host's address, which is of the container's family: nothing is translated between the two.
fn family_checked(address: Option<(Part<'_>, IpAddr)>, container: IpAddr) -> Result<IpAddr, ParseError> {
    let Some((part, address)) = address else { return Ok(any_of_family(container)) };
    if address.is_ipv4() == container.is_ipv4() {
        return Ok(address);
    }
    let (ours, theirs) = if address.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
    let problem = format!("{ours}, but the container's address is {theirs}: one family is not translated to the other");
    let hint = "; without HOST_IP the host itself reaches the mapping at [::1] too";
    let hint = if address.is_ipv6() && (address.is_loopback() || address.is_unspecified()) { hint } else { "" };
    Err(part.named("host address").wrong(format!("{problem}{hint}")))
}

fn chosen(host: Option<(Part<'_>, Ports)>, container: Ports) -> Result<HostChoice, ParseError> {
    let Some((part, host)) = host else { return Ok(HostChoice::Any) };
    match (host.count(), container.count()) {
        (hosts, containers) if hosts == containers => Ok(HostChoice::These(host)),
        (_, 1) => Ok(HostChoice::OneOf(host)),
        (hosts, containers) => Err(part.named("host port").wrong(format!(
            "{hosts} host {} for {containers} container ports: give as many, or one container port to take one free \
             host port of several",
            if hosts == 1 { "port" } else { "ports" },
        ))),
    }
}

impl FromStr for Selector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (parts, protocols) = split(text)?;
        let (address, host) = match *parts.as_slice() {
            [host] => (None, host),
            [address, host] => (Some(address.named("host address").host_address()?), host),
            [.., _container, _inside] if text.parse::<Request>().is_ok() => {
                return Err(whole(text).wrong(format!("give the host's part alone: {HOST_PART}")));
            }
            _ => return Err(whole(text).wrong(format!("a mapping's host part is {HOST_PART}"))),
        };
        Ok(Self { address, ports: host.named("host port").ports()?, protocols })
    }
}

#[cfg(test)]
mod tests;
