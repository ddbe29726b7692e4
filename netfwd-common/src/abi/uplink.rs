use super::Rule;

/// Uplinks at most: counters are laid out for this many.
pub const MAX_UPLINKS: u32 = 32;

/// What the hooks know of the interface they are attached to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Which counters are its own, below [`MAX_UPLINKS`].
    pub slot: u32,
    /// Bytes before the IP header: 14 for Ethernet, 0 for an interface without link-layer addresses.
    pub link_header: u32,
    /// The rule of the host's own flows that had to be moved to another port.
    pub rule: Rule,
    /// The first port to choose from.
    pub first_port: [u8; 2],
    /// The last one.
    pub last_port: [u8; 2],
}
