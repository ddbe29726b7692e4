//! A range of ports as prefixes of a port's 16 bits.

use crate::mapping::Ports;

/// The ports whose first `length` bits are those of `port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Prefix {
    pub(super) port: u16,
    pub(super) length: u32,
}

impl Prefix {
    /// All of them, but for port 0.
    pub(super) fn ports(self) -> Option<Ports> {
        let last = self.port | u16::MAX.checked_shr(self.length).unwrap_or_default();
        Ports::new(self.port.max(1), last)
    }
}

/// The fewest prefixes that cover exactly these ports: at most 30.
pub(super) fn of(ports: Ports) -> impl Iterator<Item = Prefix> {
    let end = u32::from(ports.last()) + 1;
    let mut next = u32::from(ports.first());
    std::iter::from_fn(move || {
        let room = (end - next).checked_ilog2()?;
        let bits = room.min(next.trailing_zeros());
        let prefix = Prefix { port: next as u16, length: u16::BITS - bits };
        next += 1 << bits;
        Some(prefix)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefixes(first: u16, last: u16) -> Vec<Prefix> {
        of(Ports::new(first, last).unwrap()).collect()
    }

    fn members(prefix: Prefix) -> impl Iterator<Item = u32> {
        let ports = prefix.ports().unwrap();
        ports.first().into()..=ports.last().into()
    }

    #[test]
    fn one_port_is_one_whole_prefix() {
        assert_eq!(prefixes(8080, 8080), [Prefix { port: 8080, length: 16 }]);
    }

    #[test]
    fn aligned_ports_are_one_prefix() {
        assert_eq!(prefixes(4096, 8191), [Prefix { port: 4096, length: 4 }]);
    }

    #[test]
    fn the_worst_range_has_30_prefixes() {
        assert_eq!(prefixes(1, u16::MAX - 1).len(), 30);
    }

    proptest! {
        #[test]
        fn prefixes_cover_each_port_of_the_range_once_and_no_other(a in 1_u16.., b in 1_u16..) {
            let (first, last) = (a.min(b), a.max(b));
            let covered: Vec<_> = prefixes(first, last).into_iter().flat_map(members).collect();
            prop_assert_eq!(covered, (u32::from(first)..=u32::from(last)).collect::<Vec<_>>());
        }

        #[test]
        fn a_prefix_has_no_bits_behind_its_length(a in 1_u16.., b in 1_u16..) {
            for prefix in prefixes(a.min(b), a.max(b)) {
                prop_assert!(u32::from(prefix.port).trailing_zeros() >= u16::BITS - prefix.length);
            }
        }
    }
}
