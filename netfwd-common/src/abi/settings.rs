/// How long a connection lives after its last packet, in nanoseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP before the handshake's end, after both FINs, or after a reset.
    pub tcp_transitory: u64,
    /// TCP otherwise.
    pub tcp_established: u64,
    /// UDP.
    pub udp: u64,
    /// ICMP echo.
    pub icmp: u64,
}

const SECOND: u64 = 1_000_000_000;

impl Default for Timeouts {
    fn default() -> Self {
        const fn seconds(count: u64) -> u64 {
            count.saturating_mul(SECOND)
        }
        Self {
            tcp_transitory: seconds(240),   // RFC 5382 REQ-5: at least 4 minutes
            tcp_established: seconds(7440), // RFC 5382 REQ-5: at least 2 hours 4 minutes
            udp: seconds(300),              // RFC 4787 REQ-5c: 5 minutes recommended
            icmp: seconds(60),              // RFC 5508 REQ-2: at least 60 seconds
        }
    }
}

/// What user space sets and the kernel part reads for every packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// [`super::ABI_VERSION`] of the maps.
    pub abi_version: u32,
    /// Connections at most.
    pub max_flows: u32,
    /// Lifetimes.
    pub timeouts: Timeouts,
    /// When the first uplink was attached.
    pub attached: u64,
    reserved: u64,
}

impl Settings {
    /// The default timeouts for a table of `max_flows` connections.
    #[must_use]
    pub fn new(max_flows: u32, attached: u64) -> Self {
        Self { abi_version: super::ABI_VERSION, max_flows, timeouts: Timeouts::default(), attached, reserved: 0 }
    }
}
