//! The grammar: `[HOST_IP:]HOST_PORT:CONTAINER_IP:PORT[/tcp|udp]`, and `[HOST_IP:]HOST_PORT[/tcp|udp]`.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use netfwd_common::abi::Address as _;

use super::{HostPorts, Mapping, Ports, Transport};

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

impl FromStr for Mapping {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (parts, protocol) = split(text)?;
        let (address, host_port, container, container_port) = match parts.as_slice() {
            [host_port, container, port] => (None, host_port, container, port),
            [address, host_port, container, port] => (Some(address), host_port, container, port),
            _ => return Err(whole(text).wrong("a mapping is [HOST_IP:]HOST_PORT:CONTAINER_IP:PORT[/tcp|udp]")),
        };
        Ok(Self {
            host: host_ports(address, host_port, protocol)?,
            container: container.named("container address").address()?,
            container_port: container_port.named("container port").port()?,
        })
    }
}

impl FromStr for HostPorts {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (parts, protocol) = split(text)?;
        match parts.as_slice() {
            [port] => host_ports(None, port, protocol),
            [address, port] => host_ports(Some(address), port, protocol),
            [.., _container, _port] if text.parse::<Mapping>().is_ok() => {
                Err(whole(text).wrong("give the host's part alone: [HOST_IP:]HOST_PORT[/tcp|udp]"))
            }
            _ => Err(whole(text).wrong("a mapping's host part is [HOST_IP:]HOST_PORT[/tcp|udp]")),
        }
    }
}

fn host_ports(address: Option<&Part<'_>>, port: &Part<'_>, protocol: Transport) -> Result<HostPorts, ParseError> {
    let address = match address {
        Some(any) if any.word == Ipv4Addr::UNSPECIFIED.to_string() => None,
        Some(one) => Some(one.named("host address").address()?),
        None => None,
    };
    let port = port.named("host port");
    let number = port.port()?;
    let ports = Ports::new(number, number).ok_or_else(|| port.wrong(PORT_RANGE))?;
    Ok(HostPorts { address, ports, protocol })
}

const PORT_RANGE: &str = "ports are 1 to 65535";

/// A part of what was written, and where it begins.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    word: &'a str,
    at: usize,
    name: &'static str,
}

fn whole(text: &str) -> Part<'_> {
    Part { text, word: text, at: 0, name: "mapping" }
}

/// The parts between colons, and the protocol.
fn split(text: &str) -> Result<(Vec<Part<'_>>, Transport), ParseError> {
    let (endpoints, protocol) = match text.split_once('/') {
        None => (text, Transport::Tcp),
        Some((endpoints, word)) => {
            let part = Part { text, word, at: endpoints.len() + 1, name: "protocol" };
            (endpoints, part.protocol()?)
        }
    };
    let mut at = 0;
    let parts: Vec<_> = endpoints
        .split(':')
        .map(|word| {
            let part = Part { text, word, at, name: "part" };
            at += word.len() + 1;
            part
        })
        .collect();
    if has_ipv6(endpoints, parts.len()) {
        return Err(whole(text).wrong("IPv6 is not supported yet"));
    }
    Ok((parts, protocol))
}

/// Whether an IPv6 address is among the parts: in brackets, or with colons of its own.
fn has_ipv6(endpoints: &str, parts: usize) -> bool {
    const GROUPS: usize = 8;
    let is_short = endpoints.contains(":::") || (endpoints.contains("::") && parts > 3);
    endpoints.contains('[') || is_short || parts > GROUPS
}

impl Part<'_> {
    fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    fn wrong(self, problem: impl Into<String>) -> ParseError {
        let Self { text, word, at, name } = self;
        ParseError { text: text.to_owned(), part: word.to_owned(), at, name, problem: problem.into() }
    }

    fn port(self) -> Result<u16, ParseError> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if self.word.split_once('-').is_some_and(|(first, last)| is_number(first) && is_number(last)) {
            return Err(self.wrong("port ranges are not supported yet; give each port a mapping"));
        }
        if !is_number(self.word) {
            return Err(self.wrong(format!("not a number; {PORT_RANGE}")));
        }
        self.word.parse().ok().filter(|port| *port != 0).ok_or_else(|| self.wrong(PORT_RANGE))
    }

    fn address(self) -> Result<Ipv4Addr, ParseError> {
        let address: Ipv4Addr = self.word.parse().map_err(|_| self.wrong("not an IPv4 address such as 192.0.2.1"))?;
        if address.is_loopback() {
            return Err(self.wrong("loopback addresses are not supported"));
        }
        if !address.octets().is_unicast() {
            return Err(self.wrong("not the address of one host"));
        }
        Ok(address)
    }

    fn protocol(self) -> Result<Transport, ParseError> {
        match self.word {
            "tcp" => Ok(Transport::Tcp),
            "udp" => Ok(Transport::Udp),
            _ => Err(self.wrong("the protocol is `tcp` or `udp`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error_of(text: &str) -> String {
        text.parse::<Mapping>().unwrap_err().to_string().lines().next().unwrap().to_owned()
    }

    #[test]
    fn the_protocol_is_tcp_and_the_address_any_unless_given() {
        let written = |text: &str| text.parse::<Mapping>().unwrap().to_string();
        assert_eq!(written("8080:172.17.0.2:80"), "8080:172.17.0.2:80/tcp");
        assert_eq!(written("53:172.17.0.2:5353/udp"), "53:172.17.0.2:5353/udp");
        assert_eq!(written("192.0.2.1:8080:172.17.0.2:80"), "192.0.2.1:8080:172.17.0.2:80/tcp");
        assert_eq!(written("0.0.0.0:8080:172.17.0.2:80"), "8080:172.17.0.2:80/tcp");
        assert_eq!("192.0.2.1:53/udp".parse::<HostPorts>().unwrap().to_string(), "192.0.2.1:53/udp");
    }

    #[test]
    fn an_error_names_the_part_and_what_it_may_be() {
        for (text, error) in [
            ("0:172.17.0.2:80", "host port `0` in `0:172.17.0.2:80`: ports are 1 to 65535"),
            ("65536:172.17.0.2:80", "host port `65536` in `65536:172.17.0.2:80`: ports are 1 to 65535"),
            ("80:172.17.0.2:0", "container port `0` in `80:172.17.0.2:0`: ports are 1 to 65535"),
            ("x:172.17.0.2:80", "host port `x` in `x:172.17.0.2:80`: not a number; ports are 1 to 65535"),
            ("+80:172.17.0.2:80", "host port `+80` in `+80:172.17.0.2:80`: not a number; ports are 1 to 65535"),
            ("80:172.17.0.2:", "container port `` in `80:172.17.0.2:`: not a number; ports are 1 to 65535"),
            (
                "80:172.17.0.256:80",
                "container address `172.17.0.256` in `80:172.17.0.256:80`: not an IPv4 address such as 192.0.2.1",
            ),
            ("80::80", "container address `` in `80::80`: not an IPv4 address such as 192.0.2.1"),
            ("80:0.0.0.0:80", "container address `0.0.0.0` in `80:0.0.0.0:80`: not the address of one host"),
            ("h:80:172.17.0.2:80", "host address `h` in `h:80:172.17.0.2:80`: not an IPv4 address such as 192.0.2.1"),
            (
                "127.0.0.1:80:172.17.0.2:80",
                "host address `127.0.0.1` in `127.0.0.1:80:172.17.0.2:80`: loopback addresses are not supported",
            ),
            ("80:172.17.0.2:80/sctp", "protocol `sctp` in `80:172.17.0.2:80/sctp`: the protocol is `tcp` or `udp`"),
            (
                "80-90:172.17.0.2:80",
                "host port `80-90` in `80-90:172.17.0.2:80`: port ranges are not supported yet; give each port a mapping",
            ),
        ] {
            assert_eq!(error_of(text), error);
        }
    }

    #[test]
    fn too_few_or_too_many_parts_are_answered_with_the_grammar() {
        for text in ["", "80", "80:80", "192.0.2.1:80", "1:2:3:4:5"] {
            assert!(error_of(text).ends_with("a mapping is [HOST_IP:]HOST_PORT:CONTAINER_IP:PORT[/tcp|udp]"), "{text}");
        }
        let error = "8080:172.17.0.2:80".parse::<HostPorts>().unwrap_err().to_string();
        assert!(error.contains("give the host's part alone"), "{error}");
    }

    #[test]
    fn ipv6_is_recognized_however_it_is_written() {
        for text in [
            "80:[fd00::2]:80",
            "80:fd00::2:80",
            "[::]:80:172.17.0.2:80",
            "80:::1:80",
            "80:::80",
            "80:2001:db8:0:0:0:0:0:1:80",
        ] {
            assert!(error_of(text).ends_with("IPv6 is not supported yet"), "{text}");
        }
        assert!("[::1]:80".parse::<HostPorts>().unwrap_err().to_string().contains("IPv6 is not supported yet"));
    }

    #[test]
    fn the_caret_is_under_the_part() {
        let error = "8080:172.17.0.2:80/sctp".parse::<Mapping>().unwrap_err().to_string();
        let lines: Vec<_> = error.lines().skip(1).collect();
        assert_eq!(lines, ["  8080:172.17.0.2:80/sctp", "                     ^^^^"]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(address in proptest::option::of(any::<u8>()), port in 1_u16.., to in 1_u16.., udp: bool) {
            let mapping = Mapping {
                host: HostPorts {
                    address: address.map(|last| Ipv4Addr::new(192, 0, 2, last)),
                    ports: Ports::new(port, port).unwrap(),
                    protocol: if udp { Transport::Udp } else { Transport::Tcp },
                },
                container: Ipv4Addr::new(172, 17, 0, 2),
                container_port: to,
            };
            prop_assert_eq!(mapping.to_string().parse(), Ok(mapping));
            prop_assert_eq!(mapping.host.to_string().parse(), Ok(mapping.host));
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f:.\\[\\]/-]{0,40}|\\PC{0,20}") {
            drop(text.parse::<Mapping>().map_err(|error| error.to_string()));
            drop(text.parse::<HostPorts>().map_err(|error| error.to_string()));
        }
    }
}
