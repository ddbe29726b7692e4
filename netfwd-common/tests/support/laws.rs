//! What must hold after every packet and at every moment, whatever came.

use std::{collections::HashSet, sync::atomic::Ordering::Relaxed};

use netfwd_common::{
    abi::{FlowEvent, LiveConnection, Reason, Rule, Side, Slot, Tuple, V4},
    conntrack::{self, State},
    memory::MemoryTables,
    parse::{self, Headers, Kind, TcpFlags, Transport},
    tables::Tables as _,
    verdict::Verdict,
};

use crate::world::{HOSTS, UPLINK};

/// A live record at a moment.
pub(crate) struct Seen {
    slot: Slot,
    original: Tuple<V4>,
    reply: Tuple<V4>,
    rule: Rule,
    state: State,
    refreshed: u64,
}

impl Seen {
    /// Whether it matches nothing any more.
    pub(crate) fn has_ended(&self, tables: &MemoryTables<V4>, now: u64) -> bool {
        let is_in_force = tables.generations.get(&self.rule.id) == Some(&self.rule.generation);
        let timeouts = &tables.settings.timeouts;
        conntrack::ended(self.state, self.original.protocol, is_in_force, self.refreshed, timeouts, now).is_some()
    }

    fn deadline(&self, tables: &MemoryTables<V4>) -> u64 {
        self.refreshed + conntrack::lifetime(self.original.protocol, self.state, &tables.settings.timeouts)
    }

    /// What a packet with `tuple` is to look like on the other side, if it belongs to this connection.
    fn translation(&self, tuple: &Tuple<V4>) -> Option<Tuple<V4>> {
        if self.original == *tuple {
            return Some(self.reply.inverted(Side::Outside));
        }
        (self.reply == *tuple).then(|| self.original.inverted(Side::Outside))
    }

    fn is_closed(&self) -> bool {
        let fins = State::FIN_ORIGINAL | State::FIN_REPLY;
        self.original.protocol == 6 && (self.state.has(fins) || self.state.has(State::RESET))
    }
}

/// All live records.
pub(crate) fn live(tables: &MemoryTables<V4>) -> Vec<Seen> {
    let records = (0..tables.settings.max_flows).filter_map(|number| Some(seen(number, tables.connection(number)?)));
    records.filter(|seen| seen.state.has(State::LIVE)).collect()
}

fn seen(number: u32, record: &LiveConnection<V4>) -> Seen {
    let state = State(record.state.load(Relaxed));
    Seen {
        slot: Slot { number, incarnation: state.incarnation() },
        original: record.original,
        reply: record.reply,
        rule: record.rule,
        state,
        refreshed: record.last_seen.load(Relaxed),
    }
}

/// Both tuples or none, no two connections share one, and no slot or event is lost.
pub(crate) fn check_tables(tables: &MemoryTables<V4>, max_flows: u32) {
    let (live, index, free) = (live(tables), tables.tuples(), tables.free_slots());
    for seen in &live {
        assert_eq!(index.get(&seen.original), Some(&seen.slot), "the original tuple leads to its record");
        assert_eq!(index.get(&seen.reply), Some(&seen.slot), "the reply tuple leads to its record");
        assert!(!tables.host_sockets.contains(&seen.reply), "the host's own connections keep their tuples");
    }
    let replies: HashSet<_> = live.iter().map(|seen| seen.reply).collect();
    assert_eq!(replies.len(), live.len(), "reply tuples are unique");
    assert_eq!(index.len(), live.len() * 2, "no tuple without a live record");

    let mut slots: HashSet<_> = live.iter().map(|seen| seen.slot.number).collect();
    slots.extend(&free);
    let used = tables.high_water().min(max_flows);
    assert_eq!(slots.len(), live.len() + free.len(), "a slot is free or in use, once");
    assert_eq!(slots, (0..used).collect(), "every slot that was ever used is free or in use");

    let ends = [FlowEvent::Expired, FlowEvent::Ended, FlowEvent::Evicted].map(|event| tables.events(event));
    let ended: u64 = ends.iter().sum();
    let count = u64::try_from(live.len()).expect("few");
    assert_eq!(tables.events(FlowEvent::Created), count + ended, "every connection that was made lives or ended once");
}

/// A packet, and what became of it.
pub(crate) struct Meeting<'a> {
    /// The tables afterwards.
    pub(crate) tables: &'a MemoryTables<V4>,
    /// Where it came from.
    pub(crate) side: Side,
    /// When.
    pub(crate) now: u64,
    /// What it said before.
    pub(crate) headers: Result<Headers<V4>, Reason>,
    /// Its bytes before.
    pub(crate) before: &'a [u8],
    /// Its bytes after.
    pub(crate) after: &'a [u8],
    /// How it ended.
    pub(crate) verdict: Verdict,
    /// What lived before.
    pub(crate) earlier: &'a [Seen],
}

/// All laws about one packet.
pub(crate) fn check(meeting: &Meeting<'_>) {
    match (meeting.verdict, &meeting.headers) {
        (Verdict::Translated, Ok(headers)) => {
            check_bytes(meeting, headers);
            check_endpoints(meeting, headers);
        }
        (Verdict::Translated, Err(reason)) => unreachable!("translated although {reason:?}"),
        (Verdict::Pass(reason), _) => assert!(!reason.is_drop(), "{reason:?} is a reason to drop"),
        (Verdict::Drop(reason), _) => {
            assert!(reason.is_drop(), "{reason:?} is no reason to drop");
            assert!(![Reason::RewriteFailed, Reason::Contended].contains(&reason), "{reason:?} without a cause");
        }
    }
    if meeting.verdict != Verdict::Translated {
        assert_eq!(meeting.before, meeting.after, "only a translated packet changes");
    }
    check_wire(meeting);
    check_lives(meeting, meeting.headers.as_ref().ok().map(|headers| &headers.transport));
}

/// Where the fields of a packet that can be translated are, by the RFCs.
pub(crate) struct Fields {
    /// The source address; the destination address follows.
    pub(crate) addresses_at: usize,
    /// The transport header.
    pub(crate) transport_at: usize,
    /// The source port, if there is one.
    pub(crate) source_port_at: Option<usize>,
    /// The destination port, if there is one.
    pub(crate) destination_port_at: Option<usize>,
    /// The transport header's checksum.
    pub(crate) checksum_at: usize,
    /// Whether that covers the addresses.
    pub(crate) has_pseudo_header: bool,
}

/// The fields of a packet that can be translated.
pub(crate) fn fields(headers: &Headers<V4>) -> Fields {
    let (source, destination, checksum) = match headers.transport.kind {
        Kind::Tcp => (Some(0), Some(2), 16),
        Kind::Udp => (Some(0), Some(2), 6),
        Kind::EchoRequest => (Some(4), None, 2),
        Kind::EchoReply => (None, Some(4), 2),
        Kind::Untranslatable(reason) => unreachable!("translated although {reason:?}"),
    };
    let transport_at = usize::try_from(headers.transport_at).expect("short");
    Fields {
        addresses_at: usize::try_from(headers.network_at).expect("short") + 12,
        transport_at,
        source_port_at: source.map(|at: usize| transport_at + at),
        destination_port_at: destination.map(|at: usize| transport_at + at),
        checksum_at: transport_at + checksum,
        has_pseudo_header: matches!(headers.transport.kind, Kind::Tcp | Kind::Udp),
    }
}

/// Nothing changes but addresses, ports and checksums, and a checksum is as right or as wrong as it was.
fn check_bytes(meeting: &Meeting<'_>, headers: &Headers<V4>) {
    let Fields { addresses_at, transport_at, source_port_at, destination_port_at, checksum_at, has_pseudo_header } =
        fields(headers);
    let ports = [source_port_at, destination_port_at].into_iter().flatten().map(|at| at..at + 2);
    let others = [addresses_at..addresses_at + 8, addresses_at - 2..addresses_at, checksum_at..checksum_at + 2];
    let rewritten: HashSet<_> = others.into_iter().chain(ports).flatten().collect();
    for (offset, (old, new)) in meeting.before.iter().zip(meeting.after).enumerate() {
        assert!(old == new || rewritten.contains(&offset), "byte {offset} is not the NAT's to change");
    }

    let residues = |frame: &[u8]| {
        let pseudo = if has_pseudo_header { residue(&frame[addresses_at..][..8]) } else { 0 };
        (residue(&frame[addresses_at - 12..transport_at]), (pseudo + residue(&frame[transport_at..])) % 0xffff)
    };
    let (before, after) = (residues(meeting.before), residues(meeting.after));
    assert_eq!(before.0, after.0, "IP checksum");
    let has_checksum = |frame: &[u8]| headers.transport.kind != Kind::Udp || frame[checksum_at..][..2] != [0, 0];
    assert_eq!(has_checksum(meeting.before), has_checksum(meeting.after), "a UDP checksum neither goes nor comes");
    if has_checksum(meeting.before) {
        assert_eq!(before.1, after.1, "transport checksum");
    }
}

/// The one's-complement sum of bytes, from its definition.
pub(crate) fn residue(bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| u64::from(pair[0]) * 256 + u64::from(pair.get(1).copied().unwrap_or(0));
    bytes.chunks(2).map(word).sum::<u64>() % 0xffff
}

/// A translated packet has the endpoints of its connection's other tuple, and that connection was in force.
fn check_endpoints(meeting: &Meeting<'_>, headers: &Headers<V4>) {
    let tuple = headers.tuple(meeting.side).expect("a translated packet has endpoints");
    let later = live(meeting.tables);
    let (seen, intended) = later
        .iter()
        .find_map(|seen| Some((seen, seen.translation(&tuple)?)))
        .expect("a translated packet belongs to a live connection");
    let after = parse::ipv4(meeting.after, 14).expect("it is still a packet");
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
    let rule = seen.rule;
    assert_eq!(meeting.tables.generations.get(&rule.id), Some(&rule.generation), "an ended rule translates nothing");
    let was_ended = |old: &Seen| old.slot == seen.slot && old.has_ended(meeting.tables, meeting.now);
    assert!(!meeting.earlier.iter().any(was_ended), "an ended connection matches nothing");
}

/// No inside source on the wire, and nothing from the wire reaches a connection but through the host's addresses.
fn check_wire(meeting: &Meeting<'_>) {
    let Ok(headers) = &meeting.headers else {
        assert!(matches!(meeting.verdict, Verdict::Pass(Reason::OtherFamily | Reason::Malformed)));
        return;
    };
    if meeting.side == Side::Outside {
        let to_host = HOSTS.contains(&headers.destination);
        assert!(to_host || matches!(meeting.verdict, Verdict::Pass(_)), "only what is sent to the host is translated");
        return;
    }
    let tables = meeting.tables;
    let masquerade = tables.masquerade(UPLINK, headers.source);
    if masquerade.is_some_and(|found| tables.generations.get(&found.rule.id) == Some(&found.rule.generation)) {
        assert!(!matches!(meeting.verdict, Verdict::Pass(_)), "a masqueraded source leaks");
    }
    if meeting.verdict == Verdict::Translated {
        let source: V4 = meeting.after[26..30].try_into().expect("four bytes");
        assert!(HOSTS.contains(&source), "{source:?} is not an address of the host");
        assert!(!HOSTS.contains(&headers.source) || source == headers.source, "the host keeps its address");
    }
}

/// A connection ends by time, by its rule, by the user, by a new handshake in its place, or, while it is half open,
/// because the table is full. A packet never brings its end nearer, unless it is a FIN or a RST.
fn check_lives(meeting: &Meeting<'_>, transport: Option<&Transport>) {
    let later = live(meeting.tables);
    let was_full = meeting.earlier.len() == usize::try_from(meeting.tables.settings.max_flows).expect("small");
    let opens = transport.is_some_and(Transport::opens);
    let may_end = transport.is_some_and(|transport| transport.flags.has(TcpFlags::FIN | TcpFlags::RST));
    for old in meeting.earlier.iter().filter(|old| !old.has_ended(meeting.tables, meeting.now)) {
        let Some(new) = later.iter().find(|new| new.slot == old.slot) else {
            let gave_way = was_full && !old.state.has(State::ASSURED);
            assert!(gave_way || (opens && old.is_closed()), "a connection ended without a cause");
            continue;
        };
        assert_eq!((new.original, new.reply, new.rule), (old.original, old.reply, old.rule));
        assert!(may_end || new.deadline(meeting.tables) >= old.deadline(meeting.tables), "a life became shorter");
    }
}
