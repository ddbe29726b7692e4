//! What happens in a world, step by step. Every step is checked against the laws.

use std::sync::atomic::Ordering::Relaxed;

use netfwd_common::{
    abi::{Side, V4},
    checksum,
    conntrack::{self, State},
    memory::MemoryTables,
    parse::{self, Kind},
    tables::Tables as _,
    verdict::Verdict,
};

use crate::{
    laws::{self, Fields, Meeting},
    world::{Plan, end_rule, start_rule},
};

const SECOND: u64 = 1_000_000_000;

/// Longer than any connection lives.
const FOR_EVER: u64 = 100_000 * SECOND;

/// What may happen.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A frame that comes from the containers or the host ([`Side::Inside`]) or from the wire.
    Frame(Side, Vec<u8>),
    /// An answer, with these TCP flags, to a translated frame: 0 is the latest.
    Answer { back: u8, flags: u8 },
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

/// A world in time.
pub(crate) struct Journal {
    plan: Plan,
    tables: MemoryTables<V4>,
    now: u64,
    translated: Vec<(Side, Vec<u8>)>,
}

impl Journal {
    /// A world in which nothing has happened.
    pub(crate) fn new(plan: Plan) -> Self {
        Self { tables: plan.tables(), plan, now: SECOND, translated: Vec::new() }
    }

    /// All steps, and then the end of everything.
    pub(crate) fn live_through(mut self, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            self.take(step);
            laws::check_tables(&self.tables, self.plan.max_flows);
        }
        self.now += FOR_EVER;
        self.sweep();
        laws::check_tables(&self.tables, self.plan.max_flows);
        assert!(self.tables.tuples().is_empty(), "no connection outlives everything");
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Frame(side, frame) => self.meet(side, &frame),
            Step::Answer { back, flags } => self.answer(usize::from(back), flags),
            Step::Wait(seconds) => self.now += u64::from(seconds) * SECOND,
            Step::EndRule(rule) => end_rule(&mut self.tables, rule),
            Step::StartRule(rule) => start_rule(&mut self.tables, rule, &self.plan.ports),
            Step::Condemn(slot) => self.condemn(slot),
            Step::Sweep => self.sweep(),
        }
    }

    fn meet(&mut self, side: Side, before: &[u8]) {
        let headers = parse::ipv4(before, 14);
        let earlier = laws::live(&self.tables);
        let mut after = before.to_vec();
        let verdict = self.plan.meet(&self.tables, side, &mut after, self.now);
        laws::check(&Meeting {
            tables: &self.tables,
            side,
            now: self.now,
            headers,
            before,
            after: &after,
            verdict,
            earlier: &earlier,
        });
        if verdict == Verdict::Translated {
            self.translated.push((side, after));
        }
    }

    fn answer(&mut self, back: usize, flags: u8) {
        let Some((side, frame)) = self.translated.iter().nth_back(back) else {
            return;
        };
        let other = match side {
            Side::Inside => Side::Outside,
            Side::Outside => Side::Inside,
        };
        let answer = answer_to(frame, flags);
        self.meet(other, &answer);
    }

    fn condemn(&self, slot: u32) {
        let record = self.tables.connection(slot % self.plan.max_flows).expect("a slot of the table");
        if State(record.state.load(Relaxed)).has(State::LIVE) {
            record.state.fetch_or(State::CONDEMNED, Relaxed);
        }
    }

    fn sweep(&self) {
        for slot in 0..self.plan.max_flows {
            conntrack::sweep(&self.tables, slot, self.now);
        }
        assert!(laws::live(&self.tables).iter().all(|seen| !seen.has_ended(&self.tables, self.now)), "reaped");
    }
}

/// What the receiver of a translated frame sends back.
fn answer_to(frame: &[u8], flags: u8) -> Vec<u8> {
    let headers = parse::ipv4(frame, 14).expect("a translated frame");
    let Fields { addresses_at, transport_at, source_port_at, destination_port_at, checksum_at, .. } =
        laws::fields(&headers);
    let mut answer = frame.to_vec();
    // The sums stay: their words only change places.
    answer[addresses_at..addresses_at + 8].rotate_left(4);
    if source_port_at.is_some() && destination_port_at.is_some() {
        answer[transport_at..transport_at + 4].rotate_left(2);
    }
    let (word_at, word) = match headers.transport.kind {
        Kind::Tcp => (transport_at + 12, [frame[transport_at + 12], flags]),
        Kind::EchoRequest => (transport_at, [0, 0]),
        Kind::EchoReply => (transport_at, [8, 0]),
        Kind::Udp | Kind::Untranslatable(_) => return answer,
    };
    let sum = [answer[checksum_at], answer[checksum_at + 1]];
    let updated = checksum::update(sum, &answer[word_at..word_at + 2], &word);
    answer[word_at..word_at + 2].copy_from_slice(&word);
    answer[checksum_at..checksum_at + 2].copy_from_slice(&updated);
    answer
}
