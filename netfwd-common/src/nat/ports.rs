//! Which ports to try, in which order.

/// A search through the ports `first..=last`, which starts at an unpredictable place (RFC 6056) and goes on in wide
/// steps. A range that is no longer than the search is tried completely.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    first: u16,
    last: u16,
    start: u16,
    own: u16,
}

/// A prime beyond any range: steps of this width visit every port before they come to one again.
const STEP: u32 = 786_433;

impl Search {
    /// A search through `first..=last`, which begins with `own` if that is among them; all in network order.
    pub(super) fn new(first: [u8; 2], last: [u8; 2], own: [u8; 2], random: u32) -> Self {
        let (first, last, own) = (u16::from_be_bytes(first), u16::from_be_bytes(last), u16::from_be_bytes(own));
        let search = Self::anywhere(first, last, random);
        if first <= own && own <= last { Self { own, ..search } } else { search }
    }

    /// A search through `first..=last`, which begins with `own` even if that is not among them.
    pub(super) fn starting_at(own: [u8; 2], first: u16, last: u16, random: u32) -> Self {
        Self { own: u16::from_be_bytes(own), ..Self::anywhere(first, last, random) }
    }

    fn anywhere(first: u16, last: u16, random: u32) -> Self {
        let [_, _, high, low] = random.to_be_bytes();
        let search = Self { first, last, start: u16::from_be_bytes([high, low]), own: 0 };
        Self { own: search.nth(0), ..search }
    }

    /// The port to try at an attempt (network order).
    pub(super) fn port(self, attempt: u32) -> [u8; 2] {
        if attempt == 0 { self.own.to_be_bytes() } else { self.nth(attempt).to_be_bytes() }
    }

    fn nth(self, attempt: u32) -> u16 {
        let span = u32::from(self.last.saturating_sub(self.first)).saturating_add(1);
        let steps = attempt.wrapping_mul(STEP).wrapping_add(self.start.into());
        let [_, _, high, low] = steps.checked_rem(span).unwrap_or(0).to_be_bytes();
        self.first.wrapping_add(u16::from_be_bytes([high, low]))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_port_is_in_the_range(first: u16, length: u16, random: u32, attempt in 0_u32..128) {
            let last = first.saturating_add(length);
            let port = u16::from_be_bytes(Search::anywhere(first, last, random).port(attempt));
            prop_assert!((first..=last).contains(&port));
        }

        #[test]
        fn a_short_range_is_tried_completely(first in 1_u16..65000, length in 0_u16..127, random: u32) {
            let last = first + length;
            let search = Search::anywhere(first, last, random);
            let tried: HashSet<_> = (1..128).map(|attempt| search.port(attempt)).collect();
            prop_assert_eq!(tried.len(), usize::from(length) + 1);
        }
    }

    #[test]
    fn its_own_port_is_tried_first_if_it_may_be() {
        let port = |own: u16| Search::new([0, 100], [0, 200], own.to_be_bytes(), 7).port(0);
        assert_eq!((port(100), port(200)), ([0, 100], [0, 200]));
        assert_ne!((port(99), port(201)), ([0, 99], [0, 201]));
        assert_eq!(Search::starting_at([0, 99], 100, 200, 7).port(0), [0, 99]);
    }

    #[test]
    fn every_port_of_a_long_range_can_be_the_first_choice() {
        let (first, last) = (1024_u16, 65535_u16);
        let firsts: HashSet<_> = (0..=0xffff_u32).map(|random| Search::anywhere(first, last, random).port(0)).collect();
        assert_eq!(firsts.len(), usize::from(last - first) + 1);
    }
}
