//! An engine that restarts.

use lab::Topology;

use super::{Follower, PATIENCE, container, dockers};

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn containers_that_live_on_without_their_engine_are_told_again_when_it_is_back() {
    let (mut engine, lab) = dockers(Topology::default());
    engine.docker(&["run", "--detach", "--name", "a1", "-p", "8080:80", "-p", "80", "web"]).unwrap();
    let follower = Follower::start(&engine);
    let before = follower.state(PATIENCE, |state| container(state, "a1").is_some());
    engine.stop().unwrap();
    // It closes its socket before it ends the stream of events: the next question may come between.
    let reason = follower.lost(PATIENCE);
    assert!(["stops or restarts", "is it stopping?", "there is no"].iter().any(|it| reason.contains(it)), "{reason}");
    engine.start_again(lab.host()).unwrap();
    assert_eq!(follower.state(PATIENCE, |_| true), before);
    engine.docker(&["rm", "--force", "a1"]).unwrap();
    follower.state(PATIENCE, |state| state.containers.is_empty());
}
