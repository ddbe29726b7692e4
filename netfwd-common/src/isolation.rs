//! Keeping container networks apart: from each other, and from what would reach them past the NAT.
//!
//! Every other journey has ended before this: the packet is nobody's, and the host's stack would forward it as it is. What
//! is translated, and what is for the host itself, is not concerned.

use crate::{
    abi::{Address, Interface, Reason, Role},
    parse::Kind,
    pipeline::Hook,
    scratch::Scratch,
    tables::Tables,
    verdict::Verdict,
};

/// How a packet ends that would be passed with `reason`: dropped, if it would get into an isolated network, or out of an
/// internal one.
#[inline(never)]
pub(crate) fn judge<A: Address, T: Tables<A>>(
    tables: &T,
    hook: &Hook<'_>,
    scratch: &mut Scratch<A>,
    reason: Reason,
) -> Verdict {
    // Noted down, because of what is kept over a call kernel 6.1 believes too much.
    scratch.reason = reason;
    // Whose header is broken, of that nothing is known; the stack drops it.
    if reason != Reason::Malformed && is_concerned(tables, hook, scratch) {
        keep_apart(tables, hook, scratch);
    }
    if scratch.reason.is_drop() { Verdict::Drop(scratch.reason) } else { Verdict::Pass(scratch.reason) }
}

/// Whether it is for an isolated network, or comes from an internal one.
fn is_concerned<A: Address, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &Scratch<A>) -> bool {
    hook.interface.flags & Interface::INTERNAL != 0 || tables.is_isolated(scratch.headers.destination)
}

/// Drops what the stack would forward to where it may not go. It would not what is for the host's own addresses, nor
/// broadcasts.
#[inline(never)]
fn keep_apart<A: Address, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) {
    let Some(ifindex) = tables.route(scratch.headers.source, scratch.headers.destination) else {
        return;
    };
    let stays = ifindex == hook.ifindex;
    let is_internal = hook.interface.flags & Interface::INTERNAL != 0;
    if !stays && (is_internal || !is_uplink(tables, ifindex) && !is_from_excluded(tables, hook, scratch)) {
        scratch.reason = Reason::Isolated;
    }
}

/// An isolated prefix may be wider than the bridges' networks: what it has on the outside is not isolated.
fn is_uplink<A, T: Tables<A>>(tables: &T, ifindex: u32) -> bool {
    tables.interface(ifindex).is_some_and(|interface| interface.role == Role::Uplink.number())
}

/// Networks that are not masqueraded towards know containers by their own addresses. So may routers on the way there,
/// which report about packets that were sent there.
fn is_from_excluded<A: Address, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &Scratch<A>) -> bool {
    let Scratch { headers, quoted, .. } = scratch;
    let is_excluded = |address| tables.exclusion(hook.ifindex, address).is_some_and(|rule| tables.is_in_force(*rule));
    let is_report = headers.transport.kind == Kind::IcmpError && quoted.source == headers.destination;
    is_excluded(headers.source) || is_report && is_excluded(quoted.destination)
}
