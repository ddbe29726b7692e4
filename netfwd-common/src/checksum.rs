//! The Internet checksum, corrected for a change instead of computed anew (RFC 1624, equation 3).
//!
//! One's-complement addition is the same in either byte order (RFC 1071 section 2), so bytes are taken as they are
//! on the wire and the result is written back as it is: nothing is swapped for the host.

/// The checksum of data in which the bytes `old` became `new`, from the checksum that it had.
///
/// Both slices stand at an even offset of the data and have the same, even length.
///
/// ```
/// // RFC 1624, section 4: 0x5555 becomes 0x3285.
/// assert_eq!(netfwd_common::checksum::update([0xdd, 0x2f], &[0x55, 0x55], &[0x32, 0x85]), [0x00, 0x00]);
/// ```
#[must_use]
pub fn update(checksum: [u8; 2], old: &[u8], new: &[u8]) -> [u8; 2] {
    let removed = words(old).fold(0_u32, |sum, word| sum.wrapping_add(u32::from(!word)));
    let added = words(new).fold(0_u32, |sum, word| sum.wrapping_add(u32::from(word)));
    let before = u32::from(!u16::from_be_bytes(checksum));
    (!fold(before.wrapping_add(removed).wrapping_add(added))).to_be_bytes()
}

/// The checksum of data, whose own checksum field counts as zero or is included to verify it.
///
/// An odd last byte is padded with zero.
#[must_use]
pub fn full(data: &[u8]) -> [u8; 2] {
    (!fold(words(data).fold(0, |sum, word| sum.wrapping_add(u32::from(word))))).to_be_bytes()
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.chunks(2).map(|chunk| match *chunk {
        [high, low] => u16::from_be_bytes([high, low]),
        [last] => u16::from_be_bytes([last, 0]),
        _ => 0,
    })
}

fn fold(sum: u32) -> u16 {
    let [a, b, c, d] = sum.to_be_bytes();
    let (low, carry) = u16::from_be_bytes([a, b]).overflowing_add(u16::from_be_bytes([c, d]));
    // With a carry, low is at most 0xfffe: this cannot overflow again.
    low.wrapping_add(u16::from(carry))
}
