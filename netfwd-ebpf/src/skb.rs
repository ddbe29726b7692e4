//! A socket buffer as a [`Packet`].

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_F_RECOMPUTE_CSUM, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
        bpf_check_mtu_flags::BPF_MTU_CHK_SEGS,
    },
    helpers::generated::{
        bpf_check_mtu, bpf_csum_diff, bpf_csum_update, bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_skb_adjust_room,
        bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes, bpf_skb_vlan_pop,
    },
};
use netfwd_common::{
    abi::MAX_HELD,
    checksum::Change,
    packet::{Corrections, Covers, Direct, Packet},
    parse::Family,
};

use crate::{direct::AtHand, held};

/// What a packet is marked with that was translated already and still meets its uplink's egress. `tc_index` is for
/// classifiers to talk to each other; "nf".
const MARK: u32 = 0x6e66;

/// The VLAN's number in a tag.
const VLAN: u32 = 0x0fff;

/// The socket buffer that a program was called with.
pub(crate) struct Skb {
    skb: *mut __sk_buff,
}

impl Skb {
    /// Wraps a program's context.
    pub(crate) const fn new(skb: *mut __sk_buff) -> Self {
        Self { skb }
    }

    /// Takes off tags that name a priority and no VLAN (IEEE 802.1Q, VLAN 0), as the stack would do behind this hook: it
    /// takes what follows for ordinary packets. False if it is still tagged so.
    #[inline]
    pub(crate) fn drop_priority_tags(&mut self) -> bool {
        // The stack takes off any number, but nobody sends more than one and what a bridge adds.
        for _ in 0..2 {
            // SAFETY: the helper gets the program's context.
            if !self.has_priority_tag() || unsafe { bpf_skb_vlan_pop(self.skb) } != 0 {
                break;
            }
        }
        !self.has_priority_tag()
    }

    #[inline]
    fn has_priority_tag(&self) -> bool {
        // SAFETY: the context is valid while the program runs.
        let tag = unsafe { (*self.skb).vlan_tci };
        Packet::is_vlan_tagged(self) && tag & VLAN == 0
    }

    /// Whether it was marked since it was made; the mark is removed.
    #[inline]
    pub(crate) fn take_mark(&mut self) -> bool {
        // SAFETY: the context is valid while the program runs.
        let index = unsafe { &mut (*self.skb).tc_index };
        let is_marked = *index == MARK;
        if is_marked {
            *index = 0;
        }
        is_marked
    }

    /// Marks it.
    #[inline]
    pub(crate) fn mark(&mut self) {
        // SAFETY: the context is valid while the program runs.
        unsafe { (*self.skb).tc_index = MARK };
    }

    /// What the interface says that it carries, without a VLAN tag.
    #[inline]
    pub(crate) fn family(&self) -> Family {
        const IPV4: u32 = 0x0800_u16.to_be() as u32;
        const IPV6: u32 = 0x86dd_u16.to_be() as u32;
        if Packet::is_vlan_tagged(self) {
            return Family::Other;
        }
        // SAFETY: the context is valid while the program runs.
        match unsafe { (*self.skb).protocol } {
            IPV4 => Family::V4,
            IPV6 => Family::V6,
            _ => Family::Other,
        }
    }

    /// The interface whose hook this is.
    pub(crate) fn ifindex(&self) -> u32 {
        // SAFETY: the context is valid while the program runs.
        unsafe { (*self.skb).ifindex }
    }
}

impl Packet for Skb {
    #[inline]
    fn length(&self) -> u32 {
        // SAFETY: the context is valid while the program runs.
        unsafe { (*self.skb).len }
    }

    #[inline]
    fn is_vlan_tagged(&self) -> bool {
        // SAFETY: the context is valid while the program runs.
        unsafe { (*self.skb).vlan_present != 0 }
    }

    #[inline]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        let skb = self.skb.cast_const().cast();
        // SAFETY: the helper writes N bytes there.
        let result = unsafe { bpf_skb_load_bytes(skb, offset, bytes.as_mut_ptr().cast(), N as u32) };
        // SAFETY: where the helper fails it writes zeros (net/core/filter.c).
        let bytes = unsafe { bytes.assume_init() };
        (result == 0).then_some(bytes)
    }

    #[inline]
    fn load_into<const N: usize>(&self, offset: u32, bytes: &mut [u8; N]) -> Option<()> {
        // SAFETY: the helper writes N bytes there.
        let result =
            unsafe { bpf_skb_load_bytes(self.skb.cast_const().cast(), offset, bytes.as_mut_ptr().cast(), N as u32) };
        (result == 0).then_some(())
    }

    #[inline]
    fn store<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Option<()> {
        // SAFETY: the helper reads N bytes there.
        let result = unsafe { bpf_skb_store_bytes(self.skb, offset, bytes.as_ptr().cast(), N as u32, 0) };
        (result == 0).then_some(())
    }

    #[inline]
    fn store_uncovered<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Option<()> {
        let flags = u64::from(BPF_F_RECOMPUTE_CSUM);
        // SAFETY: the helper reads N bytes there.
        let result = unsafe { bpf_skb_store_bytes(self.skb, offset, bytes.as_ptr().cast(), N as u32, flags) };
        (result == 0).then_some(())
    }

    #[inline]
    fn update_checksum<const N: usize>(
        &mut self,
        offset: u32,
        covers: Covers,
        old: [u8; N],
        new: [u8; N],
    ) -> Option<()> {
        let (from, to, size) = operands(old, new)?;
        let result = match covers {
            // SAFETY: the helper takes the context and numbers.
            Covers::IpHeader => unsafe { bpf_l3_csum_replace(self.skb, offset, from, to, size) },
            Covers::PseudoHeader { zero_is_none } => {
                let flags = u64::from(BPF_F_PSEUDO_HDR) | mangled(zero_is_none) | size;
                // SAFETY: the helper takes the context and numbers.
                unsafe { bpf_l4_csum_replace(self.skb, offset, from, to, flags) }
            }
            Covers::Transport { zero_is_none } => {
                // SAFETY: the helper takes the context and numbers.
                unsafe { bpf_l4_csum_replace(self.skb, offset, from, to, mangled(zero_is_none) | size) }
            }
        };
        (result == 0).then_some(())
    }

    fn fits(&self, ifindex: u32) -> bool {
        let mut mtu = 0;
        let flags = u64::from(BPF_MTU_CHK_SEGS);
        // SAFETY: the helper takes the context and numbers, and writes the interface's MTU (kernel 5.12).
        let result = unsafe { bpf_check_mtu(self.skb.cast(), ifindex, &raw mut mtu, 0, flags) };
        result == 0
    }

    fn resize(&mut self, length: u32) -> Option<()> {
        // SAFETY: the helper takes the context and numbers.
        let result = unsafe { bpf_skb_change_tail(self.skb, length, 0) };
        (result == 0).then_some(())
    }

    // The kernel gives up on a checksum that would begin before the packet when bytes are stored with
    // BPF_F_RECOMPUTE_CSUM (__skb_postpull_rcsum in include/linux/skbuff.h).
    fn remove_behind_link_header(&mut self, length: u32) -> Option<()> {
        let difference = 0_i32.checked_sub_unsigned(length)?;
        // SAFETY: the helper takes the context and numbers.
        let result = unsafe { bpf_skb_adjust_room(self.skb, difference, BPF_ADJ_ROOM_MAC, 0) };
        (result == 0).then_some(())
    }

    #[inline]
    fn hold_back(&self) -> Option<u32> {
        held::hold_back(self.skb)
    }

    #[inline]
    fn release_held(&mut self, tickets: &[u32; MAX_HELD], count: u32, is_egress: bool) -> Option<()> {
        held::release(self.skb, tickets, count, is_egress)
    }
}

impl Direct for Skb {
    #[inline]
    fn length(&self) -> u32 {
        Packet::length(self)
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
        let Corrections { addresses, ports, uncovered, zero_is_none } = *corrections;
        let mangled = mangled(zero_is_none);
        let pseudo = u64::from(BPF_F_PSEUDO_HDR) | mangled;
        // SAFETY: the helper takes the context and numbers.
        let covered = unsafe { bpf_l4_csum_replace(self.skb, at, 0, addresses.bits().into(), pseudo) };
        let mut moved = 0;
        if !ports.is_none() {
            // SAFETY: the helper takes the context and numbers.
            moved = unsafe { bpf_l4_csum_replace(self.skb, at, 0, ports.bits().into(), mangled) };
        }
        if !uncovered.is_none() {
            // SAFETY: the helper takes the context and a number. It fails where the interface has no sum to correct.
            unsafe { bpf_csum_update(self.skb, uncovered.bits()) };
        }
        (covered == 0 && moved == 0).then_some(())
    }

    #[inline]
    fn segment(&self) -> u32 {
        // SAFETY: the context is valid while the program runs.
        unsafe { (*self.skb).gso_size }
    }

    #[inline]
    fn fits(&self, ifindex: u32) -> bool {
        Packet::fits(self, ifindex)
    }
}

impl Skb {
    /// Its first bytes. The kernel makes them its own before the program runs, because it writes to them.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    fn at_hand(&self) -> AtHand {
        // SAFETY: the context is valid while the program runs.
        let data = unsafe { (*self.skb).data };
        // SAFETY: the context is valid while the program runs.
        let end = unsafe { (*self.skb).data_end };
        AtHand { data, end }
    }
}

fn mangled(zero_is_none: bool) -> u64 {
    if zero_is_none { u64::from(BPF_F_MARK_MANGLED_0) } else { 0 }
}

/// The arguments of a checksum helper: 2 or 4 changed bytes as they are, more as their difference with size 0.
#[inline]
fn operands<const N: usize>(mut old: [u8; N], mut new: [u8; N]) -> Option<(u64, u64, u64)> {
    if let (Some(&old), Some(&new)) = (old.as_array::<2>(), new.as_array::<2>()) {
        return Some((u16::from_ne_bytes(old).into(), u16::from_ne_bytes(new).into(), 2));
    }
    if let (Some(&old), Some(&new)) = (old.as_array::<4>(), new.as_array::<4>()) {
        return Some((u32::from_ne_bytes(old).into(), u32::from_ne_bytes(new).into(), 4));
    }
    // SAFETY: the helper reads N bytes of each.
    let difference = unsafe { bpf_csum_diff(old.as_mut_ptr().cast(), N as u32, new.as_mut_ptr().cast(), N as u32, 0) };
    u64::try_from(difference).ok().map(|difference| (0, difference, 0))
}
