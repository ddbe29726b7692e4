//! The benchmark's programs: `generate` makes packets, `count` counts them where they arrive, and `forward` is what a
//! forwarder costs that does nothing else.
#![no_std]
#![no_main]

mod abi;
mod checksum;
mod count;
mod forward;
mod generate;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that could come here: the loop has no end.
    loop {}
}

// SAFETY: the symbol is unique, and its type is what the loader reads: a string with its final NUL.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
