//! The listening TCP sockets, by `sock_diag(7)`. The kernel keeps them apart, so this does not walk all connections, as
//! /proc/net/tcp does.

use std::{io, net::SocketAddr};

use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags},
};
use nix::libc;
use rtnetlink::{
    packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload},
    sys::{Socket as Netlink, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG},
};

/// A listening socket: where, and its inode.
pub(super) type Listener = (SocketAddr, u64);

/// All of this thread's network namespace. `None` if the kernel has no `tcp_diag`.
pub(super) fn read() -> io::Result<Option<Vec<Listener>>> {
    let mut listeners = Vec::new();
    for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        match dump(family, socket_id) {
            Ok(more) => listeners.extend(more),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(listeners))
}

fn dump(family: u8, socket_id: SocketId) -> io::Result<Vec<Listener>> {
    let mut socket = Netlink::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&NetlinkAddr::new(0, 0))?;
    socket.send(&request(family, socket_id), 0)?;
    let mut listeners = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        if take(&datagram, &mut listeners)? {
            return Ok(listeners);
        }
    }
}

fn request(family: u8, socket_id: SocketId) -> Vec<u8> {
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Takes the listeners out of a datagram of messages; true after the last one.
fn take(mut datagram: &[u8], listeners: &mut Vec<Listener>) -> io::Result<bool> {
    while !datagram.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(datagram).map_err(io::Error::other)?;
        let length = (message.header.length as usize).next_multiple_of(4);
        if let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) = message.payload {
            listeners.push(listener(&response));
        } else if let NetlinkPayload::Done(_) = message.payload {
            return Ok(true);
        } else if let NetlinkPayload::Error(error) = message.payload {
            return Err(error.to_io());
        }
        datagram = datagram.get(length..).unwrap_or_default();
    }
    Ok(false)
}

fn listener(response: &InetResponse) -> Listener {
    let SocketId { source_address, source_port, .. } = response.header.socket_id;
    (SocketAddr::new(source_address, source_port), response.header.inode.into())
}
