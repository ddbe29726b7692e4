//! Loops.

use core::{ffi::c_void, ops::ControlFlow};

use aya_ebpf::helpers::generated::bpf_loop;

/// A loop that costs the verifier one pass, however often it runs (kernel 5.17).
#[inline]
pub(crate) fn repeat<F: FnMut(u32) -> ControlFlow<()>>(limit: u32, mut step: F) {
    // SAFETY: the helper calls back only before it returns, with the pointer that it was given.
    unsafe { bpf_loop(limit, call::<F> as *mut c_void, (&raw mut step).cast(), 0) };
}

// Without no_mangle, so that the verifier sees a static function.
#[inline(never)]
extern "C" fn call<F: FnMut(u32) -> ControlFlow<()>>(index: u32, step: *mut F) -> i64 {
    // SAFETY: `repeat` gave this pointer, and its closure outlives the loop.
    let step = unsafe { &mut *step };
    match step(index) {
        ControlFlow::Continue(()) => 0,
        ControlFlow::Break(()) => 1,
    }
}
