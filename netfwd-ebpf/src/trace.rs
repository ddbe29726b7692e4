//! What `netfwd trace` sees: each packet at a hook, before and after.
//!
//! Off, it costs a hook one look at an array. On, [`before`] copies the packet's first bytes to a sheet of this CPU and
//! hook, and [`after`] adds those that it has become, and sends both to user space. Both are functions of their own, so
//! that the journeys' stack does not grow. Who traces says until when: if it is killed, tracing ends all the same.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    btf_maps::{Array, PerCpuArray, RingBuf},
    helpers::generated::{bpf_ktime_get_ns, bpf_skb_load_bytes, bpf_xdp_load_bytes},
    macros::btf_map,
};
use netfwd_common::abi::{TRACED_BYTES, TRACED_HOOKS, Traced, Watch};

use crate::maps;

/// Bytes of events that user space has not read yet: some 900 packets.
const RING: usize = 512 * 1024;
/// Bytes of an Ethernet header.
const ETHERNET: u32 = 14;

#[btf_map]
static TRACE_WATCH: Array<Watch, 1> = Array::new();
#[btf_map]
static TRACE_SHEETS: PerCpuArray<Traced, { TRACED_HOOKS as usize }> = PerCpuArray::new();
#[btf_map]
static TRACE_EVENTS: RingBuf<Traced, RING> = RingBuf::new();

/// Whether anything is traced.
#[inline(always)]
#[expect(clippy::inline_always, reason = "all that tracing costs while it is off")]
pub(crate) fn is_on() -> bool {
    // SAFETY: a map's value, valid while the program runs.
    let until = TRACE_WATCH.get_ptr(0).map(|watch| unsafe { &raw const (*watch).until });
    // SAFETY: as above; volatile, because user space changes it.
    until.is_some_and(|until| unsafe { until.read_volatile() } != 0)
}

/// Copies the packet as it comes to a hook.
#[inline(never)]
pub(crate) fn before(skb: *mut __sk_buff, hook: u32) {
    if let Some(sheet) = begin(hook) {
        // SAFETY: the context is valid while the program runs.
        let length = unsafe { (*skb).len };
        keep(sheet, 0, length, |bytes, size| {
            // SAFETY: the helper writes as many bytes as there is room for at most.
            unsafe { bpf_skb_load_bytes(skb.cast(), 0, bytes, size) }
        });
    }
}

/// Tells of the packet as it leaves a hook, if it was copied when it came.
#[inline(never)]
pub(crate) fn after(skb: *mut __sk_buff, hook: u32, reason: u32, is_redirected: bool) {
    let Some(sheet) = sheet(hook) else { return };
    if sheet.lengths[0] == 0 {
        return;
    }
    // SAFETY: the context is valid while the program runs.
    let length = unsafe { (*skb).len };
    keep(sheet, 1, length, |bytes, size| {
        // SAFETY: the helper writes as many bytes as there is room for at most.
        unsafe { bpf_skb_load_bytes(skb.cast(), 0, bytes, size) }
    });
    // SAFETY: the context is valid while the program runs.
    sheet.ifindex = unsafe { (*skb).ifindex };
    sheet.link_header = maps::interface(sheet.ifindex).map_or(ETHERNET, |interface| interface.link_header);
    (sheet.hook, sheet.reason, sheet.is_redirected) = (hook, reason, is_redirected.into());
    tell(sheet);
}

/// The same as [`before`], before there is a socket buffer.
#[inline(never)]
pub(crate) fn before_xdp(context: *mut xdp_md) {
    if let Some(sheet) = begin(Traced::XDP) {
        keep(sheet, 0, frame_length(context), |bytes, size| {
            // SAFETY: the helper writes as many bytes as there is room for at most (kernel 5.18).
            unsafe { bpf_xdp_load_bytes(context, 0, bytes, size) }
        });
    }
}

/// The same as [`after`], before there is a socket buffer.
#[inline(never)]
pub(crate) fn after_xdp(context: *mut xdp_md, reason: u32) {
    let Some(sheet) = sheet(Traced::XDP) else { return };
    if sheet.lengths[0] == 0 {
        return;
    }
    keep(sheet, 1, frame_length(context), |bytes, size| {
        // SAFETY: the helper writes as many bytes as there is room for at most (kernel 5.18).
        unsafe { bpf_xdp_load_bytes(context, 0, bytes, size) }
    });
    // SAFETY: the context is valid while the program runs.
    sheet.ifindex = unsafe { (*context).ingress_ifindex };
    (sheet.hook, sheet.link_header, sheet.reason, sheet.is_redirected) = (Traced::XDP, ETHERNET, reason, 1);
    tell(sheet);
}

/// The sheet for a packet that comes; `None` if nothing is traced any more.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the verifier believes in the sheet's bounds within one function")]
fn begin(hook: u32) -> Option<&'static mut Traced> {
    let watch = TRACE_WATCH.get_ptr_mut(0)?;
    // SAFETY: the helper has no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    // SAFETY: a map's value, valid while the program runs.
    let until = unsafe { &raw mut (*watch).until };
    // SAFETY: as above; volatile, because user space changes it.
    if now >= unsafe { until.read_volatile() } {
        // Whoever has traced is gone.
        // SAFETY: as above.
        unsafe { until.write_volatile(0) };
        return None;
    }
    let sheet = sheet(hook)?;
    sheet.time = now;
    Some(sheet)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the verifier believes in the sheet's bounds within one function")]
fn sheet(hook: u32) -> Option<&'static mut Traced> {
    // SAFETY: this CPU's own copy, and a hook is not entered again before it is left, but by fragments that it lets go.
    TRACE_SHEETS.get_ptr_mut(hook).map(|sheet| unsafe { &mut *sheet })
}

/// Keeps the first bytes of one side. Inlined, because the verifier believes in the sheet's bounds within one function.
#[inline(always)]
fn keep(sheet: &mut Traced, side: usize, length: u32, load: impl FnOnce(*mut c_void, u32) -> i64) {
    const MOST: u32 = TRACED_BYTES as u32;
    sheet.lengths[side] = length;
    sheet.kept[side] = if length < MOST { length } else { MOST };
    // From 1 to as many as there is room for, in a form that every kernel believes.
    // SAFETY: a valid reference; volatile, so that the compiler does not see what is possible.
    let kept = unsafe { (&raw const sheet.kept[side]).read_volatile() };
    let copied = (kept.wrapping_sub(1) & (MOST - 1)) + 1;
    if load(sheet.bytes[side].as_mut_ptr().cast(), copied) != 0 {
        sheet.lengths[side] = 0;
    }
}

/// Sends a sheet to user space if it is watched, and closes it.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the verifier believes in the sheet's bounds within one function")]
#[expect(clippy::needless_borrows_for_generic_args, reason = "the stack has no room for a copy of the sheet")]
fn tell(sheet: &mut Traced) {
    if is_watched(sheet) && TRACE_EVENTS.output(&*sheet, 0).is_err() {
        sheet.lost = sheet.lost.wrapping_add(1);
    }
    sheet.lengths = [0; 2];
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the verifier believes in the sheet's bounds within one function")]
fn is_watched(sheet: &Traced) -> bool {
    let Some(watch) = TRACE_WATCH.get(0) else { return false };
    let [before, after] = &sheet.bytes;
    (watch.ifindex == 0 || watch.ifindex == sheet.ifindex)
        && (watch.reason == 0 || watch.reason == sheet.reason.wrapping_add(1))
        && (watches(watch, before, sheet.link_header) || watches(watch, after, sheet.link_header))
}

#[inline(never)]
fn watches(watch: &Watch, bytes: &[u8; TRACED_BYTES], link_header: u32) -> bool {
    watch.matches(bytes, link_header)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "a context's field")]
fn frame_length(context: *mut xdp_md) -> u32 {
    // SAFETY: the context is valid while the program runs.
    let data = unsafe { (*context).data };
    // SAFETY: the context is valid while the program runs.
    unsafe { (*context).data_end }.wrapping_sub(data)
}
