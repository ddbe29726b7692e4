//! The timeouts by name, and what standards say of each.

use anyhow::Result;
use netfwd_common::abi::Timeouts;

use super::maps::Maps;

const SECOND: u64 = 1_000_000_000;
/// Seconds of the longest timeout that can be set: 30 days.
pub const MAX_SECONDS: u64 = 30 * 24 * 3600;

/// One of the timeouts.
pub struct Timeout {
    /// Its name.
    pub name: &'static str,
    /// Seconds that a standard demands at least.
    pub minimum: Option<u64>,
    /// What says so, or else what it is for.
    pub note: &'static str,
    field: fn(&mut Timeouts) -> &mut u64,
}

/// All timeouts, in the order of their listing.
pub static ALL: [Timeout; 12] = [
    Timeout::demanded("tcp-opening", 240, "RFC 5382 REQ-5", |all| &mut all.tcp_opening),
    Timeout::demanded("tcp-established", 7440, "RFC 5382 REQ-5", |all| &mut all.tcp_established),
    Timeout::demanded("tcp-half-closed", 240, "RFC 5382 REQ-5", |all| &mut all.tcp_half_closed),
    Timeout::demanded("tcp-closing", 240, "RFC 5382 REQ-5", |all| &mut all.tcp_closing),
    Timeout::demanded("tcp-reset", 240, "RFC 7857 section 3", |all| &mut all.tcp_reset),
    Timeout::demanded("udp-unreplied", 120, "RFC 4787 REQ-5", |all| &mut all.udp_unreplied),
    Timeout::demanded("udp", 120, "RFC 4787 REQ-5", |all| &mut all.udp),
    Timeout::demanded("icmp", 60, "RFC 5508 REQ-2", |all| &mut all.icmp),
    Timeout::free("sctp-transitory", "before SCTP's handshake and after its shutdown", |all| &mut all.sctp_transitory),
    Timeout::free("sctp-established", "between SCTP's handshake and its shutdown", |all| &mut all.sctp_established),
    Timeout::free("other", "protocols without ports", |all| &mut all.other),
    Timeout::free("fragment", "what is known of a datagram's fragments (RFC 4787 REQ-14)", |all| &mut all.fragment),
];

impl Timeout {
    const fn demanded(
        name: &'static str,
        seconds: u64,
        note: &'static str,
        field: fn(&mut Timeouts) -> &mut u64,
    ) -> Self {
        Self { name, minimum: Some(seconds), note, field }
    }

    const fn free(name: &'static str, note: &'static str, field: fn(&mut Timeouts) -> &mut u64) -> Self {
        Self { name, minimum: None, note, field }
    }

    /// The timeout with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|timeout| timeout.name == name)
    }

    /// Its seconds.
    #[must_use]
    pub fn seconds(&self, mut all: Timeouts) -> u64 {
        *(self.field)(&mut all) / SECOND
    }

    /// Sets it.
    pub fn set(&self, all: &mut Timeouts, seconds: u64) {
        *(self.field)(all) = seconds.saturating_mul(SECOND);
    }
}

/// Puts timeouts in force, and returns those that were.
pub fn put(maps: &mut Maps, timeouts: Timeouts) -> Result<Timeouts> {
    let mut settings = maps.settings()?;
    let before = std::mem::replace(&mut settings.timeouts, timeouts);
    if before != timeouts {
        maps.set_settings(&settings)?;
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timeout_has_a_name_and_a_field_of_its_own() {
        let mut timeouts = Timeouts::default();
        for (seconds, timeout) in (1..).zip(&ALL) {
            timeout.set(&mut timeouts, seconds);
        }
        for (seconds, timeout) in (1..).zip(&ALL) {
            assert_eq!(Timeout::named(timeout.name).unwrap().seconds(timeouts), seconds, "{}", timeout.name);
        }
        assert_eq!(size_of::<Timeouts>(), ALL.len() * size_of::<u64>());
        assert_eq!((timeouts.tcp_opening, timeouts.fragment), (SECOND, 12 * SECOND));
    }

    #[test]
    fn the_defaults_are_no_shorter_than_standards_demand() {
        for timeout in &ALL {
            let seconds = timeout.seconds(Timeouts::default());
            assert!(seconds >= timeout.minimum.unwrap_or(1) && seconds <= MAX_SECONDS, "{}", timeout.name);
        }
    }
}
