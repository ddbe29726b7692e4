use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::mapping::{Transport, Transports};

fn written(text: &str) -> String {
    text.parse::<Request>().unwrap().to_string()
}

fn error_of(text: &str) -> String {
    text.parse::<Request>().unwrap_err().to_string().lines().next().unwrap().to_owned()
}

#[test]
fn the_protocol_is_tcp_and_the_address_any_unless_given() {
    for (text, whole) in [
        ("8080:172.17.0.2:80", "8080:172.17.0.2:80/tcp"),
        ("53:172.17.0.2:5353/udp", "53:172.17.0.2:5353/udp"),
        ("192.0.2.1:8080:172.17.0.2:80", "192.0.2.1:8080:172.17.0.2:80/tcp"),
        ("0.0.0.0:8080:172.17.0.2:80", "8080:172.17.0.2:80/tcp"),
        ("127.0.0.1:8080:172.17.0.2:80/sctp", "127.0.0.1:8080:172.17.0.2:80/sctp"),
        ("53:172.17.0.2:53/tcp+udp", "53:172.17.0.2:53/tcp+udp"),
        ("8080:[fd00::2]:80", "8080:[fd00::2]:80/tcp"),
        ("[::]:8080:[fd00::2]:80", "8080:[fd00::2]:80/tcp"),
        ("[::1]:8080:[fd00::2]:80", "[::1]:8080:[fd00::2]:80/tcp"),
        ("[2001:db8:0::1]:8080:[fd00::2]:80", "[2001:db8::1]:8080:[fd00::2]:80/tcp"),
    ] {
        assert_eq!(written(text), whole);
    }
    assert_eq!("192.0.2.1:53/udp".parse::<Selector>().unwrap().to_string(), "192.0.2.1:53/udp");
    assert_eq!("[::]:53-54".parse::<Selector>().unwrap().to_string(), "[::]:53-54/tcp");
}

#[test]
fn host_ports_are_given_or_left_to_netfwd() {
    let host = |text: &str| text.parse::<Request>().unwrap().host;
    let ports = |first, last| Ports::new(first, last).unwrap();
    assert_eq!(host("8000-8010:172.17.0.2:80-90"), HostChoice::These(ports(8000, 8010)));
    assert_eq!(host("8000-8010:172.17.0.2:80"), HostChoice::OneOf(ports(8000, 8010)));
    assert_eq!(host("8000-8000:172.17.0.2:80"), HostChoice::These(ports(8000, 8000)));
    for text in ["172.17.0.2:80", "192.0.2.1:172.17.0.2:80", "192.0.2.1::172.17.0.2:80-90", "[::1]::[fd00::2]:80"] {
        assert_eq!(host(text), HostChoice::Any, "{text}");
    }
    let written = ["172.17.0.2:80", "192.0.2.1:172.17.0.2:80", "[::1]:[fd00::2]:80"].map(written);
    assert_eq!(written, ["172.17.0.2:80/tcp", "192.0.2.1::172.17.0.2:80/tcp", "[::1]::[fd00::2]:80/tcp"]);
}

#[test]
fn an_error_names_the_part_and_what_it_may_be() {
    for (text, part, problem) in [
        ("0:172.17.0.2:80", "host port `0`", "ports are 1 to 65535"),
        ("65536:172.17.0.2:80", "host port `65536`", "ports are 1 to 65535"),
        ("80:172.17.0.2:0", "container port `0`", "ports are 1 to 65535"),
        ("80-70:172.17.0.2:80", "host port `80-70`", "the first port, 80, is above the last one, 70"),
        ("1-2-3:172.17.0.2:80", "host port `1-2-3`", "not a port or FIRST-LAST; ports are 1 to 65535"),
        ("80-:172.17.0.2:80", "host port `80-`", "not a port or FIRST-LAST; ports are 1 to 65535"),
        ("x:172.17.0.2:80", "host port `x`", "not a port or FIRST-LAST; ports are 1 to 65535"),
        ("+80:172.17.0.2:80", "host port `+80`", "not a port or FIRST-LAST; ports are 1 to 65535"),
        (":172.17.0.2:80", "host port ``", "not a port or FIRST-LAST; ports are 1 to 65535"),
        ("80:172.17.0.2:", "container port ``", "not a port or FIRST-LAST; ports are 1 to 65535"),
        (
            "80:172.17.0.2:80-90",
            "host port `80`",
            "1 host port for 11 container ports: give as many, or one container port to take one free host port of several",
        ),
        (
            "80-89:172.17.0.2:80-90",
            "host port `80-89`",
            "10 host ports for 11 container ports: give as many, or one container port to take one free host port of \
             several",
        ),
        ("80:172.17.0.256:80", "container address `172.17.0.256`", "not an address such as 192.0.2.1 or [2001:db8::1]"),
        ("80:[fd00::g]:80", "container address `[fd00::g]`", "not an IPv6 address in brackets such as [2001:db8::1]"),
        ("80:[fd00::2:80", "container address `80`", "not an address such as 192.0.2.1 or [2001:db8::1]"),
        ("80:[::ffff:10.0.0.1]:80", "container address `[::ffff:10.0.0.1]`", "an IPv4 address; write 10.0.0.1"),
        ("80:0.0.0.0:80", "container address `0.0.0.0`", "not the address of one host"),
        ("80:[ff02::1]:80", "container address `[ff02::1]`", "not the address of one host"),
        ("224.0.0.1:80:172.17.0.2:80", "host address `224.0.0.1`", "not the address of one host"),
        (
            "80:[fe80::2]:80",
            "container address `[fe80::2]`",
            "a link-local address, which means nothing beyond its link",
        ),
        (
            "80:127.0.0.1:80",
            "container address `127.0.0.1`",
            "a loopback address, which each container has; give its address in its network",
        ),
        ("h:80:172.17.0.2:80", "host address `h`", "not an address such as 192.0.2.1 or [2001:db8::1]"),
        (
            "192.0.2.1:80:[fd00::2]:80",
            "host address `192.0.2.1`",
            "IPv4, but the container's address is IPv6: one family is not translated to the other",
        ),
        (
            "[2001:db8::1]:80:172.17.0.2:80",
            "host address `[2001:db8::1]`",
            "IPv6, but the container's address is IPv4: one family is not translated to the other",
        ),
        (
            "[::1]:80:172.17.0.2:80",
            "host address `[::1]`",
            "IPv6, but the container's address is IPv4: one family is not translated to the other; without HOST_IP the \
             host itself reaches the mapping at [::1] too",
        ),
        ("80:172.17.0.2:80/icmp", "protocol `icmp`", "the protocol is `tcp`, `udp`, `sctp` or `tcp+udp`"),
        ("80:172.17.0.2:80/", "protocol ``", "the protocol is `tcp`, `udp`, `sctp` or `tcp+udp`"),
    ] {
        assert_eq!(error_of(text), format!("{part} in `{text}`: {problem}"));
    }
}

#[test]
fn too_few_or_too_many_parts_are_answered_with_the_grammar() {
    for text in ["", "80", "1:2:3:4:5", "192.0.2.1"] {
        assert!(error_of(text).ends_with(MAPPING), "{text}");
    }
    let error = "8080:172.17.0.2:80".parse::<Selector>().unwrap_err().to_string();
    assert!(error.contains("give the host's part alone: [HOST_IP:]HOST_PORTS"), "{error}");
    let error = "8080:8081:8082".parse::<Selector>().unwrap_err().to_string();
    assert!(error.contains("a mapping's host part is [HOST_IP:]HOST_PORTS"), "{error}");
}

#[test]
fn ipv6_without_brackets_is_recognized_however_it_is_written() {
    for text in [
        "80:fd00::2:80",
        "fd00::2:80",
        "::1:80:172.17.0.2:80",
        "80:::1:80",
        "80:::80",
        "80:2001:db8:0:0:0:0:0:1:80",
        "80:1::",
    ] {
        assert!(error_of(text).ends_with("IPv6 addresses are written in brackets, as in [2001:db8::1]"), "{text}");
    }
    let error = "::1:80".parse::<Selector>().unwrap_err().to_string();
    assert!(error.contains("IPv6 addresses are written in brackets"), "{error}");
}

#[test]
fn the_caret_is_under_the_part() {
    let error = "8080:172.17.0.2:80/icmp".parse::<Request>().unwrap_err().to_string();
    let lines: Vec<_> = error.lines().skip(1).collect();
    assert_eq!(lines, ["  8080:172.17.0.2:80/icmp", "                     ^^^^"]);
    let error = "8080:[fd00::2]:0".parse::<Request>().unwrap_err().to_string();
    assert_eq!(error.lines().last(), Some("                 ^"));
}

fn choices() -> impl Strategy<Value = (HostChoice, Ports)> {
    let ports = (1_u16..=60_000, 0_u16..=5_000).prop_map(|(first, more)| Ports::new(first, first + more).unwrap());
    let one = |port| Ports::new(port, port).unwrap();
    prop_oneof![
        (ports.clone(), 1_u16..=60_000).prop_map(|(host, to)| {
            let last = to + (host.last() - host.first());
            (HostChoice::These(host), Ports::new(to, last).unwrap())
        }),
        (1_u16..=60_000, 1_u16..=5_000, 1_u16..).prop_map(move |(first, more, to)| {
            (HostChoice::OneOf(Ports::new(first, first + more).unwrap()), one(to))
        }),
        ports.prop_map(|container| (HostChoice::Any, container)),
    ]
}

fn requests() -> impl Strategy<Value = Request> {
    let protocols = [Transport::Tcp, Transport::Udp, Transport::Sctp].map(Transports::One);
    let protocols = proptest::sample::select([&protocols[..], &[Transports::TcpAndUdp]].concat());
    let addresses = prop_oneof![
        any::<u8>().prop_map(|last| (Ipv4Addr::new(192, 0, 2, last).into(), Ipv4Addr::new(172, 17, 0, last).into())),
        Just((Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(172, 17, 0, 2).into())),
        Just((Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(172, 17, 0, 2).into())),
        any::<u16>().prop_map(|last| {
            let address = |first| Ipv6Addr::new(first, 0, 0, 0, 0, 0, 1, last).into();
            (address(0x2001), address(0xfd00))
        }),
        Just((Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).into())),
    ];
    (addresses, choices(), protocols).prop_map(|((address, container), (host, container_ports), protocols)| Request {
        address,
        host,
        container,
        container_ports,
        protocols,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(request in requests()) {
        prop_assert_eq!(request.to_string().parse(), Ok(request));
        for mapping in request.fixed().into_iter().flatten() {
            let selector: Selector = mapping.host.to_string().parse().unwrap();
            prop_assert!(selector.selects(&mapping.host));
            let again: Request = mapping.to_string().parse().unwrap();
            prop_assert_eq!(again.fixed().unwrap().collect::<Vec<_>>(), [mapping]);
        }
    }

    #[test]
    fn no_text_panics(text in "[0-9a-f:.\\[\\]/-]{0,40}|\\PC{0,20}") {
        drop(text.parse::<Request>().map_err(|error| error.to_string()));
        drop(text.parse::<Selector>().map_err(|error| error.to_string()));
    }
}
