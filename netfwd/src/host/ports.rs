//! The ports that the kernel gives to the host's sockets by itself, and those that it is told to leave out.
//!
//! Both are of the network namespace, and the same for IPv4 and IPv6.

use std::{
    fmt::{self, Write as _},
    fs::{self, File},
    io::Read as _,
};

use anyhow::{Context as _, Result};

use crate::mapping::Ports;

const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
const RESERVED_NAME: &str = "net.ipv4.ip_local_reserved_ports";
/// Every second port by itself: 5 digits and a comma for each.
const LONGEST_LIST: usize = 6 * PORTS / 2;
const PORTS: usize = 1 << u16::BITS;

/// Any set of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSet(Vec<bool>);

impl Default for PortSet {
    fn default() -> Self {
        Self(vec![false; PORTS])
    }
}

impl PortSet {
    /// Adds ports.
    pub fn insert(&mut self, ports: Ports) {
        self.0[index(ports)].fill(true);
    }

    /// Adds the ports of another set.
    pub fn insert_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own |= other);
    }

    /// Takes the ports of another set away.
    pub fn remove_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own &= !other);
    }

    /// Takes all ports away that are not in another set.
    pub fn keep_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own &= other);
    }

    /// Whether a port is among them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0[usize::from(port)]
    }

    /// Whether any of these is among them.
    #[must_use]
    pub fn has_any_of(&self, ports: Ports) -> bool {
        self.0[index(ports)].contains(&true)
    }

    /// The longest runs of ports that are all among the set, or all not, in their order.
    pub fn runs(&self, ports: Ports) -> impl Iterator<Item = (Ports, bool)> {
        let mut first = ports.first();
        self.0[index(ports)].chunk_by(|a, b| a == b).filter_map(move |run| {
            let last = first + (run.len() - 1) as u16;
            let ports = Ports::new(first, last)?;
            first = last.wrapping_add(1);
            Some((ports, run.contains(&true)))
        })
    }

    /// The first `count` ports in a row of these that are not among the set.
    #[must_use]
    pub fn first_gap(&self, among: Ports, count: usize) -> Option<Ports> {
        let (gap, _) = self.runs(among).find(|(ports, is_member)| !is_member && ports.count() >= count)?;
        Ports::new(gap.first(), gap.first() + (count.checked_sub(1)? as u16))
    }

    /// As the kernel writes it.
    fn parse(text: &str) -> Option<Self> {
        let mut set = Self::default();
        for word in text.trim().split(',').filter(|word| !word.is_empty()) {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
            // Port 0 means nothing, but the kernel takes it.
            let Some(ports) = Ports::new(first.max(1), last) else { continue };
            set.insert(ports);
        }
        Some(set)
    }
}

fn index(ports: Ports) -> std::ops::RangeInclusive<usize> {
    ports.first().into()..=ports.last().into()
}

/// As the kernel reads it.
impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(all) = Ports::new(1, u16::MAX) else { return Ok(()) };
        for (number, (ports, _)) in self.runs(all).filter(|(_, is_member)| *is_member).enumerate() {
            if number > 0 {
                f.write_char(',')?;
            }
            write!(f, "{ports}")?;
        }
        Ok(())
    }
}

/// The ports that the kernel chooses from (`ip_local_port_range`).
pub fn ephemeral() -> Result<Ports> {
    let text = fs::read_to_string(RANGE).with_context(|| format!("cannot read {RANGE}"))?;
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    let ports = numbers.next().zip(numbers.next()).and_then(|(first, last)| Ports::new(first, last));
    ports.with_context(|| format!("{RANGE} has no range of ports: {text:?}"))
}

/// The ports that it leaves out (`ip_local_reserved_ports`).
pub fn reserved() -> Result<PortSet> {
    let cannot_read = || format!("cannot read {RESERVED}");
    // The kernel tells no more than what fits into the first read.
    let mut buffer = vec![0; LONGEST_LIST];
    let length = File::open(RESERVED).and_then(|mut file| file.read(&mut buffer)).with_context(cannot_read)?;
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    PortSet::parse(&text).with_context(|| format!("{RESERVED} has no list of ports: {text:?}"))
}

/// Tells it which ports to leave out: these alone.
pub fn set_reserved(ports: &PortSet) -> Result<()> {
    // The kernel takes a long list in parts, and adds the later ones to the first.
    fs::write(RESERVED, format!("{ports}\n"))
        .with_context(|| format!("cannot keep the host's sockets away from mapped ports ({RESERVED_NAME})"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ports(first: u16, last: u16) -> Ports {
        Ports::new(first, last).unwrap()
    }

    #[test]
    fn a_list_is_read_and_written_as_the_kernel_does() {
        for text in ["", "80", "80,8000-8010,65535", "1-65535"] {
            assert_eq!(PortSet::parse(&format!("{text}\n")).unwrap().to_string(), text);
        }
        assert_eq!(PortSet::parse("0-2,2-5,7-7").unwrap().to_string(), "1-5,7");
        assert_eq!(PortSet::parse("80;90"), None);
    }

    #[test]
    fn a_gap_is_the_first_with_room() {
        let set = PortSet::parse("10-12,15,20").unwrap();
        assert_eq!(set.first_gap(ports(10, 30), 1), Some(ports(13, 13)));
        assert_eq!(set.first_gap(ports(10, 30), 4), Some(ports(16, 19)));
        assert_eq!(set.first_gap(ports(10, 30), 10), Some(ports(21, 30)));
        assert_eq!(set.first_gap(ports(10, 30), 11), None);
        assert_eq!(PortSet::default().first_gap(ports(1, u16::MAX), 65_535), Some(ports(1, u16::MAX)));
    }

    proptest! {
        #[test]
        fn runs_follow_each_other_and_alternate(members in proptest::collection::vec(1_u16..60, 0..30), first in 1_u16..30, more in 0_u16..30) {
            let mut set = PortSet::default();
            for port in members {
                set.insert(ports(port, port));
            }
            let mut next = first;
            for (run, is_member) in set.runs(ports(first, first + more)) {
                prop_assert_eq!(run.first(), next);
                prop_assert!((run.first()..=run.last()).all(|port| set.contains(port) == is_member));
                next = run.last() + 1;
            }
            prop_assert_eq!(next, first + more + 1);
        }
    }
}
