//! The least that a forwarder can do: other hardware addresses, and off to another interface. No NAT, no look-up.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::Array,
    helpers::generated::bpf_redirect,
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::abi::{HEADERS, Target};

const ETHER_TYPE: usize = 12;
const IPV4: u16 = 0x0800;

#[btf_map]
static TARGET: Array<Target, 1> = Array::new();

#[xdp]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn forward(context: XdpContext) -> u32 {
    let frame = context.data();
    if frame + HEADERS > context.data_end() {
        return xdp_action::XDP_PASS;
    }
    let Some(target) = TARGET.get(0) else {
        return xdp_action::XDP_PASS;
    };
    // SAFETY: the frame's end is behind its Ethernet header.
    if unsafe { *((frame + ETHER_TYPE) as *const u16) } != IPV4.to_be() {
        return xdp_action::XDP_PASS;
    }
    // SAFETY: the frame's end is behind its Ethernet header.
    unsafe { *(frame as *mut [u8; 12]) = target.hardware_addresses };
    // SAFETY: the helper takes any number for an interface.
    let action = unsafe { bpf_redirect(target.interface, 0) };
    u32::try_from(action).unwrap_or(xdp_action::XDP_ABORTED)
}
