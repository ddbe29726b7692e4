//! `netfwd flows --watch` and `netfwd top`: what goes on, as it does.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use lab::{Lab, Process, Terminal, Topology, UdpEcho, WebServer, curl};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    sockets::{echoes, udp},
    support::{json as listed, lab, refused, said},
};

const PATIENCE: Duration = Duration::from_secs(20);
const SIZE: [u16; 2] = [36, 120];

fn attached() -> Lab {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", "ens33"]);
    lab
}

/// Starts watching; a flow that is made before the first look is no news, so this waits until there was one.
fn watch(lab: &Lab, options: &[&str]) -> Process {
    let watching = lab.spawn_netfwd(&[&["flows", "--watch", "--interval", "0.1"], options].concat()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    watching
}

/// The port from which a client asked, according to the web server in the container.
fn client_port(server: &WebServer) -> u16 {
    let log = server.log().unwrap();
    let line = log.iter().find(|line| line.contains("url:")).unwrap();
    line.split(':').nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_curl_s_flow_is_seen_to_come_and_go() {
    let lab = attached();
    let site = tempfile::tempdir().unwrap();
    std::fs::write(site.path().join("index.html"), "page").unwrap();
    let server = WebServer::start(&lab.containers()[0], 80, site.path()).unwrap();
    said(&lab, &["map", "8080:172.17.0.2:80", "8081:172.17.0.3:80"]);
    said(&lab, &["timeouts", "tcp-closing=1"]);
    let (mut text, mut lines) = (watch(&lab, &[]), watch(&lab, &["--json", "--mapping", "8080"]));
    let mut other = watch(&lab, &["--mapping", "8081"]);
    curl(lab.client(), "http://192.168.137.104:8080/", &[]).unwrap();

    let port = client_port(&server);
    let original = format!("192.168.137.1:{port} -> 192.168.137.104:8080  172.17.0.2:80 -> 192.168.137.1:{port}");
    let begun = text.wait_for_line("[NEW]", PATIENCE).unwrap();
    assert!(begun.starts_with("[NEW] tcp ") && begun.ends_with(&original), "{begun}");
    let ended = text.wait_for_line("[END]", PATIENCE).unwrap();
    assert!(ended.starts_with("[END] tcp    closing ") && ended.contains(&original), "{ended}");

    lines.wait_for_line("\"end\"", PATIENCE).unwrap();
    let said = lines.stdout().unwrap();
    let events: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = events.iter().map(|event| &event["event"]).collect();
    assert_eq!(kinds, ["new", "end"]);
    assert_eq!(events[0]["original"]["source"], json!({ "address": "192.168.137.1", "port": port }));
    assert!(events[1]["reply"]["bytes"].as_u64().unwrap() > 100, "{}", events[1]);
    assert_eq!(text.stdout().unwrap().lines().count(), 2);
    other.signal(Signal::SIGTERM).unwrap();
    assert_eq!(other.wait(PATIENCE).unwrap().stdout, "");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn watching_ends_when_netfwd_is_detached() {
    let lab = attached();
    let mut watching = watch(&lab, &[]);
    said(&lab, &["detach", "--all"]);
    let output = watching.wait(PATIENCE).unwrap();
    assert_eq!(output.stderr, "netfwd: cannot watch the flows: netfwd was detached meanwhile\n");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn flows_are_found_by_all_that_tells_them_apart() {
    let lab = attached();
    let _echoes = [0, 1].map(|number| UdpEcho::start(&lab.containers()[number], 53).unwrap());
    let _outside = UdpEcho::start(lab.client(), 7000).unwrap();
    said(&lab, &["map", "5300:172.17.0.2:53/udp", "5301:172.17.0.3:53/udp"]);
    let client = udp(lab.client(), 40_000);
    assert!(echoes(&client, ([192, 168, 137, 104], 5300).into()));
    assert!(echoes(&client, ([192, 168, 137, 104], 5301).into()));
    assert!(echoes(&udp(&lab.containers()[0], 40_001), ([192, 168, 137, 1], 7000).into()));
    let count = |options: &str| -> u64 {
        let words: Vec<_> = options.split_whitespace().collect();
        listed(&lab, &[&["flows", "--count"], &words[..]].concat())["count"].as_u64().unwrap()
    };
    for (options, expected) in [
        ("", 3),
        ("--mapping 5300/udp", 1),
        ("--nat destination", 2),
        ("--nat source", 1),
        ("--interface ens33", 3),
        ("--reply-src 172.17.0.3", 1),
        ("--orig-dst :5300-5301", 2),
        ("--orig-dst 172.17.0.2", 0),
        ("--reply-dst 192.168.137.1:40000", 2),
        ("--src 192.168.137.1 --sport 40000-40001", 2),
        ("--family ipv6", 0),
        ("--status replied --state replied,unreplied", 3),
        ("--status unreplied", 0),
    ] {
        assert_eq!(count(options), expected, "{options}");
    }
    let unknown = refused(&lab, &["flows", "--mapping", "web"], 1);
    assert!(unknown.contains("there is no mapping web: `netfwd list` shows all"), "{unknown}");
    assert_eq!(said(&lab, &["flows", "delete", "--mapping", "5301/udp"]), "ended 1 flow\n");
    assert_eq!(count(""), 2);
}

/// What a terminal shows after all that was written to it.
fn screen(terminal: &Terminal) -> vt100::Parser {
    screen_of(terminal, SIZE, 0)
}

/// What a terminal of this size shows after all that was written to it from a place on.
fn screen_of(terminal: &Terminal, [lines, columns]: [u16; 2], from: usize) -> vt100::Parser {
    let mut parser = vt100::Parser::new(lines.try_into().unwrap(), columns.try_into().unwrap(), 0);
    parser.process(terminal.written().get(from..).unwrap_or_default());
    parser
}

/// Waits until a line of the screen is like that.
fn wait_for(terminal: &Terminal, what: &str, is_it: impl Fn(&str) -> bool) {
    wait_for_screen(terminal, what, SIZE, 0, |shown| shown.lines().any(&is_it));
}

/// Waits until the screen is like that, of this size, after all that was written from a place on.
fn wait_for_screen(terminal: &Terminal, what: &str, size: [u16; 2], from: usize, is_it: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = screen_of(terminal, size, from).screen().contents();
        if is_it(&shown) {
            return;
        }
        assert!(Instant::now() < deadline, "no {what} in:\n{shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// That nothing of the program is left on its terminal, which has it a moment after the program's end.
fn assert_restored(terminal: &Terminal) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let parser = screen(terminal);
        let screen = parser.screen();
        if !screen.alternate_screen() && !screen.hide_cursor() {
            break;
        }
        assert!(Instant::now() < deadline, "{}", screen.contents());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(terminal.is_cooked().unwrap());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn top_shows_a_mapping_s_rate_ends_a_flow_and_leaves_the_terminal_as_it_was() {
    let lab = attached();
    let _echo = UdpEcho::start(&lab.containers()[0], 53).unwrap();
    said(&lab, &["map", "5300:172.17.0.2:53/udp"]);
    let mut top = lab.netfwd_in_terminal(&["top", "--interval", "0.5"], SIZE).unwrap();
    wait_for(&top, "mapping", |line| line.contains("*:5300"));
    assert!(screen(&top).screen().alternate_screen() && !top.is_cooked().unwrap());

    let client = udp(lab.client(), 40_000);
    let target = ([192, 168, 137, 104], 5300).into();
    let sending = Instant::now();
    let has_rate =
        |line: &str| line.contains("*:5300") && line.split_whitespace().nth(4).is_some_and(|rate| rate != "0");
    while !screen(&top).screen().contents().lines().any(has_rate) {
        assert!(echoes(&client, target) && sending.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    wait_for(&top, "flow", |line| line.contains("192.168.137.1:40000") && line.contains(">172.17.0.2:53"));

    top.press("\tx").unwrap();
    wait_for(&top, "question", |line| line.contains("end udp 192.168.137.1:40000 -> 192.168.137.104:5300? y/n"));
    top.press("y").unwrap();
    wait_for(&top, "answer", |line| line.contains("ended 1 flow"));
    assert_eq!(said(&lab, &["flows", "--count"]), "0\n");

    top.press("q").unwrap();
    assert!(top.wait(PATIENCE).unwrap().success());
    assert_restored(&top);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn top_is_sorted_filtered_and_drawn_anew_when_the_terminal_changes() {
    let lab = attached();
    said(&lab, &["map", "5300:172.17.0.2:53", "8080:172.17.0.3:80"]);
    let mut top = lab.netfwd_in_terminal(&["top", "--interval", "0.5"], SIZE).unwrap();
    let has_first = |part: &'static str| {
        move |shown: &str| {
            let mut mappings = shown.lines().filter(|line| line.contains(" *:"));
            mappings.next().is_some_and(|line| line.contains(part))
        }
    };
    top.press("sssss").unwrap();
    wait_for_screen(&top, "sorted mappings", SIZE, 0, |shown| shown.contains("by host") && has_first("*:5300")(shown));
    top.press("r").unwrap();
    wait_for_screen(&top, "the last mapping first", SIZE, 0, has_first("*:8080"));
    top.press("/5300\r").unwrap();
    wait_for_screen(&top, "one mapping", SIZE, 0, |shown| shown.contains("*:5300") && !shown.contains("*:8080"));
    top.press("\x1b").unwrap();
    wait_for_screen(&top, "both", SIZE, 0, |shown| shown.contains("*:5300") && shown.contains("*:8080"));

    for size in [[24, 80], [50, 160]] {
        let before = top.written().len();
        top.resize(size).unwrap();
        // All of it is drawn anew: nothing of before is needed.
        wait_for_screen(&top, "frame of the size", size, before, |shown| {
            let widest = shown.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            let is_whole = ["ens33", "*:5300", "*:8080", "q quit"].iter().all(|part| shown.contains(part));
            is_whole && widest == usize::from(size[1]) && shown.lines().count() == usize::from(size[0])
        });
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn top_leaves_the_terminal_as_it_was_when_it_is_ended_by_others() {
    let lab = attached();
    said(&lab, &["attach", "ens33", "--fast-path", "on"]);
    let mut terminated = lab.netfwd_in_terminal(&["top"], SIZE).unwrap();
    wait_for(&terminated, "frame", |line| line.contains("ens33 fast"));
    terminated.signal(Signal::SIGTERM).unwrap();
    assert!(terminated.wait(PATIENCE).unwrap().success());
    assert_restored(&terminated);

    let mut detached = lab.netfwd_in_terminal(&["top"], SIZE).unwrap();
    wait_for(&detached, "frame", |line| line.contains("ens33 fast"));
    said(&lab, &["detach", "--all"]);
    assert_eq!(detached.wait(PATIENCE).unwrap().code(), Some(1));
    assert_restored(&detached);
    wait_for(&detached, "reason", |line| line.contains("netfwd was detached meanwhile"));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn top_without_a_terminal_says_what_to_do_and_prints_one_frame_if_asked() {
    let lab = attached();
    said(&lab, &["attach", "ens33", "--fast-path", "on"]);
    said(&lab, &["map", "8080:172.17.0.2:80"]);
    let message = refused(&lab, &["top"], 1);
    assert!(message.contains("this is no terminal") && message.contains("--once"), "{message}");
    assert!(refused(&lab, &["top", "--once", "--json"], 2).contains("take --json"));
    let frame = said(&lab, &["top", "--once", "--interval", "0.2"]);
    assert!(frame.contains("ens33 fast") && frame.contains("*:8080"), "{frame}");
    assert!(!frame.contains('\x1b'));
}

/// Times are printed, not judged.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
#[expect(clippy::print_stderr, reason = "for whoever wants to know what it takes")]
fn a_hundred_thousand_flows_are_each_told_and_shown() {
    const PORTS: std::ops::Range<u16> = 10_000..60_000;
    let lab = attached();
    said(&lab, &["map", "6000-6001:172.17.0.2:6000-6001/udp"]);
    let watching = watch(&lab, &[]);
    let send = |port| {
        let socket = udp(lab.client(), port);
        for target in [6000, 6001] {
            // The container answers to some of them that nobody listens.
            socket.send_to(b"x", SocketAddr::from(([192, 168, 137, 104], target))).ok();
        }
    };
    PORTS.for_each(send);
    let count = 2 * PORTS.len();
    let lines = || watching.stdout().unwrap().lines().filter(|line| line.starts_with("[NEW]")).count();
    let deadline = Instant::now() + Duration::from_mins(2);
    while lines() < count && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(said(&lab, &["flows", "--count"]), format!("{count}\n"));
    assert_eq!(lines(), count);
    for arguments in [&["flows", "--count"][..], &["top", "--once", "--interval", "0.1"]] {
        let start = Instant::now();
        let shown = said(&lab, arguments);
        eprintln!("{arguments:?}: {:?}", start.elapsed());
        assert!(shown.contains(&count.to_string()), "{shown}");
    }
}
