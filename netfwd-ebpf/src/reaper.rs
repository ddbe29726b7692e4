//! Removes connections that have ended, without any process: a kernel timer looks through all slots, a part at each
//! tick. Nothing waits for it: a connection that has ended matches no packet, and its tuple can be taken at once.

use core::{ffi::c_void, ops::ControlFlow, ptr};

use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, bpf_timer},
    btf_maps::Array,
    helpers::generated::{bpf_ktime_get_coarse_ns, bpf_timer_init, bpf_timer_set_callback, bpf_timer_start},
    macros::{btf_map, classifier},
    programs::TcContext,
};
use netfwd_common::{
    abi::{Address, V4, V6},
    conntrack,
    tables::{self, Tables as _},
};

use crate::{maps::Tables, repeat::repeat};

/// Nanoseconds between ticks.
const TICK: u64 = 250_000_000;
/// Ticks for a look at every slot: 10 seconds.
const TICKS_PER_ROUND: u32 = 40;
const CLOCK_MONOTONIC: u64 = 1;

/// The timer, and the slots to look at next: of IPv4 and of IPv6.
#[repr(C)]
pub(crate) struct Reaper {
    timer: bpf_timer,
    cursors: [u32; 2],
}

#[btf_map]
static REAPER: Array<Reaper, 1> = Array::new();

/// Starts the timer; user space runs this once at each attach, also to put new code in place of old.
#[classifier]
fn netfwd_reaper(_context: TcContext) -> i32 {
    let Some(reaper) = REAPER.get_ptr_mut(0) else {
        return TC_ACT_UNSPEC;
    };
    // SAFETY: a map's value, valid while the program runs.
    let timer = unsafe { &raw mut (*reaper).timer };
    // SAFETY: the timer lives in this map. It may be initialized already, which changes nothing.
    unsafe { bpf_timer_init(timer, ptr::from_ref(&REAPER).cast_mut().cast(), CLOCK_MONOTONIC) };
    // SAFETY: the callback has the signature that the kernel calls.
    unsafe { bpf_timer_set_callback(timer, tick as *mut c_void) };
    // SAFETY: the timer is initialized.
    unsafe { bpf_timer_start(timer, TICK, 0) };
    TC_ACT_UNSPEC
}

// Without no_mangle, so that the verifier sees a static function.
#[inline(never)]
extern "C" fn tick(_map: *mut c_void, _key: *mut u32, reaper: *mut Reaper) -> i32 {
    // SAFETY: the helper has no arguments.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    // SAFETY: the kernel gives the value that holds the timer, and ticks do not overlap.
    let reaper = unsafe { &mut *reaper };
    let [v4, v6] = &mut reaper.cursors;
    sweep::<V4>(v4, now);
    sweep::<V6>(v6, now);
    // SAFETY: the timer is initialized, or it would not have fired.
    unsafe { bpf_timer_start(&raw mut reaper.timer, TICK, 0) };
    0
}

/// Looks at a part of a family's slots.
#[inline(never)]
fn sweep<A: Address>(cursor: &mut u32, now: u64)
where
    Tables: tables::Tables<A>,
{
    let tables = Tables::without_packet();
    let used = tables.high_water().min(tables.max_records());
    let (first, count) = (*cursor, used / TICKS_PER_ROUND + 1);
    repeat(count, |step| {
        let number = first.wrapping_add(step);
        conntrack::sweep(&tables, if number < used { number } else { number.wrapping_sub(used) }, now);
        ControlFlow::Continue(())
    });
    let next = first.wrapping_add(count);
    *cursor = if next < used { next } else { 0 };
}
