//! The metrics: their names, types, labels and help texts. They are an interface: dashboards and alerts refer to them.

/// What a metric's value does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until what it counts begins anew.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name; that of a counter ends in `_total`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// Defines the metrics, and the list of all.
macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal $labels:tt $help:literal;)*) => {
        $(
            pub(super) const $constant: Metric =
                Metric { name: $name, kind: Kind::$kind, labels: &$labels, help: $help };
        )*

        /// All metrics, in the order in which they are served.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

const HOOK: [&str; 4] = ["interface", "direction", "outcome", "path"];
const MAPPING: [&str; 3] = ["mapping", "origin", "name"];
const MAPPING_WAY: [&str; 4] = ["mapping", "origin", "name", "direction"];
const SUBNET: [&str; 2] = ["interface", "subnet"];
const SUBNET_WAY: [&str; 3] = ["interface", "subnet", "direction"];

metrics! {
    BUILD_INFO = Gauge "netfwd_build_info" ["version", "layout"]
        "Always 1; the labels tell the version of netfwd and of its maps' layout";
    ATTACHED = Gauge "netfwd_attached" []
        "Whether netfwd is attached to any uplink: 1 or 0";
    ATTACHED_SINCE = Gauge "netfwd_attached_since_timestamp_seconds" []
        "When the first uplink was attached, in seconds since 1970";
    INTERFACE_INFO = Gauge "netfwd_interface_info" ["interface", "role"]
        "Always 1; one for each uplink and bridge that netfwd is attached to";

    PACKETS = Counter "netfwd_packets_total" HOOK
        "Packets by what became of them; translated ones went on by the host's stack, or past it (fast, xdp)";
    BYTES = Counter "netfwd_bytes_total" HOOK
        "Bytes of these packets, from the IP header on";
    DROPS = Counter "netfwd_drops_total" ["interface", "direction", "reason"]
        "Dropped packets by reason; docs/operations.md tells what to do about each";

    FLOWS = Gauge "netfwd_flows" ["family", "state"]
        "Flows that live now";
    SHARED_RECORDS = Gauge "netfwd_shared_records" ["family"]
        "Records that flows share: bindings, permissions and accounts";
    FLOWS_LIMIT = Gauge "netfwd_flows_limit" ["family"]
        "Flows and shared records at most, together";
    FLOWS_CREATED = Counter "netfwd_flows_created_total" []
        "Flows opened by a first packet";
    FLOWS_ENDED = Counter "netfwd_flows_ended_total" ["reason"]
        "Flows removed: expired, ended with their mapping or subnet or on request, or evicted when the table was full";

    MAPPINGS = Gauge "netfwd_mappings" ["origin"]
        "Mappings in force by who made them; a range is one";
    MAPPING_PACKETS = Counter "netfwd_mapping_packets_total" MAPPING_WAY
        "Packets of a mapping, in to the container and out from it";
    MAPPING_BYTES = Counter "netfwd_mapping_bytes_total" MAPPING_WAY
        "Bytes of these packets, from the IP header on";
    MAPPING_FLOWS = Gauge "netfwd_mapping_flows" MAPPING
        "Flows of a mapping that live now";
    MAPPING_FLOWS_CREATED = Counter "netfwd_mapping_flows_created_total" MAPPING
        "Flows of a mapping since it was added";

    SUBNET_PACKETS = Counter "netfwd_subnet_packets_total" SUBNET_WAY
        "Packets of a masqueraded subnet on an uplink, out from it and in to it";
    SUBNET_BYTES = Counter "netfwd_subnet_bytes_total" SUBNET_WAY
        "Bytes of these packets, from the IP header on";
    SUBNET_FLOWS = Gauge "netfwd_subnet_flows" SUBNET
        "Flows of a masqueraded subnet that live now";
    SUBNET_FLOWS_CREATED = Counter "netfwd_subnet_flows_created_total" SUBNET
        "Flows of a masqueraded subnet since it was added";
    SUBNET_ADDRESS_PRESENT = Gauge "netfwd_subnet_address_present" ["interface", "subnet", "address"]
        "Whether the address to masquerade with is one of this host: while it is 0, new flows of the subnet are dropped";

    MAP_MEMORY = Gauge "netfwd_map_memory_bytes" ["map"]
        "Memory of a BPF map, as the kernel accounts it";

    LOOKS = Counter "netfwd_agent_looks_total" ["result"]
        "Looks of netfwd run at the host, by whether all that is wanted was brought about";
    LAST_LOOK = Gauge "netfwd_agent_last_look_timestamp_seconds" []
        "When netfwd run last looked at the host successfully, in seconds since 1970; 0 before that";
    LAST_CHANGE = Gauge "netfwd_agent_last_change_timestamp_seconds" []
        "When netfwd run last had something to tell, in seconds since 1970; 0 before that";
    HEALTHY = Gauge "netfwd_agent_healthy" []
        "Whether /healthz says so: 1 or 0";
    REFUSED = Gauge "netfwd_agent_refused_mappings" []
        "Mappings that are wanted and cannot be, as the log says";
    DOCKER_CONNECTED = Gauge "netfwd_docker_connected" []
        "Whether the Docker Engine answers: 1 or 0; only where Docker is followed";
    DOCKER_CONTAINERS = Gauge "netfwd_docker_containers" []
        "Containers that publish ports, as was last heard; only where Docker is followed";
}
