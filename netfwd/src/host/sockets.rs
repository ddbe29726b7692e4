//! The sockets of the host's network namespace, and whose they are.

mod diag;

use std::{
    fmt, fs,
    io::{self, BufReader},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use procfs::{
    FromBufReadSI, current_system_info,
    net::{TcpNetEntries, TcpState, UdpNetEntries, UdpState},
    process::{FDTarget, Process, all_processes},
};

use super::ports::PortSet;
use crate::mapping::{HostPorts, Ports, Transport};

/// Of this thread: `/proc/net` is of the process's first one.
const DIRECTORY: &str = "/proc/thread-self/net";

/// A socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its protocol.
    pub protocol: Transport,
    /// Its own address and port; what serves IPv4 by an IPv6 address is here with the IPv4 one.
    pub local: SocketAddr,
    /// Whether anybody may begin to speak to it: it listens, or is not connected.
    pub is_server: bool,
    inode: u64,
}

/// The sockets of all processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sockets(Vec<Socket>);

/// Who has a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The name of its program.
    pub name: String,
    /// Its process.
    pub pid: i32,
}

impl Sockets {
    /// The sockets of this thread's network namespace, but for those that are connected with TCP.
    pub fn read() -> Result<Self> {
        let listeners = diag::listeners().context("cannot list the host's listening sockets")?;
        let mut sockets = match listeners {
            Some(listeners) => {
                let listener = |(local, inode)| Socket::new(Transport::Tcp, local, true, inode);
                listeners.into_iter().map(listener).collect()
            }
            None => tcp()?,
        };
        for name in ["udp", "udp6"] {
            let UdpNetEntries(entries) = table(name)?.unwrap_or(UdpNetEntries(Vec::new()));
            sockets.extend(entries.iter().map(|entry| {
                Socket::new(Transport::Udp, entry.local_address, entry.state == UdpState::Close, entry.inode)
            }));
        }
        // Without the module there are none.
        let endpoints = fs::read_to_string(file("sctp/eps")).unwrap_or_default();
        sockets.extend(endpoints.lines().skip(1).filter_map(sctp_endpoint).flatten());
        Ok(Self(sockets))
    }

    /// Those that are connected with TCP too. The kernel walks all its connections for them, which takes a while.
    pub fn with_connected(mut self) -> Result<Self> {
        self.0.retain(|socket| socket.protocol != Transport::Tcp);
        self.0.extend(tcp()?);
        Ok(self)
    }

    /// Whether any would get a packet to a host endpoint. Of those that are connected it does not matter with whom.
    #[must_use]
    pub fn would_receive(&self, protocol: Transport, destination: SocketAddr) -> bool {
        let gets = |socket: &&Socket| socket.protocol == protocol && socket.local.port() == destination.port();
        self.0.iter().filter(gets).any(|socket| socket.may_have(destination.ip()))
    }

    /// The ports that any socket has of a host address, by which nothing else should be reached.
    #[must_use]
    pub fn ports(&self, protocol: Transport, address: IpAddr) -> PortSet {
        let mut ports = PortSet::default();
        let own = self.0.iter().filter(|socket| socket.protocol == protocol && socket.may_have(address));
        own.filter_map(|socket| Ports::new(socket.local.port(), socket.local.port()))
            .for_each(|port| ports.insert(port));
        ports
    }

    /// The sockets that serve any of a mapping's host ports, in the order of their ports.
    #[must_use]
    pub fn serving(&self, host: &HostPorts) -> Vec<Socket> {
        let serves = |socket: &&Socket| socket.is_server && socket.is_on(host) && socket.has(host.address);
        let mut serving: Vec<_> = self.0.iter().filter(serves).copied().collect();
        serving.sort_by_key(|socket| socket.local.port());
        serving.dedup_by_key(|socket| socket.local.port());
        serving
    }
}

/// Resets TCP connections to host ports that no process has accepted yet, and returns how many there were.
///
/// Docker listens on the ports that it publishes and never accepts. Who has connected before a mapping was in force would
/// wait for good; a reset tells them to try again. A kernel without `CONFIG_INET_DIAG_DESTROY` cannot do it.
pub fn reset_unaccepted(hosts: &[HostPorts]) -> Result<usize> {
    let is_meant = |local: SocketAddr| {
        let socket = Socket::new(Transport::Tcp, local, false, 0);
        hosts.iter().any(|host| socket.is_on(host) && socket.may_have(host.address))
    };
    match diag::reset_unaccepted(is_meant) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(0),
        other => other.context("cannot reset connections that nobody has accepted"),
    }
}

impl Socket {
    fn new(protocol: Transport, local: SocketAddr, is_server: bool, inode: u64) -> Self {
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        Self { protocol, local, is_server, inode }
    }

    /// Whether its port is one of a mapping's.
    fn is_on(&self, host: &HostPorts) -> bool {
        self.protocol == host.protocol && host.ports.contains(self.local.port())
    }

    /// Whether it is reached at an address of the host, or at any if that is unspecified.
    fn has(&self, address: IpAddr) -> bool {
        self.may_have(address) && (self.local.is_ipv4() == address.is_ipv4() || self.serves_ipv4(address))
    }

    /// The same, if it serves IPv4 as well wherever it can.
    fn may_have(&self, address: IpAddr) -> bool {
        let own = self.local.ip();
        let is_any_of_family = own.is_unspecified() || address.is_unspecified();
        own == address || (is_any_of_family && own.is_ipv4() == address.is_ipv4()) || own == Ipv6Addr::UNSPECIFIED
    }

    /// Whether a socket of any IPv6 address serves IPv4 as well: then its port is taken there.
    fn serves_ipv4(&self, address: IpAddr) -> bool {
        let place = SocketAddr::new(address, self.local.port());
        match self.protocol {
            Transport::Tcp => TcpListener::bind(place).is_err(),
            Transport::Udp => UdpSocket::bind(place).is_err(),
            Transport::Sctp => true,
        }
    }

    /// Whose it is, as far as this process can see.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        all_processes().ok()?.flatten().filter(|process| self.is_of(process)).find_map(|process| {
            let stat = process.stat().ok()?;
            Some(Holder { name: stat.comm, pid: process.pid })
        })
    }

    fn is_of(&self, process: &Process) -> bool {
        let mut files = process.fd().into_iter().flatten().flatten();
        files.any(|file| matches!(file.target, FDTarget::Socket(inode) if inode == self.inode))
    }
}

impl Holder {
    /// Whether it is Docker, which publishes a port by it.
    #[must_use]
    pub fn is_docker(&self) -> bool {
        ["docker-proxy", "dockerd", "rootlesskit"].contains(&self.name.as_str())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

fn file(name: &str) -> PathBuf {
    [DIRECTORY, name].iter().collect()
}

/// All TCP sockets.
fn tcp() -> Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for name in ["tcp", "tcp6"] {
        let TcpNetEntries(entries) = table(name)?.unwrap_or(TcpNetEntries(Vec::new()));
        sockets.extend(entries.iter().map(|entry| {
            Socket::new(Transport::Tcp, entry.local_address, entry.state == TcpState::Listen, entry.inode)
        }));
    }
    Ok(sockets)
}

/// A table of sockets; `None` where the kernel does not know the family.
fn table<T: FromBufReadSI>(name: &str) -> Result<Option<T>> {
    let cannot_read = || format!("cannot read the host's sockets ({})", file(name).display());
    match fs::File::open(file(name)) {
        Ok(file) => T::from_buf_read(BufReader::new(file), current_system_info()).map(Some).with_context(cannot_read),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(cannot_read),
    }
}

/// A line of `sctp/eps`: `ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS`.
fn sctp_endpoint(line: &str) -> Option<impl Iterator<Item = Socket>> {
    let mut words = line.split_whitespace().skip(5);
    let (port, _uid, inode) = (words.next()?.parse().ok()?, words.next()?, words.next()?.parse().ok()?);
    let local = move |address: IpAddr| Socket::new(Transport::Sctp, SocketAddr::new(address, port), true, inode);
    Some(words.filter_map(|word| word.parse().ok()).map(local))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{Ipv4Addr, TcpStream},
    };

    use super::*;
    use crate::mapping::tests::mapping;

    /// Sockets that serve, written as `192.0.2.1:80/tcp`.
    pub(crate) fn serving(texts: &[&str]) -> Sockets {
        let socket = |text: &&str| {
            let (local, protocol) = text.split_once('/').unwrap();
            let protocol = if protocol == "udp" { Transport::Udp } else { Transport::Tcp };
            Socket::new(protocol, local.parse().unwrap(), true, 0)
        };
        Sockets(texts.iter().map(socket).collect())
    }

    fn found(sockets: &Sockets, host: &str) -> Vec<u16> {
        sockets.serving(&mapping(host).host).iter().map(|socket| socket.local.port()).collect()
    }

    #[test]
    fn a_socket_is_in_the_way_of_mappings_of_its_address_and_of_any() {
        let sockets = serving(&["192.0.2.1:80/tcp", "0.0.0.0:81/tcp", "127.0.0.1:82/udp", "[2001:db8::1]:83/tcp"]);
        assert_eq!(found(&sockets, "80-83:172.17.0.2:80-83"), [80, 81]);
        assert_eq!(found(&sockets, "192.0.2.1:80-83:172.17.0.2:80-83"), [80, 81]);
        assert_eq!(found(&sockets, "192.0.2.2:80-83:172.17.0.2:80-83"), [81]);
        assert_eq!(found(&sockets, "80-83:172.17.0.2:80-83/udp"), [82]);
        assert_eq!(found(&sockets, "80-83:[fd00::2]:80-83"), [83]);
        let ports = sockets.ports(Transport::Tcp, Ipv4Addr::UNSPECIFIED.into());
        assert_eq!(ports.to_string(), "80-81");
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_an_ipv4_one() {
        let sockets = serving(&["[::ffff:192.0.2.1]:80/tcp"]);
        assert_eq!(found(&sockets, "80:172.17.0.2:80"), [80]);
        assert_eq!(found(&sockets, "80:[fd00::2]:80"), [] as [u16; 0]);
    }

    #[test]
    fn the_endpoints_of_sctp_have_their_addresses_at_the_end_of_the_line() {
        let line = " ffff8000 ffff8001 2   10  29  3868 1000 20471 10.0.0.1 fe80::1";
        let sockets: Vec<_> = sctp_endpoint(line).unwrap().collect();
        assert_eq!(
            sockets.iter().map(|socket| socket.local.to_string()).collect::<Vec<_>>(),
            ["10.0.0.1:3868", "[fe80::1]:3868"]
        );
        assert!(sctp_endpoint("garbage").is_none());
    }

    #[test]
    fn this_process_is_found_by_its_listener_and_not_by_its_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let sockets = Sockets::read().unwrap();
        let all = sockets.clone().with_connected().unwrap();
        let [socket] = sockets.serving(&mapping(&format!("{port}:172.17.0.2:80")).host)[..] else { panic!("{port}") };
        assert_eq!(socket.holder().unwrap().pid, i32::try_from(std::process::id()).unwrap());
        let connected = client.local_addr().unwrap().port();
        assert_eq!(found(&sockets, &format!("{connected}:172.17.0.2:80")), [] as [u16; 0]);
        let ports = |sockets: &Sockets| sockets.ports(Transport::Tcp, Ipv4Addr::UNSPECIFIED.into());
        assert!(ports(&all).contains(connected) && !ports(&sockets).contains(connected));
        assert_eq!(found(&all, &format!("{port}:172.17.0.2:80")), [port]);
    }

    #[test]
    fn both_ways_to_find_listeners_find_the_same() {
        let listeners = ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"].map(|at| TcpListener::bind(at).unwrap());
        // Other tests listen too.
        let own = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let listening = |sockets: Vec<Socket>| {
            let is_own = |socket: &Socket| socket.protocol == Transport::Tcp && own.contains(&socket.local);
            let mut those: Vec<_> = sockets.into_iter().filter(is_own).collect();
            those.sort_by_key(|socket| socket.local);
            those
        };
        assert_eq!(listening(Sockets::read().unwrap().0), listening(tcp().unwrap()));
        assert_eq!(listening(Sockets::read().unwrap().0).len(), own.len());
    }

    #[test]
    fn connections_are_reset_that_nobody_has_accepted_and_no_others() {
        let [meant, other] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let client = |listener: &TcpListener| TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut accepted, mut beside) = (client(&meant), client(&other));
        let (mut server, _) = meant.accept().unwrap();
        let mut waiting = client(&meant);
        let host = mapping(&format!("{}:172.17.0.2:80", meant.local_addr().unwrap().port())).host;
        assert_eq!(reset_unaccepted(&[host]).unwrap(), 1);
        assert_eq!(waiting.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        server.write_all(b"a").unwrap();
        other.accept().unwrap().0.write_all(b"b").unwrap();
        for (client, said) in [(&mut accepted, b"a"), (&mut beside, b"b")] {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            assert_eq!(&byte, said);
        }
    }

    #[test]
    fn a_connected_udp_socket_serves_nobody_else() {
        let [server, client] = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        client.connect(server.local_addr().unwrap()).unwrap();
        let sockets = Sockets::read().unwrap();
        let ports = [&server, &client].map(|socket| socket.local_addr().unwrap().port());
        let found = ports.map(|port| found(&sockets, &format!("{port}:172.17.0.2:80/udp")).len());
        assert_eq!(found, [1, 0]);
    }
}
