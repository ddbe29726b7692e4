//! Bytes at hand: between the `data` and `data_end` of a context, which the kernel makes pointers of.

use core::ptr;

use aya_ebpf::helpers::generated::bpf_csum_diff;
use netfwd_common::checksum::Change;

/// Where the bytes at hand begin and end. To be asked for anew each time: a helper may move them.
#[derive(Clone, Copy)]
pub(crate) struct AtHand {
    pub(crate) data: u32,
    pub(crate) end: u32,
}

impl AtHand {
    /// The `N` words from byte `at` on, if they are at hand.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    pub(crate) fn words<const N: usize>(self, at: usize) -> Option<[u16; N]> {
        let words: *mut [u16; N] = self.place(at)?;
        // SAFETY: they are before the end of what is at hand.
        Some(unsafe { *words })
    }

    /// Overwrites the `N` words from byte `at` on, if they are at hand. The bytes must be this packet's own.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    pub(crate) fn set_words<const N: usize>(self, at: usize, words: [u16; N]) -> Option<()> {
        let place: *mut [u16; N] = self.place(at)?;
        // SAFETY: they are before the end of what is at hand, and nobody else's.
        unsafe { *place = words };
        Some(())
    }

    /// The same for an even number of words, and what that changes.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    pub(crate) fn replace<const N: usize>(self, at: usize, words: &[u16; N]) -> Option<Change> {
        let place: *mut [u16; N] = self.place(at)?;
        let (size, new) = (size_of::<[u16; N]>() as u32, ptr::from_ref(words).cast_mut());
        // SAFETY: the helper reads so many bytes of both.
        let change = unsafe { bpf_csum_diff(place.cast(), size, new.cast(), size, 0) };
        // SAFETY: as in `set_words`.
        unsafe { *place = *words };
        Some(Change::from_bits(change.cast_unsigned() as u32))
    }

    /// Where the `T` is that begins at byte `at`, if all of it is at hand.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    fn place<T>(self, at: usize) -> Option<*mut T> {
        let begin = self.data as usize + at;
        (begin + size_of::<T>() <= self.end as usize).then_some(begin as *mut T)
    }
}
