//! `netfwd flows --watch`.

use std::{collections::HashMap, fmt};

use netfwd_common::abi::Timeouts;
use serde::Serialize;

use super::Entry;
use crate::{
    datapath::connections::{Change, Flow},
    family::Family,
    render,
    report::Interface,
};

/// The names of interfaces that were asked for already, by their indexes.
pub type Names = HashMap<u32, Interface>;

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// What.
    pub event: Kind,
    /// The connection, as it was when it was last seen.
    #[serde(flatten)]
    pub flow: Entry,
}

/// What can happen to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It was made.
    New,
    /// It ended.
    End,
}

impl Event {
    /// What a change at `now` looks like.
    #[must_use]
    pub fn new<A: Family>(change: &Change<'_, A>, names: &mut Names, timeouts: &Timeouts, now: u64) -> Self {
        let mut entry = |flow: &Flow<A>| Entry::new(flow, names, timeouts, now);
        match change {
            Change::New(flow) => Self { event: Kind::New, flow: entry(flow) },
            Change::End(flow) => Self { event: Kind::End, flow: entry(flow) },
        }
    }

    /// When its connection was made, to sort by.
    #[must_use]
    pub const fn created(&self) -> u64 {
        self.flow.created
    }
}

/// As a line.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { protocol, state, original, reply, age, .. } = &self.flow;
        let kind = match self.event {
            Kind::New => "[NEW]",
            Kind::End => "[END]",
        };
        write!(f, "{kind} {protocol:<6} {state:<12} {original}  {reply}")?;
        if self.event == Kind::End {
            let age = render::duration(*age);
            let (packets, bytes) = ([original.packets, reply.packets], [original.bytes, reply.bytes]);
            write!(f, "  age {age}  packets {}/{}  bytes {}/{}", packets[0], packets[1], bytes[0], bytes[1])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::flows::tests::entry;

    #[test]
    fn a_line_of_an_end_has_the_counters_too() {
        let new = Event { event: Kind::New, flow: entry() }.to_string();
        let tuples = "192.0.2.1:40000 -> 192.0.2.2:8080  192.0.2.3:80 -> 192.0.2.1:40000";
        assert_eq!(new, format!("[NEW] tcp    established  {tuples}"));
        let end = Event { event: Kind::End, flow: entry() }.to_string();
        assert_eq!(end, format!("[END] tcp    established  {tuples}  age 12s  packets 6/4  bytes 360/240"));
    }

    #[test]
    fn the_json_is_that_of_the_flow_with_what_happened() {
        let event = serde_json::to_value(Event { event: Kind::End, flow: entry() }).unwrap();
        let mut expected = serde_json::to_value(entry()).unwrap();
        expected["event"] = json!("end");
        assert_eq!(event, expected);
    }
}
