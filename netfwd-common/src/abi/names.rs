//! The names of programs and maps: in the object, in the pin directory and in `bpftool`'s listings.

/// The program on an uplink's ingress.
pub const INGRESS: &str = "netfwd_ingress";
/// The program on an uplink's egress.
pub const EGRESS: &str = "netfwd_egress";
/// The program on a bridge's ingress.
pub const BRIDGE: &str = "netfwd_bridge";
/// The program on the ingress of a bridge's members.
pub const MEMBER: &str = "netfwd_member";
/// The program on an uplink's XDP hook.
pub const XDP: &str = "netfwd_xdp";
/// The program that starts the reaper's timer; user space runs it once at each attach.
pub const START_REAPER: &str = "netfwd_reaper";
/// The programs of host access, on the root of the cgroup hierarchy; each is named for the calls that it sees.
pub const HOST_ACCESS: [&str; 8] = [
    "netfwd_connect4",
    "netfwd_connect6",
    "netfwd_sendmsg4",
    "netfwd_sendmsg6",
    "netfwd_recvmsg4",
    "netfwd_recvmsg6",
    "netfwd_getpeername4",
    "netfwd_getpeername6",
];

/// `ifindex → Interface`.
pub const INTERFACES: &str = "INTERFACES";
/// `rule id → generation in force`.
pub const GENERATIONS: &str = "GENERATIONS";
/// `rule id → RuleCounter`, per CPU.
pub const RULE_COUNTERS: &str = "RULE_COUNTERS";
/// `counter_index → Counter`, per CPU.
pub const COUNTERS: &str = "COUNTERS";
/// `FlowEvent → count`, per CPU.
pub const FLOW_EVENTS: &str = "FLOW_EVENTS";
/// One `Settings`.
pub const SETTINGS: &str = "SETTINGS";
/// The reaper's timer and cursors.
pub const REAPER: &str = "REAPER";
/// The host's own addresses, IPv4 ones mapped (`::ffff:0:0/96`); the values mean nothing.
pub const HOST_ADDRESSES: &str = "HOST_ADDRESSES";
/// `Choice`: the options of attach that are kept for choosing anew; the values mean nothing.
pub const CHOICES: &str = "CHOICES";
/// `rule id → Label` of a mapping.
pub const LABELS: &str = "LABELS";
/// `SocketPeer → Endpoint` that the socket has asked for; the least recently used gives way.
pub const HOST_PEERS: &str = "HOST_PEERS";

/// `Interface::slot → ifindex` of an interface that has a fast path, or 0.
pub const FAST_INTERFACES: &str = "FAST_INTERFACES";
/// `ifindex → Member` of a bridge.
pub const MEMBERS: &str = "MEMBERS";

/// One `Watch`: what is traced.
pub const TRACE_WATCH: &str = "TRACE_WATCH";
/// `hook → Traced` that is being written, per CPU.
pub const TRACE_SHEETS: &str = "TRACE_SHEETS";
/// The ring of `Traced` for user space.
pub const TRACE_EVENTS: &str = "TRACE_EVENTS";

/// The maps of an address family.
#[derive(Clone, Copy, Debug)]
pub struct FamilyMaps {
    /// `(protocol, host address, port prefix) → Mapping`.
    pub mappings: &'static str,
    /// `(uplink, source prefix) → Masquerade`.
    pub subnets: &'static str,
    /// `(uplink, destination prefix) → Rule` of the uplink: what is not masqueraded.
    pub exclusions: &'static str,
    /// `destination prefix`: the networks that are kept apart; the values mean nothing.
    pub isolated: &'static str,
    /// `tuple → Slot`, two entries a record.
    pub tuples: &'static str,
    /// `slot number → Connection`.
    pub connections: &'static str,
    /// Slot numbers that were used and are free again.
    pub free_slots: &'static str,
    /// One `u64`: slots below it have been used at least once.
    pub high_water: &'static str,
    /// `Target`s, each at one of [`places`](super::Target::places) for its address.
    pub targets: &'static str,
}

/// The maps of IPv4.
pub const V4_MAPS: FamilyMaps = FamilyMaps {
    mappings: "MAPPINGS_V4",
    subnets: "SUBNETS_V4",
    exclusions: "EXCLUSIONS_V4",
    isolated: "ISOLATED_V4",
    tuples: "TUPLES_V4",
    connections: "CONNECTIONS_V4",
    free_slots: "FREE_SLOTS_V4",
    high_water: "HIGH_WATER_V4",
    targets: "TARGETS_V4",
};

/// The maps of IPv6.
pub const V6_MAPS: FamilyMaps = FamilyMaps {
    mappings: "MAPPINGS_V6",
    subnets: "SUBNETS_V6",
    exclusions: "EXCLUSIONS_V6",
    isolated: "ISOLATED_V6",
    tuples: "TUPLES_V6",
    connections: "CONNECTIONS_V6",
    free_slots: "FREE_SLOTS_V6",
    high_water: "HIGH_WATER_V6",
    targets: "TARGETS_V6",
};

/// All maps, in the order in which they are pinned.
pub const MAPS: [&str; 34] = [
    SETTINGS,
    INTERFACES,
    GENERATIONS,
    V4_MAPS.mappings,
    V4_MAPS.subnets,
    V4_MAPS.exclusions,
    V4_MAPS.isolated,
    V4_MAPS.connections,
    V4_MAPS.tuples,
    V4_MAPS.free_slots,
    V4_MAPS.high_water,
    V4_MAPS.targets,
    V6_MAPS.mappings,
    V6_MAPS.subnets,
    V6_MAPS.exclusions,
    V6_MAPS.isolated,
    V6_MAPS.connections,
    V6_MAPS.tuples,
    V6_MAPS.free_slots,
    V6_MAPS.high_water,
    V6_MAPS.targets,
    FAST_INTERFACES,
    MEMBERS,
    RULE_COUNTERS,
    COUNTERS,
    FLOW_EVENTS,
    CHOICES,
    LABELS,
    HOST_ADDRESSES,
    HOST_PEERS,
    REAPER,
    TRACE_WATCH,
    TRACE_SHEETS,
    TRACE_EVENTS,
];
