//! `netfwd run --docker`, with clients that reach what containers publish.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use lab::{Capture, DockerEngine, Lab, Netns, Process, TcpEcho, Topology, curl};
use serde_json::Value;

use super::{PATIENCE, dockers};
use crate::{
    apply::File,
    sockets::{connect, echoes, goes_on, udp},
    support::{json, said, wait_until},
};

pub(super) const HOST: &str = "192.168.137.104";

/// Follows an engine in a lab's host.
pub(super) fn follow(lab: &Lab, engine: &DockerEngine) -> Process {
    let arguments = ["run", "--docker", "--uplink", "ens33"];
    let mut agent = lab.spawn_netfwd_with(&arguments, &[("DOCKER_HOST", &engine.address())]).unwrap();
    agent.wait_for_line("follows ens33", PATIENCE).unwrap();
    agent
}

/// A configuration that follows an engine, without mappings.
pub(super) fn configuration(engine: &DockerEngine) -> String {
    let docker = format!("[docker]\nenabled = true\nsocket = \"{}\"\n", engine.address());
    format!("{docker}[[uplink]]\ninterface = \"ens33\"\n")
}

/// Runs a web server that says its own name.
pub(super) fn run(engine: &DockerEngine, name: &str, options: &[&str]) {
    let serve = format!("echo {name} > /www/index.html; exec busybox httpd -f -p 80 -h /www");
    let beginning = ["run", "--detach", "--name", name];
    engine.docker(&[&beginning, options, &["web", "sh", "-c", &serve]].concat()).unwrap();
}

/// Runs a server that echoes at its port 7, and waits until it listens.
pub(super) fn run_echo(engine: &DockerEngine, published: &str) {
    let server = ["web", "nc", "-ll", "-p", "7", "-e", "/bin/busybox", "cat"];
    engine.docker(&[&["run", "--detach", "--name", "echo", "--publish", published], &server[..]].concat()).unwrap();
    let mut sockets = Command::new("nsenter");
    sockets.args(["--target", &pid(engine, "echo"), "--net", "ss", "-Hltn", "sport = :7"]);
    wait_until(PATIENCE, || !sockets.output().unwrap().stdout.is_empty());
}

/// A connection of a client to that server, published as port 7000.
pub(super) fn reach_echo(lab: &Lab) -> TcpStream {
    connect(lab.client(), format!("{HOST}:7000").parse().unwrap()).unwrap()
}

/// What a client gets. A server takes a moment to start.
pub(super) fn get(from: &Netns, address: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match curl(from, &format!("http://{address}/"), &["--max-time", "2"]) {
            Ok(said) => return said.trim().to_owned(),
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error:#}"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// What a client in a container's network namespace gets, which soon gives up.
pub(super) fn get_inside(engine: &DockerEngine, container: &str, address: &str) -> Option<String> {
    get_inside_within(engine, container, address, "2")
}

/// The same within so many seconds.
pub(super) fn get_inside_within(
    engine: &DockerEngine,
    container: &str,
    address: &str,
    seconds: &str,
) -> Option<String> {
    let mut client = Command::new("nsenter");
    client.args(["--target", &pid(engine, container), "--net", "curl", "--silent", "--fail", "--max-time", seconds]);
    let output = client.arg(format!("http://{address}/")).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

fn is_open(from: &Netns, address: &str) -> bool {
    let address = address.parse().unwrap();
    from.enter(|| TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()).unwrap()
}

fn pid(engine: &DockerEngine, name: &str) -> String {
    engine.docker(&["inspect", "--format", "{{.State.Pid}}", name]).unwrap()
}

/// A container's address in its network.
pub(super) fn address(engine: &DockerEngine, name: &str) -> String {
    let template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    engine.docker(&["inspect", "--format", template, name]).unwrap()
}

/// How many processes carry ports for Docker.
pub(super) fn proxies(lab: &Lab) -> usize {
    let pids = lab.host().pids().unwrap();
    let names = pids.iter().map(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default());
    names.filter(|name| name.trim() == "docker-proxy").count()
}

/// The host port of a container's, as Docker has chosen it.
fn port(engine: &DockerEngine, name: &str) -> String {
    engine.docker(&["port", name, "80/tcp"]).unwrap().rsplit(':').next().unwrap().to_owned()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_containers_publish_is_reached_from_outside_and_from_the_host() {
    let (engine, lab) = dockers(Topology::default());
    let mut agent = follow(&lab, &engine);
    run(&engine, "fixed", &["--publish", "8080:80"]);
    run(&engine, "local", &["--publish", "127.0.0.1:8081:80"]);
    run(&engine, "free", &["--publish", "80"]);
    lab.host().run(&["ip", "address", "add", "192.168.137.105/24", "dev", "ens33"]).unwrap();
    run(&engine, "here", &["--publish", &format!("{HOST}:8082:80")]);
    for from in [lab.client(), lab.host()] {
        assert_eq!(get(from, &format!("{HOST}:8082")), "here");
        assert!(!is_open(from, "192.168.137.105:8082"), "another address");
    }
    assert_eq!(get(lab.client(), "192.168.137.105:8080"), "fixed");
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "fixed");
    assert_eq!(get(lab.host(), "127.0.0.1:8080"), "fixed");
    assert_eq!(get(lab.host(), "127.0.0.1:8081"), "local");
    assert!(!is_open(lab.client(), &format!("{HOST}:8081")), "for the host alone");
    for (from, host) in [(lab.client(), HOST), (lab.host(), "127.0.0.1")] {
        assert_eq!(get(from, &format!("{host}:{}", port(&engine, "free"))), "free");
    }
    run(&engine, "names", &["--publish", "5353:53/udp"]);
    agent.wait_for_line("mapped 5353/udp", PATIENCE).unwrap();
    let echo = ["--net", "socat", "UDP-LISTEN:53,fork", "EXEC:cat"];
    let _echo = lab.host().spawn(&[&["nsenter", "--target", &pid(&engine, "names")], &echo[..]].concat()).unwrap();
    for (from, host) in [(lab.client(), HOST), (lab.host(), "127.0.0.1")] {
        let socket = udp(from, 0);
        let deadline = Instant::now() + PATIENCE;
        while !echoes(&socket, format!("{host}:5353").parse().unwrap()) {
            assert!(Instant::now() < deadline, "udp from {host}");
        }
    }
    let listed = json(&lab, &["list"]);
    let names: Vec<_> =
        listed["mappings"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(["fixed", "free", "local", "names"].iter().all(|name| names.contains(name)), "{names:?}");
    engine.docker(&["stop", "--time", "0", "fixed"]).unwrap();
    agent.wait_for_line("unmapped 8080/tcp", PATIENCE).unwrap();
    assert!(!is_open(lab.client(), &format!("{HOST}:8080")));
    // A dynamic port moves.
    engine.docker(&["restart", "--time", "0", "free"]).unwrap();
    assert_eq!(get(lab.client(), &format!("{HOST}:{}", port(&engine, "free"))), "free");
    assert_eq!(agent.stderr().unwrap(), "");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_a_container_gets_is_seen_by_its_name() {
    let (engine, lab) = dockers(Topology::default());
    let mut agent = follow(&lab, &engine);
    for (name, port) in [("shop", "8080:80"), ("other", "8081:80")] {
        run(&engine, name, &["--publish", port]);
        agent.wait_for_line(&format!("(docker {name})"), PATIENCE).unwrap();
        get(lab.client(), &format!("{HOST}:{}", port.replace(":80", "")));
    }
    let mut trace = lab.spawn_netfwd(&["trace", "--container", "shop", "--json", "--count", "3"]).unwrap();
    trace.wait_for_line("tracing", PATIENCE).unwrap();
    get(lab.client(), &format!("{HOST}:8081"));
    get(lab.client(), &format!("{HOST}:8080"));
    let events = trace.succeed(PATIENCE).unwrap().stdout;
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shop = address(&engine, "shop");
    assert_eq!(events.len(), 3);
    for event in &events {
        let ends = [&event["before"], &event["after"]].map(|side| [&side["source"], &side["destination"]]);
        assert!(ends.as_flattened().iter().any(|end| end["address"] == *shop), "{event:#}");
    }
    let flows = json(&lab, &["flows", "--mapping", "shop"]);
    let flows = flows["flows"].as_array().unwrap();
    assert!(!flows.is_empty() && flows.iter().all(|flow| flow.to_string().contains(&format!("\"{shop}\""))));
    let explained = json(&lab, &["explain", &format!("tcp 192.168.137.1:40000 to {HOST}:8080")]);
    assert_eq!(explained["result"]["name"], "shop", "{explained:#}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn two_hundred_ports_all_answer_without_a_proxy_or_a_rule() {
    let (engine, lab) = dockers(Topology::default());
    let mut agent = follow(&lab, &engine);
    let serve = "port=8000; while [ $port -lt 8200 ]; do busybox httpd -p $port -h /www; port=$((port + 1)); done; \
                 exec busybox sleep 1000";
    let range = ["run", "--detach", "--name", "many", "--publish", "8000-8199:8000-8199", "web", "sh", "-c", serve];
    engine.docker(&range).unwrap();
    agent.wait_for_line("mapped 8000-8199/tcp", PATIENCE).unwrap();
    // The page itself: dockerd's own listener lets everybody connect.
    for port in 8000..8200 {
        for (from, host) in [(lab.client(), HOST), (lab.host(), "127.0.0.1")] {
            assert_eq!(get(from, &format!("{host}:{port}")), "Hello from a container.");
        }
    }
    assert_eq!(json(&lab, &["list"])["mappings"].as_array().unwrap().len(), 1);
    assert_eq!(lab.host().run(&["nft", "list", "ruleset"]).unwrap().stdout, "");
    assert_eq!(proxies(&lab), 0);
    assert_eq!(agent.stderr().unwrap(), "");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn networks_are_masqueraded_and_kept_apart_as_docker_does_it() {
    let (engine, lab) = dockers(Topology::default());
    let agent = follow(&lab, &engine);
    // As `docker compose up` does it: a network of its own, in which services find each other, and one port outside.
    let unmasqueraded = "com.docker.network.bridge.enable_ip_masquerade=false";
    let named = "com.docker.network.bridge.name=front0";
    // The host has no IPv6 outside, which is the first one's concern alone.
    let six = ["--ipv6", "--subnet", "10.6.0.0/24", "--subnet", "fd00:6::/64", "six"];
    for network in
        [&six[..], &["--opt", named, "front"], &["back"], &["--internal", "inside"], &["--opt", unmasqueraded, "plain"]]
    {
        engine.docker(&[&["network", "create"], network].concat()).unwrap();
    }
    run(&engine, "shop", &["--network", "front", "--publish", "8080:80"]);
    run(&engine, "db", &["--network", "front"]);
    run(&engine, "other", &["--network", "back"]);
    run(&engine, "vault", &["--network", "inside", "--publish", "8082:80"]);
    run(&engine, "own", &["--network", "plain"]);
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "shop");
    let address = |name: &str| address(&engine, name);
    assert_eq!(get_inside(&engine, "shop", &address("db")).as_deref(), Some("db"));
    assert_eq!(get_inside(&engine, "other", &address("db")), None, "of another network");
    assert_eq!(get_inside(&engine, "own", &address("db")), None, "of a network that is not masqueraded");
    assert_eq!(get_inside(&engine, "db", &address("own")), None, "to a network that is not masqueraded");
    assert_eq!(get_inside(&engine, "other", &format!("{HOST}:8080")).as_deref(), Some("shop"), "published");
    assert_eq!(get_inside(&engine, "vault", &format!("{HOST}:8080")), None, "from the inside");
    // What leaves is masqueraded, and of an internal network nothing does.
    let _server = lab.client().spawn(&["python3", "-m", "http.server", "8000"]).unwrap();
    get(lab.client(), "192.168.137.1:8000");
    assert!(get_inside(&engine, "other", "192.168.137.1:8000").is_some());
    assert_eq!(get_inside(&engine, "vault", "192.168.137.1:8000"), None);
    // Somebody outside who routes a container's network by this host.
    let db = address("db");
    lab.client().run(&["ip", "route", "add", &format!("{db}/32"), "via", HOST]).unwrap();
    let arrived = Capture::start(lab.host(), "front0", "udp port 9").unwrap();
    udp(lab.client(), 0).send_to(b"hello", format!("{db}:9")).unwrap();
    assert!(!is_open(lab.client(), &format!("{db}:80")), "not published");
    assert_eq!(arrived.stop().unwrap().ipv4().unwrap().len(), 0, "not even one way");
    // A second network whose name comes first makes no difference to who reaches it.
    engine.docker(&["network", "connect", "back", "shop"]).unwrap();
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "shop");
    assert_eq!(get_inside(&engine, "other", &address("other")).as_deref(), Some("other"));
    assert_eq!(agent.stderr().unwrap(), "");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn networks_stay_apart_beside_apply_export_and_an_attach_by_hand() {
    let (engine, lab) = dockers(Topology::default());
    let file = File::new(&configuration(&engine));
    let mut agent = lab.spawn_netfwd(&["run", "--config", file.path()]).unwrap();
    agent.wait_for_line("follows ens33", PATIENCE).unwrap();
    engine.docker(&["network", "create", "--subnet", "10.3.0.0/24", "front"]).unwrap();
    run(&engine, "shop", &["--network", "front", "--ip", "10.3.0.7", "--publish", "8080:80"]);
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "shop");
    run(&engine, "other", &[]);
    let is_apart = || get_inside(&engine, "other", "10.3.0.7").is_none();
    assert!(is_apart());
    assert_eq!(said(&lab, &["apply", file.path()]), "No changes.\n");
    let exported = said(&lab, &["export"]);
    assert!(exported.contains("[docker]\nenabled = true\n"), "{exported}");
    assert_eq!(said(&lab, &["apply", File::new(&exported).path(), "--dry-run"]), "No changes.\n", "{exported}");
    // An attach by hand says all of an uplink. The agent has the last word.
    said(&lab, &["attach", "ens33"]);
    let deadline = Instant::now() + PATIENCE;
    while !is_apart() {
        assert!(Instant::now() < deadline, "the network is open");
    }
    // Without the agent there is nobody to put it right.
    drop(agent);
    file.write(&format!("{}filtering = \"endpoint\"\n", configuration(&engine)));
    assert!(said(&lab, &["apply", file.path()]).contains("filtering"));
    assert!(is_apart());
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "shop");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_uplink_that_was_attached_by_hand_keeps_its_options_beside_dockers_networks() {
    let (engine, lab) = dockers(Topology::default());
    for words in ["link add br-old type bridge", "address add 10.8.0.1/24 dev br-old"] {
        lab.host().run(&[&["ip"], &words.split(' ').collect::<Vec<_>>()[..]].concat()).unwrap();
    }
    let options = ["--ports", "20000-29999", "--fast-path", "off", "--bridge", "docker0", "--bridge", "br-old"];
    said(&lab, &[&["attach", "ens33"], &options[..]].concat());
    // What is gone does not stand in the way of others.
    lab.host().run(&["ip", "link", "delete", "br-old"]).unwrap();
    let mut agent = follow(&lab, &engine);
    engine.docker(&["network", "create", "--subnet", "10.3.0.0/24", "front"]).unwrap();
    run(&engine, "shop", &["--network", "front"]);
    agent.wait_for_line("masquerades 10.3.0.0/24", PATIENCE).unwrap();
    // Another agent does not know what the first one did.
    drop(agent);
    let mut agent = follow(&lab, &engine);
    engine.docker(&["network", "create", "--subnet", "10.4.0.0/24", "back"]).unwrap();
    agent.wait_for_line("masquerades 10.4.0.0/24", PATIENCE).unwrap();
    let exported = said(&lab, &["export"]);
    let kept = ["ports = \"20000-29999\"", "fast-path = false", "\"br-old\"", "\"docker0\""];
    assert!(kept.iter().all(|option| exported.contains(option)), "{exported}");
    let server = TcpEcho::start(lab.client(), "192.168.137.1:7".parse().unwrap()).unwrap();
    assert_eq!(get_inside(&engine, "shop", "192.168.137.1:7"), None, "it speaks no HTTP");
    let peers = server.peers();
    assert!(matches!(peers[..], [peer] if (20000..30000).contains(&peer.port())), "{peers:?}");
    assert_eq!(agent.stderr().unwrap(), "");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn connections_outlive_a_restart_of_the_engine_and_of_the_agent() {
    let (mut engine, lab) = dockers(Topology::default());
    let mut agent = follow(&lab, &engine);
    run_echo(&engine, "7000:7");
    agent.wait_for_line("mapped 7000/tcp", PATIENCE).unwrap();
    let mut connection = reach_echo(&lab);
    assert!(goes_on(&mut connection, PATIENCE), "before");
    engine.stop().unwrap();
    assert!(goes_on(&mut connection, PATIENCE), "without an engine");
    engine.start_again(lab.host()).unwrap();
    run(&engine, "later", &["--publish", "8080:80"]);
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "later");
    assert!(goes_on(&mut connection, PATIENCE), "with another engine");
    drop(agent);
    engine.docker(&["rm", "--force", "later"]).unwrap();
    let mut agent = follow(&lab, &engine);
    agent.wait_for_line("unmapped 8080/tcp", PATIENCE).unwrap();
    assert!(goes_on(&mut connection, PATIENCE), "with another agent");
    engine.docker(&["rm", "--force", "echo"]).unwrap();
    agent.wait_for_line("unmapped 7000/tcp", PATIENCE).unwrap();
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn ipv6_ports_are_published_too() {
    let (engine, lab) = dockers(Topology::dual_stack());
    let mut agent = follow(&lab, &engine);
    let subnets = ["--ipv6", "--subnet", "10.2.0.0/24", "--subnet", "fd00:2::/64"];
    engine.docker(&[&["network", "create"], &subnets[..], &["two"]].concat()).unwrap();
    run(&engine, "shop", &["--network", "two", "--publish", "8080:80"]);
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "shop");
    assert_eq!(get(lab.client(), "[2001:db8:137::104]:8080"), "shop");
    let here = ["--network", "two", "--publish", "[2001:db8:137::104]:8082:80", "--publish", "[::1]:8083:80"];
    run(&engine, "here", &here);
    assert_eq!(get(lab.client(), "[2001:db8:137::104]:8082"), "here");
    assert_eq!(get(lab.host(), "[::1]:8083"), "here");
    assert!(!is_open(lab.client(), "[2001:db8:137::104]:8083") && !is_open(lab.client(), &format!("{HOST}:8082")));
    engine.docker(&["rm", "--force", "shop"]).unwrap();
    agent.wait_for_line("unmapped 8080/tcp", PATIENCE).unwrap();
    assert_eq!(agent.stderr().unwrap(), "");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_paused_container_keeps_its_ports_and_one_that_leaves_a_network_is_reached_in_another() {
    let (engine, lab) = dockers(Topology::default());
    let mut agent = follow(&lab, &engine);
    run(&engine, "shop", &["--publish", "8080:80"]);
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "shop");
    engine.docker(&["pause", "shop"]).unwrap();
    let mut waiting = connect(lab.client(), format!("{HOST}:8080").parse().unwrap()).unwrap();
    waiting.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    engine.docker(&["unpause", "shop"]).unwrap();
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("shop\n"), "{answer}");

    engine.docker(&["network", "create", "--subnet", "10.9.0.0/24", "other"]).unwrap();
    engine.docker(&["network", "connect", "--ip", "10.9.0.9", "other", "shop"]).unwrap();
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "shop");
    engine.docker(&["network", "disconnect", "bridge", "shop"]).unwrap();
    agent.wait_for_line("mapped 8080/tcp to 10.9.0.9:80", PATIENCE).unwrap();
    assert_eq!(get(lab.client(), &format!("{HOST}:8080")), "shop");
    assert!(get_inside(&engine, "shop", &format!("{HOST}:8080")).is_some(), "a hairpin");
    engine.docker(&["network", "disconnect", "other", "shop"]).unwrap();
    agent.wait_for_line("unmapped 8080/tcp", PATIENCE).unwrap();
    assert!(!is_open(lab.client(), &format!("{HOST}:8080")));
    assert_eq!(agent.stderr().unwrap(), "");
}
