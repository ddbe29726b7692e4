//! The programs and maps of a world in the kernel, not pinned and not attached.

use std::collections::{HashMap as StdHashMap, HashSet};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, LpmTrie, Map, MapData, PerCpuArray, PerCpuValues, Queue, lpm_trie::Key},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
    util::nr_cpus,
};
use netfwd::datapath::load::CLASSIFIERS;
use netfwd_common::{
    abi::{
        Address as _, COUNTERS_PER_HOOK, Connection, Counter, Datagram, DatagramKey, FlowEvent, Interface, Mapping,
        MappingKey, Masquerade, Member, Reason, Record, Rule, RuleCounter, Side, Slot, SubnetKey, Target, Tuple, V4,
        V6, counter_index, names,
    },
    memory::MemoryTables,
};

use super::world::{BRIDGE, BRIDGE_SLOT, HOST_RULE, Place, Plan, UPLINK, UPLINK_SLOT};

/// A record, for aya to copy.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct InMap<A>(Record<A>);

// SAFETY: repr(C), integers and byte arrays only; what is behind the last one means nothing.
unsafe impl<A: Place> Pod for InMap<A> {}

/// The BPF object of this build.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netfwd"));

/// Records that the maps have room for.
const MAX_FLOWS: u32 = 256;
/// Longer than any frame that a program makes.
const MAX_FRAME: usize = 1024;

/// What a program did with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What it returned.
    pub(crate) action: i32,
    /// The frame after it.
    pub(crate) frame: Vec<u8>,
}

/// A world in the kernel.
pub(crate) struct Datapath(Ebpf);

impl Datapath {
    /// Loads everything.
    pub(crate) fn load() -> Self {
        let mut loader = EbpfLoader::new();
        for maps in [V4::MAPS, V6::MAPS] {
            loader.map_max_entries(maps.connections, MAX_FLOWS).map_max_entries(maps.free_slots, MAX_FLOWS);
            loader.map_max_entries(maps.tuples, MAX_FLOWS * 2);
        }
        let mut ebpf = loader.load(OBJECT).unwrap();
        for name in CLASSIFIERS {
            let program: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        Self(ebpf)
    }

    /// Forgets all connections and counts, and takes over the settings and rules of `tables`.
    pub(crate) fn begin<A: Place + Pod>(&mut self, plan: &Plan, tables: &MemoryTables<A>) {
        assert!(plan.max_flows <= MAX_FLOWS);
        for tuple in self.tuples::<A>().keys() {
            self.hash_map::<Tuple<A>, Slot>(A::MAPS.tuples).remove(tuple).unwrap();
        }
        while Queue::<_, u32>::try_from(self.map(A::MAPS.free_slots)).unwrap().pop(0).is_ok() {}
        let used = self.array::<u64>(A::MAPS.high_water).get(&0, 0).unwrap();
        for number in 0..MAX_FLOWS.min(used.try_into().unwrap()) {
            let mut record = self.connection::<A>(number);
            record.state = 0;
            self.set_connection(number, record);
        }
        self.array::<u64>(A::MAPS.high_water).set(0, 0, 0).unwrap();
        let datagrams = if A::FAMILY == 0 { "DATAGRAMS_V4" } else { "DATAGRAMS_V6" };
        let keys: Vec<_> = self.hash_map::<DatagramKey<A>, Datagram>(datagrams).keys().map(Result::unwrap).collect();
        for key in keys {
            self.hash_map::<DatagramKey<A>, Datagram>(datagrams).remove(&key).unwrap();
        }
        self.array(names::SETTINGS).set(0, tables.settings, 0).unwrap();
        for slot in [UPLINK_SLOT, BRIDGE_SLOT] {
            let hook = counter_index(slot, false, Reason::Translated);
            self.clear::<Counter>(names::COUNTERS, hook..hook + 2 * COUNTERS_PER_HOOK);
        }
        self.clear::<RuleCounter>(names::RULE_COUNTERS, tables.generations.keys().copied());
        self.clear::<u64>(names::FLOW_EVENTS, FlowEvent::ALL.map(FlowEvent::number));
        self.follow(plan, tables);
    }

    /// Takes over the rules of `tables`.
    pub(crate) fn follow<A: Place + Pod>(&mut self, plan: &Plan, tables: &MemoryTables<A>) {
        for (ifindex, side) in [(UPLINK, Side::Outside), (BRIDGE, Side::Bridge)] {
            let interface = plan.interface(tables.generations[&HOST_RULE], side);
            self.hash_map(names::INTERFACES).insert(ifindex, interface, 0).unwrap();
            self.array::<u32>(names::FAST_INTERFACES).set(interface.slot, interface.fast(ifindex), 0).unwrap();
        }
        for ((protocol, endpoint), mapping) in &tables.mappings {
            let key = MappingKey::new(*protocol, endpoint.address, endpoint.port);
            self.trie::<_, Mapping<A>>(A::MAPS.mappings)
                .insert(&Key::new(MappingKey::<A>::BITS, key), mapping, 0)
                .unwrap();
        }
        for ((uplink, address), masquerade) in &tables.masquerades {
            let key = Key::new(SubnetKey::<A>::BITS, SubnetKey::new(*uplink, *address));
            self.trie::<_, Masquerade<A>>(A::MAPS.subnets).insert(&key, masquerade, 0).unwrap();
        }
        for ((uplink, address), rule) in &tables.exclusions {
            let key = Key::new(SubnetKey::<A>::BITS, SubnetKey::new(*uplink, *address));
            self.trie::<_, Rule>(A::MAPS.exclusions).insert(&key, rule, 0).unwrap();
        }
        self.isolate(&tables.isolated);
        for (id, generation) in &tables.generations {
            self.array::<u32>(names::GENERATIONS).set(*id, generation, 0).unwrap();
        }
    }

    fn isolate<A: Place + Pod>(&mut self, addresses: &HashSet<A>) {
        let mut isolated = self.trie::<A, u8>(A::MAPS.isolated);
        let before: Vec<_> = isolated.keys().map(Result::unwrap).collect();
        for key in before {
            isolated.remove(&key).unwrap();
        }
        for address in addresses {
            isolated.insert(&Key::new(size_of::<A>() as u32 * 8, *address), 0, 0).unwrap();
        }
    }

    /// Has packets to and from these addresses, which are behind a member of the bridge, go past the stack.
    pub(crate) fn speed_up<A: Place + Pod>(&mut self, (ifindex, member): (u32, Member), targets: &[Target<A>]) {
        for interface in [UPLINK, BRIDGE] {
            let mut interfaces = self.hash_map::<u32, Interface>(names::INTERFACES);
            let slow = interfaces.get(&interface, 0).unwrap();
            let fast = Interface { flags: slow.flags | Interface::FAST_PATH, ..slow };
            interfaces.insert(interface, fast, 0).unwrap();
            self.array::<u32>(names::FAST_INTERFACES).set(fast.slot, fast.fast(interface), 0).unwrap();
        }
        self.hash_map(names::MEMBERS).insert(ifindex, member, 0).unwrap();
        for target in targets {
            let [place, ..] = Target::places(&target.address);
            self.array::<Target<A>>(A::MAPS.targets).set(place, target, 0).unwrap();
        }
    }

    /// Runs the program of a side on a frame that is met on the uplink or the bridge.
    pub(crate) fn meet(&self, side: Side, frame: &[u8]) -> Outcome {
        self.meet_on(if side == Side::Bridge { BRIDGE } else { UPLINK }, side, frame)
    }

    /// Runs the program of a side on a frame that is met on an interface.
    pub(crate) fn meet_on(&self, interface: u32, side: Side, frame: &[u8]) -> Outcome {
        let mut after = vec![0; MAX_FRAME];
        let context = context(interface);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut after),
            ctx_in: Some(&context),
            ..<_>::default()
        };
        let result = self.program(hook(side)).test_run(options);
        let result = result.map_err(|error| format!("{error:?} for {frame:x?}")).unwrap();
        after.truncate(result.data_size_out as usize);
        Outcome { action: result.return_value.cast_signed(), frame: after }
    }

    /// The nanoseconds that a program takes on a frame, in the mean of all runs; each gets what the last one has left of
    /// it.
    pub(crate) fn time(&self, name: &str, interface: u32, frame: &[u8], repeat: u32) -> u128 {
        let context = context(interface);
        let options = TestRunOptions { data_in: Some(frame), ctx_in: Some(&context), repeat, ..<_>::default() };
        self.program(name).test_run(options).unwrap().duration.as_nanos()
    }

    /// Starts the reaper.
    pub(crate) fn start_reaper(&self) {
        let options = TestRunOptions { data_in: Some(&[0; 64]), ..TestRunOptions::default() };
        assert_eq!(self.program(names::START_REAPER).test_run(options).unwrap().return_value.cast_signed(), -1);
    }

    /// The index.
    pub(crate) fn tuples<A: Place>(&self) -> StdHashMap<Tuple<A>, Slot> {
        let tuples = HashMap::<_, Tuple<A>, Slot>::try_from(self.0.map(A::MAPS.tuples).unwrap()).unwrap();
        tuples.iter().map(Result::unwrap).collect()
    }

    /// The record of a slot.
    pub(crate) fn connection<A: Place>(&self, number: u32) -> Connection<A> {
        let records = Array::<_, InMap<A>>::try_from(self.0.map(A::MAPS.connections).unwrap()).unwrap();
        records.get(&number, 0).unwrap().0.0
    }

    /// Replaces the record of a slot, while no program runs.
    pub(crate) fn set_connection<A: Place>(&mut self, number: u32, connection: Connection<A>) {
        self.array(A::MAPS.connections).set(number, InMap(Record(connection)), 0).unwrap();
    }

    /// Packets by reason on a side; those that are not zero.
    pub(crate) fn counters(&self, side: Side) -> Vec<(Reason, Counter)> {
        let slot = if side == Side::Bridge { BRIDGE_SLOT } else { UPLINK_SLOT };
        let index = |reason| counter_index(slot, side == Side::Inside, reason);
        let counters = Reason::ALL.map(|reason| (reason, sum(self.per_cpu(names::COUNTERS, index(reason)))));
        counters.into_iter().filter(|(_, counter)| counter.packets != 0).collect()
    }

    /// What was counted for a rule.
    pub(crate) fn rule_counter(&self, id: u32) -> RuleCounter {
        let per_cpu: Vec<RuleCounter> = self.per_cpu(names::RULE_COUNTERS, id);
        RuleCounter {
            original: sum(per_cpu.iter().map(|counter| counter.original)),
            reply: sum(per_cpu.iter().map(|counter| counter.reply)),
            flows: per_cpu.iter().map(|counter| counter.flows).sum(),
        }
    }

    /// How often something happened to connections.
    pub(crate) fn events(&self, event: FlowEvent) -> u64 {
        self.per_cpu::<u64>(names::FLOW_EVENTS, event.number()).into_iter().sum()
    }

    fn program(&self, name: &str) -> &SchedClassifier {
        self.0.program(name).unwrap().try_into().unwrap()
    }

    fn map(&mut self, name: &str) -> &mut Map {
        self.0.map_mut(name).unwrap()
    }

    fn array<V: Pod>(&mut self, name: &str) -> Array<&mut MapData, V> {
        self.map(name).try_into().unwrap()
    }

    fn hash_map<K: Pod, V: Pod>(&mut self, name: &str) -> HashMap<&mut MapData, K, V> {
        self.map(name).try_into().unwrap()
    }

    fn trie<K: Pod, V: Pod>(&mut self, name: &str) -> LpmTrie<&mut MapData, K, V> {
        self.map(name).try_into().unwrap()
    }

    fn per_cpu<V: Pod>(&self, name: &str, index: u32) -> Vec<V> {
        let array = PerCpuArray::<_, V>::try_from(self.0.map(name).unwrap()).unwrap();
        array.get(&index, 0).unwrap().to_vec()
    }

    fn clear<V: Pod + Default>(&mut self, name: &str, indexes: impl IntoIterator<Item = u32>) {
        let cpus = nr_cpus().unwrap();
        for index in indexes {
            let zeros = PerCpuValues::try_from(vec![V::default(); cpus]).unwrap();
            PerCpuArray::try_from(self.map(name)).unwrap().set(index, zeros, 0).unwrap();
        }
    }
}

fn hook(side: Side) -> &'static str {
    match side {
        Side::Outside => names::INGRESS,
        Side::Bridge => names::BRIDGE,
        Side::Inside | Side::Binding | Side::Permission | Side::Account => names::EGRESS,
    }
}

/// The head of a `__sk_buff`, which ends with its ifindex.
fn context(interface: u32) -> [u8; 44] {
    let mut context = [0; 44];
    context[40..].copy_from_slice(&interface.to_ne_bytes());
    context
}

fn sum(counters: impl IntoIterator<Item = Counter>) -> Counter {
    let add = |a: Counter, b: Counter| Counter { packets: a.packets + b.packets, bytes: a.bytes + b.bytes };
    counters.into_iter().fold(Counter::default(), add)
}
