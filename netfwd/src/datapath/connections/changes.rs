//! What happened to connections from one look at them to the next.

use std::cmp::Ordering;

use super::Flow;
use crate::family::Family;

/// What happened to a connection.
#[derive(Clone, Copy, Debug)]
pub enum Change<'f, A> {
    /// It was made.
    New(&'f Flow<A>),
    /// It ended: as it was when it was last seen.
    End(&'f Flow<A>),
}

impl<'f, A> Change<'f, A> {
    /// The connection.
    #[must_use]
    pub const fn flow(&self) -> &'f Flow<A> {
        match self {
            Self::New(flow) | Self::End(flow) => flow,
        }
    }
}

/// The changes from one look to the next, each in the order of the slots; a slot's old connection ends before its new
/// one is made.
pub fn changes<'f, A: Family>(before: &'f [Flow<A>], after: &'f [Flow<A>]) -> impl Iterator<Item = Change<'f, A>> {
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    std::iter::from_fn(move || {
        loop {
            let order = match (before.peek(), after.peek()) {
                (Some(old), Some(new)) => place(old).cmp(&place(new)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            match order {
                Ordering::Less => return before.next().map(Change::End),
                Ordering::Greater => return after.next().map(Change::New),
                Ordering::Equal => (before.next(), after.next()),
            };
        }
    })
}

fn place<A: Family>(flow: &Flow<A>) -> (u32, u32) {
    (flow.slot, flow.incarnation())
}

#[cfg(test)]
mod tests {
    use netfwd_common::{abi::V4, conntrack::State};

    use super::*;

    fn flows(places: &[(u32, u32)]) -> Vec<Flow<V4>> {
        let flow = |(slot, incarnation): &(u32, u32)| {
            let mut flow = Flow::empty();
            flow.slot = *slot;
            flow.connection.state = State::opening(*incarnation).0 | State::LIVE;
            flow
        };
        places.iter().map(flow).collect()
    }

    fn told(before: &[(u32, u32)], after: &[(u32, u32)]) -> String {
        let (before, after) = (flows(before), flows(after));
        let told = changes(&before, &after).map(|change| match change {
            Change::New(flow) => format!("+{}.{}", flow.slot, flow.incarnation()),
            Change::End(flow) => format!("-{}.{}", flow.slot, flow.incarnation()),
        });
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_stays_is_no_change() {
        assert_eq!(told(&[], &[]), "");
        assert_eq!(told(&[(1, 1), (3, 2)], &[(1, 1), (3, 2)]), "");
    }

    #[test]
    fn connections_come_and_go_at_any_place() {
        assert_eq!(told(&[], &[(0, 1), (7, 1)]), "+0.1 +7.1");
        assert_eq!(told(&[(0, 1), (7, 1)], &[]), "-0.1 -7.1");
        assert_eq!(told(&[(1, 1), (2, 1), (4, 1)], &[(0, 1), (2, 1), (3, 1), (5, 1)]), "+0.1 -1.1 +3.1 -4.1 +5.1");
    }

    #[test]
    fn another_connection_in_the_same_slot_is_another() {
        assert_eq!(told(&[(2, 1)], &[(2, 2)]), "-2.1 +2.2");
    }
}
