//! `netfwd run`: what becomes of flows when the host's addresses change, and of everything when it ends.

mod changes;
mod life;

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
};

use lab::{Capture, Ipv6, Lab, Process, TcpEcho, Topology, UdpEcho, Uplink};

use crate::{
    sockets::{PATIENCE, SILENCE, at, connect, echoes, goes_on, udp_at},
    support::{json, lab, said},
};

const UPLINK: &str = "ens33";

/// The addresses of one family in [`topology`].
struct Addresses {
    subnet: &'static str,
    /// What `netfwd map` is told of the container's port 80.
    mapping: &'static str,
    any: &'static str,
    /// The host's on the first uplink, and the client there.
    old: &'static str,
    client: &'static str,
    /// Another one for the host, and the prefix length of both.
    new: &'static str,
    length: u8,
    /// The host's on the second uplink, and the client there.
    other: &'static str,
    other_client: &'static str,
}

const V4: Addresses = Addresses {
    subnet: "172.17.0.0/16",
    mapping: "8080:172.17.0.2:80",
    any: "0.0.0.0",
    old: "192.168.137.104",
    client: "192.168.137.1",
    new: "192.168.137.110",
    length: 24,
    other: "10.9.0.1",
    other_client: "10.9.0.2",
};

const V6: Addresses = Addresses {
    subnet: "fd00:17::/64",
    mapping: "[::]:8080:[fd00:17::2]:80",
    any: "::",
    old: "2001:db8:137::104",
    client: "2001:db8:137::1",
    new: "2001:db8:137::110",
    length: 64,
    other: "2001:db8:9::1",
    other_client: "2001:db8:9::2",
};

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

/// Two uplinks with both families.
fn topology() -> Topology {
    let mut topology = Topology::dual_stack();
    let others = vec![V6.other_client.parse().unwrap()];
    topology.uplinks.push(Uplink {
        name: "ens34".to_owned(),
        address: format!("{}/24", V4.other).parse().unwrap(),
        clients: vec![V4.other_client.parse().unwrap()],
        ipv6: Some(Ipv6 { address: format!("{}/64", V6.other).parse().unwrap(), others }),
        router: None,
    });
    topology
}

/// A lab with both uplinks attached and followed.
fn followed() -> (Lab, Process) {
    let lab = lab(&topology());
    said(&lab, &["attach", UPLINK]);
    said(&lab, &["attach", "ens34"]);
    let mut follower = lab.spawn_netfwd(&["run"]).unwrap();
    follower.wait_for_line("follows ens33, ens34", PATIENCE).unwrap();
    (lab, follower)
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn new_flows_get_the_uplinks_new_address_and_those_of_the_old_one_end() {
    let (lab, mut follower) = followed();
    for family in [&V4, &V6] {
        replace_the_address(&lab, &mut follower, family);
    }
    assert_eq!(follower.stderr().unwrap(), "");
}

fn replace_the_address(lab: &Lab, follower: &mut Process, family: &Addresses) {
    let Addresses { subnet, mapping, any, old, client, new, other, other_client, .. } = *family;
    said(lab, &["map", mapping]);
    let server = lab.containers()[0].enter(|| TcpListener::bind(at(any, 80))).unwrap().unwrap();
    let mut asking = connect(lab.client(), at(old, 8080)).unwrap();
    let (mut serving, _) = server.accept().unwrap();
    let mut flows = Conversations::begin(lab, 0, at(client, 7));
    let mut others = Conversations::begin(lab, 1, at(other_client, 7));

    ip_batch(lab, &[address("delete", old, family), address("add", new, family)]);
    let told = follower.wait_for_line(&format!("masquerades {subnet} (docker0) as {new}"), PATIENCE).unwrap();
    assert_eq!(told, format!("masquerades {subnet} (docker0) as {new}, no longer as {old}"));
    let ended = format!("ended 3 flows of {old}, which is no address of this host any more\n");
    assert!(follower.stdout().unwrap().contains(&ended), "{}", follower.stdout().unwrap());
    assert!(!listed(lab).contains(old), "{}", listed(lab));

    let wire = Capture::start(lab.client(), "eth0", &format!("src host {old}")).unwrap();
    assert!(flows.tcp_is_unanswered(), "a connection cannot go on under another address");
    serving.write_all(b"late").unwrap();
    assert!(!goes_on(&mut asking, SILENCE));
    assert!(flows.udp_goes_on(), "a datagram's answer comes to the new address");
    assert_eq!(flows.seen(), (vec![ip(old)], vec![ip(old), ip(new)]));
    let late = Conversations::begin(lab, 0, at(client, 8));
    assert_eq!(late.seen(), (vec![ip(new)], vec![ip(new)]));
    assert!(connect(lab.client(), at(new, 8080)).is_ok(), "a mapping of any address serves the new one");
    assert!(others.tcp_goes_on() && others.udp_goes_on(), "another uplink's flows go on");
    assert_eq!(others.seen(), (vec![ip(other)], vec![ip(other); 2]));
    let leaked = wire.stop().unwrap().lines().unwrap();
    assert!(leaked.is_empty(), "{leaked:#?}");
}

/// Runs commands of `ip` in the host, all at once.
fn ip_batch(lab: &Lab, commands: &[String]) {
    let mut batch = tempfile::NamedTempFile::new().unwrap();
    batch.write_all(commands.join("\n").as_bytes()).unwrap();
    lab.host().run(&["ip", "-batch", batch.path().to_str().unwrap()]).unwrap();
}

/// A command of `ip` about an address of the first uplink.
fn address(verb: &str, address: &str, addresses: &Addresses) -> String {
    let nodad = if verb == "add" && ip(address).is_ipv6() { " nodad" } else { "" };
    format!("address {verb} {address}/{} dev {UPLINK}{nodad}", addresses.length)
}

/// Conversations of a container with an echoing client.
struct Conversations {
    tcp: TcpStream,
    udp: UdpSocket,
    target: SocketAddr,
    tcp_echo: TcpEcho,
    udp_echo: UdpEcho,
}

impl Conversations {
    fn begin(lab: &Lab, client: usize, target: SocketAddr) -> Self {
        let (netns, container) = (&lab.clients()[client], &lab.containers()[0]);
        let (tcp_echo, udp_echo) = (TcpEcho::start(netns, target).unwrap(), UdpEcho::start_at(netns, target).unwrap());
        let any = if target.is_ipv4() { V4.any } else { V6.any };
        let (tcp, udp) = (connect(container, target).unwrap(), udp_at(container, at(any, 0)));
        let mut conversations = Self { tcp, udp, target, tcp_echo, udp_echo };
        assert!(conversations.tcp_goes_on() && conversations.udp_goes_on());
        conversations
    }

    fn tcp_goes_on(&mut self) -> bool {
        goes_on(&mut self.tcp, PATIENCE)
    }

    fn tcp_is_unanswered(&mut self) -> bool {
        !goes_on(&mut self.tcp, SILENCE)
    }

    fn udp_goes_on(&self) -> bool {
        echoes(&self.udp, self.target)
    }

    /// The addresses that the clients saw, of one conversation over TCP and of each datagram.
    fn seen(&self) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let addresses = |peers: Vec<SocketAddr>| peers.iter().map(SocketAddr::ip).collect();
        (addresses(self.tcp_echo.peers()), addresses(self.udp_echo.peers()))
    }
}

/// The flows and bindings, as JSON.
fn listed(lab: &Lab) -> String {
    format!("{}{}", json(lab, &["flows"]), json(lab, &["flows", "--bindings"]))
}
