//! From Docker's own NAT to netfwd and back, as docs/docker.md tells users to do it.

use std::{
    sync::mpsc::{self, TryRecvError},
    thread,
};

use lab::{DockerEngine, Lab, Topology, curl};
use nix::sys::signal::Signal;

use super::{
    PATIENCE,
    agent::{HOST, follow, get, get_inside_within, proxies, reach_echo, run, run_echo},
};
use crate::{
    check::docker::{bad, check, remove_rules},
    sockets::goes_on,
    support::{lab, said, wait_until},
};

const AS_IT_COMES: &str = "{}";
const WITH_NAT: &str = "{\"live-restore\": true}";

/// Asks for the published page again and again while something is done: it must come each time.
fn under_visits<T>(lab: &Lab, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (end, has_ended) = mpsc::channel::<()>();
        let visitor = scope.spawn(move || {
            let mut visits = 0;
            while has_ended.try_recv() == Err(TryRecvError::Empty) {
                assert_eq!(page(lab), "shop", "visit {visits}");
                visits += 1;
            }
            visits
        });
        let result = work();
        drop(end);
        assert!(visitor.join().unwrap() > 10);
        result
    })
}

fn page(lab: &Lab) -> String {
    curl(lab.client(), &format!("http://{HOST}:8080/"), &["--max-time", "5"]).unwrap().trim().to_owned()
}

/// From outside, from the host itself, and from a container to the outside.
fn all_is_reached(lab: &Lab, engine: &DockerEngine) -> bool {
    page(lab) == "shop"
        && get(lab.host(), "127.0.0.1:8080") == "shop"
        && get_inside_within(engine, "shop", "192.168.137.1:8000", "10").is_some()
}

fn restart_with(engine: &mut DockerEngine, lab: &Lab, configuration: &str) {
    engine.stop().unwrap();
    engine.configure(configuration).unwrap();
    engine.start_again(lab.host()).unwrap();
}

/// Whether there are rules of Docker's, and processes that carry ports for it.
fn left_of_docker(lab: &Lab) -> (bool, bool) {
    let rules = lab.host().run(&["iptables-save"]).unwrap().stdout;
    (rules.contains("DOCKER") || rules.contains("FORWARD DROP"), proxies(lab) > 0)
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_host_goes_over_to_netfwd_and_back_while_its_containers_serve() {
    let lab = lab(&Topology { bridges: Vec::new(), ..Topology::default() });
    let mut engine = DockerEngine::start_with(lab.host(), AS_IT_COMES).unwrap();
    run(&engine, "shop", &["--publish", "8080:80"]);
    run_echo(&engine, "7000:7");
    get(lab.client(), &format!("{HOST}:8080"));
    let _outside = lab.client().spawn(&["python3", "-m", "http.server", "8000"]).unwrap();
    get(lab.client(), "192.168.137.1:8000");
    assert!(all_is_reached(&lab, &engine));
    assert_eq!(left_of_docker(&lab), (true, true));
    let mut of_docker = reach_echo(&lab);
    assert!(goes_on(&mut of_docker, PATIENCE));

    let mut agent = under_visits(&lab, || {
        engine.configure(WITH_NAT).unwrap();
        let restores_live = || bad(&check(&lab, &engine)).iter().all(|(subject, _)| subject != "live-restore");
        assert!(!restores_live());
        engine.reload().unwrap();
        wait_until(PATIENCE, restores_live);
        let mut agent = follow(&lab, &engine);
        agent.wait_for_line("mapped 8080/tcp", PATIENCE).unwrap();
        assert!(goes_on(&mut of_docker, PATIENCE) && all_is_reached(&lab, &engine));
        restart_with(&mut engine, &lab, DockerEngine::WITHOUT_NAT);
        assert_eq!(left_of_docker(&lab), (true, false));
        assert!(goes_on(&mut of_docker, PATIENCE) && all_is_reached(&lab, &engine));
        remove_rules(&lab);
        assert_eq!(left_of_docker(&lab), (false, false));
        assert!(all_is_reached(&lab, &engine));
        agent
    });
    assert_eq!(bad(&check(&lab, &engine)), []);

    let mut of_netfwd = reach_echo(&lab);
    assert!(goes_on(&mut of_netfwd, PATIENCE));
    under_visits(&lab, || {
        restart_with(&mut engine, &lab, WITH_NAT);
        assert_eq!(left_of_docker(&lab), (true, true));
        assert!(goes_on(&mut of_netfwd, PATIENCE) && all_is_reached(&lab, &engine));
        agent.signal(Signal::SIGTERM).unwrap();
        agent.wait(PATIENCE).unwrap();
        assert!(goes_on(&mut of_netfwd, PATIENCE) && all_is_reached(&lab, &engine));
    });
    said(&lab, &["detach", "--all"]);
    assert!(all_is_reached(&lab, &engine));
}
