//! A world in memory and one in the kernel, to which the same happens.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    sync::atomic::Ordering::Relaxed,
};

use netfwd::clock;
use netfwd_common::{
    abi::{Connection, FlowEvent, Reason, Rule, Side, Tuple, V4},
    conntrack::State,
    memory::MemoryTables,
    parse::{self, Headers},
    rewrite,
    tables::Tables as _,
    verdict::Verdict,
};
use proptest::prelude::*;

use super::{
    super::{
        datapath::{Datapath, Outcome},
        frame::{Frame, Kind},
        world::{self, Plan},
    },
    steps::{PORTS, Step},
};

type Port = [u8; 2];

/// What happens next: another step, or nothing.
type Next = Result<ControlFlow<()>, TestCaseError>;
const GO_ON: Next = Ok(ControlFlow::Continue(()));

/// What both say of a live connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flow {
    original: Tuple<V4>,
    reply: Tuple<V4>,
    rule: Rule,
    uplink: u32,
    state: u64,
    packets: [u64; 2],
    bytes: [u64; 2],
}

/// Both worlds.
pub(super) struct Twins<'d> {
    plan: Plan,
    tables: MemoryTables<V4>,
    datapath: &'d mut Datapath,
    now: u64,
    /// The kernel's choice for each port that was chosen by chance in memory.
    renamed: HashMap<Port, Port>,
    /// Translated frames: the side they came from, and what became of them in memory and in the kernel.
    translated: Vec<(Side, Vec<u8>, Vec<u8>)>,
    /// Packets in memory by side (whether it is the inside) and reason.
    reasons: HashMap<(bool, Reason), u64>,
}

impl<'d> Twins<'d> {
    /// Two worlds in which nothing has happened.
    pub(super) fn begin(plan: &Plan, datapath: &'d mut Datapath) -> Self {
        let (tables, now) = (plan.tables(), clock::now().unwrap());
        datapath.begin(plan, &tables);
        let (renamed, translated, reasons) = (HashMap::new(), Vec::new(), HashMap::new());
        Self { plan: plan.clone(), tables, datapath, now, renamed, translated, reasons }
    }

    /// How many frames were translated.
    pub(super) fn translated(&self) -> usize {
        self.translated.len()
    }

    /// Lets something happen to both, and compares them. It breaks where chance made them too different to go on.
    pub(super) fn take(&mut self, step: &Step) -> Next {
        let next = match step {
            Step::Frame(side, frame) => self.meet(*side, frame, frame)?,
            Step::Answer { back, flags } => self.answer(*back, *flags)?,
            Step::EndRule(rule) => self.change(|tables, _| world::end_rule(tables, *rule)),
            Step::StartRule(rule) => self.change(|tables, plan| world::start_rule(tables, *rule, &plan.ports)),
            Step::Condemn(slot) => self.condemn(*slot % self.plan.max_flows),
        };
        if next.is_continue() {
            self.compare()?;
        }
        Ok(next)
    }

    fn change(&mut self, change: impl FnOnce(&mut MemoryTables<V4>, &Plan)) -> ControlFlow<()> {
        change(&mut self.tables, &self.plan);
        self.datapath.follow(&self.plan, &self.tables);
        ControlFlow::Continue(())
    }

    fn condemn(&mut self, slot: u32) -> ControlFlow<()> {
        let record = self.tables.connection(slot).unwrap();
        if State(record.state.load(Relaxed)).has(State::LIVE) {
            record.state.fetch_or(State::CONDEMNED, Relaxed);
            let mut connection = self.datapath.connection(slot);
            connection.state |= State::CONDEMNED;
            self.datapath.set_connection(slot, connection);
        }
        ControlFlow::Continue(())
    }

    fn answer(&mut self, back: usize, flags: u8) -> Next {
        let Some((side, in_memory, in_kernel)) = self.translated.iter().nth_back(back) else {
            return GO_ON;
        };
        let side = if *side == Side::Inside { Side::Outside } else { Side::Inside };
        let (in_memory, in_kernel) = (answer_to(in_memory, flags), answer_to(in_kernel, flags));
        self.meet(side, &in_memory, &in_kernel)
    }

    fn meet(&mut self, side: Side, in_memory: &[u8], in_kernel: &[u8]) -> Next {
        let mut memory = in_memory.to_vec();
        let verdict = self.plan.meet(&self.tables, side, &mut memory, self.now);
        let Outcome { action, frame: kernel } = self.datapath.meet(side, in_kernel);
        *self.reasons.entry((side == Side::Inside, verdict.reason())).or_default() += 1;
        prop_assert_eq!(action, if matches!(verdict, Verdict::Drop(_)) { 2 } else { -1 }, "{:?}", verdict);
        if verdict != Verdict::Translated {
            prop_assert_eq!((in_memory, in_kernel), (&memory[..], &kernel[..]), "{:?}", verdict);
            return GO_ON;
        }
        if self.learn(&memory, &kernel).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        prop_assert_eq!(self.as_in_kernel(&memory), &kernel[..], "{:?} {:x?}", side, in_memory);
        self.translated.push((side, memory, kernel));
        GO_ON
    }

    /// Notes which port stands for which, unless one of them stands for something already.
    fn learn(&mut self, memory: &[u8], kernel: &[u8]) -> ControlFlow<()> {
        let (memory, kernel) = (headers(memory).transport, headers(kernel).transport);
        let ports = [(memory.source_port, kernel.source_port), (memory.destination_port, kernel.destination_port)];
        for (memory, kernel) in ports {
            if self.renamed.get(&memory).unwrap_or(&memory) == &kernel {
                continue;
            }
            let is_generated = [memory, kernel].iter().any(|port| PORTS.contains(&u16::from_be_bytes(*port)));
            if is_generated || self.renamed.iter().any(|(known, renamed)| *known == memory || *renamed == kernel) {
                return ControlFlow::Break(());
            }
            self.renamed.insert(memory, kernel);
        }
        ControlFlow::Continue(())
    }

    /// A frame that was translated in memory, with the kernel's choices.
    fn as_in_kernel(&self, memory: &[u8]) -> Vec<u8> {
        let (mut frame, headers) = (memory.to_vec(), headers(memory));
        let tuple = headers.tuple(Side::Outside).unwrap();
        rewrite::apply(frame.as_mut_slice(), &headers, &self.renamed(&tuple)).unwrap();
        frame
    }

    fn renamed(&self, tuple: &Tuple<V4>) -> Tuple<V4> {
        let mut tuple = *tuple;
        for endpoint in [&mut tuple.source, &mut tuple.destination] {
            endpoint.port = self.renamed.get(&endpoint.port).copied().unwrap_or(endpoint.port);
        }
        tuple
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let tuples = self.tables.tuples();
        let index: HashMap<_, _> = tuples.iter().map(|(tuple, slot)| (self.renamed(tuple), *slot)).collect();
        prop_assert_eq!(&index, &self.datapath.tuples());
        let slots: HashSet<_> = index.values().map(|slot| slot.number).collect();
        for slot in slots {
            prop_assert_eq!(self.flow_in_memory(slot), flow_in_kernel(&self.datapath.connection(slot)), "{}", slot);
        }
        for event in FlowEvent::ALL {
            prop_assert_eq!(self.tables.events(event), self.datapath.events(event), "{:?}", event);
        }
        for rule in self.tables.generations.keys() {
            prop_assert_eq!(self.tables.rule_counter(*rule), self.datapath.rule_counter(*rule), "{}", rule);
        }
        let mut counted = HashMap::new();
        for side in [Side::Inside, Side::Outside] {
            let counters = self.datapath.counters(side).into_iter();
            counted.extend(counters.map(|(reason, counter)| ((side == Side::Inside, reason), counter.packets)));
        }
        prop_assert_eq!(&self.reasons, &counted);
        Ok(())
    }

    fn flow_in_memory(&self, slot: u32) -> Flow {
        let Connection { original, reply, rule, uplink, state, packets, bytes, .. } =
            self.tables.connection(slot).unwrap();
        Flow {
            original: self.renamed(original),
            reply: self.renamed(reply),
            rule: *rule,
            uplink: *uplink,
            state: state.load(Relaxed),
            packets: packets.each_ref().map(|count| count.load(Relaxed)),
            bytes: bytes.each_ref().map(|count| count.load(Relaxed)),
        }
    }
}

fn flow_in_kernel(connection: &Connection<V4>) -> Flow {
    let Connection { original, reply, rule, uplink, state, packets, bytes, .. } = *connection;
    Flow { original, reply, rule, uplink, state, packets, bytes }
}

fn headers(frame: &[u8]) -> Headers<V4> {
    parse::ipv4(frame, 14).unwrap()
}

/// What the receiver of a translated frame sends back.
fn answer_to(frame: &[u8], flags: u8) -> Vec<u8> {
    let headers = headers(frame);
    let Tuple { source, destination, .. } = headers.tuple(Side::Outside).unwrap();
    let kind = match headers.transport.kind {
        parse::Kind::Tcp => Kind::Tcp(flags),
        parse::Kind::Udp => Kind::Udp { has_checksum: true },
        parse::Kind::EchoRequest => Kind::EchoReply,
        parse::Kind::EchoReply | parse::Kind::Untranslatable(_) => Kind::EchoRequest,
    };
    Frame::new(kind, destination, source).bytes()
}
