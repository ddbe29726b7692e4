//! The hooks on uplinks and bridges, and the only place that knows the kernel's action codes.

use core::ptr;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::generated::{bpf_ktime_get_coarse_ns, bpf_redirect_neigh},
    macros::classifier,
    programs::TcContext,
};
use netfwd_common::{
    abi::{Reason, Side, counter_index},
    packet::Packet as _,
    parse::{self, Family},
    pipeline::{self, Hook},
    verdict::Verdict,
};

use crate::{
    maps::{self, Tables, scratch_v4, scratch_v6},
    skb::Skb,
};

/// A hook: finds what is configured for the interface, lets the journey decide, counts and acts.
macro_rules! hook {
    ($context:ident, $side:expr, $journey:ident) => {{
        let mut skb = Skb::new($context.skb.skb);
        let Some(hook) = hook(&skb, $side) else {
            return TC_ACT_UNSPEC;
        };
        let tables = Tables::new($context.skb.skb);
        let verdict = match parse::family(&skb, hook.interface.link_header) {
            Family::V4 => scratch_v4($side).map(|scratch| pipeline::$journey(&mut skb, &tables, &hook, scratch)),
            Family::V6 => scratch_v6($side).map(|scratch| pipeline::$journey(&mut skb, &tables, &hook, scratch)),
            Family::Other => None,
        };
        report(&skb, &hook, verdict.unwrap_or(Verdict::Pass(Reason::OtherFamily)))
    }};
}

#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn netfwd_ingress(context: TcContext) -> i32 {
    hook!(context, Side::Outside, ingress)
}

#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn netfwd_egress(context: TcContext) -> i32 {
    hook!(context, Side::Inside, egress)
}

#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn netfwd_bridge(context: TcContext) -> i32 {
    hook!(context, Side::Bridge, bridge)
}

#[inline]
fn hook(skb: &Skb, side: Side) -> Option<Hook<'static>> {
    let ifindex = skb.ifindex();
    let interface = maps::interface(ifindex)?;
    // SAFETY: the helper has no arguments.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    Some(Hook { ifindex, side, interface, now })
}

#[inline]
fn report(skb: &Skb, hook: &Hook<'_>, verdict: Verdict) -> i32 {
    let bytes = skb.length().saturating_sub(hook.interface.link_header);
    maps::count(counter_index(hook.interface.slot, hook.side == Side::Inside, verdict.reason()), bytes);
    action(verdict)
}

/// What goes on, translated or not, goes on to the next program on the hook.
#[inline]
fn action(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Translated | Verdict::Pass(_) => TC_ACT_UNSPEC,
        Verdict::Drop(_) => TC_ACT_SHOT,
        // SAFETY: without parameters the helper looks for the neighbour that the packet is for (kernel 5.10).
        Verdict::Redirected(ifindex) | Verdict::Answered(_, ifindex) => unsafe {
            bpf_redirect_neigh(ifindex, ptr::null_mut(), 0, 0) as i32
        },
    }
}
