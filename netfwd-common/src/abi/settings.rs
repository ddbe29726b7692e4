/// How long a connection lives after its last packet, in nanoseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP before the handshake's end.
    pub tcp_opening: u64,
    /// TCP after it.
    pub tcp_established: u64,
    /// TCP after one end has sent its last data.
    pub tcp_half_closed: u64,
    /// TCP after both have.
    pub tcp_closing: u64,
    /// TCP after a reset.
    pub tcp_reset: u64,
    /// UDP before an answer.
    pub udp_unreplied: u64,
    /// UDP.
    pub udp: u64,
    /// ICMP echo.
    pub icmp: u64,
    /// SCTP before the handshake's end and after the shutdown.
    pub sctp_transitory: u64,
    /// SCTP between.
    pub sctp_established: u64,
    /// Protocols without ports.
    pub other: u64,
    /// What is known of a datagram's fragments.
    pub fragment: u64,
}

const SECOND: u64 = 1_000_000_000;

impl Default for Timeouts {
    fn default() -> Self {
        const fn seconds(count: u64) -> u64 {
            count.saturating_mul(SECOND)
        }
        Self {
            tcp_opening: seconds(240),      // RFC 5382 REQ-5: at least 4 minutes
            tcp_established: seconds(7440), // RFC 5382 REQ-5: at least 2 hours 4 minutes
            tcp_half_closed: seconds(7440), // RFC 5382 REQ-5: still established
            tcp_closing: seconds(240),
            tcp_reset: seconds(240),     // RFC 7857 section 3: wait 4 minutes
            udp_unreplied: seconds(300), // RFC 4787 REQ-5c: 5 minutes recommended
            udp: seconds(300),
            icmp: seconds(60), // RFC 5508 REQ-2: at least 60 seconds
            sctp_transitory: seconds(240),
            sctp_established: seconds(7440),
            other: seconds(600), // nf_conntrack_generic_timeout
            fragment: seconds(2),
        }
    }
}

/// What user space sets and the kernel part reads for every packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// [`super::ABI_VERSION`] of the maps.
    pub abi_version: u32,
    /// Records at most, of IPv4 and of IPv6.
    pub max_flows: [u32; 2],
    reserved: u32,
    /// Lifetimes.
    pub timeouts: Timeouts,
    /// When the first uplink was attached.
    pub attached: u64,
    /// The cookie of the network namespace that netfwd works in (`SO_NETNS_COOKIE`).
    pub netns: u64,
    /// A digest of what the pinned programs were made of and what they are; 0 while it is not known. For user space.
    pub build: u64,
}

impl Settings {
    /// The default timeouts for tables of `max_flows` records, in the namespace with the cookie `netns`.
    #[must_use]
    pub fn new(max_flows: [u32; 2], attached: u64, netns: u64) -> Self {
        Self {
            abi_version: super::ABI_VERSION,
            max_flows,
            reserved: 0,
            timeouts: Timeouts::default(),
            attached,
            netns,
            build: 0,
        }
    }
}
