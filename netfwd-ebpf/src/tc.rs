//! The hooks on the uplink, and the only place that knows the kernel's action codes.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::generated::bpf_ktime_get_coarse_ns,
    macros::classifier,
    programs::TcContext,
};
use netfwd_common::{
    abi::{Side, counter_index},
    packet::Packet as _,
    parse,
    pipeline::{self, Hook},
    verdict::Verdict,
};

use crate::{
    maps::{self, Tables},
    skb::Skb,
};

#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn netfwd_ingress(context: TcContext) -> i32 {
    let mut skb = Skb::new(context.skb.skb);
    let Some(hook) = hook(&skb, Side::Outside) else {
        return TC_ACT_UNSPEC;
    };
    let verdict = pipeline::ingress(&mut skb, parse::ipv4, &Tables::new(context.skb.skb), &hook);
    report(&skb, &hook, verdict)
}

#[classifier]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn netfwd_egress(context: TcContext) -> i32 {
    let mut skb = Skb::new(context.skb.skb);
    let Some(hook) = hook(&skb, Side::Inside) else {
        return TC_ACT_UNSPEC;
    };
    let verdict = pipeline::egress(&mut skb, parse::ipv4, &Tables::new(context.skb.skb), &hook);
    report(&skb, &hook, verdict)
}

fn hook(skb: &Skb, side: Side) -> Option<Hook<'static>> {
    let ifindex = skb.ifindex();
    let uplink = maps::uplink(ifindex)?;
    // SAFETY: the helper has no arguments.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    Some(Hook { ifindex, side, uplink, now })
}

fn report(skb: &Skb, hook: &Hook<'_>, verdict: Verdict) -> i32 {
    let bytes = skb.length().saturating_sub(hook.uplink.link_header);
    maps::count(counter_index(hook.uplink.slot, hook.side == Side::Inside, verdict.reason()), bytes);
    action(verdict)
}

/// What goes on, translated or not, goes on to the next program on the hook.
const fn action(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Translated | Verdict::Pass(_) => TC_ACT_UNSPEC,
        Verdict::Drop(_) => TC_ACT_SHOT,
    }
}
