//! Engines that cannot be asked: what is mapped goes on.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    thread,
};

use lab::{DockerEngine, Lab, Topology};

use super::{
    PATIENCE,
    agent::{HOST, follow, get, reach_echo, run, run_echo},
    dockers,
};
use crate::{
    sockets::goes_on,
    support::{json, path},
};

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn engines_that_do_not_answer_are_told_and_what_is_published_goes_on() {
    let (engine, lab) = dockers(Topology::default());
    let mut before = publish(&engine, &lab);
    let directory = tempfile::tempdir().unwrap();
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"ApiVer";
    let engines = [
        ("absent", None, "there is no Docker Engine at"),
        ("deserted", None, "nobody listens at"),
        ("hanging", Some(""), "has not answered within 10s"),
        ("broken", Some(half), "its version"),
    ];
    for (name, answer, reason) in engines {
        let path = directory.path().join(name);
        let listener = (name != "absent").then(|| UnixListener::bind(&path).unwrap());
        match answer {
            Some(answer) => drop(thread::spawn(move || serve(&listener.unwrap(), answer.as_bytes()))),
            None => drop(listener),
        }
        let address = format!("unix://{}", path.display());
        let arguments = ["run", "--docker", "--uplink", "ens33"];
        let mut agent = lab.spawn_netfwd_with(&arguments, &[("DOCKER_HOST", &address)]).unwrap();
        let failure = agent.wait_for_line(reason, PATIENCE).unwrap();
        assert!(failure.starts_with("netfwd: ") && failure.contains(&address), "{failure}");
        agent.wait_for_line("follows ens33", PATIENCE).unwrap();
        assert_published(&lab, &mut before);
    }
}

/// A container's port, published by an agent that has ended, and a connection there.
fn publish(engine: &DockerEngine, lab: &Lab) -> TcpStream {
    let mut agent = follow(lab, engine);
    run_echo(engine, "7000:7");
    agent.wait_for_line("mapped 7000/tcp", PATIENCE).unwrap();
    reach_echo(lab)
}

/// That the port is Docker's, and serves those from before and others.
fn assert_published(lab: &Lab, before: &mut TcpStream) {
    assert!(goes_on(before, PATIENCE) && goes_on(&mut reach_echo(lab), PATIENCE));
    let mappings = &json(lab, &["list"])["mappings"];
    assert_eq!((&mappings[0]["origin"], &mappings[0]["name"]), (&"docker".into(), &"echo".into()), "{mappings}");
}

/// Answers every request with this, and says no more then; without an answer it keeps the connection.
fn serve(listener: &UnixListener, answer: &[u8]) {
    let mut waiting = Vec::new();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        // A request fits, and a client that has gone already is no matter.
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(answer).ok();
        waiting.extend(answer.is_empty().then_some(stream));
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_engine_that_may_not_be_asked_is_told_and_followed_as_soon_as_it_may() {
    let (engine, lab) = dockers(Topology::default());
    let mut before = publish(&engine, &lab);
    let address = engine.address();
    let socket = address.strip_prefix("unix://").unwrap();
    let permit = |mode: u32| fs::set_permissions(socket, fs::Permissions::from_mode(mode)).unwrap();
    permit(0o000);
    // Root without the right to pass over permissions, as in the unit.
    let (capabilities, netfwd) = ("-all,+bpf,+net_admin,+perfmon", path());
    let words = ["setpriv", "--bounding-set", capabilities, "env", &format!("DOCKER_HOST={address}")];
    let netfwd = [netfwd.to_str().unwrap(), "--pin-dir", lab.pin_dir().to_str().unwrap()];
    let mut agent =
        lab.host().spawn(&[&words[..], &netfwd, &["run", "--docker", "--uplink", "ens33"]].concat()).unwrap();
    let failure = agent.wait_for_line("may not ask the Docker Engine", PATIENCE).unwrap();
    assert!(failure.contains(&address) && failure.contains("a member of the socket's group"), "{failure}");
    run(&engine, "early", &["--publish", "8080:80"]);
    assert_published(&lab, &mut before);
    permit(0o660);
    agent.wait_for_line("mapped 8080/tcp", PATIENCE).unwrap();
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "early");
}
