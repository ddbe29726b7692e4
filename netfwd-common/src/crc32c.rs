//! SCTP's checksum, corrected for a change instead of computed anew.
//!
//! A CRC is linear: the checksums of two packets of one length differ by the CRC, begun with zero, of what their bytes
//! differ by. Zeros before the difference do not count, and *n* zero bytes behind it multiply it by x^8n.

/// The polynomial (RFC 9260 appendix A), with the coefficient of x^0 in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// A polynomial times each of degree below 4, whose coefficient of x^0 is in the highest of four bits.
type Multiples = [u32; 16];

/// The multiples of x^(8 * n * 64^d) for each value n of each digit d of a length: with them, and four bits at a time,
/// a multiplication has few steps for the verifier to follow.
const POWERS: [[Multiples; 64]; 3] = powers();

/// What the four bits come to that a multiplication by x^4 shifts out.
const REDUCED: Multiples = multiples(POLYNOMIAL);

/// The checksum of a packet in which 4 bytes became others, from the one that it had, as they are on the wire.
/// `bytes_after` is how many bytes follow these 4, below 256 KiB.
///
/// ```
/// // 32 zero bytes and the same with the last four changed (RFC 3720 appendix B.4 has the first).
/// let zeros = [0xaa, 0x36, 0x91, 0x8a];
/// let changed = netfwd_common::crc32c::updated(zeros, [0; 4], [0x1c, 0x1d, 0x1e, 0x1f], 0);
/// assert_eq!(netfwd_common::crc32c::updated(changed, [0x1c, 0x1d, 0x1e, 0x1f], [0; 4], 0), zeros);
/// ```
#[must_use]
#[inline(never)]
pub fn updated(checksum: [u8; 4], old: [u8; 4], new: [u8; 4], bytes_after: u32) -> [u8; 4] {
    let mut difference = u32::from_le_bytes(old) ^ u32::from_le_bytes(new);
    // The 4 bytes themselves go through the register, too.
    let mut length = bytes_after.wrapping_add(4);
    for powers in &POWERS {
        let [digit, ..] = length.to_le_bytes();
        if let Some(multiples) = powers.get(usize::from(digit & 63)) {
            difference = product(difference, multiples);
        }
        length >>= 6;
    }
    (u32::from_le_bytes(checksum) ^ difference).to_le_bytes()
}

/// A polynomial times the one that has these multiples.
fn product(factor: u32, multiples: &Multiples) -> u32 {
    let (mut product, mut left) = (0, factor);
    for _ in 0..8 {
        product = product >> 4 ^ multiple(&REDUCED, product) ^ multiple(multiples, left);
        left >>= 4;
    }
    product
}

/// The multiple by the lowest four bits.
fn multiple(multiples: &Multiples, factor: u32) -> u32 {
    let [byte, ..] = factor.to_le_bytes();
    multiples.get(usize::from(byte & 15)).copied().unwrap_or(0)
}

const fn powers() -> [[Multiples; 64]; 3] {
    let mut powers = [[[0; 16]; 64]; 3];
    let (mut digits, mut step): (&mut [[Multiples; 64]], u32) = (&mut powers, 0x0080_0000);
    while let [digit, others @ ..] = digits {
        let (mut values, mut power): (&mut [Multiples], u32) = (digit, 1 << 31);
        while let [value, others @ ..] = values {
            *value = multiples(power);
            power = product_of(power, step);
            values = others;
        }
        step = power;
        digits = others;
    }
    powers
}

const fn multiples(polynomial: u32) -> Multiples {
    let mut multiples = [0; 16];
    let (mut values, mut factor): (&mut [u32], u32) = (&mut multiples, 0);
    while let [value, others @ ..] = values {
        *value = product_of(factor << 28, polynomial);
        factor = factor.wrapping_add(1);
        values = others;
    }
    multiples
}

/// Bit by bit.
const fn product_of(mut a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    while a != 0 {
        product ^= 0_u32.wrapping_sub(a >> 31) & b;
        b = b >> 1 ^ (0_u32.wrapping_sub(b & 1) & POLYNOMIAL);
        a <<= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Bit by bit.
    fn computed(bytes: &[u8]) -> [u8; 4] {
        let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
        let crc = bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)));
        (!crc).to_le_bytes()
    }

    #[test]
    fn the_reference_is_the_standards_checksum() {
        // RFC 3720 appendix B.4; the check value of CRC-32C.
        assert_eq!(computed(&[0; 32]), [0xaa, 0x36, 0x91, 0x8a]);
        assert_eq!(computed(&[0xff; 32]), [0x43, 0xab, 0xa8, 0x62]);
        assert_eq!(computed(b"123456789"), 0xe306_9283_u32.to_le_bytes());
    }

    proptest! {
        #[test]
        fn a_corrected_checksum_is_the_one_computed_anew(
            before in vec(any::<u8>(), 0..40),
            old: [u8; 4],
            new: [u8; 4],
            after in prop_oneof![9 => 0..2000_u32, 1 => 0..70_000_u32],
        ) {
            let rest = vec![0x5a; usize::try_from(after).unwrap()];
            let checksum = |bytes: [u8; 4]| computed(&[before.as_slice(), &bytes, &rest].concat());
            prop_assert_eq!(updated(checksum(old), old, new, after), checksum(new));
        }
    }
}
