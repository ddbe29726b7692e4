//! A lab, one family of addresses in it, and a translator with one way to tell it what to do.

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    rc::Rc,
};

use lab::{Bridge, Capture, Ipv6, Lab, Netns, TcpEcho, Topology, UdpEcho, Uplink, Wire};

use super::{
    commands::{Attach, Mapping},
    nft::Ruleset,
};
use crate::{sockets::udp_at, support};

/// Who translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// The kernel, by rules as Docker's without its userland proxy.
    Nft,
    /// The program under test.
    Netfwd,
}

/// The addresses that a scenario uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// A lab with a translator, seen as one family's. Clones are the same lab.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) lab: Rc<Lab>,
    pub(super) topology: Topology,
    backend: Backend,
    family: Family,
    rules: Rc<RefCell<Ruleset>>,
}

/// The example with both families and a second bridge with one container.
pub(super) fn two_bridges() -> Topology {
    let mut topology = Topology::dual_stack();
    topology.bridges.push(Bridge {
        name: "br-other".to_owned(),
        address: "172.18.0.1/16".parse().unwrap(),
        containers: vec![Ipv4Addr::new(172, 18, 0, 2)],
        ipv6: Some(Ipv6 { address: "fd00:18::1/64".parse().unwrap(), others: vec!["fd00:18::2".parse().unwrap()] }),
    });
    topology
}

/// The example with both families and a second uplink.
pub(super) fn two_uplinks() -> Topology {
    let mut topology = Topology::dual_stack();
    let others = vec!["2001:db8:9::2".parse().unwrap()];
    topology.uplinks.push(Uplink {
        name: "ens34".to_owned(),
        address: "10.9.0.1/24".parse().unwrap(),
        clients: vec![Ipv4Addr::new(10, 9, 0, 2)],
        ipv6: Some(Ipv6 { address: "2001:db8:9::1/64".parse().unwrap(), others }),
        router: None,
    });
    topology
}

impl Stage {
    /// The example with both families, its uplink attached; seen as IPv4's.
    pub(super) fn new(backend: Backend) -> Self {
        Self::of(backend, Topology::dual_stack())
    }

    /// `topology` with every uplink attached.
    pub(super) fn of(backend: Backend, topology: Topology) -> Self {
        Self::with(backend, topology, &Attach::default())
    }

    /// `topology` with every uplink attached in one way.
    pub(super) fn with(backend: Backend, topology: Topology, attach: &Attach) -> Self {
        let (lab, rules) = (support::lab(&topology), RefCell::new(Ruleset::new(&topology)));
        let stage = Self { lab: Rc::new(lab), topology, backend, family: Family::V4, rules: Rc::new(rules) };
        if backend == Backend::Nft {
            stage.prepare_for_nft();
        }
        for uplink in &stage.topology.uplinks {
            stage.attach(&uplink.name, attach);
        }
        stage
    }

    /// The same lab for each family: one takes long to make, because the kernel verifies the programs each time.
    pub(super) fn families(&self) -> [(Family, Self); 2] {
        FAMILIES.map(|family| (family, self.of_family(family)))
    }

    pub(super) fn of_family(&self, family: Family) -> Self {
        Self { family, ..self.clone() }
    }

    /// What Docker sets besides rules when it runs without its proxy.
    fn prepare_for_nft(&self) {
        self.lab.host().enable_forwarding().unwrap();
        for bridge in &self.topology.bridges {
            let key = format!("net/ipv4/conf/{}/route_localnet", bridge.name);
            self.lab.host().sysctl(&key, "1").unwrap();
        }
        // Where br_netfilter is loaded, a container would not reach itself without the bridge's hairpin mode.
        for key in ["net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"] {
            self.lab.host().sysctl(key, "0").ok();
        }
    }

    /// Attaches an uplink, or changes how it is attached.
    pub(super) fn attach(&self, uplink: &str, attach: &Attach) {
        match self.backend {
            Backend::Nft => self.apply(|rules| rules.attach(uplink, attach)),
            Backend::Netfwd => self.netfwd(attach.arguments(uplink)),
        }
    }

    pub(super) fn map(&self, mapping: &Mapping) {
        match self.backend {
            Backend::Nft => self.apply(|rules| rules.map(mapping)),
            Backend::Netfwd => self.netfwd(["map".to_owned(), mapping.to_string()]),
        }
    }

    /// Points a mapped port elsewhere.
    pub(super) fn replace(&self, mapping: &Mapping) {
        match self.backend {
            Backend::Nft => self.apply(|rules| rules.map(mapping)),
            Backend::Netfwd => self.netfwd(["map".to_owned(), "--replace".to_owned(), mapping.to_string()]),
        }
    }

    pub(super) fn unmap(&self, mapping: &Mapping) {
        match self.backend {
            Backend::Nft => self.apply(|rules| rules.unmap(mapping)),
            Backend::Netfwd => self.netfwd(["unmap".to_owned(), mapping.key()]),
        }
    }

    /// Makes the translator forget every flow.
    pub(super) fn forget_flows(&self) {
        match self.backend {
            Backend::Nft => drop(self.lab.host().run(&["conntrack", "-F"]).unwrap()),
            Backend::Netfwd => self.netfwd(["flows", "delete", "--all"].map(str::to_owned)),
        }
    }

    fn netfwd(&self, arguments: impl IntoIterator<Item = String>) {
        let arguments: Vec<_> = arguments.into_iter().collect();
        support::said(&self.lab, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn apply(&self, change: impl FnOnce(&mut Ruleset)) {
        let mut rules = self.rules.borrow_mut();
        change(&mut rules);
        self.lab.host().run(&["nft", &rules.to_string()]).unwrap();
    }
}

/// Its addresses, all of its family.
impl Stage {
    /// The host's on the uplink `number`.
    pub(super) fn host_on(&self, number: usize) -> IpAddr {
        let uplink = &self.topology.uplinks[number];
        match self.family {
            Family::V4 => uplink.address.addr().into(),
            Family::V6 => uplink.ipv6.as_ref().unwrap().address.addr().into(),
        }
    }

    /// The host's on the first uplink.
    pub(super) fn host(&self) -> IpAddr {
        self.host_on(0)
    }

    /// The client's on the uplink `number`.
    pub(super) fn client_on(&self, number: usize) -> IpAddr {
        let uplink = &self.topology.uplinks[number];
        match self.family {
            Family::V4 => uplink.clients[0].into(),
            Family::V6 => uplink.ipv6.as_ref().unwrap().others[0].into(),
        }
    }

    /// The client's on the first uplink.
    pub(super) fn client(&self) -> IpAddr {
        self.client_on(0)
    }

    /// The container's, counted from 0 over all bridges.
    pub(super) fn container(&self, number: usize) -> IpAddr {
        let bridges = self.topology.bridges.iter();
        let addresses: Vec<IpAddr> = match self.family {
            Family::V4 => bridges.flat_map(|bridge| &bridge.containers).copied().map(IpAddr::from).collect(),
            Family::V6 => {
                bridges.flat_map(|bridge| &bridge.ipv6.as_ref().unwrap().others).copied().map(IpAddr::from).collect()
            }
        };
        addresses[number]
    }

    /// The host's on the bridge `number`.
    pub(super) fn gateway(&self, number: usize) -> IpAddr {
        let bridge = &self.topology.bridges[number];
        match self.family {
            Family::V4 => bridge.address.addr().into(),
            Family::V6 => bridge.ipv6.as_ref().unwrap().address.addr().into(),
        }
    }

    pub(super) fn loopback(&self) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        }
    }

    /// Stands for all.
    pub(super) fn any(&self) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

/// Its clients, servers and witnesses.
impl Stage {
    pub(super) fn c(&self, number: usize) -> &Netns {
        &self.lab.containers()[number]
    }

    pub(super) fn tcp_server(&self, netns: &Netns, port: u16) -> TcpEcho {
        TcpEcho::start(netns, (self.any(), port).into()).unwrap()
    }

    pub(super) fn udp_server(&self, netns: &Netns, port: u16) -> UdpEcho {
        UdpEcho::start_at(netns, (self.any(), port).into()).unwrap()
    }

    /// A UDP socket of the stage's family; port 0 is a free one.
    pub(super) fn udp(&self, netns: &Netns, port: u16) -> UdpSocket {
        udp_at(netns, (self.any(), port).into())
    }

    /// A UDP socket that hears of errors.
    pub(super) fn connected_udp(&self, netns: &Netns, target: SocketAddr) -> UdpSocket {
        let socket = self.udp(netns, 0);
        socket.connect(target).unwrap();
        socket
    }

    /// A capture on the first client's side of the uplink.
    pub(super) fn capture(&self, filter: &str) -> Capture {
        Capture::start(self.lab.client(), "eth0", filter).unwrap()
    }

    /// Ethernet from the first client to the host.
    pub(super) fn client_wire(&self) -> Wire {
        Wire::open(self.lab.client(), "eth0", (self.lab.host(), &self.topology.uplinks[0].name)).unwrap()
    }

    /// Ethernet from a container of the first bridge to the host.
    pub(super) fn container_wire(&self, number: usize) -> Wire {
        Wire::open(self.c(number), "eth0", (self.lab.host(), &self.topology.bridges[0].name)).unwrap()
    }
}
