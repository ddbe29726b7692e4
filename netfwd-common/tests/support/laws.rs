//! What must hold after every packet and at every moment, whatever came.

use std::sync::atomic::Ordering::Relaxed;

use netfwd_common::{
    abi::{DatagramKey, Fate, Filtering, LiveConnection, Protocol, Reason, Rule, Side, Slot, Tuple},
    conntrack::{self, State},
    memory::MemoryTables,
    parse::{Fragmentation, Headers, Kind, TcpFlags, Transport},
    tables::Tables as _,
    verdict::Verdict,
};

use crate::world::{BRIDGE, Place, Plan, UPLINK};

#[path = "laws/bytes.rs"]
pub(crate) mod bytes;
#[path = "laws/isolation.rs"]
mod isolation;
#[path = "laws/tables.rs"]
mod tables;

pub(crate) use bytes::{Fields, crc32c, fields};
pub(crate) use tables::check_tables;

use bytes::{check_bytes, check_only, check_sums, header_checksum, usize};

/// Records that one packet opens at most: account, binding, permission and connection.
const RECORDS_AT_ONCE: usize = 4;

/// A live record at a moment.
pub(crate) struct Seen<A> {
    slot: Slot,
    original: Tuple<A>,
    reply: Tuple<A>,
    rule: Rule,
    parent: Slot,
    state: State,
    refreshed: u64,
}

impl<A: Place> Seen<A> {
    /// Whether it matches nothing any more.
    pub(crate) fn has_ended(&self, tables: &MemoryTables<A>, now: u64) -> bool {
        let (is_in_force, timeouts) = (tables.is_in_force(self.rule), &tables.settings.timeouts);
        conntrack::ended(&self.original, self.state, is_in_force, self.refreshed, timeouts, now).is_some()
    }

    fn deadline(&self, tables: &MemoryTables<A>) -> u64 {
        self.refreshed + conntrack::lifetime(&self.original, self.state, &tables.settings.timeouts)
    }

    /// Whether it is a connection, and not a record that connections share.
    fn is_connection(&self) -> bool {
        Side::is_of_packets(self.original.side)
    }

    /// What a packet with `tuple` is to look like on the other side, if it belongs to this connection.
    fn translation(&self, tuple: &Tuple<A>) -> Option<Tuple<A>> {
        if self.original == *tuple {
            return Some(self.reply.inverted(Side::Outside));
        }
        (self.reply == *tuple).then(|| self.original.inverted(Side::Outside))
    }

    fn is_closed(&self) -> bool {
        let fins = State::FIN_ORIGINAL | State::FIN_REPLY;
        self.original.protocol() == Protocol::TCP && (self.state.has(fins) || self.state.has(State::RESET))
    }
}

/// All live records.
pub(crate) fn live<A: Place>(tables: &MemoryTables<A>) -> Vec<Seen<A>> {
    let records = (0..tables.max_records()).filter_map(|number| Some(seen(number, tables.connection(number)?)));
    records.filter(|seen| seen.state.has(State::LIVE)).collect()
}

fn seen<A: Place>(number: u32, record: &LiveConnection<A>) -> Seen<A> {
    let state = State(record.state.load(Relaxed));
    Seen {
        slot: Slot { number, incarnation: state.incarnation() },
        original: record.original,
        reply: record.reply,
        rule: record.rule,
        parent: record.parent,
        state,
        refreshed: record.last_seen.load(Relaxed),
    }
}

fn at<A>(live: &[Seen<A>], slot: Slot) -> Option<&Seen<A>> {
    live.iter().find(|seen| seen.slot == slot)
}

/// A packet, and what became of it.
pub(crate) struct Meeting<'a, A> {
    /// The tables afterwards.
    pub(crate) tables: &'a MemoryTables<A>,
    /// How they are configured.
    pub(crate) plan: &'a Plan,
    /// Where it came from.
    pub(crate) side: Side,
    /// When.
    pub(crate) now: u64,
    /// What it said before.
    pub(crate) headers: Result<Headers<A>, Reason>,
    /// Its bytes before.
    pub(crate) before: &'a [u8],
    /// Its bytes after.
    pub(crate) after: &'a [u8],
    /// How it ended.
    pub(crate) verdict: Verdict,
    /// What lived before.
    pub(crate) earlier: &'a [Seen<A>],
}

/// All laws about one packet.
pub(crate) fn check<A: Place>(meeting: &Meeting<'_, A>) {
    match (meeting.verdict, &meeting.headers) {
        (Verdict::Translated | Verdict::Redirected(_), Ok(headers)) => check_translation(meeting, headers),
        (Verdict::ToContainer(_) | Verdict::ToNeighbour(_), Ok(_)) => panic!("nobody's place is known"),
        (Verdict::Answered(reason, interface), Ok(headers)) => {
            assert!([Reason::PortsExhausted, Reason::SourceLimit].contains(&reason), "{reason:?} has no answer");
            assert_eq!((meeting.side, interface), (Side::Inside, BRIDGE), "to the container");
            check_answer(meeting, headers);
        }
        (verdict, Err(reason)) => assert_eq!(verdict, Verdict::Pass(*reason)),
        (Verdict::Pass(reason), _) => assert!(!reason.is_drop(), "{reason:?} is a reason to drop"),
        (Verdict::Drop(reason), Ok(headers)) => {
            assert!(reason.is_drop(), "{reason:?} is no reason to drop");
            assert_ne!(reason, Reason::Contended, "without another CPU");
            let is_partial_sctp = headers.transport.kind == Kind::Sctp && headers.fragment == Fragmentation::First;
            assert!(reason != Reason::RewriteFailed || is_partial_sctp, "{headers:?} was not rewritten");
            if reason == Reason::RewriteFailed {
                return;
            }
        }
    }
    if matches!(meeting.verdict, Verdict::Pass(_) | Verdict::Drop(_)) {
        assert_eq!(meeting.before, meeting.after, "only a translated packet changes");
    }
    check_wire(meeting);
    check_lives(meeting, meeting.headers.as_ref().ok().map(|headers| &headers.transport));
    check_filtering(meeting);
    check_turned_back(meeting);
    isolation::check(meeting);
}

fn check_translation<A: Place>(meeting: &Meeting<'_, A>, headers: &Headers<A>) {
    let is_redirected = meeting.verdict == Verdict::Redirected(BRIDGE);
    assert_eq!(is_redirected, meeting.side == Side::Bridge, "what comes from a bridge goes back to it");
    match headers.transport.kind {
        Kind::IcmpError => check_error(meeting, headers),
        Kind::LaterFragment => {
            check_bytes(meeting, headers);
            check_pair(meeting);
        }
        Kind::Untranslatable(reason) => unreachable!("translated although {reason:?}"),
        Kind::Tcp | Kind::Udp | Kind::Sctp | Kind::EchoRequest | Kind::EchoReply | Kind::Other => {
            check_bytes(meeting, headers);
            check_endpoints(meeting, headers);
        }
    }
}

/// A translated packet has the endpoints of its connection's other tuple, and that connection was in force.
fn check_endpoints<A: Place>(meeting: &Meeting<'_, A>, headers: &Headers<A>) {
    let tuple = headers.tuple(meeting.side).expect("a translated packet has endpoints");
    let later = live(meeting.tables);
    let (seen, intended) = later
        .iter()
        .find_map(|seen| Some((seen, seen.translation(&tuple)?)))
        .expect("a translated packet belongs to a live connection");
    let after = parsed::<A>(meeting.after);
    assert_eq!((after.source, after.destination), (intended.source.address, intended.destination.address));
    let Fields { source_port_at, destination_port_at, .. } = fields(headers);
    for (at, port, intended) in [
        (source_port_at, after.transport.source_port, intended.source.port),
        (destination_port_at, after.transport.destination_port, intended.destination.port),
    ] {
        assert!(at.is_none() || port == intended, "port {port:?} is not {intended:?}");
    }
    let is_reset = headers.transport.kind == Kind::Tcp && headers.transport.flags.has(TcpFlags::RST);
    assert!(is_reset || seen.refreshed == meeting.now, "a packet is a sign of life");
    check_in_force(meeting, seen);
}

fn check_in_force<A: Place>(meeting: &Meeting<'_, A>, seen: &Seen<A>) {
    assert!(meeting.tables.is_in_force(seen.rule), "an ended rule translates nothing");
    let was_ended = |old: &Seen<A>| old.slot == seen.slot && old.has_ended(meeting.tables, meeting.now);
    assert!(!meeting.earlier.iter().any(was_ended), "an ended connection matches nothing");
}

fn parsed<A: Place>(frame: &[u8]) -> Headers<A> {
    let mut headers = Headers::EMPTY;
    A::parse(frame, 14, &mut headers).expect("it is still a packet");
    headers
}

/// A later fragment gets the addresses that its connection's packets get.
fn check_pair<A: Place>(meeting: &Meeting<'_, A>) {
    let addresses = |frame: &[u8]| {
        let headers = parsed::<A>(frame);
        (headers.source, headers.destination)
    };
    let (before, after) = (addresses(meeting.before), addresses(meeting.after));
    let live = live(meeting.tables);
    let is_of = |seen: &&Seen<A>| {
        let tuples = [(&seen.original, &seen.reply), (&seen.reply, &seen.original)];
        tuples.into_iter().any(|(from, to)| {
            from.is_on(meeting.side)
                && (from.source.address, from.destination.address) == before
                && (to.destination.address, to.source.address) == after
        })
    };
    assert!(live.iter().any(|seen| is_of(&seen) && meeting.tables.is_in_force(seen.rule)), "of no connection");
}

/// An error is about a packet of a connection, which it quotes as its sender knows it. Its connection does not notice.
fn check_error<A: Place>(meeting: &Meeting<'_, A>, headers: &Headers<A>) {
    let (old, new) = (quoted::<A>(meeting.before, headers), quoted::<A>(meeting.after, headers));
    let seen_there = old.tuple(meeting.side).expect("a quote that is translated").inverted(meeting.side);
    let later = live(meeting.tables);
    let found = later.iter().find_map(|seen| Some((seen, seen.translation(&seen_there)?)));
    let (seen, intended) = found.expect("an error is about a live connection");
    check_in_force(meeting, seen);
    let intended = intended.inverted(Side::Outside);
    assert_eq!((new.source, new.destination), (intended.source.address, intended.destination.address));
    let after = parsed::<A>(meeting.after);
    assert_eq!((headers.destination, after.destination), (old.source, new.source), "it is for the quoted sender");
    assert!(headers.source != old.destination || after.source == new.destination, "the reporter is who was asked");

    let fields = fields(headers);
    let end_at = usize(headers.end_at);
    let (inner_at, transport_at) = (usize(old.network_at), usize(old.transport_at));
    let inner = inner_at + usize(A::SOURCE_AT)..inner_at + usize(A::SOURCE_AT) + 2 * size_of::<A>();
    let outer = [fields.addresses.clone(), header_checksum::<A>(usize(headers.network_at)), fields.checksum.clone()];
    let quote = [inner, header_checksum::<A>(inner_at), transport_at..(transport_at + 18).min(end_at)];
    check_only(meeting, &outer.into_iter().chain(quote).flatten().collect());
    check_sums(meeting, headers, &fields);
    for old in meeting.earlier.iter().filter(|old| !old.has_ended(meeting.tables, meeting.now)) {
        let new = at(&later, old.slot).expect("an error ends nothing");
        assert!((new.state, new.refreshed) == (old.state, old.refreshed) || !old.is_connection(), "nor prolongs it");
    }
}

fn quoted<A: Place>(frame: &[u8], outer: &Headers<A>) -> Headers<A> {
    let mut headers = Headers::EMPTY;
    A::parse_quoted(frame, outer.transport_at + 8, outer.end_at, &mut headers).expect("a quote that is translated");
    headers
}

/// The sender of a refused packet learns so, in a packet that is right.
fn check_answer<A: Place>(meeting: &Meeting<'_, A>, headers: &Headers<A>) {
    let after = parsed::<A>(meeting.after);
    assert_eq!((after.destination, after.transport.kind), (headers.source, Kind::IcmpError));
    assert!(A::HOSTS.contains(&after.source));
    let quoted = quoted::<A>(meeting.after, &after);
    assert_eq!((quoted.source, quoted.destination), (headers.source, headers.destination));
}

/// No inside source on the wire, and nothing reaches a connection from elsewhere but through the host's addresses.
fn check_wire<A: Place>(meeting: &Meeting<'_, A>) {
    let Ok(headers) = &meeting.headers else {
        return;
    };
    let tables = meeting.tables;
    if meeting.side != Side::Inside {
        let to_host = A::HOSTS.contains(&headers.destination);
        let is_left = matches!(meeting.verdict, Verdict::Pass(_) | Verdict::Drop(Reason::Isolated));
        assert!(to_host || is_left, "only what is sent to the host is translated");
        return;
    }
    let masquerade = tables.masquerade(UPLINK, headers.source);
    if masquerade.is_some_and(|found| tables.is_in_force(found.rule)) {
        let is_excluded = |rule: &Rule| tables.is_in_force(*rule);
        let may_pass = match meeting.verdict {
            Verdict::Pass(Reason::Excluded) => tables.exclusion(UPLINK, headers.destination).is_some_and(is_excluded),
            // Its first fragment may have passed before there was the rule.
            Verdict::Pass(Reason::NotOurs) => datagram_passes(meeting, headers),
            Verdict::Pass(_) => false,
            Verdict::Translated
            | Verdict::Redirected(_)
            | Verdict::ToContainer(_)
            | Verdict::ToNeighbour(_)
            | Verdict::Drop(_)
            | Verdict::Answered(..) => true,
        };
        assert!(may_pass, "a masqueraded source leaks: {:?} {headers:?}", meeting.verdict);
    }
    if meeting.verdict == Verdict::Translated {
        let source = parsed::<A>(meeting.after).source;
        assert!(A::HOSTS.contains(&source), "{source:?} is not an address of the host");
        assert!(!A::HOSTS.contains(&headers.source) || source == headers.source, "the host keeps its address");
    }
}

fn datagram_passes<A: Place>(meeting: &Meeting<'_, A>, headers: &Headers<A>) -> bool {
    let Headers { source, destination, identification, transport, .. } = *headers;
    // An IPv6 datagram is known without its protocol (RFC 8200 section 4.5).
    let protocol = if A::FAMILY == 0 { transport.protocol } else { Protocol::from_number(0) };
    let key = DatagramKey::new(source, destination, identification, protocol, meeting.side);
    let passes = meeting.tables.datagram(&key).is_some_and(|datagram| datagram.fate() == Fate::Passed);
    transport.kind == Kind::LaterFragment && passes
}

/// A record ends by time, by its rule, by the user, by a new handshake in its place, or, while it is half open, because
/// the table is full. A packet never brings its end nearer, unless it is a FIN or a RST.
fn check_lives<A: Place>(meeting: &Meeting<'_, A>, transport: Option<&Transport>) {
    let later = live(meeting.tables);
    let was_full = meeting.earlier.len() + RECORDS_AT_ONCE > usize(meeting.plan.max_flows);
    let opens = transport.is_some_and(Transport::opens);
    let may_end = transport.is_some_and(|transport| transport.flags.has(TcpFlags::FIN | TcpFlags::RST));
    for old in meeting.earlier.iter().filter(|old| !old.has_ended(meeting.tables, meeting.now)) {
        let Some(new) = at(&later, old.slot) else {
            let gave_way = was_full && !old.state.has(State::ASSURED);
            // Whoever held it is gone: the laws of the tables say so.
            let was_let_go = !old.is_connection() && !old.original.is_on(Side::Binding);
            assert!(gave_way || was_let_go || (opens && old.is_closed()), "{:?} ended without a cause", old.original);
            continue;
        };
        assert_eq!((new.original, new.reply, new.rule), (old.original, old.reply, old.rule));
        let is_shorter = new.deadline(meeting.tables) < old.deadline(meeting.tables);
        assert!(may_end || !is_shorter, "a life became shorter");
    }
}

/// Who may send to a container's outside endpoint.
fn check_filtering<A: Place>(meeting: &Meeting<'_, A>) {
    let live = live(meeting.tables);
    let is_new = |seen: &&Seen<A>| at(meeting.earlier, seen.slot).is_none();
    let admitted = live.iter().filter(|seen| seen.original.is_on(Side::Outside) && seen.parent != Slot::NONE);
    for seen in admitted.filter(is_new) {
        let permission = at(meeting.earlier, seen.parent).filter(|parent| parent.original.is_on(Side::Permission));
        let (outside, peer) = (seen.original.destination, seen.original.source.address);
        let is_for = |held: &Seen<A>| held.original.source == outside && held.original.destination.address == peer;
        match meeting.plan.filtering {
            Filtering::Endpoint => assert!(at(meeting.earlier, seen.parent).is_some(), "there was a binding"),
            Filtering::Address => assert!(permission.is_some_and(is_for), "{peer:?} was not sent to"),
            Filtering::AddressAndPort => unreachable!("{:?} was admitted", seen.original),
        }
    }
}

/// Among containers it is no other.
fn check_turned_back<A: Place>(meeting: &Meeting<'_, A>) {
    let tuple = meeting.headers.as_ref().ok().and_then(|headers| headers.tuple(Side::Bridge).ok());
    let is_let_in = matches!(meeting.verdict, Verdict::Redirected(_));
    let (Some(tuple), true, Filtering::AddressAndPort) = (tuple, is_let_in, meeting.plan.filtering) else { return };
    let live = live(meeting.tables);
    // Only to a binding is a sender known by its own.
    for seen in live.iter().filter(|seen| seen.original == tuple && seen.parent != Slot::NONE) {
        let is_answered = seen.state.has(State::REPLIED) || seen.reply.source == tuple.source;
        assert!(is_answered, "{:?} has not sent to {:?}", seen.reply.source, seen.reply.destination);
    }
}
