//! The names of programs and maps: in the object, in the pin directory and in `bpftool`'s listings.

/// The program on the uplink's ingress.
pub const INGRESS: &str = "netfwd_ingress";
/// The program on the uplink's egress.
pub const EGRESS: &str = "netfwd_egress";
/// The program that starts the reaper's timer; user space runs it once at each attach.
pub const START_REAPER: &str = "netfwd_reaper";

/// `ifindex → Uplink`.
pub const UPLINKS: &str = "UPLINKS";
/// `(protocol, host address, port prefix) → Mapping`.
pub const MAPPINGS: &str = "MAPPINGS_V4";
/// `(uplink, subnet prefix) → Masquerade`.
pub const SUBNETS: &str = "SUBNETS_V4";
/// `rule id → generation in force`.
pub const GENERATIONS: &str = "GENERATIONS";
/// `rule id → RuleCounter`, per CPU.
pub const RULE_COUNTERS: &str = "RULE_COUNTERS";
/// `tuple → Slot`, two entries a connection.
pub const TUPLES: &str = "TUPLES_V4";
/// `slot number → Connection`.
pub const CONNECTIONS: &str = "CONNECTIONS_V4";
/// Slot numbers that were used and are free again.
pub const FREE_SLOTS: &str = "FREE_SLOTS_V4";
/// One `u64`: slots below it have been used at least once.
pub const HIGH_WATER: &str = "HIGH_WATER_V4";
/// `counter_index → Counter`, per CPU.
pub const COUNTERS: &str = "COUNTERS";
/// `FlowEvent → count`, per CPU.
pub const FLOW_EVENTS: &str = "FLOW_EVENTS";
/// One `Settings`.
pub const SETTINGS: &str = "SETTINGS";
/// The reaper's timer and cursor.
pub const REAPER: &str = "REAPER";

/// All maps, in the order in which they are pinned.
pub const MAPS: [&str; 13] = [
    SETTINGS,
    UPLINKS,
    GENERATIONS,
    MAPPINGS,
    SUBNETS,
    CONNECTIONS,
    TUPLES,
    FREE_SLOTS,
    HIGH_WATER,
    RULE_COUNTERS,
    COUNTERS,
    FLOW_EVENTS,
    REAPER,
];
