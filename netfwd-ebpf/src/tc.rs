//! The hooks on uplinks and bridges, and the only place that knows the kernel's action codes.

use core::ptr;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::generated::{bpf_ktime_get_coarse_ns, bpf_redirect_neigh, bpf_redirect_peer},
    macros::classifier,
    programs::TcContext,
};
use netfwd_common::{
    abi::{Reason, Side, counter_index},
    fast, neighbour,
    packet::Packet as _,
    parse::{self, Family},
    pipeline::{self, Hook},
    verdict::Verdict,
};

use crate::{
    maps::{self, Tables, scratch_v4, scratch_v6},
    skb::Skb,
};

/// Bytes of the Ethernet header of what a bridge or its member gets.
const ETHERNET: u32 = 14;
/// The sheet of the members' hook, beside those of [`Side`]s.
const MEMBER: u32 = 3;

/// A hook: finds what is configured for the interface, lets the journey decide, counts and acts.
macro_rules! hook {
    ($context:ident, $skb:ident, $side:expr, $journey:ident) => {{
        let Some(hook) = hook(&$skb, $side) else {
            return TC_ACT_UNSPEC;
        };
        let tables = Tables::new($context.skb.skb);
        let verdict =
            match parse::family(&$skb, hook.interface.link_header) {
                Family::V4 => scratch_v4($side.number().into())
                    .map(|scratch| pipeline::$journey(&mut $skb, &tables, &hook, scratch)),
                Family::V6 => scratch_v6($side.number().into())
                    .map(|scratch| pipeline::$journey(&mut $skb, &tables, &hook, scratch)),
                Family::Other => None,
            };
        report(&mut $skb, &hook, verdict.unwrap_or(Verdict::Pass(Reason::OtherFamily)))
    }};
}

/// The journey of what a bridge's member has sent, in one family.
macro_rules! member {
    ($skb:ident, $context:ident, $scratch:ident) => {{
        let Some(scratch) = $scratch(MEMBER) else {
            return TC_ACT_UNSPEC;
        };
        let tables = Tables::new($context.skb.skb);
        // SAFETY: the helper has no arguments.
        let now = unsafe { bpf_ktime_get_coarse_ns() };
        let ifindex = $skb.ifindex();
        let verdict = fast::member(&mut $skb, &tables, ifindex, now, scratch);
        if let Verdict::Pass(_) = verdict {
            neighbour::learn(&$skb, &tables, ifindex, scratch);
            return TC_ACT_UNSPEC;
        }
        let (slot, is_egress) = scratch.counted();
        let bytes = $skb.length().saturating_sub(ETHERNET);
        maps::count(counter_index(slot, is_egress, verdict.reason()), bytes);
        action(&mut $skb, verdict)
    }};
}

/// What a bridge's member says of itself without IP.
macro_rules! learn {
    ($skb:ident, $context:ident, $scratch:ident) => {{
        if let Some(scratch) = $scratch(MEMBER) {
            neighbour::learn(&$skb, &Tables::new($context.skb.skb), $skb.ifindex(), scratch);
        }
        TC_ACT_UNSPEC
    }};
}

/// What a bridge hears of its containers.
macro_rules! forget {
    ($skb:ident, $context:ident, $scratch:ident) => {
        if let Some(scratch) = $scratch(Side::Bridge.number().into()) {
            neighbour::forget(&$skb, &Tables::new($context.skb.skb), scratch);
        }
    };
}

#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn netfwd_ingress(context: TcContext) -> i32 {
    let mut skb = Skb::new(context.skb.skb);
    hook!(context, skb, Side::Outside, ingress)
}

#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn netfwd_egress(context: TcContext) -> i32 {
    let mut skb = Skb::new(context.skb.skb);
    // A member's program has translated it.
    if skb.take_mark() {
        return TC_ACT_UNSPEC;
    }
    hook!(context, skb, Side::Inside, egress)
}

#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn netfwd_bridge(context: TcContext) -> i32 {
    let mut skb = Skb::new(context.skb.skb);
    match parse::family(&skb, ETHERNET) {
        Family::V4 => {}
        Family::V6 => forget!(skb, context, scratch_v6),
        Family::Other => forget!(skb, context, scratch_v4),
    }
    hook!(context, skb, Side::Bridge, bridge)
}

#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn netfwd_member(context: TcContext) -> i32 {
    let mut skb = Skb::new(context.skb.skb);
    match parse::family(&skb, ETHERNET) {
        Family::V4 => member!(skb, context, scratch_v4),
        Family::V6 => member!(skb, context, scratch_v6),
        Family::Other => learn!(skb, context, scratch_v4),
    }
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
fn report(skb: &mut Skb, hook: &Hook<'_>, verdict: Verdict) -> i32 {
    let bytes = skb.length().saturating_sub(hook.interface.link_header);
    maps::count(counter_index(hook.interface.slot, hook.side == Side::Inside, verdict.reason()), bytes);
    action(skb, verdict)
}

/// What goes on, translated or not, goes on to the next program on the hook.
#[inline]
fn action(skb: &mut Skb, verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Translated | Verdict::Pass(_) => TC_ACT_UNSPEC,
        Verdict::Drop(_) => TC_ACT_SHOT,
        // SAFETY: the helper takes numbers; only an ingress hook sends to containers (kernel 5.10).
        Verdict::ToContainer(ifindex) => unsafe { bpf_redirect_peer(ifindex, 0) as i32 },
        Verdict::ToNeighbour(ifindex) => {
            skb.mark();
            // SAFETY: as below.
            unsafe { bpf_redirect_neigh(ifindex, ptr::null_mut(), 0, 0) as i32 }
        }
        // SAFETY: without parameters the helper looks for the neighbour that the packet is for (kernel 5.10).
        Verdict::Redirected(ifindex) | Verdict::Answered(_, ifindex) => unsafe {
            bpf_redirect_neigh(ifindex, ptr::null_mut(), 0, 0) as i32
        },
    }
}
