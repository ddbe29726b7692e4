//! `netfwd run --docker` in a container of the engine that it follows.

use std::{
    thread,
    time::{Duration, Instant},
};

use lab::{DockerEngine, Lab, Topology};

use super::{
    PATIENCE,
    agent::{HOST, get, reach_echo, run, run_echo},
    dockers,
};
use crate::{sockets::goes_on, support::path};

/// Starts it as the documentation tells users to, but for libraries, which netfwd needs as the tests build it.
fn start(engine: &DockerEngine, lab: &Lab) {
    let socket = engine.address().replace("unix://", "");
    let volumes = [
        format!("{}:/netfwd:ro", path().display()),
        format!("{socket}:/var/run/docker.sock"),
        "/sys/fs/bpf:/sys/fs/bpf".to_owned(),
        "/sys/fs/cgroup:/sys/fs/cgroup:ro".to_owned(),
        "/usr:/usr:ro".to_owned(),
        "/lib:/lib:ro".to_owned(),
        "/lib64:/lib64:ro".to_owned(),
    ];
    let volumes: Vec<_> = volumes.iter().flat_map(|volume| ["--volume", volume]).collect();
    let place = ["run", "--detach", "--name", "netfwd", "--network", "host"];
    let rights = ["--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN"];
    let reach = ["--security-opt", "systempaths=unconfined", "--security-opt", "apparmor=unconfined"];
    let pins = lab.pin_dir().to_str().unwrap();
    let netfwd = ["--entrypoint", "/netfwd", "web", "--pin-dir", pins, "run", "--docker", "--uplink", "ens33"];
    engine.docker(&[&place[..], &rights, &reach, &volumes, &netfwd].concat()).unwrap();
}

/// Waits until its log has a line.
fn says(engine: &DockerEngine, part: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = engine.docker(&["logs", "netfwd"]).unwrap();
        if log.contains(part) {
            return;
        }
        assert!(Instant::now() < deadline, "{part}: {log}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_agent_in_a_container_follows_its_engine_and_may_be_replaced_under_connections() {
    let (engine, lab) = dockers(Topology::default());
    start(&engine, &lab);
    says(&engine, "follows ens33");
    run(&engine, "shop", &["--publish", "8080:80"]);
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "shop");
    assert_eq!(get(lab.host(), "127.0.0.1:8080"), "shop");
    let listed = engine.docker(&["exec", "netfwd", "/netfwd", "--pin-dir", lab.pin_dir().to_str().unwrap(), "list"]);
    assert!(listed.unwrap().contains("shop"));

    run_echo(&engine, "7000:7");
    says(&engine, "mapped 7000/tcp");
    let mut connection = reach_echo(&lab);
    assert!(goes_on(&mut connection, PATIENCE));
    engine.docker(&["rm", "--force", "netfwd"]).unwrap();
    assert!(goes_on(&mut connection, PATIENCE));
    start(&engine, &lab);
    says(&engine, "follows ens33");
    assert!(goes_on(&mut connection, PATIENCE));
    run(&engine, "later", &["--publish", "8081:80"]);
    assert_eq!(get(lab.client(), &format!("{HOST}:8081")), "later");
}
