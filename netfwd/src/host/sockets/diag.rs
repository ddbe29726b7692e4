//! TCP sockets by `sock_diag(7)`. The kernel keeps those that listen apart, so finding them does not walk all
//! connections, as /proc/net/tcp does.

use std::{io, net::SocketAddr};

use netlink_packet_sock_diag::{
    SockDiagDestroy, SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponse, InetResponseHeader, SocketId, StateFlags},
};
use nix::libc;
use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
    },
    sys::{Socket as Netlink, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG},
};

/// A listening socket: where, and its inode.
pub(super) type Listener = (SocketAddr, u64);

/// Those that listen in this thread's network namespace. `None` if the kernel has no `tcp_diag`.
pub(super) fn listeners() -> io::Result<Option<Vec<Listener>>> {
    let Some(found) = all(&StateFlags::LISTEN)? else { return Ok(None) };
    let listener = |found: &InetResponseHeader| (local(found), found.inode.into());
    Ok(Some(found.iter().map(listener).collect()))
}

/// Resets connections that no process has accepted yet, if their own end `is_meant`, and returns how many. Of a kernel
/// without `CONFIG_INET_DIAG_DESTROY` the error is [`io::ErrorKind::Unsupported`].
pub(super) fn reset_unaccepted(is_meant: impl Fn(SocketAddr) -> bool) -> io::Result<usize> {
    let states = StateFlags::ESTABLISHED | StateFlags::SYN_RECV | StateFlags::CLOSE_WAIT;
    let found = all(&states)?.unwrap_or_default();
    let unaccepted = found.into_iter().filter(|found| found.inode == 0 && is_meant(local(found)));
    unaccepted.map(destroy).try_fold(0, |count, done| done.map(|()| count + 1))
}

fn local(found: &InetResponseHeader) -> SocketAddr {
    SocketAddr::new(found.socket_id.source_address, found.socket_id.source_port)
}

fn all(states: &StateFlags) -> io::Result<Option<Vec<InetResponseHeader>>> {
    let mut found = Vec::new();
    for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        let request = request(family, states.clone(), socket_id);
        match ask(SockDiagMessage::InetRequest(request), NLM_F_REQUEST | NLM_F_DUMP) {
            Ok(more) => found.extend(more),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(found))
}

fn destroy(found: InetResponseHeader) -> io::Result<()> {
    let request = request(found.family, StateFlags::empty(), found.socket_id);
    match ask(SockDiagDestroy::new(SockDiagMessage::InetRequest(request)), NLM_F_REQUEST | NLM_F_ACK) {
        // It has ended meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map(drop),
    }
}

fn request(family: u8, states: StateFlags, socket_id: SocketId) -> InetRequest {
    InetRequest { family, protocol: IPPROTO_TCP, extensions: ExtensionFlags::empty(), states, socket_id }
}

/// Sends a request, and returns the sockets of the answer.
fn ask<T>(request: T, flags: u16) -> io::Result<Vec<InetResponseHeader>>
where
    T: NetlinkSerializable,
    NetlinkPayload<T>: From<T>,
{
    let mut socket = Netlink::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&NetlinkAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut message = NetlinkMessage::new(header, request.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut found = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        if take(&datagram, &mut found)? {
            return Ok(found);
        }
    }
}

/// Takes the sockets out of a datagram of messages; true after the last one.
fn take(mut datagram: &[u8], found: &mut Vec<InetResponseHeader>) -> io::Result<bool> {
    while !datagram.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(datagram).map_err(io::Error::other)?;
        let length = (message.header.length as usize).next_multiple_of(4);
        if let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) = message.payload {
            let InetResponse { header, .. } = *response;
            found.push(header);
        } else if let NetlinkPayload::Done(_) = message.payload {
            return Ok(true);
        } else if let NetlinkPayload::Error(error) = message.payload {
            return if error.code.is_some() { Err(error.to_io()) } else { Ok(true) };
        }
        datagram = datagram.get(length..).unwrap_or_default();
    }
    Ok(false)
}
