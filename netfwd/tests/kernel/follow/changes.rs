//! Addresses and interfaces that change under traffic.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use lab::{Lab, Process, UdpEcho};
use netfwd_common::abi::MAX_INTERFACES;
use nix::sys::signal::Signal;

use super::{Addresses, Conversations, UPLINK, V4, V6, address, at, followed, ip, ip_batch, listed, topology};
use crate::{
    sockets::{PATIENCE, echoes, is_unanswered, udp},
    support::{json, lab, said},
};

/// Hundreds of interfaces take their time.
const LONG: Duration = Duration::from_mins(2);
const FOLLOWS: &str = "follows ens33, ens34\n";

/// What was told, and at its end what comes after everything that was to be told: of a new bridge.
fn told_before_sentinel(lab: &Lab, follower: &mut Process) -> String {
    ip_batch(lab, &["link add br7 type bridge".to_owned(), "address add 10.77.0.1/16 dev br7".to_owned()]);
    follower.wait_for_line("masquerades 10.77.0.0/16 (br7) as 10.9.0.1", PATIENCE).unwrap();
    let told = follower.stdout().unwrap();
    let (before, _) = told.split_once("attached to br7").unwrap();
    before.to_owned()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_does_not_concern_an_address_in_use_changes_nothing() {
    let (lab, mut follower) = followed();
    let mut flows = [V4, V6].map(|family| Conversations::begin(&lab, 0, at(family.client, 7)));
    let status = json(&lab, &["status"])["uplinks"].take();
    for family in [&V4, &V6] {
        let known = known_addresses(&lab);
        let renewed = format!("address change {}/{} dev {UPLINK}", family.old, family.length);
        ip_batch(&lab, &[format!("{renewed} valid_lft 3600 preferred_lft 1800"), format!("{renewed} preferred_lft 0")]);
        ip_batch(&lab, &[address("add", family.new, family)]);
        wait_until_known(&lab, known + 1);
        ip_batch(&lab, &[address("delete", family.new, family)]);
        wait_until_known(&lab, known);
    }
    ip_batch(
        &lab,
        &["link add dummy7 type bridge", "link set dummy7 name other7", "link delete other7"].map(str::to_owned),
    );
    assert_eq!(told_before_sentinel(&lab, &mut follower), FOLLOWS);
    for conversations in &mut flows {
        assert!(conversations.tcp_goes_on(), "{}", conversations.target);
        assert!(conversations.udp_goes_on(), "{}", conversations.target);
    }
    lab.host().run(&["ip", "link", "delete", "br7"]).unwrap();
    follower.wait_for_line("no longer masquerades 10.77.0.0/16", PATIENCE).unwrap();
    assert_eq!(json(&lab, &["status"])["uplinks"], status);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_chosen_address_is_waited_for_and_used_again() {
    let (lab, mut follower) = followed();
    for family in [&V4, &V6] {
        let Addresses { subnet, new, client, .. } = *family;
        ip_batch(&lab, &[address("add", new, family)]);
        said(&lab, &["attach", UPLINK, "--address", new]);
        let mut flows = Conversations::begin(&lab, 0, at(client, 7));
        ip_batch(&lab, &[address("delete", new, family)]);
        let until = format!("until {new}, which was chosen with --address, is an address of this host again");
        follower.wait_for_line(&format!("drops new flows of {subnet} {until}"), PATIENCE).unwrap();
        assert!(!listed(&lab).contains(new), "{}", listed(&lab));
        assert!(flows.tcp_is_unanswered() && is_unanswered(&flows.udp, flows.target));
        let stats = json(&lab, &["stats"])["uplinks"][0]["egress"]["dropped"]["reasons"].take();
        assert!(stats["address-gone"]["packets"].as_u64() > Some(0), "{stats}");

        ip_batch(&lab, &[address("add", new, family)]);
        follower.wait_for_line(&format!("masquerades {subnet} as {new} again"), PATIENCE).unwrap();
        assert!(flows.udp_goes_on());
        assert_eq!(flows.seen(), (vec![ip(new)], vec![ip(new); 2]));
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_uplink_without_any_address_gets_its_next_one() {
    let (lab, mut follower) = followed();
    for family in [&V4, &V6] {
        let Addresses { subnet, old, new, client, .. } = *family;
        ip_batch(&lab, &[address("delete", old, family)]);
        let version = if ip(old).is_ipv4() { "IPv4" } else { "IPv6" };
        let expected = format!("drops new flows of {subnet} until ens33 has an {version} address");
        follower.wait_for_line(&expected, PATIENCE).unwrap();
        ip_batch(&lab, &[address("add", new, family)]);
        follower.wait_for_line(&format!("masquerades {subnet} (docker0) as {new}"), PATIENCE).unwrap();
        assert_eq!(Conversations::begin(&lab, 0, at(client, 7)).seen().0, [ip(new)]);
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_uplink_that_is_gone_is_told_and_the_others_are_followed_on() {
    let (lab, mut follower) = followed();
    lab.host().run(&["ip", "link", "delete", "ens34"]).unwrap();
    follower
        .wait_for_line("forgot the uplink ens34, which is gone: attach it again when it is back", PATIENCE)
        .unwrap();
    ip_batch(&lab, &["link add ens34 type bridge".to_owned(), "address add 10.9.0.1/24 dev ens34".to_owned()]);
    let line = "masquerades 10.9.0.0/24 (ens34) as 192.168.137.104";
    follower.wait_for_line(line, PATIENCE).unwrap();
    said(&lab, &["attach", "ens34"]);
    ip_batch(&lab, &[address("delete", V4.old, &V4), address("add", V4.new, &V4)]);
    follower.wait_for_line(&format!("as {}, no longer as {}", V4.new, V4.old), PATIENCE).unwrap();
    follower.wait_for_line("follows ens33, ens34", PATIENCE).unwrap();
    assert_eq!(follower.stderr().unwrap(), "");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_bridge_that_is_made_anew_gets_its_program_again() {
    let lab = lab(&topology());
    said(&lab, &["attach", UPLINK, "--bridge", "docker0", "--hook", "tc"]);
    let mut follower = lab.spawn_netfwd(&["run"]).unwrap();
    follower.wait_for_line("follows ens33", PATIENCE).unwrap();
    lab.host().run(&["ip", "link", "delete", "docker0"]).unwrap();
    follower.wait_for_line("no longer masquerades 172.17.0.0/16", PATIENCE).unwrap();
    ip_batch(&lab, &["link add docker0 type bridge", "address add 172.17.0.1/16 dev docker0"].map(str::to_owned));
    follower.wait_for_line("masquerades 172.17.0.0/16 (docker0) as 192.168.137.104", PATIENCE).unwrap();
    let filters = lab.host().run(&["tc", "filter", "show", "dev", "docker0", "ingress"]).unwrap().stdout;
    assert!(filters.contains("netfwd_bridge"), "{filters}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn more_messages_than_the_socket_holds_lose_nothing() {
    let (lab, mut follower) = followed();
    follower.signal(Signal::SIGSTOP).unwrap();
    let many: Vec<_> = (0..3000).map(|number| format!("10.200.{}.{}", number / 250, number % 250)).collect();
    let line = |verb: &str, address: &String| format!("address {verb} {address}/32 dev lo");
    ip_batch(&lab, &many.iter().map(|address| line("add", address)).collect::<Vec<_>>());
    ip_batch(&lab, &[address("delete", V4.old, &V4), address("add", V4.new, &V4)]);
    assert!(dropped_messages(&lab, &follower) > 0);
    follower.signal(Signal::SIGCONT).unwrap();
    follower.wait_for_line(&format!("as {}, no longer as {}", V4.new, V4.old), PATIENCE).unwrap();
    ip_batch(&lab, &many.iter().map(|address| line("delete", address)).collect::<Vec<_>>());
    assert_eq!(Conversations::begin(&lab, 0, at(V4.client, 7)).seen().0, [ip(V4.new)]);
    assert_eq!(follower.stderr().unwrap(), "");
}

/// How many addresses the kernel part knows as the host's: each look brings this up to date.
fn known_addresses(lab: &Lab) -> u64 {
    let maps = json(lab, &["status"])["maps"].take();
    let map = maps.as_array().unwrap().iter().find(|map| map["name"] == "HOST_ADDRESSES").unwrap();
    map["entries"].as_u64().unwrap()
}

fn wait_until_known(lab: &Lab, count: u64) {
    let deadline = Instant::now() + PATIENCE;
    while known_addresses(lab) != count {
        assert!(Instant::now() < deadline, "{} addresses are known, not {count}", known_addresses(lab));
        thread::sleep(Duration::from_millis(20));
    }
}

/// What the kernel could not give to the netlink sockets of the process.
fn dropped_messages(lab: &Lab, process: &Process) -> u64 {
    let table = lab.host().enter(|| fs::read_to_string("/proc/thread-self/net/netlink")).unwrap().unwrap();
    let dropped = table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_its = fields.get(2) == Some(&process.id().to_string().as_str());
        is_its.then(|| fields[8].parse::<u64>().unwrap())
    });
    dropped.sum()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn one_bridge_too_many_is_told_and_all_else_goes_on() {
    let (lab, mut follower) = followed();
    said(&lab, &["map", "8080:172.17.0.2:80/udp"]);
    let _echo = UdpEcho::start(&lab.containers()[0], 80).unwrap();
    let client = udp(lab.client(), 0);
    assert!(echoes(&client, at(V4.old, 8080)));
    // Both uplinks and docker0 have a place.
    let numbers = 0..MAX_INTERFACES - 2;
    let links = numbers.clone().map(|number| format!("link add x{number} type bridge"));
    let addresses = numbers.map(|number| {
        let [.., third, fourth] = number.to_be_bytes();
        format!("address add 10.100.{third}.{fourth}/32 dev x{number}")
    });
    ip_batch(&lab, &links.chain(addresses).collect::<Vec<_>>());
    let told = follower.wait_for_line("uplinks and bridges are attached, which is the most", LONG).unwrap();
    assert!(told.contains(&MAX_INTERFACES.to_string()), "{told}");
    assert!(echoes(&client, at(V4.old, 8080)), "what is attached goes on");

    ip_batch(&lab, &["link delete x0".to_owned()]);
    let bridges = || json(&lab, &["status"])["bridges"].as_array().unwrap().len();
    let deadline = Instant::now() + LONG;
    while bridges() < usize::try_from(MAX_INTERFACES).unwrap() - 2 {
        assert!(Instant::now() < deadline, "{} bridges", bridges());
        thread::sleep(Duration::from_millis(100));
    }
    assert!(echoes(&client, at(V4.old, 8080)));
}
