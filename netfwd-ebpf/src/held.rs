//! Fragments that are held back: copies of their bytes, in a ring whose oldest place is taken next.
//!
//! A program can neither keep a socket buffer nor make one. So a copy is let go in the clone of another packet, that of
//! the datagram's first fragment.

use core::{ops::ControlFlow, ptr, sync::atomic::AtomicU64};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INGRESS, BPF_F_RECOMPUTE_CSUM},
    btf_maps::{Array, PerCpuArray},
    helpers::generated::{bpf_clone_redirect, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes},
    macros::btf_map,
};
use netfwd_common::abi::MAX_HELD;

use crate::{atomics, repeat::repeat};

/// Bytes of a frame at most: more than an Ethernet frame without jumbo.
const MAX_FRAME: usize = 2048;
/// Frames that are held back at once.
const PLACES: usize = 256;

/// A frame's bytes.
#[repr(C)]
pub(crate) struct Frame {
    ticket: u32,
    length: u32,
    bytes: [u8; MAX_FRAME],
}

#[btf_map]
static HELD: Array<Frame, PLACES> = Array::new();
#[btf_map]
static NEXT_TICKET: Array<AtomicU64, 1> = Array::new();
/// The first fragment's own bytes, while others are let go in its clones.
#[btf_map]
static FIRST_FRAGMENT: PerCpuArray<Frame, 1> = PerCpuArray::new();

/// Copies a packet, and returns the ticket for it.
#[inline(never)]
pub(crate) fn hold_back(skb: *mut __sk_buff) -> Option<u32> {
    let ticket = atomics::fetch_add(NEXT_TICKET.get(0)?, 1) as u32;
    let frame = HELD.get_ptr_mut(ticket % PLACES as u32)?;
    // SAFETY: a map's value. A CPU that reads it meanwhile has an older ticket, or gets a fragment that its receiver
    // cannot use.
    let frame = unsafe { &mut *frame };
    frame.ticket = ticket;
    load(skb, frame)?;
    Some(ticket)
}

/// Lets go what was held back for `count` of these tickets, on the interface and the side where the packet is.
/// `None` if the packet has not its own bytes any more.
#[inline(never)]
pub(crate) fn release(skb: *mut __sk_buff, tickets: &[u32; MAX_HELD], count: u32, is_egress: bool) -> Option<()> {
    let first = FIRST_FRAGMENT.get_ptr_mut(0)?;
    // SAFETY: this CPU's own, and what is let go is no first fragment: nobody else uses it meanwhile.
    let first = unsafe { &mut *first };
    if load(skb, first).is_none() {
        // Too long to be kept: nothing is let go.
        return Some(());
    }
    // On the stack: what is let go on egress goes through this program before it returns here.
    let tickets = *tickets;
    repeat(count.min(MAX_HELD as u32), |number| {
        if let Some(ticket) = tickets.get(number as usize) {
            let_go(skb, *ticket, is_egress);
        }
        ControlFlow::Continue(())
    });
    store(skb, first)
}

fn let_go(skb: *mut __sk_buff, ticket: u32, is_egress: bool) -> Option<()> {
    let frame = HELD.get(ticket % PLACES as u32)?;
    if frame.ticket != ticket {
        return None;
    }
    store(skb, frame)?;
    let flags = if is_egress { 0 } else { u64::from(BPF_F_INGRESS) };
    // SAFETY: the context is valid while the program runs.
    let ifindex = unsafe { (*skb).ifindex };
    // SAFETY: the helper takes the context and numbers.
    unsafe { bpf_clone_redirect(skb, ifindex, flags) };
    Some(())
}

fn load(skb: *mut __sk_buff, frame: &mut Frame) -> Option<()> {
    // SAFETY: the context is valid while the program runs.
    let length = unsafe { (*skb).len };
    frame.length = 0;
    if length == 0 || length > MAX_FRAME as u32 {
        return None;
    }
    frame.length = length;
    let bytes = frame.bytes.as_mut_ptr().cast();
    // SAFETY: the helper writes as many bytes as there is room for at most.
    let result = unsafe { bpf_skb_load_bytes(skb.cast(), 0, bytes, size_of_bytes(frame)) };
    (result == 0).then_some(())
}

fn store(skb: *mut __sk_buff, frame: &Frame) -> Option<()> {
    let length = frame.length;
    if length == 0 || length > MAX_FRAME as u32 {
        return None;
    }
    // SAFETY: the helper takes the context and numbers.
    if unsafe { bpf_skb_change_tail(skb, length, 0) } != 0 {
        return None;
    }
    let bytes = ptr::from_ref(&frame.bytes).cast();
    let flags = u64::from(BPF_F_RECOMPUTE_CSUM);
    // SAFETY: the helper reads as many bytes as there are at most.
    let result = unsafe { bpf_skb_store_bytes(skb, 0, bytes, size_of_bytes(frame), flags) };
    (result == 0).then_some(())
}

/// A frame's length, which was found to be from 1 to [`MAX_FRAME`], in a form that kernel 6.1 believes without having
/// seen that.
fn size_of_bytes(frame: &Frame) -> u32 {
    // SAFETY: a valid reference; volatile, so that the compiler does not see it either.
    let length = unsafe { (&raw const frame.length).read_volatile() };
    (length.wrapping_sub(1) & (MAX_FRAME as u32 - 1)) + 1
}
