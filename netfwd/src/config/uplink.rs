//! An uplink in the configuration.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::values::{self, Address, Count, Destinations, Ports, Segment, Subnet};
use crate::{
    mapping::Origin,
    uplink::{FilteringChoice, HookChoice, Options, XdpChoice},
};

/// An interface to the outside, and how packets are translated there: what `netfwd attach` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, as users set it")]
pub struct Uplink {
    /// The name of the interface.
    #[cfg_attr(test, schemars(with = "String", example = &"eth0"))]
    pub interface: Spanned<String>,
    /// Bridges whose subnets are masqueraded; without any, and without subnets, those of all bridges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(example = ["docker0"]))]
    pub bridges: Vec<String>,
    /// Subnets that are masqueraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(with = "Vec<Subnet>", example = ["172.17.0.0/16", "fd00:1::/64"]))]
    pub subnets: Vec<Spanned<Subnet>>,
    /// The host's addresses to masquerade with, one a family; without one it is the uplink's primary address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(with = "Vec<Address>", example = ["192.0.2.1", "2001:db8::1"]))]
    pub addresses: Vec<Spanned<Address>>,
    /// Destinations of which packets are not masqueraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(example = ["10.0.0.0/8"]))]
    pub no_masquerade: Vec<Destinations>,
    /// Whether the subnets that are masqueraded are kept apart, from each other and from the outside: nobody reaches their
    /// containers but through mappings.
    #[serde(default, skip_serializing_if = "values::is_default")]
    #[cfg_attr(test, schemars(extend("default" = false)))]
    pub isolate: bool,
    /// Subnets that are kept apart and not masqueraded: nothing is forwarded from the bridges that have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(with = "Vec<Subnet>", example = ["172.30.0.0/16"]))]
    pub internal: Vec<Spanned<Subnet>>,
    /// The ports to choose from, up to four ranges; 1024-65535 unless given, or below for what comes from below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Ports", example = "20000-29999,40000-49999"))]
    pub ports: Option<Ports>,
    /// Whether an even source port gets an even port, and an odd one an odd one.
    #[serde(default, skip_serializing_if = "values::is_default")]
    #[cfg_attr(test, schemars(extend("default" = false)))]
    pub parity: bool,
    /// Who may send to an outside port that a container has by its own doing.
    #[serde(default, skip_serializing_if = "values::is_default")]
    #[cfg_attr(test, schemars(extend("default" = "address-and-port")))]
    pub filtering: FilteringChoice,
    /// Outside ports that one container address may have at once; any number unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Count", example = 1000))]
    pub max_ports_per_source: Option<Count>,
    /// Announce no larger TCP segments over IPv4 than the uplink's MTU allows (`"mtu"`), or than so many bytes; over IPv6 20
    /// less. Unless given, they are left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Segment", example = &"mtu"))]
    pub clamp_mss: Option<Segment>,
    /// Whether a TCP segment in the middle of an unknown connection opens it, as after a restart.
    #[serde(default, skip_serializing_if = "values::is_default")]
    #[cfg_attr(test, schemars(extend("default" = false)))]
    pub pick_up: bool,
    /// Whether what belongs to known flows is sent past this host's stack, and so past its FORWARD rules.
    #[serde(default = "on", skip_serializing_if = "values::is_true")]
    #[cfg_attr(test, schemars(extend("default" = true)))]
    pub fast_path: bool,
    /// Whether UDP of known flows is sent on before this host's stack sees it.
    #[serde(default, skip_serializing_if = "values::is_default")]
    #[cfg_attr(test, schemars(extend("default" = "off")))]
    pub xdp: XdpChoice,
    /// How to attach.
    #[serde(default, skip_serializing_if = "values::is_default")]
    #[cfg_attr(test, schemars(extend("default" = "auto")))]
    pub hook: HookChoice,
}

/// Values that are in no file yet.
fn unplaced<T>(values: impl Iterator<Item = T>) -> Vec<Spanned<T>> {
    values.map(|value| Spanned::new(0..0, value)).collect()
}

const fn on() -> bool {
    true
}

impl From<&Uplink> for Options {
    fn from(uplink: &Uplink) -> Self {
        Self {
            bridges: uplink.bridges.clone(),
            subnets: uplink.subnets.iter().map(|subnet| subnet.get_ref().0).collect(),
            addresses: uplink.addresses.iter().map(|address| address.get_ref().0).collect(),
            no_masquerade: uplink.no_masquerade.iter().map(|destinations| destinations.0).collect(),
            isolate: uplink.isolate,
            internal: uplink.internal.iter().map(|subnet| subnet.get_ref().0).collect(),
            ports: uplink.ports.clone().map(|ports| ports.0).unwrap_or_default(),
            parity: uplink.parity,
            filtering: uplink.filtering.into(),
            max_ports_per_source: uplink.max_ports_per_source.map(u32::from),
            clamp_mss: uplink.clamp_mss.map(|segment| segment.0),
            pick_up: uplink.pick_up,
            fast_path: uplink.fast_path,
            xdp: uplink.xdp.into(),
            hook: uplink.hook.into(),
            origin: Origin::Config,
            ..Self::new(uplink.interface.get_ref())
        }
    }
}

impl From<&Options> for Uplink {
    fn from(options: &Options) -> Self {
        let ports = Some(options.ports.clone()).filter(|ranges| !ranges.is_empty());
        Self {
            interface: Spanned::new(0..0, options.interface.clone()),
            bridges: options.bridges.clone(),
            subnets: unplaced(options.subnets.iter().copied().map(Subnet)),
            addresses: unplaced(options.addresses.iter().copied().map(Address)),
            no_masquerade: options.no_masquerade.iter().copied().map(Destinations).collect(),
            isolate: options.isolate,
            internal: unplaced(options.internal.iter().copied().map(Subnet)),
            ports: ports.map(Ports),
            parity: options.parity,
            filtering: options.filtering.into(),
            max_ports_per_source: options.max_ports_per_source.map(Count::from),
            clamp_mss: options.clamp_mss.map(Segment),
            pick_up: options.pick_up,
            fast_path: options.fast_path,
            xdp: options.xdp.into(),
            hook: options.hook.into(),
        }
    }
}
