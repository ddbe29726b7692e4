//! The timer that removes connections that have ended.

use std::{
    thread,
    time::{Duration, Instant},
};

use aya::Pod;
use netfwd_common::{
    abi::{Endpoint, FlowEvent, Side, V4, V6},
    conntrack::State,
};

use super::{
    datapath::Datapath,
    frame::{Frame, Ip, UDP},
    namespace, table,
    world::{Place, Plan},
};

/// A round takes 10 seconds.
const DEADLINE: Duration = Duration::from_secs(20);

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_reaper_removes_what_has_ended_and_nothing_else() {
    namespace::enter(|| {
        let (mut datapath, plan) = (Datapath::load(), table::plan());
        remove_condemned::<V4>(&mut datapath, &plan);
        remove_condemned::<V6>(&mut datapath, &plan);
    });
}

/// One of two connections to a mapped port ends.
fn remove_condemned<A: Place + Ip + Pod>(datapath: &mut Datapath, plan: &Plan) {
    datapath.begin(plan, &plan.tables::<A>());
    for port in [40_000, 40_001] {
        let (source, mapped) = (Endpoint::new(A::PEERS[0], port), Endpoint::new(A::HOSTS[0], 8080));
        datapath.meet(Side::Outside, &Frame::new(UDP, source, mapped).bytes());
    }
    let mut condemned = datapath.connection::<A>(0);
    condemned.state |= State::CONDEMNED;
    datapath.set_connection(0, condemned);
    datapath.start_reaper();
    let deadline = Instant::now() + DEADLINE;
    while datapath.tuples::<A>().len() > 2 {
        assert!(Instant::now() < deadline, "the reaper leaves {:?}", datapath.tuples::<A>());
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(datapath.events(FlowEvent::Ended), 1);
    assert!(datapath.tuples::<A>().values().all(|slot| slot.number == 1));
    assert!(!State(datapath.connection::<A>(0).state).has(State::LIVE));
    assert!(State(datapath.connection::<A>(1).state).has(State::LIVE));
}
