//! Source NAT: the sender of a new connection appears with another endpoint.
//!
//! An inside endpoint has one outside port towards everybody, its *binding* (RFC 4787 REQ-1), which its connections
//! hold. When ports run short, a connection shares a port with connections to other destinations instead. What has to be
//! opened for a connection is opened step by step, by one loop: the verifier goes through its body once.

use core::ops::ControlFlow;

use crate::{
    abi::{Address, Connection, Endpoint, Filtering, Interface, Masquerade, Protocol, Reason, Side, Slot, Tuple},
    conntrack::{self, Opened, shared},
    parse::Parse,
    pipeline::Hook,
    scratch::Scratch,
    tables::Tables,
};

/// What is to be held or opened next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The sender's account, where sources are limited (RFC 6888 REQ-4).
    Account,
    /// The sender's binding.
    Binding,
    /// The permission for the receiver's address to send to the binding's endpoint, where filtering asks for it.
    Permission,
    /// The connection, with the binding's port.
    Connection,
    /// The connection, with any port that is free towards its destination.
    Sharing,
}

/// More than there are steps: what another CPU does at the same time may cost some.
const STEPS: u32 = 32;

/// The masquerade in force for a source address.
#[inline(never)]
pub fn lookup<'t, A: Address, T: Tables<A>>(tables: &'t T, ifindex: u32, source: &A) -> Option<&'t Masquerade<A>> {
    let masquerade = tables.masquerade(ifindex, *source)?;
    tables.is_in_force(masquerade.rule).then_some(masquerade)
}

/// Notes down the masquerade in force for the packet's sender; false if there is none.
#[inline(never)]
pub(crate) fn note<A: Address, T: Tables<A>>(tables: &T, ifindex: u32, scratch: &mut Scratch<A>) -> bool {
    match lookup(tables, ifindex, &scratch.headers.source) {
        Some(masquerade) => scratch.masquerade = *masquerade,
        None => return false,
    }
    true
}

/// The first step for a protocol: what has no ports has no binding.
#[must_use]
pub const fn first_step(protocol: Protocol) -> Step {
    if protocol.name().is_some() { Step::Binding } else { Step::Sharing }
}

/// Opens a connection for the packet, from the step that is written on. Its sender appears as [`Scratch::masquerade`]
/// says, its receiver is [`Scratch::target`], and its answers are seen on [`Scratch::target_side`].
#[inline(always)]
#[expect(clippy::inline_always, reason = "the verifier allows eight frames")]
pub(crate) fn open<A: Parse, T: Tables<A>>(
    tables: &T,
    hook: &Hook<'_>,
    scratch: &mut Scratch<A>,
) -> Result<(), Reason> {
    scratch.parent = Slot::NONE;
    scratch.outcome = Err(Reason::Contended);
    tables.repeat(STEPS, |_| {
        if take_step(tables, hook, scratch) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    // Still held only if the steps did not suffice.
    shared::release(tables, scratch.parent, hook.now);
    scratch.outcome
}

/// Takes a step; true if it was the last one, which has left its outcome.
///
/// The step is read again after each call: kernel 6.1 may take what its caller knew meanwhile for the only possibility.
fn take_step<A: Parse, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> bool {
    write_draft(tables, hook, scratch);
    if matches!(scratch.step, Step::Account | Step::Binding | Step::Permission) {
        if let Some(slot) = shared::hold(tables, &scratch.draft.original, hook.now) {
            // What is found holds the same already.
            shared::release(tables, scratch.parent, hook.now);
            scratch.parent = slot;
            return advance(tables, hook, scratch);
        }
        if scratch.step == Step::Binding && hook.interface.max_ports_per_source != 0 && scratch.parent == Slot::NONE {
            scratch.step = Step::Account;
            return false;
        }
    }
    scratch.avoids_host = !matches!(scratch.step, Step::Permission | Step::Account);
    match conntrack::open(tables, scratch) {
        Opened::Here => {
            scratch.parent = scratch.slot;
            advance(tables, hook, scratch)
        }
        // It is found at the next attempt, and a connection by the packet itself.
        Opened::Elsewhere => {
            scratch.parent = Slot::NONE;
            let is_connection = matches!(scratch.step, Step::Connection | Step::Sharing);
            scratch.outcome = if is_connection { Ok(()) } else { Err(Reason::Contended) };
            if scratch.step == Step::Permission {
                scratch.step = Step::Binding;
            }
            is_connection
        }
        Opened::Failed(reason) => {
            scratch.parent = Slot::NONE;
            fall_back(scratch, reason)
        }
    }
}

/// Goes on from a step that has failed. `true`: it was the last one.
fn fall_back<A>(scratch: &mut Scratch<A>, reason: Reason) -> bool {
    let next = match scratch.step {
        // Their tuples are no choice: another CPU is making the same one.
        Step::Account | Step::Permission => Some(Step::Binding),
        Step::Binding | Step::Connection => Some(Step::Sharing),
        Step::Sharing => None,
    };
    match next {
        Some(step) if reason == Reason::PortsExhausted => {
            scratch.step = step;
            false
        }
        Some(_) | None => {
            scratch.outcome = Err(reason);
            true
        }
    }
}

/// Goes on from a step that has succeeded; what was held or opened is [`Scratch::parent`]. `true`: it was the last one.
fn advance<A: Parse, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> bool {
    scratch.step = match scratch.step {
        Step::Account => {
            // This holder is among them already.
            if shared::holders(tables, scratch.parent) > hook.interface.max_ports_per_source {
                scratch.outcome = Err(Reason::SourceLimit);
                return true;
            }
            Step::Binding
        }
        Step::Binding if hook.interface.filtering() == Filtering::Address => Step::Permission,
        Step::Binding | Step::Permission => Step::Connection,
        Step::Connection | Step::Sharing => {
            scratch.parent = Slot::NONE;
            scratch.outcome = Ok(());
            return true;
        }
    };
    false
}

/// Drafts the record that the step opens.
#[inline(never)]
fn write_draft<A: Parse, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) {
    let Scratch { tuple, draft, search, masquerade, target, target_side, opener, parent, .. } = scratch;
    draft.begin([*opener, hook.interface.slot], hook.now, masquerade.rule, *parent);
    let (protocol, own) = (tuple.protocol(), tuple.source.port);
    let outside = &Endpoint { address: masquerade.address, port: own };
    let Connection { original, reply, .. } = draft;
    match scratch.step {
        Step::Account => {
            original.set(Protocol::ANY, Side::Account, &tuple.source, outside);
            (original.source.port, original.destination.port) = ([0; 2], [0; 2]);
            reply.set_swapped(original);
            search.only([0; 2]);
        }
        Step::Binding => {
            original.set(protocol, Side::Binding, &tuple.source, outside);
            original.destination.port = [0; 2];
            reply.set(protocol, Side::Binding, &Endpoint::NOBODY, outside);
            search.for_sender(&masquerade.ports, protocol, own, tables.random());
        }
        Step::Permission => {
            let Some(record) = shared::held(tables, *parent) else { return };
            write_permission(original, protocol, &record.reply.destination, &tuple.destination);
            reply.set_swapped(original);
            search.only(original.source.port);
        }
        Step::Connection => {
            let Some(record) = shared::held(tables, *parent) else { return };
            *original = *tuple;
            reply.set(protocol, *target_side, target, &record.reply.destination);
            search.only(reply.destination.port);
        }
        Step::Sharing => {
            *original = *tuple;
            reply.set(protocol, *target_side, target, outside);
            search.for_sender(&masquerade.ports, protocol, own, tables.random());
        }
    }
}

/// The key of the permission for a peer, whose port does not matter, to send to an outside endpoint.
pub(super) fn write_permission<A: Address>(
    key: &mut Tuple<A>,
    protocol: Protocol,
    outside: &Endpoint<A>,
    peer: &Endpoint<A>,
) {
    key.set(protocol, Side::Permission, outside, peer);
    key.destination.port = [0; 2];
}

/// What a connection of the host's own is masqueraded with: its address, and another port.
pub fn write_for_host<A: Parse>(hook: &Hook<'_>, scratch: &mut Scratch<A>) {
    let Interface { ports, rule, .. } = *hook.interface;
    scratch.masquerade = Masquerade { address: scratch.headers.source, ports, rule };
    scratch.step = Step::Sharing;
}
