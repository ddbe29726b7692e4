//! Figures as text.

use crate::record::Summary;

/// The median with least and most.
pub(crate) fn figure(summary: Summary, unit: &str) -> String {
    let Summary { median, least, most } = summary;
    format!("{} ({} to {}) {unit}", number(median), number(least), number(most))
}

/// Three digits at least, thousands apart.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        ..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut apart = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart + rest
}

/// A ratio with its least and most.
pub(crate) fn ratio(summary: Summary) -> String {
    let Summary { median, least, most } = summary;
    format!("{median:.2} × ({least:.2} to {most:.2})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_their_thousands_apart() {
        let cases =
            [(0.0, "0"), (1.0, "1"), (1.234, "1.23"), (12.34, "12.3"), (999.6, "1,000"), (1_234_567.0, "1,234,567")];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }
}
