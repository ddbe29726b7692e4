//! Which host ports a mapping gets that leaves them to netfwd.
//!
//! As Docker does: the first free ones of the host's ephemeral ports, the same for all protocols of the request.

use thiserror::Error;

use super::{Host, Installed};
use crate::{
    host::ports::PortSet,
    mapping::{HostChoice, HostPorts, Mapping, Ports, Request},
};

/// No port is free.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{} of {among} for {request}: each has a mapping, a socket of the host, or is reserved; unmap some, or give host ports", shortage(.request))]
pub struct Exhausted {
    request: Request,
    among: Ports,
}

fn shortage(request: &Request) -> String {
    match request.container_ports.count() {
        1 => "no port is free".to_owned(),
        count => format!("no {count} ports in a row are free"),
    }
}

/// The mappings of all requests, those that name their ports first.
pub(super) fn choose(host: &Host, installed: &[Installed], requests: &[Request]) -> Result<Vec<Mapping>, Exhausted> {
    let mut mappings: Vec<_> = requests.iter().filter_map(Request::fixed).flatten().collect();
    for request in requests {
        let among = match request.host {
            HostChoice::These(_) => continue,
            HostChoice::OneOf(ports) => ports,
            HostChoice::Any => host.ephemeral,
        };
        let present: Vec<_> = installed.iter().map(|installed| &installed.mapping).chain(&mappings).collect();
        let taken = taken(host, &present, request);
        let ports = taken.first_gap(among, request.container_ports.count());
        mappings.extend(request.on(ports.ok_or(Exhausted { request: *request, among })?));
    }
    Ok(mappings)
}

/// The ports that a request cannot have.
fn taken(host: &Host, mappings: &[&Mapping], request: &Request) -> PortSet {
    let mut taken = PortSet::default();
    // Ports that were named are taken at their word, reserved or not.
    if request.host == HostChoice::Any {
        taken.insert_all(&host.reserved);
    }
    for protocol in request.protocols.each() {
        taken.insert_all(&host.sockets.ports(protocol, request.address));
    }
    let is_in_the_way =
        |host: &HostPorts| request.on(host.ports).any(|one| one.host.overlaps(host) || one.host.is_beside(host));
    mappings.iter().filter(|mapping| is_in_the_way(&mapping.host)).for_each(|mapping| taken.insert(mapping.host.ports));
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        datapath::mappings::tests::{host, installed},
        host::sockets::tests::serving,
    };

    fn chosen(host: &Host, present: &[&str], requests: &[&str]) -> Vec<String> {
        let requests: Vec<_> = requests.iter().map(|text| text.parse().unwrap()).collect();
        choose(host, &installed(present), &requests).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_first_free_ephemeral_port_is_taken() {
        let host = Host { sockets: serving(&["0.0.0.0:32769/tcp", "127.0.0.1:32770/udp"]), ..host() };
        let present = ["32768:172.17.0.2:80"];
        assert_eq!(chosen(&host, &present, &["172.17.0.2:80"]), ["32770:172.17.0.2:80/tcp"]);
        assert_eq!(chosen(&host, &present, &["172.17.0.2:80/udp"]), ["32768:172.17.0.2:80/udp"]);
        assert_eq!(chosen(&host, &present, &["[fd00::2]:80"]), ["32768:[fd00::2]:80/tcp"]);
        let both = ["32771:172.17.0.2:80/tcp", "32771:172.17.0.2:80/udp"];
        assert_eq!(chosen(&host, &present, &["172.17.0.2:80/tcp+udp"]), both);
    }

    #[test]
    fn reserved_ports_are_left_alone_unless_they_are_named() {
        let mut host = host();
        host.reserved.insert(Ports::new(32768, 32800).unwrap());
        assert_eq!(chosen(&host, &[], &["172.17.0.2:80"]), ["32801:172.17.0.2:80/tcp"]);
        assert_eq!(chosen(&host, &[], &["32790-32799:172.17.0.2:80"]), ["32790:172.17.0.2:80/tcp"]);
    }

    #[test]
    fn one_command_gives_each_request_its_own_port_and_named_ones_first() {
        let requests = ["172.17.0.2:81", "172.17.0.2:82", "127.0.0.1::172.17.0.2:80", "32769:172.17.0.2:83"];
        let expected = [
            "32769:172.17.0.2:83/tcp",
            "32768:172.17.0.2:81/tcp",
            "32770:172.17.0.2:82/tcp",
            "127.0.0.1:32771:172.17.0.2:80/tcp",
        ];
        assert_eq!(chosen(&host(), &[], &requests), expected);
    }

    #[test]
    fn distinct_addresses_may_have_the_same_port() {
        let requests = ["127.0.0.1::172.17.0.2:80", "127.0.0.2::172.17.0.2:80"];
        let expected = ["127.0.0.1:32768:172.17.0.2:80/tcp", "127.0.0.2:32768:172.17.0.2:80/tcp"];
        assert_eq!(chosen(&host(), &[], &requests), expected);
    }

    #[test]
    fn a_range_gets_ports_in_a_row() {
        let chosen = chosen(&host(), &["32770:172.17.0.2:80"], &["172.17.0.2:8000-8004"]);
        assert_eq!(chosen, ["32771-32775:172.17.0.2:8000-8004/tcp"]);
    }

    #[test]
    fn one_of_a_range_is_the_first_free_one_and_none_is_an_error() {
        let present = ["8000-8008:172.17.0.2:8000-8008", "192.0.2.1:8009:172.17.0.2:80"];
        assert_eq!(chosen(&host(), &present, &["8000-8010:172.17.0.3:80"]), ["8010:172.17.0.3:80/tcp"]);
        let request: Request = "8000-8009:172.17.0.3:80".parse().unwrap();
        let error = choose(&host(), &installed(&present), &[request]).unwrap_err();
        assert!(
            error.to_string().starts_with("no port is free of 8000-8009 for 8000-8009:172.17.0.3:80/tcp: "),
            "{error}"
        );
        let request: Request = "172.17.0.3:1-40000".parse().unwrap();
        let error = choose(&host(), &[], &[request]).unwrap_err();
        assert!(error.to_string().starts_with("no 40000 ports in a row are free of 32768-60999 for "), "{error}");
    }
}
