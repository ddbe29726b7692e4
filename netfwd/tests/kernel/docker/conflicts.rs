//! Ports that a container publishes, and somebody else wants too.

use lab::Topology;

use super::{
    PATIENCE,
    agent::{HOST, address, configuration, follow, get, reach_echo, run, run_echo},
    dockers,
};
use crate::{
    apply::File,
    sockets::{connect, goes_on},
    support::{json, ports, refused, said},
};

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_port_mapped_by_hand_goes_before_what_a_container_publishes_there() {
    let (engine, lab) = dockers(Topology::default());
    let mut agent = follow(&lab, &engine);
    run(&engine, "own", &[]);
    let by_hand = format!("8080:{}:80", address(&engine, "own"));
    let who_answers = || get(lab.client(), &format!("{HOST}:8080"));
    said(&lab, &["map", &by_hand]);
    run(&engine, "shop", &["--publish", "8080:80", "--publish", "8081:80"]);
    let failure = agent.wait_for_line("cannot map 8080:", PATIENCE).unwrap();
    assert!(failure.contains("(docker shop)") && failure.contains("by hand, which goes before"), "{failure}");
    assert_eq!(who_answers(), "own");
    assert_eq!(get(lab.client(), &format!("{HOST}:8081")), "shop");
    said(&lab, &["unmap", "8080"]);
    assert_eq!(who_answers(), "shop");

    let message = refused(&lab, &["map", &by_hand], 1);
    assert!(message.contains("by Docker (container shop), not to"), "{message}");
    assert!(message.contains("; use another port, or give --replace"), "{message}");
    assert_eq!(who_answers(), "shop");
    said(&lab, &["map", "--replace", &by_hand]);
    assert_eq!(who_answers(), "own");
    agent.wait_for_nth_line("cannot map 8080:", 2, PATIENCE).unwrap();
    assert_eq!(who_answers(), "own");
    said(&lab, &["unmap", "8080"]);
    assert_eq!(who_answers(), "shop");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn one_port_of_a_published_range_is_taken_by_hand_and_connections_of_the_larger_part_go_on() {
    let (engine, lab) = dockers(Topology::default());
    let mut agent = follow(&lab, &engine);
    run(&engine, "own", &[]);
    run_echo(&engine, "7000-7009:7-16");
    agent.wait_for_line("mapped 7000-7009/tcp", PATIENCE).unwrap();
    drop(agent);
    let mut connection = reach_echo(&lab);
    assert!(goes_on(&mut connection, PATIENCE));
    let own = address(&engine, "own");
    let told = said(&lab, &["map", "--replace", &format!("7008:{own}:80")]);
    let before = format!("{}:15", address(&engine, "echo"));
    assert_eq!(told, format!("mapped 7008/tcp to {own}:80 instead of {before}, whose flows have ended\n"));
    assert_eq!(ports(&lab), [[7000, 7007], [7008, 7008], [7009, 7009]]);
    assert_eq!(get(lab.client(), &format!("{HOST}:7008")), "own");
    assert!(goes_on(&mut connection, PATIENCE));
    let mappings = &json(&lab, &["list"])["mappings"];
    let origins = [0, 1, 2].map(|place| mappings[place]["origin"].as_str().unwrap());
    assert_eq!(origins, ["docker", "hand", "docker"]);
    said(&lab, &["unmap", "7008"]);
    let mut agent = follow(&lab, &engine);
    agent.wait_for_line("mapped 7000-7009/tcp", PATIENCE).unwrap();
    assert_eq!(ports(&lab), [[7000, 7009]]);
    assert!(goes_on(&mut connection, PATIENCE));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_port_of_the_configuration_goes_before_what_a_container_publishes_there() {
    let (engine, lab) = dockers(Topology::default());
    let text = configuration(&engine);
    let file = File::new(&format!("mappings = [\"8080:172.17.0.9:80\"]\n{text}"));
    let mut agent = lab.spawn_netfwd(&["run", "--config", file.path()]).unwrap();
    agent.wait_for_line("mapped 8080/tcp to 172.17.0.9:80 (config)", PATIENCE).unwrap();
    run(&engine, "shop", &["--publish", "8080:80", "--publish", "8081:80"]);
    assert_eq!(get(lab.client(), &format!("{HOST}:8081")), "shop");
    let failure = agent.wait_for_line("cannot map 8080:172.17.0.2:80/tcp (docker shop): ", PATIENCE).unwrap();
    assert!(
        failure.contains("8080/tcp is mapped to 172.17.0.9:80 by the configuration, which goes before"),
        "{failure}"
    );
    file.write(&text);
    agent.wait_for_line("(docker shop)", PATIENCE).unwrap();
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "shop");
    file.write(&text.replace("true", "false"));
    agent.wait_for_line("unmapped 8080/tcp", PATIENCE).unwrap();
    agent.wait_for_line("unmapped 8081/tcp", PATIENCE).unwrap();
    assert_eq!(json(&lab, &["list"])["mappings"].as_array().unwrap().len(), 0);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_configuration_takes_one_port_of_a_published_range_and_gives_it_back() {
    let (engine, lab) = dockers(Topology::default());
    let text = configuration(&engine);
    let file = File::new(&text);
    let mut agent = lab.spawn_netfwd(&["run", "--config", file.path()]).unwrap();
    agent.wait_for_line("follows ens33", PATIENCE).unwrap();
    let serve = ["web", "nc", "-ll", "-p", "7003", "-e", "/bin/busybox", "cat"];
    engine.docker(&[&["run", "--detach", "--publish", "7000-7009:7000-7009"], &serve[..]].concat()).unwrap();
    agent.wait_for_line("mapped 7000-7009/tcp", PATIENCE).unwrap();
    let mut connection = connect(lab.client(), format!("{HOST}:7003").parse().unwrap()).unwrap();
    assert!(goes_on(&mut connection, PATIENCE));
    file.write(&format!("mappings = [\"7008:172.17.0.9:80\"]\n{text}"));
    agent.wait_for_line("cannot map 7008:172.17.0.2:7008/tcp", PATIENCE).unwrap();
    assert_eq!(ports(&lab), [[7000, 7007], [7008, 7008], [7009, 7009]]);
    assert!(goes_on(&mut connection, PATIENCE));
    file.write(&text);
    agent.wait_for_line("mapped 7000-7009/tcp to 172.17.0.2:7000-7009 instead of 7000-7007/tcp", PATIENCE).unwrap();
    assert_eq!(ports(&lab), [[7000, 7009]]);
    assert!(goes_on(&mut connection, PATIENCE));
}
