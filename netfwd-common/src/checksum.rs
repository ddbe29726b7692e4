//! The Internet checksum, computed (RFC 1071) or corrected for a change (RFC 1624, equation 3).
//!
//! One's-complement addition is the same in either byte order (RFC 1071 section 2), so bytes are taken as they are
//! on the wire and the result is written back as it is: nothing is swapped for the host.

/// A sum of 16-bit words, or of their change, for a few hundred of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u32);

impl Sum {
    /// Adds bytes that stand at an even offset of the data. An odd last byte is padded with zero.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0 = self.0.wrapping_add(total(bytes));
    }

    /// Adds the change of bytes at an even offset; both have the same, even length.
    pub fn replace(&mut self, old: &[u8], new: &[u8]) {
        self.0 = self.0.wrapping_add(total_change(old, new));
    }

    /// The checksum of data with this sum.
    #[must_use]
    pub fn checksum(self) -> [u8; 2] {
        (!fold(self.0)).to_be_bytes()
    }

    /// The checksum of data whose sum has changed by this, from the checksum that it had.
    #[must_use]
    pub fn correct(self, checksum: [u8; 2]) -> [u8; 2] {
        Self(self.0.wrapping_add(u32::from(!u16::from_be_bytes(checksum)))).checksum()
    }
}

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
    let mut change = Sum::default();
    change.replace(old, new);
    change.correct(checksum)
}

/// The checksum of data, whose own checksum field counts as zero or is included to verify it.
///
/// An odd last byte is padded with zero.
#[must_use]
pub fn full(data: &[u8]) -> [u8; 2] {
    let mut sum = Sum::default();
    sum.add(data);
    sum.checksum()
}

/// By how much a sum of 16-bit words has changed, for a few hundred of them. The words are as they are in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change(u32);

impl Change {
    /// That of nothing.
    pub const NONE: Self = Self(0);

    /// That of words that became others.
    #[inline]
    #[must_use]
    pub fn of<const N: usize>(old: [u16; N], new: [u16; N]) -> Self {
        let terms = old.into_iter().zip(new).map(|(old, new)| u32::from(!old).wrapping_add(u32::from(new)));
        Self(terms.fold(0, u32::wrapping_add))
    }

    /// Both changes.
    #[inline]
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// The checksum of what has changed, from the one that it had.
    #[inline]
    #[must_use]
    pub fn correct(self, checksum: u16) -> u16 {
        !fold(self.0.wrapping_add(u32::from(!checksum)))
    }

    /// Whether no sum notices it: as when every word is what it was.
    #[inline]
    #[must_use]
    pub fn is_none(self) -> bool {
        // Zero has two forms in one's complement.
        matches!(fold(self.0), 0 | 0xffff)
    }

    /// The change that the kernel has computed: a 32-bit sum, `__wsum`.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        let once = (bits & 0xffff).wrapping_add(bits >> 16);
        Self(once)
    }

    /// The change as a 32-bit sum, which the kernel calls `__wsum`.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

// Never inlined: unrolled, they would need more of a program's small stack than all else does.
#[inline(never)]
fn total(bytes: &[u8]) -> u32 {
    words(bytes).fold(0, |sum, word| sum.wrapping_add(u32::from(word)))
}

#[inline(never)]
fn total_change(old: &[u8], new: &[u8]) -> u32 {
    words(old).zip(words(new)).fold(0, |sum, (old, new)| sum.wrapping_add(u32::from(!old)).wrapping_add(u32::from(new)))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.chunks(2).map(|chunk| match *chunk {
        [high, low] => u16::from_be_bytes([high, low]),
        [last] => u16::from_be_bytes([last, 0]),
        _ => 0,
    })
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff).wrapping_add(sum >> 16);
    // With a carry, the rest is at most 0xfffe: this cannot carry again.
    let [low, high, ..] = once.wrapping_add(once >> 16).to_le_bytes();
    u16::from_le_bytes([low, high])
}
