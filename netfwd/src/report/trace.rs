//! `netfwd trace`.

use netfwd_common::abi::{Reason, Side, Traced, names};
use serde::Serialize;

use super::{Address, Interface, packet::Seen};

/// What happened to a packet at a hook.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Seconds since 1970 (UTC).
    pub time: f64,
    /// The program.
    pub hook: &'static str,
    /// Where it is attached.
    pub interface: Interface,
    /// `in` or `out`, as the interface sees it.
    pub direction: &'static str,
    /// The packet as it came; `null` if it is no IP packet.
    pub before: Option<Seen>,
    /// The packet as it left.
    pub after: Option<Seen>,
    /// The connection that it belongs to.
    pub flow: Option<Flow>,
    /// That connection's mapping; `null` if it is of no mapping.
    pub mapping: Option<String>,
    /// The mapping's name, of Docker the container's.
    pub name: Option<String>,
    /// `translated`, `passed` or `dropped`.
    pub verdict: &'static str,
    /// The reason that was counted.
    pub reason: &'static str,
    /// How it goes on: `stack`, `peer`, `neigh`, `xdp`, or `none`.
    pub path: &'static str,
    /// The bridge's member by which it goes into a container.
    pub member: Option<Interface>,
}

/// A connection's tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// What its first packet looked like.
    pub original: Ends,
    /// What an answer looks like.
    pub reply: Ends,
}

/// Both ends of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// Who sends it.
    pub source: Address,
    /// Whom it is for.
    pub destination: Address,
}

impl Event {
    /// What the bytes alone tell; `time` is that of the wall clock in nanoseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact to a microsecond for some hundred years")]
    pub fn new(traced: &Traced, time: u64) -> Self {
        let link_header = traced.link_header;
        let side = |number: usize| {
            let kept = traced.kept[number] as usize;
            let bytes = traced.bytes[number].get(..kept).filter(|_| traced.lengths[number] != 0)?;
            // What was cut off is as if it were there: lengths are compared with what was sent.
            Seen::read_cut(bytes, traced.lengths[number] as usize, link_header)
        };
        let reason = Reason::ALL.into_iter().find(|reason| reason.number() == traced.reason);
        Self {
            time: (time / 1000) as f64 / 1_000_000.0,
            hook: hook(traced.hook),
            interface: Interface::with_index(traced.ifindex),
            direction: if traced.hook == u32::from(Side::Inside.number()) { "out" } else { "in" },
            before: side(0),
            after: side(1),
            flow: None,
            mapping: None,
            name: None,
            verdict: reason.map_or("passed", verdict),
            reason: reason.map_or("unknown", Reason::as_str),
            path: path(traced, reason),
            member: None,
        }
    }

    /// Whether it was an IP packet with a whole header.
    #[must_use]
    pub const fn is_ip(&self) -> bool {
        self.before.is_some() || self.after.is_some()
    }

    /// Whether its connection is one of a mapping.
    #[must_use]
    pub const fn is_mapped(&self) -> bool {
        self.mapping.is_some()
    }

    /// What became of it, without the packet itself.
    #[must_use]
    pub fn comment(&self) -> String {
        let interface = self.interface.text();
        format!("{interface} {}: {} {}{}", self.direction, self.reason, self.path, self.whose())
    }

    fn whose(&self) -> String {
        match (&self.mapping, &self.name) {
            (Some(mapping), Some(name)) => format!("  {mapping} ({name})"),
            (Some(mapping), None) => format!("  {mapping}"),
            _ => String::new(),
        }
    }

    /// All of it in a line.
    #[must_use]
    pub fn line(&self) -> String {
        let nothing = || "no IP packet".to_owned();
        let before = self.before.as_ref().map_or_else(nothing, Seen::to_string);
        let after = match (&self.before, &self.after) {
            (before, Some(after)) if before.as_ref() != Some(after) => {
                format!(" => {} -> {}", after.source, after.destination)
            }
            _ => String::new(),
        };
        let mapping = self.whose();
        let member = self.member.as_ref().map_or_else(String::new, |member| format!(" {}", member.text()));
        let (time, interface) = (clock(self.time), self.interface.text());
        format!(
            "{time} {interface} {}  {before}{after}{mapping}  {} {}{member}",
            self.direction, self.reason, self.path
        )
    }
}

fn hook(number: u32) -> &'static str {
    let is = |side: Side| number == u32::from(side.number());
    match number {
        Traced::MEMBER => names::MEMBER,
        Traced::XDP => names::XDP,
        _ if is(Side::Outside) => names::INGRESS,
        _ if is(Side::Inside) => names::EGRESS,
        _ => names::BRIDGE,
    }
}

const fn verdict(reason: Reason) -> &'static str {
    if matches!(reason, Reason::Translated | Reason::FastPath | Reason::Xdp) {
        "translated"
    } else if reason.is_drop() {
        "dropped"
    } else {
        "passed"
    }
}

fn path(traced: &Traced, reason: Option<Reason>) -> &'static str {
    let is_redirected = traced.is_redirected != 0;
    match reason {
        Some(Reason::Xdp) => "xdp",
        Some(reason) if reason.is_drop() => {
            if is_redirected {
                "answered"
            } else {
                "none"
            }
        }
        Some(Reason::FastPath) if traced.hook != Traced::MEMBER => "peer",
        _ if is_redirected => "neigh",
        _ => "stack",
    }
}

/// The time of day (UTC), to the microsecond.
#[expect(clippy::cast_sign_loss, reason = "after 1970")]
fn clock(time: f64) -> String {
    let microseconds = (time * 1_000_000.0).round() as u64;
    let seconds = microseconds / 1_000_000 % 86_400;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:06}", seconds % 60, microseconds % 1_000_000)
}

#[cfg(test)]
pub(crate) mod tests {
    use netfwd_common::abi::TRACED_BYTES;

    use super::*;

    /// A packet to a mapped port.
    pub(crate) fn event() -> Event {
        let packet = |destination: ([u8; 4], u16)| {
            let mut frame = Vec::new();
            let step = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([192, 0, 2, 1], destination.0, 64);
            step.tcp(40000, destination.1, 1, 1).syn().write(&mut frame, &[0; 400]).unwrap();
            frame
        };
        let sides = [packet(([192, 0, 2, 2], 8080)), packet(([172, 17, 0, 2], 80))];
        let mut traced = Traced {
            time: 0,
            lost: 0,
            ifindex: 0,
            reason: Reason::Translated.number(),
            is_redirected: 0,
            link_header: 14,
            lengths: [454; 2],
            kept: [TRACED_BYTES as u32; 2],
            hook: Side::Outside.number().into(),
            pad: 0,
            bytes: [[0; TRACED_BYTES]; 2],
        };
        traced.bytes.iter_mut().zip(sides).for_each(|(place, frame)| place.copy_from_slice(&frame[..TRACED_BYTES]));
        let mut event = Event::new(&traced, 86_400_000_000_000 + 3_723_000_004_000);
        event.interface.name = Some("eth0".to_owned());
        (event.mapping, event.name) = (Some("8080/tcp".to_owned()), Some("web".to_owned()));
        event
    }

    #[test]
    fn a_line_tells_the_packet_before_and_after_though_it_was_cut_off() {
        assert_eq!(
            event().line(),
            "01:02:03.000004 eth0 in  tcp 192.0.2.1:40000 -> 192.0.2.2:8080 syn => 192.0.2.1:40000 -> 172.17.0.2:80  \
             8080/tcp (web)  translated stack"
        );
        assert_eq!(event().before.unwrap().length, 440);
    }

    #[test]
    fn a_packet_that_stays_as_it_is_is_told_once() {
        let mut event = event();
        (event.after, event.mapping, event.reason) = (event.before.clone(), None, "not-ours");
        let expected = "01:02:03.000004 eth0 in  tcp 192.0.2.1:40000 -> 192.0.2.2:8080 syn  not-ours stack";
        assert_eq!(event.line(), expected);
    }
}
