//! The hooks on uplinks and bridges, and the only place that knows the kernel's action codes.

use core::ptr;

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC, bpf_redir_neigh},
    helpers::generated::{bpf_ktime_get_coarse_ns, bpf_redirect_neigh, bpf_redirect_peer},
    macros::classifier,
    programs::TcContext,
};
use netfwd_common::{
    abi::{Gateway, Reason, Side, V4, V6, counter_index},
    fast::{self, Sent},
    neighbour,
    packet::Packet as _,
    parse::{self, Family},
    pipeline::{self, Hook},
    verdict::Verdict,
};

use crate::{
    maps::{self, Tables, scratch_v4, scratch_v6},
    skb::Skb,
    trace,
};

/// Bytes of the Ethernet header of what a bridge or its member gets.
const ETHERNET: u32 = 14;
/// The sheet of the members' hook, beside those of [`Side`]s.
const MEMBER: u32 = 3;

/// Ends the journey of a packet whose tags cannot be taken off: nobody knows what the stack would make of it.
macro_rules! untag {
    ($context:ident, $skb:ident, $side:expr) => {
        if !$skb.drop_priority_tags() {
            let Some(hook) = hook(&$skb, $side) else {
                return TC_ACT_UNSPEC;
            };
            return report(&$context, &$skb, &hook, Verdict::Drop(Reason::RewriteFailed));
        }
    };
}

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
        report(&$context, &$skb, &hook, verdict.unwrap_or(Verdict::Pass(Reason::OtherFamily)))
    }};
}

/// No action of the kernel's: the packet did not take the fast path. A number, because an option would be returned
/// through the stack, which is full.
const SLOW: i32 = i32::MIN;

/// The fast path, in one family: the action, or [`SLOW`].
macro_rules! express {
    ($name:ident, $address:ty, $journey:ident) => {
        #[inline(never)]
        fn $name(skb: *mut __sk_buff) -> i32 {
            let (mut packet, tables) = (Skb::new(skb), Tables::new(skb));
            // SAFETY: the helper has no arguments.
            let now = unsafe { bpf_ktime_get_coarse_ns() };
            let ifindex = packet.ifindex();
            let sent = fast::$journey::<$address, _, _>(&mut packet, &tables, ifindex, now);
            let Some(Sent { verdict, gateway, slot, is_egress }) = sent else {
                return SLOW;
            };
            let bytes = packet.length().saturating_sub(ETHERNET);
            maps::count(counter_index(slot, is_egress, verdict.reason()), bytes);
            match (verdict, gateway) {
                (Verdict::ToNeighbour(ifindex), Some(gateway)) => to_neighbour(&mut packet, ifindex, gateway),
                _ => action(verdict),
            }
        }
    };
}

express!(arrive_v4, V4, arrive);
express!(arrive_v6, V6, arrive);
express!(leave_v4, V4, leave);
express!(leave_v6, V6, leave);

/// What a bridge's member says of itself.
macro_rules! learn {
    ($skb:ident, $context:ident, $scratch:ident) => {{
        if let Some(scratch) = $scratch(MEMBER) {
            neighbour::learn(&$skb, &Tables::new($context.skb.skb), $skb.ifindex(), scratch);
        }
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
    watch(&context, Side::Outside.number().into());
    let mut skb = Skb::new(context.skb.skb);
    untag!(context, skb, Side::Outside);
    let sent = match skb.family() {
        Family::V4 => arrive_v4(context.skb.skb),
        Family::V6 => arrive_v6(context.skb.skb),
        Family::Other => SLOW,
    };
    if sent != SLOW {
        return watched(&context, Side::Outside.number().into(), sent);
    }
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
    watch(&context, Side::Inside.number().into());
    hook!(context, skb, Side::Inside, egress)
}

#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn netfwd_bridge(context: TcContext) -> i32 {
    watch(&context, Side::Bridge.number().into());
    let mut skb = Skb::new(context.skb.skb);
    untag!(context, skb, Side::Bridge);
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
    watch(&context, MEMBER);
    let skb = Skb::new(context.skb.skb);
    let sent = match skb.family() {
        Family::V4 => leave_v4(context.skb.skb),
        Family::V6 => {
            let sent = leave_v6(context.skb.skb);
            if sent == SLOW {
                learn!(skb, context, scratch_v6);
            }
            sent
        }
        Family::Other => {
            learn!(skb, context, scratch_v4);
            SLOW
        }
    };
    if sent == SLOW { TC_ACT_UNSPEC } else { watched(&context, MEMBER, sent) }
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
fn report(context: &TcContext, skb: &Skb, hook: &Hook<'_>, verdict: Verdict) -> i32 {
    let bytes = skb.length().saturating_sub(hook.interface.link_header);
    let reason = verdict.reason();
    maps::count(counter_index(hook.interface.slot, hook.side == Side::Inside, reason), bytes);
    let action = action(verdict);
    // Nothing is decided after this call: see the verifier of kernel 6.1.
    if trace::is_on() {
        trace::after(context.skb.skb, hook.side.number().into(), reason.number(), action == TC_ACT_REDIRECT);
    }
    action
}

/// Copies a packet that comes, if packets are traced.
#[inline(always)]
#[expect(clippy::inline_always, reason = "all that tracing costs while it is off")]
fn watch(context: &TcContext, hook: u32) {
    if trace::is_on() {
        trace::before(context.skb.skb, hook);
    }
}

/// Tells of a packet that took the fast path, if packets are traced.
#[inline(always)]
#[expect(clippy::inline_always, reason = "all that tracing costs while it is off")]
fn watched(context: &TcContext, hook: u32, action: i32) -> i32 {
    if trace::is_on() {
        let reason = if action == TC_ACT_SHOT { Reason::RewriteFailed } else { Reason::FastPath };
        trace::after(context.skb.skb, hook, reason.number(), action == TC_ACT_REDIRECT);
    }
    action
}

/// What goes on, translated or not, goes on to the next program on the hook.
#[inline]
fn action(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Translated | Verdict::Pass(_) => TC_ACT_UNSPEC,
        Verdict::Drop(_) => TC_ACT_SHOT,
        // SAFETY: the helper takes numbers; only an ingress hook sends to containers (kernel 5.10).
        Verdict::ToContainer(ifindex) => unsafe { bpf_redirect_peer(ifindex, 0) as i32 },
        // SAFETY: without parameters the helper looks for the neighbour that the packet is for (kernel 5.10).
        Verdict::ToNeighbour(ifindex) | Verdict::Redirected(ifindex) | Verdict::Answered(_, ifindex) => unsafe {
            bpf_redirect_neigh(ifindex, ptr::null_mut(), 0, 0) as i32
        },
    }
}

/// Past the uplink's own program, which would translate it again.
#[inline]
fn to_neighbour(skb: &mut Skb, ifindex: u32, gateway: &Gateway) -> i32 {
    const SIZE: i32 = 20;
    const _: () = assert!(size_of::<Gateway>() == 20 && size_of::<bpf_redir_neigh>() == 20);
    skb.mark();
    let parameters = ptr::from_ref(gateway).cast_mut().cast::<bpf_redir_neigh>();
    // SAFETY: the same layout; the helper reads it (kernel 5.10).
    unsafe { bpf_redirect_neigh(ifindex, parameters, SIZE, 0) as i32 }
}
