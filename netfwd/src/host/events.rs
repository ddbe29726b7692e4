//! The kernel's messages about interfaces and addresses that come, go or change.

use std::io;

use anyhow::{Context as _, Result};
use nix::libc;
use rtnetlink::{
    MulticastGroup,
    sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE},
};

const GROUPS: [MulticastGroup; 3] = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];

/// A socket that hears them, in the network namespace that it was made in.
///
/// What they say does not matter: whoever hears one looks at everything again. So nothing is wrong when some are lost.
pub struct Events(TokioSocket);

impl Events {
    /// Begins to listen.
    pub fn listen() -> Result<Self> {
        let failed = "cannot listen to the kernel's messages about interfaces";
        let mut socket = TokioSocket::new(NETLINK_ROUTE).context(failed)?;
        let groups = GROUPS.into_iter().fold(0, |groups, group| groups | 1 << (group as u32 - 1));
        socket.socket_mut().bind(&SocketAddr::new(0, groups)).context(failed)?;
        Ok(Self(socket))
    }

    /// Waits for a message, or for the news that there were more than the socket can hold.
    pub async fn next(&self) -> Result<()> {
        // The rest of the message is dropped.
        let mut beginning = [0; 16];
        match self.0.recv(&mut &mut beginning[..]).await {
            Ok(()) => Ok(()),
            Err(error) if is_overrun(&error) => Ok(()),
            Err(error) => Err(error).context("cannot hear the kernel's messages about interfaces"),
        }
    }
}

/// netlink(7): the socket's buffer is full, and messages are lost.
fn is_overrun(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOBUFS)
}
