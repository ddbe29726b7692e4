//! A world in memory and one in the kernel, to which the same happens.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    sync::atomic::Ordering::Relaxed,
};

use aya::Pod;
use netfwd::clock;
use netfwd_common::{
    abi::{Connection, FlowEvent, Reason, Rule, Side, Slot, Tuple},
    checksum,
    conntrack::State,
    parse::{Headers, Kind},
    quote,
    tables::Tables as _,
    verdict::Verdict,
};
use proptest::prelude::*;

use super::{
    super::{
        datapath::{Datapath, Outcome},
        frame::{Content, Frame, Ip, error_about, tcp},
        world::{Place, Plan, World},
    },
    steps::{PORTS, Step},
};

type Port = [u8; 2];

/// What happens next: another step, or nothing.
type Next = Result<ControlFlow<()>, TestCaseError>;
const GO_ON: Next = Ok(ControlFlow::Continue(()));

/// What both say of a live connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flow<A> {
    original: Tuple<A>,
    reply: Tuple<A>,
    rule: Rule,
    parent: Slot,
    interface: u32,
    state: u64,
    packets: [u64; 2],
    bytes: [u64; 2],
}

/// Both worlds.
pub(super) struct Twins<'d, A> {
    world: World<A>,
    datapath: &'d mut Datapath,
    /// The kernel's choice for each port that was chosen by chance in memory.
    renamed: HashMap<Port, Port>,
    /// Translated frames: the side they came from, and what became of them in memory and in the kernel.
    translated: Vec<(Side, Vec<u8>, Vec<u8>)>,
    /// Packets in memory by side and reason.
    reasons: HashMap<(Side, Reason), u64>,
}

impl<'d, A: Ip + Place + Pod> Twins<'d, A> {
    /// Two worlds in which nothing has happened.
    pub(super) fn begin(plan: &Plan, datapath: &'d mut Datapath) -> Self {
        let mut world = World::new(plan.clone());
        world.now = clock::now().unwrap();
        datapath.begin(plan, &world.tables);
        let (renamed, translated, reasons) = (HashMap::new(), Vec::new(), HashMap::new());
        Self { world, datapath, renamed, translated, reasons }
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
            Step::Error { back } => self.report_error(*back)?,
            Step::EndRule(rule) => self.change(|world| world.end_rule(*rule)),
            Step::StartRule(rule) => self.change(|world| world.start_rule(*rule)),
            Step::Condemn(slot) => self.condemn(*slot % self.world.plan.max_flows),
        };
        if next.is_continue() {
            self.compare()?;
        }
        Ok(next)
    }

    fn change(&mut self, change: impl FnOnce(&mut World<A>)) -> ControlFlow<()> {
        change(&mut self.world);
        self.datapath.follow(&self.world.plan, &self.world.tables);
        ControlFlow::Continue(())
    }

    fn condemn(&mut self, slot: u32) -> ControlFlow<()> {
        let record = self.world.tables.connection(slot).unwrap();
        if State(record.state.load(Relaxed)).has(State::LIVE) && Side::is_of_packets(record.original.side) {
            record.state.fetch_or(State::CONDEMNED, Relaxed);
            let mut connection = self.datapath.connection::<A>(slot);
            connection.state |= State::CONDEMNED;
            self.datapath.set_connection(slot, connection);
        }
        ControlFlow::Continue(())
    }

    fn answer(&mut self, back: usize, flags: u8) -> Next {
        let Some((side, in_memory, in_kernel)) = self.translated.iter().nth_back(back) else {
            return GO_ON;
        };
        let answers = [in_memory, in_kernel].map(|frame| answer_to::<A>(frame, flags));
        let ([Some(in_memory), Some(in_kernel)], side) = (answers, other(*side)) else {
            return GO_ON;
        };
        self.meet(side, &in_memory, &in_kernel)
    }

    fn report_error(&mut self, back: usize) -> Next {
        let Some((side, in_memory, in_kernel)) = self.translated.iter().nth_back(back) else {
            return GO_ON;
        };
        let Headers { source, destination, .. } = headers::<A>(in_memory);
        let [in_memory, in_kernel] = [in_memory, in_kernel].map(|frame| error_about(frame, destination, source));
        self.meet(other(*side), &in_memory, &in_kernel)
    }

    fn meet(&mut self, side: Side, in_memory: &[u8], in_kernel: &[u8]) -> Next {
        let mut memory = in_memory.to_vec();
        let verdict = self.world.meet(side, &mut memory);
        // What was let go is met by nobody: no program is attached.
        drop(self.world.held.take_released());
        let Outcome { action, frame: kernel } = self.datapath.meet(side, in_kernel);
        *self.reasons.entry((side, verdict.reason())).or_default() += 1;
        let expected = match verdict {
            Verdict::Drop(_) => 2,
            Verdict::Redirected(_) | Verdict::ToContainer(_) | Verdict::ToNeighbour(_) | Verdict::Answered(..) => 7,
            Verdict::Translated | Verdict::Pass(_) => -1,
        };
        prop_assert_eq!(action, expected, "{:?} on {:?} of {:02x?}", verdict, side, in_memory);
        match verdict {
            Verdict::Translated | Verdict::Redirected(_) | Verdict::ToContainer(_) | Verdict::ToNeighbour(_) => {}
            Verdict::Pass(_) | Verdict::Drop(_) | Verdict::Answered(..) => {
                // What could not be rewritten may be half rewritten, and is not sent.
                if verdict != Verdict::Drop(Reason::RewriteFailed) && in_memory == in_kernel {
                    prop_assert_eq!(&memory, &kernel, "{:?}", verdict);
                }
                // It may have been remembered none the less, with ports that were chosen by chance.
                let is_remembered = (side, verdict) == (Side::Bridge, Verdict::Drop(Reason::Filtered));
                return Ok(if is_remembered { self.learn_records() } else { ControlFlow::Continue(()) });
            }
        }
        if self.learn(&memory, &kernel).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        prop_assert_eq!(self.as_in_kernel(&memory, &kernel), &kernel[..], "{:?} {:x?}", side, in_memory);
        self.translated.push((side, memory, kernel));
        GO_ON
    }

    /// Notes which port stands for which, unless one of them stands for something already.
    fn learn(&mut self, memory: &[u8], kernel: &[u8]) -> ControlFlow<()> {
        let (memory, kernel) = (headers::<A>(memory).transport, headers::<A>(kernel).transport);
        self.learn_ports([(memory.source_port, kernel.source_port), (memory.destination_port, kernel.destination_port)])
    }

    /// The same of the ports in all records.
    fn learn_records(&mut self) -> ControlFlow<()> {
        let slots: HashSet<_> = self.world.tables.tuples().values().map(|slot| slot.number).collect();
        for slot in slots {
            let (memory, kernel) = (self.world.tables.connection(slot).unwrap(), self.datapath.connection::<A>(slot));
            for (memory, kernel) in [(memory.original, kernel.original), (memory.reply, kernel.reply)] {
                self.learn_ports([
                    (memory.source.port, kernel.source.port),
                    (memory.destination.port, kernel.destination.port),
                ])?;
            }
        }
        ControlFlow::Continue(())
    }

    fn learn_ports(&mut self, ports: [(Port, Port); 2]) -> ControlFlow<()> {
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
    fn as_in_kernel(&self, memory: &[u8], kernel: &[u8]) -> Vec<u8> {
        let (mut frame, headers) = (memory.to_vec(), headers::<A>(memory));
        if headers.transport.kind == Kind::IcmpError {
            let mut inner = Headers::EMPTY;
            quote::parse(memory, &headers, &mut inner).unwrap();
            let tuple = self.renamed(&inner.tuple(Side::Outside).unwrap());
            A::rewrite_quote(frame.as_mut_slice(), &headers, &inner, &tuple).unwrap();
            if inner.transport.kind == Kind::Sctp {
                take_quoted_sctp_checksum(&mut frame, kernel, &headers, &inner);
            }
        } else if let Ok(tuple) = headers.tuple(Side::Outside) {
            A::rewrite(frame.as_mut_slice(), &headers, &self.renamed(&tuple)).unwrap();
        }
        frame
    }

    fn renamed(&self, tuple: &Tuple<A>) -> Tuple<A> {
        let mut tuple = *tuple;
        for endpoint in [&mut tuple.source, &mut tuple.destination] {
            endpoint.port = self.renamed.get(&endpoint.port).copied().unwrap_or(endpoint.port);
        }
        tuple
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let tuples = self.world.tables.tuples();
        let index: HashMap<_, _> = tuples.iter().map(|(tuple, slot)| (self.renamed(tuple), *slot)).collect();
        prop_assert_eq!(&index, &self.datapath.tuples::<A>());
        let slots: HashSet<_> = index.values().map(|slot| slot.number).collect();
        for slot in slots {
            prop_assert_eq!(
                self.flow_in_memory(slot),
                flow_in_kernel(&self.datapath.connection::<A>(slot)),
                "{}",
                slot
            );
        }
        for event in FlowEvent::ALL {
            prop_assert_eq!(self.world.tables.events(event), self.datapath.events(event), "{:?}", event);
        }
        for rule in self.world.tables.generations.keys() {
            prop_assert_eq!(self.world.tables.rule_counter(*rule), self.datapath.rule_counter(*rule), "{}", rule);
        }
        let mut counted = HashMap::new();
        for side in [Side::Inside, Side::Outside, Side::Bridge] {
            let counters = self.datapath.counters(side).into_iter();
            counted.extend(counters.map(|(reason, counter)| ((side, reason), counter.packets)));
        }
        prop_assert_eq!(&self.reasons, &counted);
        Ok(())
    }

    fn flow_in_memory(&self, slot: u32) -> Flow<A> {
        let Connection { original, reply, rule, parent, interface, state, packets, bytes, .. } =
            self.world.tables.connection(slot).unwrap();
        Flow {
            original: self.renamed(original),
            reply: self.renamed(reply),
            rule: *rule,
            parent: *parent,
            interface: *interface,
            state: state.load(Relaxed),
            packets: packets.each_ref().map(|count| count.load(Relaxed)),
            bytes: bytes.each_ref().map(|count| count.load(Relaxed)),
        }
    }
}

fn flow_in_kernel<A: Place>(connection: &Connection<A>) -> Flow<A> {
    let Connection { original, reply, rule, parent, interface, state, packets, bytes, .. } = *connection;
    Flow { original, reply, rule, parent, interface, state, packets, bytes }
}

/// What is quoted of SCTP keeps its checksum, and so one of the port that was chosen by chance.
fn take_quoted_sctp_checksum<A>(frame: &mut [u8], kernel: &[u8], outer: &Headers<A>, inner: &Headers<A>) {
    let (at, sum_at) = (inner.transport_at as usize + 8, outer.transport_at as usize + 2);
    let sum = [frame[sum_at], frame[sum_at + 1]];
    if let (Some(old), Some(new)) = (frame.get_mut(at..at + 4), kernel.get(at..at + 4)) {
        let sum = checksum::update(sum, old, new);
        old.copy_from_slice(new);
        frame[sum_at..sum_at + 2].copy_from_slice(&sum);
    }
}

fn headers<A: Ip>(frame: &[u8]) -> Headers<A> {
    let mut headers = Headers::EMPTY;
    A::parse(frame, 14, &mut headers).unwrap();
    headers
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
fn answer_to<A: Ip>(frame: &[u8], flags: u8) -> Option<Vec<u8>> {
    let headers = headers::<A>(frame);
    let Tuple { source, destination, .. } = headers.tuple(Side::Outside).ok()?;
    let content = match headers.transport.kind {
        Kind::Tcp => tcp(flags),
        Kind::Udp => Content::Udp,
        Kind::Sctp => Content::Sctp(flags),
        Kind::EchoRequest => Content::EchoReply,
        Kind::EchoReply => Content::EchoRequest,
        Kind::Other => Content::Gre,
        Kind::IcmpError | Kind::LaterFragment | Kind::Untranslatable(_) => return None,
    };
    Some(Frame::new(content, destination, source).bytes())
}
