//! Why mappings cannot be added or removed.

use thiserror::Error;

use crate::{
    host::sockets::Holder,
    mapping::{HostPorts, Label, Mapping, Origin, Selector, Transport},
};

/// Why mappings cannot be added or removed. Nothing has been changed then.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Conflict {
    /// Another mapping has the host port.
    #[error("{} is mapped to {}{}, not to {}; {}, or give --replace", .present.host, .present.target(), by(.label), .wanted.target(), way_around(.label.origin))]
    Taken {
        /// What was asked for.
        wanted: Mapping,
        /// What is in force.
        present: Mapping,
        /// Whose it is.
        label: Label,
    },
    /// Another mapping goes before.
    #[error("{} is mapped to {} {}", .present.host, .present.target(), whose(*.origin))]
    Before {
        /// What is in force, or is to be.
        present: Mapping,
        /// Whose it is.
        origin: Origin,
    },
    /// Of two mappings one is of any address, the other of one, and they have a port in common.
    #[error(
        "{} and {} have a port in common; unmap one or give another port, or give --force: then {} goes before {}",
        .wanted.host, .present.host, one_of(.wanted, .present), any_of(.wanted, .present)
    )]
    Beside {
        /// What was asked for.
        wanted: Mapping,
        /// What is in force, or was asked for too.
        present: Mapping,
    },
    /// Two of the mappings that were asked for exclude each other.
    #[error("{first} and {second} have the same host port; leave one out")]
    Both {
        /// One.
        first: Mapping,
        /// The other.
        second: Mapping,
    },
    /// A socket of the host has the port.
    #[error("port {port}/{protocol} is in use by {}{}; {}", user(.holder.as_ref()), further(*.more), way_out(.holder.as_ref()))]
    Used {
        /// The port.
        port: u16,
        /// Its protocol.
        protocol: Transport,
        /// Who has the socket, as far as it is known.
        holder: Option<Holder>,
        /// How many more ports are in use.
        more: usize,
    },
    /// The target is the host itself.
    #[error("{} of {mapping} is an address of this host: give the container's own address", .mapping.container)]
    Own {
        /// What was asked for.
        mapping: Mapping,
    },
    /// There is no such mapping.
    #[error("there is no mapping of {selector}{}; `netfwd list` shows all", also(.similar))]
    Missing {
        /// What was asked for.
        selector: Selector,
        /// What has one of its ports.
        similar: Vec<HostPorts>,
    },
}

fn one_of<'m>(first: &'m Mapping, second: &'m Mapping) -> &'m HostPorts {
    if first.host.is_any() { &second.host } else { &first.host }
}

fn any_of<'m>(first: &'m Mapping, second: &'m Mapping) -> &'m HostPorts {
    if first.host.is_any() { &first.host } else { &second.host }
}

fn user(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "a process that cannot be seen from here".to_owned(), ToString::to_string)
}

fn by(label: &Label) -> String {
    match (label.origin, label.name.as_str()) {
        (Origin::Hand, _) => String::new(),
        (Origin::Config, _) => " by the configuration".to_owned(),
        (Origin::Docker, "") => " by Docker".to_owned(),
        (Origin::Docker, name) => format!(" by Docker (container {name})"),
    }
}

/// What is unmapped and not by hand comes back while `netfwd run` runs.
fn way_around(origin: Origin) -> &'static str {
    match origin {
        Origin::Hand => "unmap it first",
        Origin::Config => "take it out of the file",
        Origin::Docker => "use another port",
    }
}

fn whose(origin: Origin) -> &'static str {
    match origin {
        Origin::Hand => "by hand, which goes before: unmap it (`netfwd unmap`), or use another port",
        Origin::Config => "by the configuration, which goes before: take it out of the file, or use another port",
        Origin::Docker => "by Docker: stop that container, or publish another port",
    }
}

fn further(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => ", and 1 more port of the mapping is in use".to_owned(),
        more => format!(", and {more} more ports of the mapping are in use"),
    }
}

fn way_out(holder: Option<&Holder>) -> &'static str {
    if holder.is_some_and(Holder::is_docker) {
        "Docker has published it: run the container without it, or give --force to take its remote clients over"
    } else {
        "stop it, or give --force to take its remote clients over"
    }
}

fn also(similar: &[HostPorts]) -> String {
    let names: Vec<_> = similar.iter().map(ToString::to_string).collect();
    if names.is_empty() { String::new() } else { format!(", but of {}", names.join(" and ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::tests::mapping;

    fn used(name: &str, more: usize) -> String {
        let holder = (!name.is_empty()).then(|| Holder { name: name.to_owned(), pid: 123 });
        Conflict::Used { port: 8080, protocol: Transport::Tcp, holder, more }.to_string()
    }

    #[test]
    fn a_port_in_use_names_the_process_and_what_to_do() {
        let hint = "stop it, or give --force to take its remote clients over";
        assert_eq!(used("nginx", 0), format!("port 8080/tcp is in use by nginx (pid 123); {hint}"));
        let more = "port 8080/tcp is in use by nginx (pid 123), and 2 more ports of the mapping are in use; ";
        assert!(used("nginx", 2).starts_with(more));
        assert!(used("", 0).starts_with("port 8080/tcp is in use by a process that cannot be seen from here; "));
    }

    #[test]
    fn whose_a_taken_port_is_and_what_to_do_about_it_is_told() {
        let told = |origin, name: &str| {
            let label = Label { origin, name: name.to_owned() };
            let [wanted, present] = ["80:172.17.0.3:80", "80:172.17.0.2:80"].map(mapping);
            Conflict::Taken { wanted, present, label }.to_string()
        };
        let not = "not to 172.17.0.3:80";
        let by_docker = format!("80/tcp is mapped to 172.17.0.2:80 by Docker (container web), {not}; use another port");
        assert_eq!(told(Origin::Docker, "web"), format!("{by_docker}, or give --replace"));
        let by_file = format!("80/tcp is mapped to 172.17.0.2:80 by the configuration, {not}; take it out of the file");
        assert_eq!(told(Origin::Config, ""), format!("{by_file}, or give --replace"));
    }

    #[test]
    fn docker_is_told_apart_from_others() {
        let message = "port 8080/tcp is in use by docker-proxy (pid 123); Docker has published it: run the container \
                       without it, or give --force to take its remote clients over";
        assert_eq!(used("docker-proxy", 0), message);
    }
}
