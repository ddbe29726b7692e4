//! netfwd's kernel part: hooks and map access. What happens to a packet is decided in `netfwd-common`.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "the only way to the target's atomic instructions")]

mod atomics;
mod cgroup;
mod direct;
mod held;
mod host;
mod maps;
mod reaper;
mod repeat;
mod skb;
mod tc;
mod trace;
mod xdp;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that could come here: the loop has no end.
    loop {}
}

/// The kernel lends some of the helpers used here to GPL-compatible programs alone.
// SAFETY: the symbol is unique, and its type is what the loader reads: a string with its final NUL.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
