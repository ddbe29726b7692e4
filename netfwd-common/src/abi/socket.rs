use super::{Endpoint, V6};

/// The key of what a socket of the host has asked for: the socket, and the endpoint that it talks to instead.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketPeer {
    /// The socket's cookie (`SO_COOKIE`).
    pub socket: u64,
    /// The container's endpoint; an IPv4 address is mapped (`::ffff:0:0/96`).
    pub endpoint: Endpoint<V6>,
    pad: [u8; 6],
}

impl SocketPeer {
    /// The peer `endpoint` of the socket with a cookie.
    #[must_use]
    pub const fn new(socket: u64, endpoint: Endpoint<V6>) -> Self {
        Self { socket, endpoint, pad: [0; 6] }
    }
}
