//! Atomic instructions (kernel 5.12). The compiler knows them for this target; `core::sync::atomic` leaves them out,
//! because BPF processors older than v3 lack them, and its loads and stores are not lowered. A volatile access of an
//! aligned word is one instruction, which the kernel never tears.

use core::{
    intrinsics::{
        self,
        AtomicOrdering::{AcqRel, Relaxed},
    },
    sync::atomic::AtomicU64,
};

#[inline]
pub(crate) fn load(word: &AtomicU64) -> u64 {
    // SAFETY: a valid, aligned word.
    unsafe { word.as_ptr().read_volatile() }
}

#[inline]
pub(crate) fn store(word: &AtomicU64, value: u64) {
    // SAFETY: a valid, aligned word.
    unsafe { word.as_ptr().write_volatile(value) };
}

#[inline]
pub(crate) fn add(word: &AtomicU64, value: u64) {
    // SAFETY: a valid word that is only used atomically.
    unsafe { intrinsics::atomic_xadd::<_, _, { Relaxed }>(word.as_ptr(), value) };
}

/// Returns what the word was.
#[inline]
pub(crate) fn fetch_add(word: &AtomicU64, value: u64) -> u64 {
    // Not relaxed: for that LLVM 22 emits the instruction that returns nothing, and yet uses what it returns.
    // SAFETY: a valid word that is only used atomically.
    unsafe { intrinsics::atomic_xadd::<_, _, { AcqRel }>(word.as_ptr(), value) }
}

#[inline]
pub(crate) fn set(word: &AtomicU64, bits: u64) {
    // SAFETY: a valid word that is only used atomically.
    unsafe { intrinsics::atomic_or::<_, _, { Relaxed }>(word.as_ptr(), bits) };
}

#[inline]
pub(crate) fn clear(word: &AtomicU64, bits: u64) {
    // SAFETY: a valid word that is only used atomically.
    unsafe { intrinsics::atomic_and::<_, _, { Relaxed }>(word.as_ptr(), !bits) };
}

#[inline]
pub(crate) fn replace(word: &AtomicU64, old: u64, new: u64) -> bool {
    // SAFETY: a valid word that is only used atomically.
    let (_, is_replaced) = unsafe { intrinsics::atomic_cxchg::<_, { Relaxed }, { Relaxed }>(word.as_ptr(), old, new) };
    is_replaced
}
