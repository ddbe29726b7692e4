/// A bridge's member whose packets take the fast path.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The bridge's interface index.
    pub bridge: u32,
    /// The bridge's Ethernet address: what is sent there is to be routed.
    pub gateway: [u8; 6],
    pub(crate) pad: [u8; 2],
}

impl Member {
    /// A member of this bridge.
    #[must_use]
    pub const fn new(bridge: u32, gateway: [u8; 6]) -> Self {
        Self { bridge, gateway, pad: [0; 2] }
    }
}

/// Where a container is: how a packet for its address reaches it without the host's stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The member of the bridge behind which it is.
    pub member: u32,
    /// Its Ethernet address.
    pub container: [u8; 6],
    /// The bridge's, from which frames come to it.
    pub gateway: [u8; 6],
}

impl Target {
    /// Behind this member, with these Ethernet addresses of the container and of its bridge.
    #[must_use]
    pub const fn new(member: u32, container: [u8; 6], gateway: [u8; 6]) -> Self {
        Self { member, container, gateway }
    }
}
