//! Which ports to try, in which order.

use crate::abi::{PortChoice, PortRange, Protocol};

/// Ports tried at most for one record.
const ATTEMPTS: u32 = 128;

/// A search through ports, which starts at an unpredictable place (RFC 6056) and goes on in wide steps. It begins with
/// the packet's own port if that may be kept. Ranges that are no longer than the search are tried completely.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    choice: PortChoice,
    span: u32,
    start: u32,
    own: [u8; 2],
    begins_with_own: bool,
}

/// A prime beyond all ports of all ranges: steps of this width visit every port before they come to one again.
const STEP: u32 = 786_433;

/// The ports below 1024, which stay among themselves.
const CLASS: PortRange = PortRange::new(1, 1023);
const IDENTIFIERS: PortRange = PortRange::new(1, u16::MAX);
const UNPRIVILEGED: PortRange = PortRange::new(1024, u16::MAX);

impl Search {
    /// For no port yet.
    pub(crate) const EMPTY: Self =
        Self { choice: PortChoice::NONE, span: 0, start: 0, own: [0; 2], begins_with_own: true };

    /// Makes it one for the sender's port `own` (network order) of a packet that is masqueraded.
    pub fn for_sender(&mut self, choice: &PortChoice, protocol: Protocol, own: [u8; 2], random: u32) {
        match protocol {
            Protocol::TCP | Protocol::UDP | Protocol::SCTP if choice.keeps_class(own) => {
                self.choice.set_one(CLASS, choice.flags);
            }
            Protocol::TCP | Protocol::UDP | Protocol::SCTP => self.choice = *choice,
            // Identifiers have no privileged range and no parity.
            Protocol::ICMP | Protocol::ICMPV6 => self.choice.set_one(IDENTIFIERS, 0),
            _ => return self.only(own),
        }
        self.begin(own, random);
        self.begins_with_own = self.choice.contains(own);
    }

    /// Makes it one for the port `own` of a client, which is kept if that is possible: two of the host's addresses may
    /// be mapped to one container port.
    pub fn for_client(&mut self, protocol: Protocol, own: [u8; 2], random: u32) {
        if !matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::SCTP) {
            return self.only(own);
        }
        self.choice.set_one(UNPRIVILEGED, 0);
        self.begin(own, random);
        self.begins_with_own = true;
    }

    /// Makes it one for this port and no other.
    pub fn only(&mut self, own: [u8; 2]) {
        (self.span, self.start, self.own, self.begins_with_own) = (0, 0, own, true);
    }

    fn begin(&mut self, own: [u8; 2], random: u32) {
        self.span = self.choice.span();
        self.start = random.checked_rem(self.span).unwrap_or(0);
        self.own = own;
    }

    /// How many attempts there are.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.span.saturating_add(1).min(ATTEMPTS)
    }

    /// Writes the port to try at an attempt (network order). `false`: there is none, go on with the next attempt.
    #[must_use]
    pub fn write_port(&self, attempt: u32, port: &mut [u8; 2]) -> bool {
        if attempt == 0 && self.begins_with_own {
            *port = self.own;
            return true;
        }
        let steps = attempt.wrapping_mul(STEP).wrapping_add(self.start);
        match steps.checked_rem(self.span) {
            Some(number) => self.choice.write_nth(number, port) && self.choice.match_parity(self.own, port),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn choice(ranges: &[(u16, u16)], flags: u8) -> PortChoice {
        let mut all = [PortRange::default(); 4];
        for (range, (first, last)) in all.iter_mut().zip(ranges) {
            *range = PortRange::new(*first, *last);
        }
        PortChoice::new(all, flags)
    }

    fn ports(search: &Search) -> Vec<u16> {
        let mut port = [0; 2];
        let tried = (0..search.attempts()).filter_map(|attempt| search.write_port(attempt, &mut port).then_some(port));
        tried.map(u16::from_be_bytes).collect()
    }

    fn for_sender(choice: &PortChoice, own: u16, random: u32) -> Search {
        let mut search = Search::EMPTY;
        search.for_sender(choice, Protocol::UDP, own.to_be_bytes(), random);
        search
    }

    proptest! {
        #[test]
        fn every_port_is_in_a_range(first in 1_u16.., length: u16, more in 1_u16..1000, own: u16, random: u32) {
            let last = first.saturating_add(length);
            let choice = choice(&[(first, last), (1, more)], 0);
            for port in ports(&for_sender(&choice, own, random)) {
                prop_assert!((first..=last).contains(&port) || (1..=more).contains(&port));
            }
        }

        #[test]
        fn short_ranges_are_tried_completely(first in 1_u16..30000, length in 0_u16..60, other in 40000_u16..60000, random: u32) {
            let choice = choice(&[(first, first + length), (other, other + length)], 0);
            let tried: HashSet<_> = ports(&for_sender(&choice, 65535, random)).into_iter().collect();
            prop_assert_eq!(tried.len(), 2 * (usize::from(length) + 1));
        }

        #[test]
        fn parity_is_kept(first in 1_u16..60000, length in 0_u16..5000, own in 1_u16.., random: u32) {
            let choice = choice(&[(first, first + length)], PortChoice::KEEP_PARITY);
            for port in ports(&for_sender(&choice, own, random)) {
                prop_assert_eq!(port % 2, own % 2);
                prop_assert!((first..=first + length).contains(&port));
            }
        }
    }

    #[test]
    fn its_own_port_is_tried_first_if_it_may_be() {
        let choice = choice(&[(100, 200)], 0);
        let first = |own| ports(&for_sender(&choice, own, 7))[0];
        assert_eq!((first(100), first(200)), (100, 200));
        assert_ne!((first(99), first(201)), (99, 201));
        let mut client = Search::EMPTY;
        client.for_client(Protocol::TCP, [0, 99], 7);
        let [own, others @ ..] = ports(&client).try_into().unwrap_or([0; 128]);
        assert_eq!(own, 99);
        assert!(others.iter().all(|port| *port >= 1024));
    }

    #[test]
    fn a_privileged_port_stays_among_its_class() {
        let tried = ports(&for_sender(&PortChoice::default(), 500, 12345));
        assert_eq!((tried[0], tried.len()), (500, 128));
        assert!(tried.iter().all(|port| *port < 1024));
        assert!(ports(&for_sender(&PortChoice::default(), 5000, 12345)).iter().all(|port| *port >= 1024));
    }

    #[test]
    fn every_port_of_a_long_range_can_be_the_first_choice() {
        let choice = choice(&[(1024, 65535)], 0);
        let firsts: HashSet<_> = (0..0x1_0000).map(|random| ports(&for_sender(&choice, 80, random))[0]).collect();
        assert_eq!(firsts.len(), 64512);
    }

    #[test]
    fn what_has_no_ports_is_tried_once() {
        let mut search = Search::EMPTY;
        search.for_sender(&PortChoice::default(), Protocol::from_number(47), [0, 0], 7);
        assert_eq!(ports(&search), [0]);
    }
}
