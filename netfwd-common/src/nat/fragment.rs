//! Fragments of datagrams that are translated by their ports (RFC 4787 REQ-14).
//!
//! The first fragment of a datagram has the ports, and finds or opens the connection; what becomes of it becomes of the
//! later ones. One that comes before the first is held back: a copy of it goes on when the first one comes. Both what is
//! known and what is held back are bounded, in number and in time.

use crate::{
    abi::{Datagram, Fate, Reason, Side, Slot},
    conntrack,
    packet::Packet,
    parse::Fragmentation,
    pipeline::{Hook, Progress},
    scratch::Scratch,
    tables::Tables,
    translate::Translate,
    verdict::Verdict,
};

/// The journey of a later fragment, up to its translation.
#[inline(never)]
pub(crate) fn later<A, P, T>(packet: &P, tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> Progress
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    scratch.write_datagram_key(hook.side);
    let is_known = recall(tables, hook, scratch);
    match scratch.datagram.fate() {
        Fate::Translated(_) if !conntrack::lives(tables, scratch.datagram.connection, hook.now) => {
            Progress::Dropped(Reason::Fragment)
        }
        Fate::Translated(direction) => {
            (scratch.connection, scratch.direction) = (scratch.datagram.connection, direction);
            Progress::Found
        }
        Fate::Passed => Progress::Passed(Reason::NotOurs),
        Fate::Unknown => hold_back(packet, tables, hook, scratch, is_known),
    }
}

/// Notes down what is known of the datagram; false if nothing ever was, not even of an older one with its key.
fn recall<A: Translate, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> bool {
    let timeout = tables.settings().map_or(0, |settings| settings.timeouts.fragment);
    let known = tables.datagram(&scratch.datagram_key);
    match known {
        Some(datagram) if hook.now.saturating_sub(datagram.seen) < timeout => scratch.datagram = *datagram,
        _ => scratch.datagram.begin(hook.now, Slot::NONE, Fate::Unknown),
    }
    known.is_some()
}

/// Keeps a copy for later. What arrives from outside also goes on: it may be the host's own, which must lose nothing.
fn hold_back<A, P, T>(packet: &P, tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>, is_known: bool) -> Progress
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let is_held = keep(packet, tables, scratch, is_known).is_some();
    match hook.side {
        Side::Inside if is_held => Progress::Dropped(Reason::FragmentHeld),
        Side::Inside => Progress::Dropped(Reason::Fragment),
        Side::Outside | Side::Bridge | Side::Binding | Side::Permission | Side::Account => {
            Progress::Passed(Reason::FragmentAhead)
        }
    }
}

fn keep<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>, is_known: bool) -> Option<()>
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let Datagram { held, tickets, .. } = &mut scratch.datagram;
    *tickets.get_mut(usize::try_from(*held).ok()?)? = packet.hold_back()?;
    *held = held.saturating_add(1);
    tables.set_datagram(&scratch.datagram_key, &scratch.datagram, is_known).then_some(())
}

/// Lets the later fragments of a datagram go the way of its first one, which has ended with `verdict`.
#[inline(never)]
pub fn conclude<A, P, T>(
    packet: &mut P,
    tables: &T,
    hook: &Hook<'_>,
    scratch: &mut Scratch<A>,
    verdict: Verdict,
) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    if scratch.headers.fragment != Fragmentation::First {
        return verdict;
    }
    let fate = match verdict {
        Verdict::Translated | Verdict::Redirected(_) | Verdict::ToContainer(_) | Verdict::ToNeighbour(_) => {
            Fate::Translated(scratch.direction)
        }
        Verdict::Pass(_) => Fate::Passed,
        Verdict::Drop(_) | Verdict::Answered(..) => return verdict,
    };
    scratch.write_datagram_key(hook.side);
    recall(tables, hook, scratch);
    let Scratch { datagram, .. } = scratch;
    let held = datagram.held;
    let connection = if fate == Fate::Passed { Slot::NONE } else { scratch.connection };
    datagram.begin(hook.now, connection, fate);
    tables.set_datagram(&scratch.datagram_key, datagram, true);
    let has_gone_on = fate == Fate::Passed && hook.side != Side::Inside;
    if held == 0 || has_gone_on || packet.release_held(&datagram.tickets, held, hook.side == Side::Inside).is_some() {
        verdict
    } else {
        Verdict::Drop(Reason::RewriteFailed)
    }
}
