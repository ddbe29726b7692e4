use super::Protocol;

/// The key of the mappings' prefix tree, without its prefix length: a range of ports is a few prefixes of this.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MappingKey<A> {
    protocol: u8,
    pad: u8,
    /// The host address, or [`super::Address::UNSPECIFIED`].
    pub address: A,
    /// The host port.
    pub port: [u8; 2],
}

impl<A> MappingKey<A> {
    /// Bits of the whole key: a prefix of this length is one port.
    #[expect(clippy::as_conversions, reason = "a constant of a small type's size")]
    pub const BITS: u32 = size_of::<Self>() as u32 * 8;

    /// The key for a port (network order) of a host address.
    pub const fn new(protocol: Protocol, address: A, port: [u8; 2]) -> Self {
        Self { protocol: protocol.number(), pad: 0, address, port }
    }

    /// Its protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        Protocol::from_number(self.protocol)
    }
}

/// The key of the prefix trees of masqueraded subnets and of exclusions, without its prefix length.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubnetKey<A> {
    /// The uplink's interface index, in native byte order: always matched whole.
    pub uplink: [u8; 4],
    /// The source address; of an exclusion the destination.
    pub address: A,
}

impl<A> SubnetKey<A> {
    /// Bits before the address.
    pub const UPLINK_BITS: u32 = 32;
    /// Bits of the whole key.
    #[expect(clippy::as_conversions, reason = "a constant of a small type's size")]
    pub const BITS: u32 = size_of::<Self>() as u32 * 8;

    /// The key for an address of a packet that leaves through an uplink.
    pub const fn new(uplink: u32, address: A) -> Self {
        Self { uplink: uplink.to_ne_bytes(), address }
    }
}
