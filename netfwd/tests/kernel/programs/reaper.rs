//! The timer that removes connections that have ended.

use std::{
    thread,
    time::{Duration, Instant},
};

use netfwd_common::{
    abi::{Endpoint, FlowEvent, Side},
    conntrack::State,
};

use super::{
    datapath::Datapath,
    frame::{Frame, Kind},
    namespace, table,
    world::{CONTAINERS, PEERS},
};

const DEADLINE: Duration = Duration::from_secs(10);

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_reaper_removes_what_has_ended_and_nothing_else() {
    namespace::enter(|| {
        let (mut datapath, plan) = (Datapath::load(), table::plan());
        datapath.begin(&plan, &plan.tables());
        for port in [40_000, 40_001] {
            let (source, server) = (Endpoint::new(CONTAINERS[0], port), Endpoint::new(PEERS[0], 53));
            datapath.meet(Side::Inside, &Frame::new(Kind::Udp { has_checksum: true }, source, server).bytes());
        }
        let mut condemned = datapath.connection(0);
        condemned.state |= State::CONDEMNED;
        datapath.set_connection(0, condemned);
        datapath.start_reaper();
        let deadline = Instant::now() + DEADLINE;
        while datapath.tuples().len() > 2 {
            assert!(Instant::now() < deadline, "the reaper leaves {:?}", datapath.tuples());
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(datapath.events(FlowEvent::Ended), 1);
        assert!(datapath.tuples().values().all(|slot| slot.number == 1));
        assert!(!State(datapath.connection(0).state).has(State::LIVE));
        assert!(State(datapath.connection(1).state).has(State::LIVE));
    });
}
