//! Numbers as short texts.

/// A number in four digits or less, and a suffix: `950`, `12.3k`, `4.5M`.
pub(super) fn amount(number: u64) -> String {
    const SUFFIXES: [(u64, &str); 4] = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match SUFFIXES.into_iter().find(|(unit, _)| number >= *unit) {
        Some((unit, suffix)) if number / unit >= 100 => format!("{}{suffix}", number / unit),
        Some((unit, suffix)) => format!("{}.{}{suffix}", number / unit, number % unit * 10 / unit),
        None => number.to_string(),
    }
}

/// A rate in bits.
pub(super) fn bits(rate: u64) -> String {
    format!("{}bit/s", amount(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [0, 999, 1000, 12_399, 999_999, 1_000_000, 4_560_000_000, 7_000_000_000_000, u64::MAX];
        let texts = ["0", "999", "1.0k", "12.3k", "999k", "1.0M", "4.5G", "7.0T", "18446744T"];
        assert_eq!(numbers.map(amount), texts);
        assert_eq!(bits(1_250_000), "1.2Mbit/s");
    }
}
