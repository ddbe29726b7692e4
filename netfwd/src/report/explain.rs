//! `netfwd explain`.

mod lines;

use std::fmt::Write as _;

use netfwd_common::{
    abi::{Reason, Rule},
    verdict::Verdict,
};
use serde::Serialize;

use super::{Address, Interface, packet::Seen};
use crate::{
    datapath::mappings::Labels,
    explain::{End, Known, Question, Visit, Walk},
    render::Listing,
};

/// What would happen to a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The packet.
    pub packet: Option<Seen>,
    /// The programs that it would meet, in order.
    pub hooks: Vec<Hook>,
    /// What would become of it.
    pub result: Outcome,
}

/// What a program would do, in five steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// The program.
    pub hook: &'static str,
    /// Where it is attached.
    pub interface: Interface,
    /// What the packet is.
    pub parse: String,
    /// Its connection.
    pub track: String,
    /// What is chosen for one that has none.
    pub choose: Vec<String>,
    /// The packet after it, if it is another one.
    pub rewrite: Option<String>,
    /// The reason that would be counted.
    pub report: &'static str,
    /// `pass`, `translated`, `redirected`, `dropped` or `answered`.
    pub verdict: &'static str,
}

/// What would become of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// `container`, `neighbour`, `forwarded`, `host`, `instead`, `dropped`, `refused` or `no-route`.
    pub end: &'static str,
    /// The reason of the program that decided.
    pub reason: Option<&'static str>,
    /// The interface by which it leaves.
    pub interface: Option<Interface>,
    /// The packet as it leaves.
    pub packet: Option<Seen>,
    /// The name of the mapping that it belongs to, of Docker the container's.
    pub name: Option<String>,
    /// All of this in a line.
    pub text: String,
}

impl Explanation {
    /// The way of a packet, in words.
    #[must_use]
    pub fn new<A: Known>(walk: &Walk<A>, question: &Question, labels: &Labels) -> Self {
        let hooks = walk.visits.iter().map(|visit| Hook::new(visit, labels)).collect();
        let bytes = question.frame(None).unwrap_or_default();
        Self { packet: Seen::read(&bytes, 0), hooks, result: Outcome::new(walk, labels) }
    }
}

impl Hook {
    fn new<A: Known>(visit: &Visit<A>, labels: &Labels) -> Self {
        let [before, after] = [&visit.before, &visit.after].map(|frame| Seen::read(&frame.bytes, frame.link_header));
        let text = |seen: &Option<Seen>| seen.as_ref().map_or_else(|| "no IP packet".to_owned(), Seen::to_string);
        Self {
            hook: visit.hook,
            interface: Interface::with_index(visit.interface),
            parse: text(&before),
            track: lines::track(visit),
            choose: lines::choose(visit, labels),
            rewrite: (before != after).then(|| text(&after)),
            report: visit.reason.as_str(),
            verdict: match visit.verdict {
                Verdict::Translated => "translated",
                Verdict::Redirected(_) | Verdict::ToContainer(_) | Verdict::ToNeighbour(_) => "redirected",
                Verdict::Pass(_) => "pass",
                Verdict::Drop(_) => "dropped",
                Verdict::Answered(..) => "answered",
            },
        }
    }
}

impl Outcome {
    fn new<A: Known>(walk: &Walk<A>, labels: &Labels) -> Self {
        let packet = Seen::read(&walk.packet.bytes, walk.packet.link_header);
        let instead = if let End::Instead(_, rule) = walk.end { Some(rule) } else { None };
        let rule = walk.visits.iter().find_map(rule_of).or(instead);
        let name = rule.map(|rule| labels.of(rule).name).filter(|name| !name.is_empty());
        let decided = walk.visits.iter().find(|visit| !matches!(visit.verdict, Verdict::Pass(_)));
        let reason = decided.or(walk.visits.last()).map(|visit| visit.reason);
        let interface = interface(walk.end).map(Interface::with_index);
        let text = text(walk.end, packet.as_ref(), interface.as_ref(), name.as_deref(), reason);
        Self { end: word(walk.end), reason: reason.map(Reason::as_str), interface, packet, name, text }
    }
}

fn rule_of<A>(visit: &Visit<A>) -> Option<Rule> {
    visit.connection.as_ref().map(|connection| connection.record.rule)
}

const fn word(end: End) -> &'static str {
    match end {
        End::Dropped(_) => "dropped",
        End::Refused(_) => "refused",
        End::Container(_) => "container",
        End::Neighbour(_) => "neighbour",
        End::Forwarded(_) => "forwarded",
        End::Host => "host",
        End::NoRoute => "no-route",
        End::Instead(..) => "instead",
    }
}

const fn interface(end: End) -> Option<u32> {
    match end {
        End::Container(index) | End::Neighbour(index) | End::Forwarded(index) => Some(index),
        End::Dropped(_) | End::Refused(_) | End::Host | End::NoRoute | End::Instead(..) => None,
    }
}

fn text(
    end: End,
    packet: Option<&Seen>,
    interface: Option<&Interface>,
    name: Option<&str>,
    reason: Option<Reason>,
) -> String {
    let name = name.map_or_else(String::new, |name| format!(" ({name})"));
    let to = packet.map_or_else(String::new, |packet| packet.destination.to_string());
    let by = interface.map_or_else(String::new, Interface::text);
    let mut text = match end {
        End::Dropped(_) => "would be dropped".to_owned(),
        End::Refused(_) => "would be dropped, and its sender told so by ICMP".to_owned(),
        End::Container(_) | End::Neighbour(_) => format!("would be sent to {to}{name} by {by}, past the host's stack"),
        End::Forwarded(_) => format!("would be sent to {to}{name} by {by}, through the host's stack"),
        End::Host => format!("would be for the host itself, at {to}"),
        End::NoRoute => format!("would be the stack's, which has no route to {to}"),
        End::Instead(target, _) => {
            let target = Address { address: target.ip(), port: target.port() };
            format!("a process of the host that connects there is connected to {target}{name} instead")
        }
    };
    if let Some(reason) = reason {
        // Writing to a string cannot fail.
        write!(text, ": {}", reason.as_str()).ok();
    }
    text
}

impl Listing for Explanation {
    fn text(&self) -> String {
        let mut text = String::new();
        for hook in &self.hooks {
            text.push_str(&hook.text());
            text.push('\n');
        }
        text + &self.result.text
    }
}

impl Hook {
    fn text(&self) -> String {
        let nothing = || "nothing".to_owned();
        let mut choose = self.choose.iter();
        let mut lines = vec![
            format!("{} on {}", self.hook, self.interface.text()),
            format!("  parse    {}", self.parse),
            format!("  track    {}", self.track),
            format!("  choose   {}", choose.next().cloned().unwrap_or_else(nothing)),
        ];
        lines.extend(choose.map(|line| format!("           {line}")));
        lines.push(format!("  rewrite  {}", self.rewrite.clone().unwrap_or_else(nothing)));
        lines.push(format!("  report   {}", self.report));
        lines.join("\n") + "\n"
    }
}
