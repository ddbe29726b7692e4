//! What is compared: ways to get packets from the uplink to a container and back.
//!
//! Each does the same job: what leaves the bridge's subnet by the uplink gets the host's address, and [`Ports`] of the
//! host lead to the container. None filters.

mod docker_proxy;
mod forward;
mod iptables;
mod netfwd;
mod nftables;
mod plain;

use anyhow::Result;

use crate::args::Args;
use crate::site::Site;

pub(crate) use docker_proxy::DockerProxy;
pub(crate) use forward::Forward;
pub(crate) use iptables::Iptables;
pub(crate) use netfwd::Netfwd;
pub(crate) use nftables::Nftables;
pub(crate) use plain::Plain;

/// Host ports that lead to as many ports of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) host: u16,
    pub(crate) container: u16,
    pub(crate) count: u16,
}

impl Ports {
    pub(crate) const fn one(host: u16, container: u16) -> Self {
        Self { host, container, count: 1 }
    }

    /// The pairs of ports.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (u16, u16)> {
        (0..self.count).map(move |number| (self.host + number, self.container + number))
    }
}

/// Over which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// One of those that are compared.
pub(crate) trait Subject {
    /// What tables call it.
    fn name(&self) -> &str;

    /// Whether the client reaches the container by the host's address. Where not, it sends to the container's own.
    fn translates(&self) -> bool {
        true
    }

    /// Whether it has to do with packets that are not for a published TCP port: a relay has not.
    fn forwards(&self) -> bool {
        true
    }

    /// Whether it carries TCP between sockets.
    fn carries_tcp(&self) -> bool {
        true
    }

    /// Whether a process of the host gets to the container by 127.0.0.1.
    fn serves_localhost(&self) -> bool {
        false
    }

    /// Why it cannot be measured here, if so.
    fn obstacle(&self) -> Option<String> {
        None
    }

    /// Whether the comparison is of worth without it.
    fn is_optional(&self) -> bool {
        false
    }

    /// Starts to masquerade.
    fn set_up(&self, site: &mut Site) -> Result<()>;

    /// Leads ports to the container.
    fn publish(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()>;

    /// Ends that.
    fn withdraw(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()>;

    /// Leads ports to the container, each by itself where a range would be one thing.
    fn publish_each(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()> {
        self.publish(site, protocol, ports)
    }

    /// Ends that.
    fn withdraw_each(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()> {
        self.withdraw(site, protocol, ports)
    }

    /// Forgets all flows. No port is published.
    fn forget_flows(&self, site: &mut Site) -> Result<()>;
}

/// Everything that is compared, whether or not it can be measured here.
pub(crate) fn all(args: &Args) -> Vec<Box<dyn Subject>> {
    let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(Plain), Box::new(Iptables), Box::new(Nftables)];
    let variants = netfwd::VARIANTS.into_iter().map(str::to_owned).chain(args.variants.iter().cloned());
    subjects.extend(variants.map(|options| Box::new(Netfwd::new(&args.netfwd, &options)) as Box<dyn Subject>));
    subjects.push(Box::new(Forward));
    subjects.push(Box::new(DockerProxy::new(args.docker_proxy.as_deref())));
    subjects.retain(|subject| {
        args.subjects.is_empty() || args.subjects.iter().any(|wanted| subject.name().contains(wanted.as_str()))
    });
    subjects
}
