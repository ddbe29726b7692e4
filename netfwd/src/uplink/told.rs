//! From what an uplink is back to the options that make it so.

use netfwd_common::abi::{self, PortChoice};

use super::{Clamp, Options, resolve::segments};
use crate::datapath::{
    ports,
    uplinks::{Request, Wanted},
};

/// The shortest options that resolve to the request on the same host.
impl From<&Request> for Options {
    fn from(request: &Request) -> Self {
        let Request { interface: uplink, wanted, hook, max_flows, host_access } = request;
        let Wanted { interface, choices, v4, v6, .. } = wanted;
        let v4 = v4.exclusions.iter().copied().map(Into::into);
        let no_masquerade = v4.chain(v6.exclusions.iter().copied().map(Into::into)).collect();
        Self {
            interface: uplink.name.clone(),
            bridges: choices.bridges.iter().cloned().collect(),
            subnets: choices.subnets.iter().copied().collect(),
            addresses: choices.addresses.iter().copied().collect(),
            no_masquerade,
            isolate: interface.flags & abi::Interface::ISOLATE != 0,
            internal: choices.internal.iter().copied().collect(),
            found: choices.found.clone(),
            ports: chosen_ports(&interface.ports),
            parity: ports::keeps_parity(&interface.ports),
            filtering: interface.filtering(),
            max_ports_per_source: Some(interface.max_ports_per_source).filter(|count| *count != 0),
            clamp_mss: clamp(interface, uplink.mtu),
            pick_up: interface.flags & abi::Interface::PICK_UP != 0,
            fast_path: interface.flags & abi::Interface::FAST_PATH != 0,
            xdp: choices.xdp,
            hook: *hook,
            host_access: *host_access,
            max_flows: *max_flows,
            origin: choices.origin,
        }
    }
}

/// Only where ranges are given, a source port below 1024 may get one above.
fn chosen_ports(choice: &PortChoice) -> Vec<ports::Range> {
    if choice.flags & PortChoice::KEEP_CLASS == 0 { ports::ranges(choice) } else { Vec::new() }
}

fn clamp(interface: &abi::Interface, mtu: u32) -> Option<Clamp> {
    let present = interface.max_segment.map(u16::from_be_bytes);
    let [v4, _] = present;
    match present {
        [0, 0] => None,
        present if present == segments(Clamp::Mtu, mtu) => Some(Clamp::Mtu),
        _ => Some(Clamp::Bytes(v4)),
    }
}
