//! The hook before the host's stack, and the only place that knows the action codes of XDP. What this program does not
//! take goes on to the stack as it is, and so to the uplink's other program.

use aya_ebpf::{
    bindings::{
        xdp_action::{XDP_DROP, XDP_PASS},
        xdp_md,
    },
    helpers::generated::{bpf_check_mtu, bpf_ktime_get_coarse_ns, bpf_redirect},
    macros::xdp,
    programs::XdpContext,
};
use netfwd_common::{
    abi::{Member, Reason, V4, V6, counter_index},
    checksum::Change,
    fast::{self, Sent},
    packet::{Corrections, Direct},
    parse::Family,
    verdict::Verdict,
};

use crate::{
    direct::AtHand,
    maps::{self, Tables},
    trace,
};

/// Bytes of the Ethernet header.
const ETHERNET: u32 = 14;

/// The fast path, in one family.
macro_rules! express {
    ($name:ident, $address:ty) => {
        #[inline(never)]
        fn $name(context: *mut xdp_md) -> u32 {
            let (mut frame, tables) = (Frame { context }, Tables::without_packet());
            // SAFETY: the helper has no arguments.
            let now = unsafe { bpf_ktime_get_coarse_ns() };
            let ifindex = frame.ifindex();
            let Some(Sent { verdict, slot, .. }) = fast::arrive::<$address, _, _>(&mut frame, &tables, ifindex, now)
            else {
                return XDP_PASS;
            };
            let bytes = frame.length().saturating_sub(ETHERNET);
            let reason = if let Verdict::ToContainer(_) = verdict { Reason::Xdp } else { verdict.reason() };
            maps::count(counter_index(slot, false, reason), bytes);
            action(verdict)
        }
    };
}

express!(arrive_v4, V4);
express!(arrive_v6, V6);

#[xdp]
#[expect(clippy::needless_pass_by_value, reason = "the macro's signature")]
fn netfwd_xdp(context: XdpContext) -> u32 {
    if trace::is_on() {
        trace::before_xdp(context.ctx);
    }
    let action = match fast::datagram(&Frame { context: context.ctx }) {
        Family::V4 => arrive_v4(context.ctx),
        Family::V6 => arrive_v6(context.ctx),
        Family::Other => XDP_PASS,
    };
    // What is passed is told of at the next hook.
    if action != XDP_PASS && trace::is_on() {
        let reason = if action == XDP_DROP { Reason::RewriteFailed } else { Reason::Xdp };
        trace::after_xdp(context.ctx, reason.number());
    }
    action
}

#[inline]
fn action(verdict: Verdict) -> u32 {
    match verdict {
        // SAFETY: the helper takes numbers.
        Verdict::ToContainer(member) => unsafe { bpf_redirect(member, 0) }.cast_unsigned() as u32,
        Verdict::Drop(_) => XDP_DROP,
        Verdict::Translated
        | Verdict::Pass(_)
        | Verdict::ToNeighbour(_)
        | Verdict::Redirected(_)
        | Verdict::Answered(..) => XDP_PASS,
    }
}

/// A frame for which there is no socket buffer yet: its checksums are complete, and it has no VLAN tag but in its bytes.
struct Frame {
    context: *mut xdp_md,
}

impl Frame {
    fn ifindex(&self) -> u32 {
        // SAFETY: the context is valid while the program runs.
        unsafe { (*self.context).ingress_ifindex }
    }

    /// Its first bytes.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    fn at_hand(&self) -> AtHand {
        // SAFETY: the context is valid while the program runs.
        let data = unsafe { (*self.context).data };
        // SAFETY: the context is valid while the program runs.
        let end = unsafe { (*self.context).data_end };
        AtHand { data, end }
    }
}

impl Direct for Frame {
    #[inline]
    fn length(&self) -> u32 {
        // SAFETY: the context is valid while the program runs.
        let data = unsafe { (*self.context).data };
        // SAFETY: the context is valid while the program runs.
        unsafe { (*self.context).data_end }.wrapping_sub(data)
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    fn words<const N: usize>(&self, at: usize) -> Option<[u16; N]> {
        self.at_hand().words(at)
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    fn set_words<const N: usize>(&mut self, at: usize, words: [u16; N]) -> Option<()> {
        self.at_hand().set_words(at, words)
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    fn replace<const N: usize>(&mut self, at: usize, words: &[u16; N]) -> Option<Change> {
        self.at_hand().replace(at, words)
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    fn correct(&mut self, at: u32, corrections: &Corrections) -> Option<()> {
        let [checksum] = self.words(at as usize)?;
        self.set_words(at as usize, [corrections.correct(checksum)])
    }

    /// Frames are made of single segments.
    fn segment(&self) -> u32 {
        0
    }

    /// Of members alone, and of those only behind which frames are taken: others the kernel would not tell of a loss.
    #[inline]
    fn fits(&self, ifindex: u32) -> bool {
        if !maps::member(ifindex).is_some_and(Member::takes_frames) {
            return false;
        }
        let mut mtu = 0;
        // SAFETY: the helper takes the context and numbers, and writes the interface's MTU (kernel 5.12).
        let result = unsafe { bpf_check_mtu(self.context.cast(), ifindex, &raw mut mtu, 0, 0) };
        result == 0
    }
}
