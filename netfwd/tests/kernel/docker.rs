//! What `docker::Watch` tells of a real Docker Engine, driven by the docker command line.

mod agent;
mod bad_engine;
mod conflicts;
mod contained;
mod engine;
mod migration;
mod networks;

use std::{
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use lab::{DockerEngine, Lab, Topology};
use netfwd::docker::{Container, Engine, Network, State, Update, Watch};
use tokio::runtime::Builder;

use crate::support::lab;

/// Docker tells of everything within milliseconds; a machine may be busy.
const SOON: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// A watch on a thread of its own.
struct Follower {
    updates: Receiver<(Instant, Update)>,
}

impl Follower {
    fn start(engine: &DockerEngine) -> Self {
        let engine = Engine::at(&engine.address()).unwrap();
        let (sender, updates) = mpsc::channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut watch = Watch::start(engine);
                while sender.send((Instant::now(), watch.next().await)).is_ok() {}
            });
        });
        Self { updates }
    }

    /// The first state of which something is true, told before `timeout` is over.
    fn state(&self, timeout: Duration, is_wanted: impl Fn(&State) -> bool) -> State {
        let deadline = Instant::now() + timeout;
        let mut last = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let update = self.updates.recv_timeout(left).map(|(_, update)| update);
            assert!(update.is_ok(), "last was {last:#?}");
            match update.unwrap() {
                Update::Changed(state) if is_wanted(&state) => return state,
                update @ (Update::Changed(_) | Update::Lost(_)) => last = Some(update),
            }
        }
    }

    /// Waits until a container publishes this and nothing else.
    fn publishes(&self, name: &str, mappings: &[&str]) {
        self.state(SOON, |state| container(state, name).is_some_and(|container| texts(container) == mappings));
    }

    /// Waits until the engine is lost.
    fn lost(&self, timeout: Duration) -> String {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if let (_, Update::Lost(reason)) = self.updates.recv_timeout(left).unwrap() {
                return reason;
            }
        }
    }

    /// Whether there is nothing new for some time.
    fn is_quiet(&self, time: Duration) -> bool {
        self.updates.recv_timeout(time).is_err()
    }
}

fn container<'a>(state: &'a State, name: &str) -> Option<&'a Container> {
    state.containers.values().find(|container| container.name == name)
}

fn network<'a>(state: &'a State, name: &str) -> Option<&'a Network> {
    state.networks.values().find(|network| network.name == name)
}

fn texts(container: &Container) -> Vec<String> {
    container.mappings.iter().map(ToString::to_string).collect()
}

/// A host without bridges, and an engine in it. The engine goes first.
fn dockers(topology: Topology) -> (DockerEngine, Lab) {
    let lab = lab(&Topology { bridges: Vec::new(), ..topology });
    let engine = DockerEngine::start(lab.host()).unwrap();
    (engine, lab)
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn published_ports_come_and_go_with_their_containers() {
    let (engine, _lab) = dockers(Topology::default());
    let follower = Follower::start(&engine);
    let empty = follower.state(PATIENCE, |_| true);
    assert!(empty.containers.is_empty());
    assert_eq!(network(&empty, "bridge").unwrap().bridge, "docker0");

    let ports = ["-p", "8080:80", "-p", "127.0.0.1:8081:81", "-p", "53:53/udp"];
    let run = ["run", "--detach", "--name", "a1"];
    engine.docker(&[&run[..], &ports, &["web"]].concat()).unwrap();
    let published = ["8080:172.17.0.2:80/tcp", "53:172.17.0.2:53/udp", "127.0.0.1:8081:172.17.0.2:81/tcp"];
    follower.publishes("a1", &published);

    engine.docker(&["pause", "a1"]).unwrap();
    engine.docker(&["unpause", "a1"]).unwrap();
    engine.docker(&["exec", "a1", "/bin/busybox", "true"]).unwrap();
    assert!(follower.is_quiet(Duration::from_millis(300)), "nothing has changed");
    engine.docker(&["rename", "a1", "b1"]).unwrap();
    follower.publishes("b1", &published);
    engine.docker(&["stop", "--time", "0", "b1"]).unwrap();
    follower.state(SOON, |state| state.containers.is_empty());

    a_dynamic_port_moves(&engine, &follower);
    a_range_is_one_mapping(&engine, &follower);
}

fn a_dynamic_port_moves(engine: &DockerEngine, follower: &Follower) {
    engine.docker(&["run", "--detach", "--name", "c1", "-p", "80", "web"]).unwrap();
    let port = || engine.docker(&["port", "c1", "80/tcp"]).unwrap().rsplit(':').next().unwrap().to_owned();
    let first = port();
    follower.publishes("c1", &[&format!("{first}:172.17.0.2:80/tcp")]);
    engine.docker(&["restart", "--time", "0", "c1"]).unwrap();
    let second = port();
    assert_ne!(first, second, "Docker gives out ports in a row");
    follower.publishes("c1", &[&format!("{second}:172.17.0.2:80/tcp")]);
    engine.docker(&["rm", "--force", "c1"]).unwrap();
    follower.state(SOON, |state| state.containers.is_empty());
}

fn a_range_is_one_mapping(engine: &DockerEngine, follower: &Follower) {
    engine.docker(&["run", "--detach", "--name", "d1", "-p", "9000-9199:9100-9299", "web"]).unwrap();
    let returned = Instant::now();
    let (told, update) = follower.updates.recv_timeout(SOON).unwrap();
    let mappings = match &update {
        Update::Changed(state) => container(state, "d1").map(texts),
        Update::Lost(_) => None,
    };
    assert_eq!(mappings.unwrap_or_default(), ["9000-9199:172.17.0.2:9100-9299/tcp"], "{update:?}");
    let late = told.saturating_duration_since(returned);
    assert!(late < Duration::from_millis(50), "told {late:?} after `docker run` has returned");
    engine.docker(&["rm", "--force", "d1"]).unwrap();
    follower.state(SOON, |state| state.containers.is_empty());
}
