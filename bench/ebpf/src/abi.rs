//! What the programs are told and what they tell, in maps. User space includes this file too.

/// Bytes of a frame that a generator writes: Ethernet, IPv4 and UDP headers.
pub(crate) const HEADERS: usize = 42;
/// The words of a stream's template, the last one only with its first two bytes.
pub(crate) const WORDS: usize = HEADERS.div_ceil(8);

/// A stream of UDP packets: flow after flow, from the first one again after the last one.
///
/// Flow number n has the address `n / ports` and the port `n % ports`, added to those of the template where the
/// `vary` flag of its field says so. Numbers are in host order.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Stream {
    /// The headers, without what follows here.
    pub(crate) template: [u64; WORDS],
    /// The sum of the IP header's words, without its addresses.
    pub(crate) ip_sum: u32,
    /// The sum of the pseudo-header's and the datagram's words, without addresses and ports.
    pub(crate) udp_sum: u32,
    /// The source and the destination address of flow 0.
    pub(crate) addresses: [u32; 2],
    /// Its source and destination port.
    pub(crate) ports: [u32; 2],
    /// 1 where a flow's address is added: source, destination.
    pub(crate) vary_address: [u32; 2],
    /// 1 where a flow's port is added: source, destination.
    pub(crate) vary_port: [u32; 2],
    /// Ports for each address.
    pub(crate) ports_per_address: u32,
    /// Flows of the stream.
    pub(crate) flows: u32,
    /// The number of the flow whose turn it is.
    pub(crate) next: u32,
    /// Nothing.
    pub(crate) padding: u32,
}

/// What arrives must have: addresses in network order, 0 for any.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Expected {
    /// The source address.
    pub(crate) source: u32,
    /// The destination address.
    pub(crate) destination: u32,
}

/// Where `forward` sends everything.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Target {
    /// The interface's index.
    pub(crate) interface: u32,
    /// The destination's hardware address, then the source's.
    pub(crate) hardware_addresses: [u8; 12],
}

/// Slots of ARRIVALS: what was expected, and other UDP packets.
pub(crate) const EXPECTED: u32 = 0;
/// See [`EXPECTED`].
pub(crate) const OTHER: u32 = 1;
