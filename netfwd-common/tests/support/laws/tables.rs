//! What must hold in the tables at every moment.

use std::collections::HashSet;

use netfwd_common::{
    abi::{FlowEvent, Side, Slot},
    memory::MemoryTables,
    tables::Tables as _,
};

use super::{Seen, at, live};
use crate::world::{Place, Plan};

/// Both tuples or none, no two records share one, and no slot or event is lost.
pub(crate) fn check_tables<A: Place>(tables: &MemoryTables<A>, plan: &Plan) {
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
    let used = tables.high_water().min(plan.max_flows);
    assert_eq!(slots.len(), live.len() + free.len(), "a slot is free or in use, once");
    assert_eq!(slots, (0..used).collect(), "every slot that was ever used is free or in use");

    let ends = [FlowEvent::Expired, FlowEvent::Ended, FlowEvent::Evicted].map(|event| tables.events(event));
    let ended: u64 = ends.iter().sum();
    let connections = live.iter().filter(|seen| seen.is_connection()).count();
    let count = u64::try_from(connections).expect("few");
    assert_eq!(tables.events(FlowEvent::Created), count + ended, "every connection that was made lives or ended once");
    check_shared(tables, &live, plan);
}

/// A shared record knows how many hold it, and a connection looks like the binding that it holds.
fn check_shared<A: Place>(tables: &MemoryTables<A>, live: &[Seen<A>], plan: &Plan) {
    for seen in live {
        let holders = live.iter().filter(|other| other.parent == seen.slot).count();
        let children = usize::try_from(seen.state.children()).expect("few");
        assert_eq!(children, holders, "the holders of {:?} are counted", seen.original);
        if seen.parent == Slot::NONE || !tables.is_in_force(seen.rule) {
            continue;
        }
        let parent = at(live, seen.parent).expect("what is held lives");
        assert!(!parent.is_connection(), "a connection is not shared");
        if seen.is_connection() {
            let is_binding = parent.original.is_on(Side::Binding);
            let binding = if is_binding { parent } else { at(live, parent.parent).expect("what is held lives") };
            check_binding(seen, binding);
        }
    }
    let of = |container: &A| {
        let bindings = live.iter().filter(|seen| seen.original.is_on(Side::Binding) && tables.is_in_force(seen.rule));
        bindings.filter(|binding| binding.original.source.address == *container).count()
    };
    let most = usize::try_from(plan.max_ports_per_source).expect("few");
    assert!(most == 0 || A::CONTAINERS.iter().all(|container| of(container) <= most), "too many outside ports");
}

/// Endpoint-independent mapping: what holds a binding has its outside endpoint.
fn check_binding<A: Place>(seen: &Seen<A>, binding: &Seen<A>) {
    let (inside, outside) = (binding.original.source, binding.reply.destination);
    let ends = if seen.original.is_on(Side::Outside) {
        (seen.reply.source, seen.original.destination)
    } else {
        (seen.original.source, seen.reply.destination)
    };
    assert_eq!(ends, (inside, outside), "a connection has the endpoints of its binding");
    assert_eq!(seen.original.protocol, binding.original.protocol);
}
