//! What a container publishes, as mappings.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use bollard::models::{ContainerInspectResponse, EndpointSettings, PortBinding, PortMap};

use super::{Container, Id, Network, gateway::Addresses};
use crate::mapping::{HostPorts, Mapping, Ports, Transport};

/// What matters of an inspected container. Which of its addresses count depends on the networks, which may change.
#[derive(Clone, Debug, Default)]
pub(super) struct Inspected {
    name: String,
    ports: PortMap,
    endpoints: BTreeMap<String, EndpointSettings>,
}

/// Where ports are published, and where they lead.
type Published = BTreeMap<(IpAddr, Transport, u16), (IpAddr, u16)>;

impl Inspected {
    /// What an engine has answered; `None` if the container does not run.
    pub(super) fn of(response: ContainerInspectResponse) -> Option<Self> {
        response.state?.running.filter(|is_running| *is_running)?;
        let name = response.name.unwrap_or_default().trim_start_matches('/').to_owned();
        let settings = response.network_settings.unwrap_or_default();
        let endpoints = settings.networks.unwrap_or_default().into_iter().collect();
        Some(Self { name, ports: settings.ports.unwrap_or_default(), endpoints })
    }

    /// The container among these networks.
    pub(super) fn container(&self, networks: &BTreeMap<Id, Network>) -> Container {
        let addresses = Addresses::choose(&self.endpoints, networks);
        Container { name: self.name.clone(), mappings: merge(published(&self.ports, addresses)) }
    }
}

fn published(ports: &PortMap, addresses: Addresses) -> Published {
    let mut published = Published::new();
    for (port, bindings) in ports {
        let Some((port, transport)) = container_port(port) else { continue };
        for (host, host_port) in bindings.iter().flatten().flat_map(host_endpoints) {
            let Some(container) = addresses.for_host(host) else { continue };
            let leads_to = (container, port);
            // Two ports of a container cannot have the same host port: it is only that hash maps have no order.
            let known = published.entry((host, transport, host_port)).or_insert(leads_to);
            *known = leads_to.min(*known);
        }
    }
    published
}

/// The port of `80/tcp`.
fn container_port(text: &str) -> Option<(u16, Transport)> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let transport = match protocol {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        "sctp" => Transport::Sctp,
        _ => return None,
    };
    Some((port.parse().ok().filter(|port| *port != 0)?, transport))
}

/// Where a binding listens: nowhere if it has no host port, as in a network that is routed to.
fn host_endpoints(binding: &PortBinding) -> impl Iterator<Item = (IpAddr, u16)> + use<> {
    let port = binding.host_port.as_deref().and_then(|port| port.parse().ok()).filter(|port: &u16| *port != 0);
    let addresses = match binding.host_ip.as_deref() {
        None | Some("") => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        Some(address) => address.parse().into_iter().collect(),
    };
    addresses.into_iter().filter_map(move |address| Some((address, port?)))
}

/// As few mappings as there can be.
fn merge(published: Published) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for ((address, protocol, port), (container, container_port)) in published {
        let Some(ports) = Ports::new(port, port) else { continue };
        let next = Mapping { host: HostPorts { address, protocol, ports }, container, container_port };
        match mappings.last_mut().and_then(|last| Some((joined(last, &next)?, last))) {
            Some((joined, last)) => *last = joined,
            None => mappings.push(next),
        }
    }
    mappings
}

/// Both as one, if `next` continues `last`.
fn joined(last: &Mapping, next: &Mapping) -> Option<Mapping> {
    let (before, after) = (last.host, next.host);
    let continues = (before.address, before.protocol, last.container)
        == (after.address, after.protocol, next.container)
        && before.ports.last().checked_add(1) == Some(after.ports.first())
        && last.container_ports().last().checked_add(1) == Some(next.container_port);
    let ports = Ports::new(before.ports.first(), after.ports.last()).filter(|_| continues)?;
    Some(Mapping { host: HostPorts { ports, ..before }, ..*last })
}

#[cfg(test)]
mod tests;
