//! Where a subject is measured: a Docker host with a client and a container, of its own.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use lab::{Lab, Netns, Process, Topology};
use nix::net::if_::if_nametoindex;

use crate::limits::ROOM;

/// The host's interface to the client.
pub(crate) const UPLINK: &str = "ens33";
/// The containers' bridge.
pub(crate) const BRIDGE: &str = "docker0";
/// The host's end of the container's veth.
pub(crate) const MEMBER: &str = "veth1";
/// The interface of the client, and that of the container.
pub(crate) const INSIDE: &str = "eth0";
/// Addresses that the client has: as many as flows need, each with its own ports.
pub(crate) const CLIENTS: u8 = 50;

/// A lab and what a subject runs in it.
pub(crate) struct Site {
    /// Programs that are attached while they are here.
    pub(crate) programs: Vec<Ebpf>,
    /// Processes that run while they are here.
    pub(crate) processes: Vec<Process>,
    /// Connections that there is to be room for.
    pub(crate) room: u32,
    lab: Lab,
    topology: Topology,
}

impl Site {
    /// Builds it. The host forwards packets and nothing else.
    pub(crate) fn new(netfwd: &Path) -> Result<Self> {
        let mut topology = Topology::default();
        topology.uplinks[0].clients = (1..=CLIENTS).map(|host| Ipv4Addr::new(192, 168, 137, host)).collect();
        topology.bridges[0].containers.truncate(1);
        let lab = Lab::new(&topology)?.with_netfwd(netfwd);
        lab.host().sysctl("net/ipv4/ip_forward", "1")?;
        Ok(Self { programs: Vec::new(), processes: Vec::new(), room: ROOM, lab, topology })
    }

    pub(crate) fn lab(&self) -> &Lab {
        &self.lab
    }

    pub(crate) fn host(&self) -> &Netns {
        self.lab.host()
    }

    pub(crate) fn client(&self) -> &Netns {
        self.lab.client()
    }

    pub(crate) fn container(&self) -> &Netns {
        &self.lab.containers()[0]
    }

    /// The host's address on the uplink.
    pub(crate) fn host_address(&self) -> Ipv4Addr {
        self.topology.uplinks[0].address.addr()
    }

    /// The first of the client's addresses, which the others follow.
    pub(crate) fn client_address(&self) -> Ipv4Addr {
        self.topology.uplinks[0].clients[0]
    }

    pub(crate) fn container_address(&self) -> Ipv4Addr {
        self.topology.bridges[0].containers[0]
    }

    /// The containers' network.
    pub(crate) fn subnet(&self) -> String {
        self.topology.bridges[0].address.trunc().to_string()
    }

    /// Lets veths deliver frames without a socket buffer, as XDP does and as the generator sends them.
    pub(crate) fn receive_frames(&self) -> Result<()> {
        let ends = [(self.host(), UPLINK), (self.host(), MEMBER), (self.client(), INSIDE), (self.container(), INSIDE)];
        for (netns, interface) in ends {
            netns.run(&["ethtool", "--offload", interface, "gro", "on"])?;
        }
        Ok(())
    }
}

/// The index of an interface.
pub(crate) fn index(netns: &Netns, interface: &str) -> Result<u32> {
    netns.enter(|| if_nametoindex(interface))?.with_context(|| format!("cannot find {interface} in {}", netns.name()))
}
