//! What `netfwd explain` says, and what then happens to such a packet.

use std::net::SocketAddr;

use lab::{Capture, Lab, Topology, UdpEcho};
use serde_json::Value;

use crate::{
    sockets::{connect_from, echoes, is_unanswered, listener, udp, udp_at},
    support::{json, lab, refused, said},
};

const DOCUMENTATION: &str = include_str!("../../../docs/operations.md");

/// A lab with a mapped port, and another one that is the host's own.
fn mapped(topology: &Topology) -> Lab {
    let lab = lab(topology);
    said(&lab, &["attach", "ens33", "--fast-path", "on"]);
    said(&lab, &["map", "8080:172.17.0.2:80"]);
    lab
}

fn explained(lab: &Lab, packet: &str) -> Value {
    json(lab, &["explain", packet])
}

/// Both ends of a packet as tcpdump writes them: `192.0.2.1.40000 > 192.0.2.2.80`.
fn as_captured(packet: &Value) -> String {
    let end = |end: &Value| format!("{}.{}", end["address"].as_str().unwrap(), end["port"]);
    format!("{} > {}", end(&packet["source"]), end(&packet["destination"]))
}

/// The first packet that a capture has of what `work` does.
fn first(capture: Capture, work: impl FnOnce()) -> String {
    work();
    capture.stop().unwrap().lines().unwrap().first().cloned().unwrap_or_default()
}

fn reasons(explanation: &Value) -> Vec<(&str, &str)> {
    let hooks = explanation["hooks"].as_array().unwrap();
    hooks.iter().map(|hook| (hook["hook"].as_str().unwrap(), hook["report"].as_str().unwrap())).collect()
}

fn result<'e>(explanation: &'e Value, field: &str) -> &'e str {
    explanation["result"][field].as_str().unwrap()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_packet_to_a_mapped_port_goes_where_explain_says_and_explain_changes_nothing() {
    let lab = mapped(&Topology::default());
    let question = "tcp 192.168.137.1:40000 to 192.168.137.104:8080";
    let before = [json(&lab, &["stats"]), json(&lab, &["list"])];
    let explanation = explained(&lab, question);
    assert_eq!(result(&explanation, "reason"), "translated", "{explanation:#}");
    assert_eq!(said(&lab, &["flows", "--count"]).trim(), "0");
    assert_eq!([json(&lab, &["stats"]), json(&lab, &["list"])], before);

    let _server = listener(&lab.containers()[0], 80);
    let capture = Capture::start(&lab.containers()[0], "eth0", "tcp[tcpflags] & tcp-syn != 0").unwrap();
    let mut connection = None;
    let seen = first(capture, || {
        connection = Some(connect_from(lab.client(), 40000, "192.168.137.104:8080".parse().unwrap()));
    });
    let expected = as_captured(&explanation["result"]["packet"]);
    assert_eq!(expected, "192.168.137.1.40000 > 172.17.0.2.80");
    assert!(seen.contains(&expected), "{seen}");

    let known = json(&lab, &["explain", question, "--flags", "ack"]);
    assert!(known["hooks"][0]["track"].as_str().unwrap().starts_with("found, established"), "{known:#}");
    assert_eq!(result(&known, "end"), "container", "{known:#}");
    let answer = json(&lab, &["explain", "tcp 172.17.0.2:80 to 192.168.137.1:40000", "--flags", "syn,ack"]);
    assert_eq!(as_captured(&answer["result"]["packet"]), "192.168.137.104.8080 > 192.168.137.1.40000", "{answer:#}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_packet_out_has_the_source_that_explain_says() {
    let lab = mapped(&Topology::default());
    let explanation = explained(&lab, "udp 172.17.0.2:5353 -> 192.168.137.1:53");
    assert_eq!(reasons(&explanation), [("netfwd_bridge", "not-ours"), ("netfwd_egress", "translated")]);
    let expected = as_captured(&explanation["result"]["packet"]);
    assert_eq!(expected, "192.168.137.104.5353 > 192.168.137.1.53");
    let capture = Capture::start(lab.client(), "eth0", "udp").unwrap();
    let asking = udp(&lab.containers()[0], 5353);
    let seen = first(capture, || assert!(asking.send_to(b"question", "192.168.137.1:53").is_ok()));
    assert!(seen.contains(&expected), "{seen}");

    // A port that the host has itself is not chosen.
    let _own = udp_at(lab.host(), "192.168.137.104:5354".parse().unwrap());
    let other = explained(&lab, "udp 172.17.0.2:5354 to 192.168.137.1:53");
    assert_ne!(other["result"]["packet"]["source"]["port"], 5354, "{other:#}");
    assert!(other["hooks"][1]["choose"].to_string().contains("a socket of the host has 192.168.137.104:5354"));

    // Who was not asked is not let in.
    let stranger = explained(&lab, "udp 192.168.137.1:999 to 192.168.137.104:5353");
    assert_eq!((result(&stranger, "end"), result(&stranger, "reason")), ("dropped", "filtered"), "{stranger:#}");
    assert!(is_unanswered(&udp(lab.client(), 999), "192.168.137.104:5353".parse().unwrap()));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn each_hook_is_shown_in_five_steps_as_the_documentation_has_it() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", "ens33"]);
    let question = "udp 172.17.0.2:5353 to 192.168.137.1:53";
    let (_, example) = DOCUMENTATION.split_once(&format!("    # netfwd explain {question}\n")).unwrap();
    let indented = example.lines().map_while(|line| line.strip_prefix("    ").or(line.is_empty().then_some("")));
    let expected: Vec<_> = indented.collect();
    assert_eq!(said(&lab, &["explain", question]).trim_end(), expected.join("\n").trim_end());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_is_the_hosts_own_and_what_turns_back_is_explained_as_it_happens() {
    let lab = mapped(&Topology::default());
    let own = explained(&lab, "udp 192.168.137.1 to 192.168.137.104:7");
    assert_eq!((result(&own, "end"), result(&own, "reason")), ("host", "not-ours"), "{own:#}");

    let hairpin = explained(&lab, "tcp 172.17.0.3:41000 to 192.168.137.104:8080");
    assert_eq!(as_captured(&hairpin["result"]["packet"]), "192.168.137.104.41000 > 172.17.0.2.80", "{hairpin:#}");
    let _server = listener(&lab.containers()[0], 80);
    let capture = Capture::start(&lab.containers()[0], "eth0", "tcp[tcpflags] & tcp-syn != 0").unwrap();
    let seen =
        first(capture, || drop(connect_from(&lab.containers()[1], 41000, "192.168.137.104:8080".parse().unwrap())));
    assert!(seen.contains("192.168.137.104.41000 > 172.17.0.2.80"), "{seen}");

    let local = explained(&lab, "tcp 127.0.0.1:1 to 127.0.0.1:8080");
    assert_eq!(result(&local, "end"), "instead", "{local:#}");
    assert!(result(&local, "text").contains("connected to 172.17.0.2:80"), "{local:#}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn ipv6_and_datagrams_that_are_answered_are_explained_too() {
    let topology = Topology::dual_stack();
    let lab = lab(&topology);
    said(&lab, &["attach", "ens33"]);
    let out = explained(&lab, "icmpv6 [fd00:17::2]:7 to 2001:db8:137::1");
    assert_eq!(out["result"]["packet"]["source"]["address"], "2001:db8:137::104", "{out:#}");
    let echo = UdpEcho::start_at(lab.client(), "[2001:db8:137::1]:53".parse().unwrap()).unwrap();
    let out = explained(&lab, "udp [fd00:17::2]:6000 to [2001:db8:137::1]:53");
    let expected: SocketAddr = "[2001:db8:137::104]:6000".parse().unwrap();
    assert_eq!(out["result"]["packet"]["source"]["port"], expected.port(), "{out:#}");
    let asking = udp_at(&lab.containers()[0], "[fd00:17::2]:6000".parse().unwrap());
    assert!(echoes(&asking, "[2001:db8:137::1]:53".parse().unwrap()));
    assert_eq!(echo.peers(), [expected]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_cannot_be_explained_is_refused_with_a_reason() {
    let lab = lab(&Topology::default());
    assert!(
        refused(&lab, &["explain", "tcp 192.168.137.1:1 to 192.168.137.104:2"], 1).contains("netfwd is not attached")
    );
    said(&lab, &["attach", "ens33"]);
    assert!(refused(&lab, &["explain", "tcp 192.168.137.1:1"], 2).contains("give PROTOCOL SOURCE to DESTINATION"));
    let far = refused(&lab, &["explain", "tcp 203.0.113.1:1 to 192.168.137.104:2"], 1);
    assert!(far.contains("no route to 203.0.113.1: say with --in"), "{far}");
    let given = json(&lab, &["explain", "tcp 203.0.113.1:1 to 192.168.137.104:2", "--in", "ens33"]);
    assert_eq!(result(&given, "end"), "host", "{given:#}");
}
