use super::Address;

/// A next hop, as `struct bpf_redir_neigh` of the kernel has it (include/uapi/linux/bpf.h, 5.10).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// `AF_INET` or `AF_INET6`: a destination of IPv4 may have either (RFC 8950).
    pub family: u32,
    /// Its address in network order; of IPv4 the first word.
    pub address: [u32; 4],
}

impl Gateway {
    /// Nobody.
    pub const NONE: Self = Self { family: 0, address: [0; 4] };
}

/// The next hop on the way from an address to another behind an uplink. It is remembered for a while by each CPU, because
/// to ask the kernel's routes for each packet would cost more than all the rest.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop<A> {
    /// When the kernel's routes were asked, in nanoseconds.
    pub asked: u64,
    /// The sender's address on the outside.
    pub source: A,
    /// The receiver's.
    pub destination: A,
    /// The uplink's interface index; 0 in an entry that is not used.
    pub uplink: u32,
    /// Bytes of the longest IP packet that the route carries.
    pub mtu: u32,
    /// Who it is.
    pub gateway: Gateway,
}

/// How many next hops a CPU remembers.
pub const MAX_HOPS: u32 = 256;

impl<A: Address> Hop<A> {
    /// Where what is known of a destination is remembered, below [`MAX_HOPS`].
    #[inline]
    #[must_use]
    pub fn place(destination: &A) -> u32 {
        // The upper bits of the product depend on all of the address.
        destination.word().wrapping_mul(0x9e37_79b1) >> 24
    }
}
