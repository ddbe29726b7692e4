//! The ports that masquerading chooses from, as users write and read them.

use netfwd_common::abi::{PortChoice, PortRange};
use serde::Serialize;

/// Ranges at most.
pub const MAX_RANGES: usize = 4;

/// Ports `first..=last` (host order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Range {
    /// The first port.
    pub first: u16,
    /// The last one.
    pub last: u16,
}

/// A choice of ports: those of `ranges`, which are at most [`MAX_RANGES`]; without any the usual ones.
///
/// As with netfilter, a source port below 1024 keeps its class (RFC 4787 REQ-3a) unless ranges are given.
#[must_use]
pub fn choice(ranges: &[Range], keeps_parity: bool) -> PortChoice {
    let usual = PortChoice::default();
    let parity = if keeps_parity { PortChoice::KEEP_PARITY } else { 0 };
    if ranges.is_empty() {
        return PortChoice::new(usual.ranges, usual.flags | parity);
    }
    let mut wanted = ranges.iter();
    let chosen = [(); MAX_RANGES]
        .map(|()| wanted.next().map_or_else(PortRange::default, |range| PortRange::new(range.first, range.last)));
    PortChoice::new(chosen, parity)
}

/// The ranges of a choice.
#[must_use]
pub fn ranges(choice: &PortChoice) -> Vec<Range> {
    choice.ranges.iter().filter_map(|range| range.bounds()).map(|(first, last)| Range { first, last }).collect()
}

/// Whether an even port gets an even one and an odd port an odd one.
#[must_use]
pub fn keeps_parity(choice: &PortChoice) -> bool {
    choice.flags & PortChoice::KEEP_PARITY != 0
}

/// A choice as it is written: `1024-65535`.
#[must_use]
pub fn text(choice: &PortChoice) -> String {
    let parity = if keeps_parity(choice) { " of the same parity" } else { "" };
    format!("{}{parity}", written(&ranges(choice)))
}

/// Ranges as they are written: `1024-2047,4096-8191`.
#[must_use]
pub fn written(ranges: &[Range]) -> String {
    let ranges: Vec<_> = ranges.iter().map(|Range { first, last }| format!("{first}-{last}")).collect();
    ranges.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_was_made() {
        let wanted = [Range { first: 1024, last: 2047 }, Range { first: 4096, last: 4096 }];
        let made = choice(&wanted, true);
        assert_eq!(ranges(&made), wanted);
        assert!(keeps_parity(&made) && made.flags & PortChoice::KEEP_CLASS == 0);
        assert_eq!(text(&made), "1024-2047,4096-4096 of the same parity");
    }

    #[test]
    fn without_ranges_it_is_the_usual_choice() {
        assert_eq!(choice(&[], false), PortChoice::default());
        assert_eq!(text(&choice(&[], false)), "1024-65535");
        assert_eq!(choice(&[], true).flags, PortChoice::KEEP_CLASS | PortChoice::KEEP_PARITY);
    }
}
