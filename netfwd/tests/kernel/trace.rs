//! What `netfwd trace` shows, beside what tcpdump sees on both sides.

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::Command,
    time::Duration,
};

use lab::{Capture, Lab, Process, Topology, UdpEcho, ping};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    sockets::{connect_from, echoes, is_unanswered, listener, udp, udp_at},
    support::{lab, refused, said, wait_until},
};

const PATIENCE: Duration = Duration::from_secs(20);
const MAPPED: &str = "192.168.137.104:8080";

fn mapped() -> Lab {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", "ens33", "--fast-path", "on"]);
    said(&lab, &["map", "8080:172.17.0.2:80"]);
    lab
}

/// A trace that has begun.
fn trace(lab: &Lab, arguments: &[&str]) -> Process {
    let mut process = lab.spawn_netfwd(&[&["trace", "--json"], arguments].concat()).unwrap();
    process.wait_for_line("tracing", PATIENCE).unwrap();
    process
}

/// Waits until the kernel part has switched tracing off, which takes packets.
fn ends_by_itself(lab: &Lab) {
    wait_until(PATIENCE, || {
        ping(lab.client(), [192, 168, 137, 104].into(), 1, 0.05).unwrap();
        !is_on(lab)
    });
}

/// What a trace has shown, once it has ended.
fn shown(process: &mut Process) -> Vec<Value> {
    let output = process.succeed(PATIENCE).unwrap();
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The same of one that is told to end.
fn stopped(mut process: Process) -> Vec<Value> {
    process.signal(Signal::SIGINT).unwrap();
    shown(&mut process)
}

/// A traced side of a packet as tcpdump writes it.
fn as_captured(side: &Value) -> String {
    let end = |end: &Value| match end["port"].as_u64().unwrap() {
        0 => end["address"].as_str().unwrap().to_owned(),
        port => format!("{}.{port}", end["address"].as_str().unwrap()),
    };
    format!("{} > {}", end(&side["source"]), end(&side["destination"]))
}

/// The ends of captured packets, in order of their text.
fn ends(lines: &[String]) -> Vec<String> {
    let ends = |line: &String| {
        let (source, rest) = line.strip_prefix("IP ").unwrap().split_once(" > ").unwrap();
        format!("{source} > {}", rest.split_once(':').unwrap().0)
    };
    let mut ends: Vec<_> = lines.iter().map(ends).collect();
    ends.sort();
    ends
}

/// The traced packets as they were on one side, in order of their text.
fn sides(events: &[Value], hooks: &[&str], side: &str) -> Vec<String> {
    let at = events.iter().filter(|event| hooks.contains(&event["hook"].as_str().unwrap()));
    at.map(|event| as_captured(&event[side])).collect()
}

fn sorted(mut one: Vec<String>, other: Vec<String>) -> Vec<String> {
    one.extend(other);
    one.sort();
    one
}

/// Whether the kernel part traces, according to bpftool.
fn is_on(lab: &Lab) -> bool {
    let map = lab.pin_dir().join("maps/TRACE_WATCH");
    let output = Command::new("bpftool").args(["map", "dump", "pinned"]).arg(map).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\"until\": "), "{text}");
    !text.contains("\"until\": 0,")
}

fn read_back(file: &Path) -> Vec<String> {
    let output = Command::new("tcpdump").args(["-nn", "-t", "-r"]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_trace_shows_both_sides_of_each_packet_as_they_are_captured_there() {
    let lab = mapped();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trace.pcapng");
    let server = listener(&lab.containers()[0], 80);
    let outside = Capture::start(lab.client(), "eth0", "tcp").unwrap();
    let inside = Capture::start(&lab.containers()[0], "eth0", "tcp").unwrap();
    let tracer = trace(&lab, &["--mapping", "8080/tcp", "--pcap", file.to_str().unwrap()]);
    assert!(is_on(&lab));
    let client = connect_from(lab.client(), 40000, MAPPED.parse().unwrap()).unwrap();
    let (accepted, _) = server.accept().unwrap();
    for (mut from, mut to) in [(&client, &accepted), (&accepted, &client)] {
        from.write_all(b"hello").unwrap();
        to.read_exact(&mut [0; 5]).unwrap();
    }
    drop((client, accepted));
    let (outside, inside) = (outside.stop().unwrap().lines().unwrap(), inside.stop().unwrap().lines().unwrap());
    let events = stopped(tracer);
    assert!(!is_on(&lab), "switched off at its end");

    let (arriving, leaving) = (["netfwd_ingress"], ["netfwd_egress", "netfwd_member"]);
    let seen = sorted(sides(&events, &arriving, "before"), sides(&events, &leaving, "after"));
    assert_eq!(seen, ends(&outside), "{events:#?}");
    let seen = sorted(sides(&events, &arriving, "after"), sides(&events, &leaving, "before"));
    assert_eq!(seen, ends(&inside), "{events:#?}");
    let first = &events[0];
    assert_eq!(as_captured(&first["before"]), "192.168.137.1.40000 > 192.168.137.104.8080");
    assert_eq!(as_captured(&first["after"]), "192.168.137.1.40000 > 172.17.0.2.80");
    assert_eq!(
        (&first["reason"], &first["path"], &first["mapping"]),
        (&"translated".into(), &"stack".into(), &"8080/tcp".into())
    );
    assert!(events.iter().any(|event| event["path"] == "peer" && event["member"]["name"].is_string()), "{events:#?}");
    assert!(events.iter().any(|event| event["path"] == "neigh"), "{events:#?}");

    let mut read: Vec<_> = ends(&read_back(&file));
    let mut expected = [sides_of(&events, "before"), sides_of(&events, "after")].concat();
    expected.sort();
    read.sort();
    assert_eq!(read, expected);
}

fn sides_of(events: &[Value], side: &str) -> Vec<String> {
    events.iter().map(|event| as_captured(&event[side])).collect()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_filter_leaves_out_what_is_not_meant_and_a_count_ends_the_trace() {
    let lab = mapped();
    let mut pings = trace(&lab, &["--proto", "icmp", "--interface", "ens33", "--count", "4"]);
    let _server = udp(lab.client(), 53);
    let asking = udp(&lab.containers()[0], 5353);
    asking.send_to(b"question", "192.168.137.1:53").unwrap();
    assert!(ping(&lab.containers()[0], [192, 168, 137, 1].into(), 2, 0.05).unwrap().complete());
    let events = shown(&mut pings);
    assert!(events.iter().all(|event| event["before"]["protocol"] == "icmp"), "{events:#?}");
    let translated: Vec<_> = events.iter().map(|event| as_captured(&event["after"])).collect();
    let id = events[0]["after"]["source"]["port"].as_u64().unwrap();
    let (out, back) = (format!("192.168.137.104.{id} > 192.168.137.1"), format!("192.168.137.1 > 172.17.0.2.{id}"));
    assert_eq!(translated, [out.clone(), back.clone(), out, back]);

    let mut dropped = trace(&lab, &["--reason", "filtered", "--addr", "192.168.137.0/24", "--count", "1"]);
    assert!(is_unanswered(&udp(lab.client(), 999), "192.168.137.104:5353".parse().unwrap()));
    let events = shown(&mut dropped);
    assert_eq!((&events[0]["verdict"], &events[0]["path"]), (&"dropped".into(), &"none".into()), "{events:#?}");
    assert!(refused(&lab, &["trace", "--container", "web"], 1).contains("no mapping has the name web"));
    assert!(refused(&lab, &["trace", "--interface", "eth9"], 1).contains("there is no interface eth9"));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_tracer_that_is_killed_leaves_nothing_on() {
    let lab = mapped();
    let mut tracer = trace(&lab, &[]);
    assert!(refused(&lab, &["trace"], 1).contains("another `netfwd trace` is running"));
    assert!(is_on(&lab), "the other one goes on");
    tracer.signal(Signal::SIGKILL).unwrap();
    tracer.wait(PATIENCE).unwrap();
    ends_by_itself(&lab);
    let next = trace(&lab, &["--proto", "icmp"]);
    ping(lab.client(), [192, 168, 137, 104].into(), 1, 0.05).unwrap();
    assert!(!stopped(next).is_empty());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_tracer_that_was_held_up_says_so_and_leaves_the_place_to_another_one() {
    let lab = mapped();
    let held_up = || {
        let tracer = trace(&lab, &[]);
        tracer.signal(Signal::SIGSTOP).unwrap();
        ends_by_itself(&lab);
        tracer
    };
    let mut first = held_up();
    first.signal(Signal::SIGCONT).unwrap();
    wait_until(PATIENCE, || is_on(&lab));
    first.signal(Signal::SIGINT).unwrap();
    let told = first.succeed(PATIENCE).unwrap().stderr;
    assert!(told.contains("s nothing was traced, as nobody took what was shown"), "{told}");

    let mut first = held_up();
    let second = trace(&lab, &["--proto", "icmp"]);
    first.signal(Signal::SIGCONT).unwrap();
    let output = first.wait(PATIENCE).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.contains("another `netfwd trace` has begun while this one was held up"), "{output:?}");
    ping(lab.client(), [192, 168, 137, 104].into(), 1, 0.05).unwrap();
    assert!(!stopped(second).is_empty(), "it goes on");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_xdp_takes_and_what_turns_back_is_traced_too() {
    let lab = lab(&Topology { checksum_offload: false, ..Topology::dual_stack() });
    said(&lab, &["attach", "ens33", "--fast-path", "on", "--hook", "tc", "--xdp", "native"]);
    said(&lab, &["map", "8080:[fd00:17::2]:80/udp"]);
    let _echo = UdpEcho::start_at(&lab.containers()[0], "[fd00:17::2]:80".parse().unwrap()).unwrap();
    let target = "[2001:db8:137::104]:8080".parse().unwrap();
    let client = udp_at(lab.client(), "[2001:db8:137::1]:40000".parse().unwrap());
    for _ in 0..2 {
        assert!(echoes(&client, target));
    }
    let mut tracer = trace(&lab, &["--mapping", "8080/udp", "--count", "2"]);
    assert!(echoes(&client, target));
    let events = shown(&mut tracer);
    let told: Vec<_> =
        events.iter().map(|event| (event["hook"].as_str().unwrap(), event["path"].as_str().unwrap())).collect();
    assert_eq!(told, [("netfwd_xdp", "xdp"), ("netfwd_member", "neigh")], "{events:#?}");
    assert_eq!(events[0]["after"]["destination"]["address"], "fd00:17::2");

    let hairpin = trace(&lab, &["--interface", "docker0", "--proto", "udp"]);
    let other = udp_at(&lab.containers()[1], "[fd00:17::3]:41000".parse().unwrap());
    assert!(echoes(&other, target));
    let events = stopped(hairpin);
    let first = events.iter().find(|event| event["before"] != event["after"]).unwrap();
    assert_eq!(as_captured(&first["after"]), "2001:db8:137::104.41000 > fd00:17::2.80", "{events:#?}");
}
