//! What happens in a world, step by step. Every step is checked against the laws.

use std::{fmt, sync::atomic::Ordering::Relaxed};

use netfwd_common::{
    abi::{Reason, Side},
    checksum,
    conntrack::{self, State},
    parse::{self, Family, Headers, Kind},
    tables::Tables as _,
    verdict::Verdict,
};

use crate::{
    laws::{self, Fields, Meeting},
    world::{Place, Plan, World},
};

const SECOND: u64 = 1_000_000_000;

/// Longer than any connection lives.
const FOR_EVER: u64 = 100_000 * SECOND;

/// A connection holds a permission, that a binding, that an account: looks at all slots until none has ended.
const LOOKS: u32 = 4;

/// What may happen.
#[derive(Clone)]
pub(crate) enum Step {
    /// A frame that comes from the containers or the host ([`Side::Inside`]), from a bridge, or from the wire.
    Frame(Side, Vec<u8>),
    /// An answer, with these TCP flags, to a translated frame: 0 is the latest.
    Answer { back: u8, flags: u8 },
    /// An ICMP error about a translated frame.
    Error { back: u8 },
    /// Seconds go by.
    Wait(u16),
    /// A rule ends.
    EndRule(u32),
    /// A rule begins, in the place of the one with this number.
    StartRule(u32),
    /// The user deletes the connection in a slot.
    Condemn(u32),
    /// The reaper looks at all slots.
    Sweep,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(side, frame) => {
                write!(f, "Frame({side:?}, ")?;
                frame.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(")")
            }
            Self::Answer { back, flags } => write!(f, "Answer {{ back: {back}, flags: {flags:#x} }}"),
            Self::Error { back } => write!(f, "Error {{ back: {back} }}"),
            Self::Wait(seconds) => write!(f, "Wait({seconds})"),
            Self::EndRule(rule) => write!(f, "EndRule({rule})"),
            Self::StartRule(rule) => write!(f, "StartRule({rule})"),
            Self::Condemn(slot) => write!(f, "Condemn({slot})"),
            Self::Sweep => f.write_str("Sweep"),
        }
    }
}

/// A world in time.
pub(crate) struct Journal<A> {
    world: World<A>,
    translated: Vec<(Side, Vec<u8>)>,
}

impl<A: Place> Journal<A> {
    /// A world in which nothing has happened.
    pub(crate) fn new(plan: Plan) -> Self {
        let mut world = World::new(plan);
        world.now = SECOND;
        Self { world, translated: Vec::new() }
    }

    /// All steps, and then the end of everything.
    pub(crate) fn live_through(mut self, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            self.take(step);
            laws::check_tables(&self.world.tables, &self.world.plan);
        }
        for _ in 0..LOOKS {
            self.world.now += FOR_EVER;
            self.sweep();
            laws::check_tables(&self.world.tables, &self.world.plan);
        }
        assert!(self.world.tables.tuples().is_empty(), "no connection outlives everything");
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Frame(side, frame) => self.meet(side, &frame),
            Step::Answer { back, flags } => self.answer(usize::from(back), flags),
            Step::Error { back } => self.report_error(usize::from(back)),
            Step::Wait(seconds) => self.world.now += u64::from(seconds) * SECOND,
            Step::EndRule(rule) => self.world.end_rule(rule),
            Step::StartRule(rule) => self.world.start_rule(rule),
            Step::Condemn(slot) => self.condemn(slot),
            Step::Sweep => self.sweep(),
        }
    }

    fn meet(&mut self, side: Side, before: &[u8]) {
        let earlier = laws::live(&self.world.tables);
        let mut after = before.to_vec();
        let verdict = self.world.meet(side, &mut after);
        laws::check(&Meeting {
            tables: &self.world.tables,
            plan: &self.world.plan,
            side,
            now: self.world.now,
            headers: headers(before),
            before,
            after: &after,
            verdict,
            earlier: &earlier,
        });
        if matches!(verdict, Verdict::Translated | Verdict::Redirected(_)) {
            self.translated.push((side, after));
        }
        for released in self.world.held.take_released() {
            self.meet(side, &released);
        }
    }

    fn answer(&mut self, back: usize, flags: u8) {
        let Some((side, frame)) = self.translated.iter().nth_back(back) else {
            return;
        };
        if let Some(answer) = answer_to::<A>(frame, flags) {
            self.meet(other(*side), &answer);
        }
    }

    fn report_error(&mut self, back: usize) {
        let Some((side, frame)) = self.translated.iter().nth_back(back) else {
            return;
        };
        let headers = headers::<A>(frame).expect("a translated frame");
        let error = error_about::<A>(&frame[14..], headers.destination, headers.source);
        self.meet(other(*side), &error);
    }

    fn condemn(&self, slot: u32) {
        let record = self.world.tables.connection(slot % self.world.plan.max_flows).expect("a slot of the table");
        if State(record.state.load(Relaxed)).has(State::LIVE) && Side::is_of_packets(record.original.side) {
            record.state.fetch_or(State::CONDEMNED, Relaxed);
        }
    }

    fn sweep(&self) {
        let World { tables, plan, now, .. } = &self.world;
        for _ in 0..LOOKS {
            (0..plan.max_flows).for_each(|slot| conntrack::sweep(tables, slot, *now));
        }
        assert!(laws::live(tables).iter().all(|seen| !seen.has_ended(tables, *now)), "reaped");
    }
}

/// What a frame says, if it is of the family.
pub(crate) fn headers<A: Place>(frame: &[u8]) -> Result<Headers<A>, Reason> {
    let family = if A::FAMILY == 0 { Family::V4 } else { Family::V6 };
    if parse::family(frame, 14) != family {
        return Err(Reason::OtherFamily);
    }
    let mut headers = Headers::EMPTY;
    A::parse(frame, 14, &mut headers).map(|()| headers)
}

/// Where what answers a translated packet comes from.
fn other(side: Side) -> Side {
    match side {
        Side::Inside => Side::Outside,
        Side::Outside => Side::Inside,
        Side::Bridge | Side::Binding | Side::Permission | Side::Account => side,
    }
}

/// What the receiver of a translated frame sends back.
fn answer_to<A: Place>(frame: &[u8], flags: u8) -> Option<Vec<u8>> {
    let headers = headers::<A>(frame).expect("a translated frame");
    let Fields { addresses, transport_at, source_port_at, destination_port_at, checksum, .. } = laws::fields(&headers);
    let mut answer = frame.to_vec();
    // The sums stay: their words only change places.
    answer[addresses].rotate_left(size_of::<A>());
    if source_port_at.is_some() && destination_port_at.is_some() {
        answer[transport_at..transport_at + 4].rotate_left(2);
    }
    let [request, reply] = if A::FAMILY == 0 { [8, 0] } else { [128, 129] };
    let (word_at, word) = match headers.transport.kind {
        Kind::Tcp => (transport_at + 12, [frame[transport_at + 12], flags]),
        Kind::EchoRequest => (transport_at, [reply, 0]),
        Kind::EchoReply => (transport_at, [request, 0]),
        Kind::Sctp => {
            let segment = &mut answer[transport_at..];
            segment[12] = flags;
            let sum = laws::crc32c(segment).to_le_bytes();
            segment[8..12].copy_from_slice(&sum);
            return Some(answer);
        }
        Kind::Udp | Kind::Other | Kind::LaterFragment => return Some(answer),
        Kind::IcmpError | Kind::Untranslatable(_) => return None,
    };
    let sum = [answer[checksum.start], answer[checksum.start + 1]];
    let updated = checksum::update(sum, &answer[word_at..word_at + 2], &word);
    answer[word_at..word_at + 2].copy_from_slice(&word);
    answer[checksum].copy_from_slice(&updated);
    Some(answer)
}

/// An error (time exceeded) about an IP packet.
fn error_about<A: Place>(packet: &[u8], reporter: A, receiver: A) -> Vec<u8> {
    let addresses = [bytes(&reporter), bytes(&receiver)].concat();
    let (kind, ethertype) = if A::FAMILY == 0 { (11, [0x08, 0x00]) } else { (3, [0x86, 0xdd]) };
    let mut message = [&[kind, 0, 0, 0, 0, 0, 0, 0], packet].concat();
    let length = u16::try_from(message.len()).expect("short").to_be_bytes();
    let pseudo_header =
        if A::FAMILY == 0 { Vec::new() } else { [&addresses[..], &[0, 0], &length, &[0, 0, 0, 58]].concat() };
    let sum = checksum::full(&[&pseudo_header[..], &message].concat());
    message[2..4].copy_from_slice(&sum);
    let header = if A::FAMILY == 0 {
        let total = u16::try_from(message.len() + 20).expect("short").to_be_bytes();
        let mut header = [&[0x45, 0], &total[..], &[0, 1, 0, 0, 64, 1, 0, 0], &addresses].concat();
        let sum = checksum::full(&header);
        header[10..12].copy_from_slice(&sum);
        header
    } else {
        [&[0x60, 0, 0, 0], &length[..], &[58, 64], &addresses].concat()
    };
    [&[2; 12], &ethertype[..], &header, &message].concat()
}

/// An address's bytes.
fn bytes<A: Place>(address: &A) -> &[u8] {
    address.as_ref()
}
