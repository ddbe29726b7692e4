//! RFC 1071.

/// The checksum of words with this sum.
#[inline]
pub(crate) const fn finish(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    !(twice as u16)
}

/// The sum of a number's two words.
#[inline]
pub(crate) const fn words(number: u32) -> u32 {
    (number >> 16) + (number & 0xffff)
}
