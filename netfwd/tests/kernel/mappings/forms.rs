//! Every form of a mapping: ranges, ports left to netfwd, protocols, addresses.

use std::net::{TcpListener, UdpSocket};

use lab::{Lab, UdpEcho};
use netfwd::datapath::{maps::Maps, pin::PinDir};
use serde_json::{Value, json as value};

use super::{HOST, asked_by, attached, nobody_answers};
use crate::support::{json, refused, said};

fn map_json(lab: &Lab, arguments: &[&str]) -> Value {
    json(lab, &[&["map"], arguments].concat())["mappings"].clone()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn each_port_of_a_range_leads_to_its_own_port_and_no_other() {
    let lab = attached();
    let servers = [7000, 7005, 7010].map(|port| UdpEcho::start(&lab.containers()[0], port).unwrap());
    let said_so = said(&lab, &["map", "5000-5010:172.17.0.2:7000-7010/udp"]);
    assert_eq!(said_so, "mapped 5000-5010/udp to 172.17.0.2:7000-7010\n");
    for port in [5000, 5005, 5010] {
        assert!(asked_by(&lab, port), "{port}");
    }
    assert!(servers.iter().all(|server| server.peers().len() == 1));
    assert!(nobody_answers(&lab, 5001) && nobody_answers(&lab, 4999) && nobody_answers(&lab, 5011));
    let mapping = &json(&lab, &["list"])["mappings"][0];
    assert_eq!(mapping["host"], value!({ "address": null, "port_first": 5000, "port_last": 5010 }));
    assert_eq!(mapping["container"], value!({ "address": "172.17.0.2", "port_first": 7000, "port_last": 7010 }));
    assert_eq!(mapping["flows"]["total"], 4, "5001 has nobody who answers, the others are no mapping's: {mapping}");
    assert_eq!(said(&lab, &["unmap", "5000-5010/udp"]), "unmapped 5000-5010/udp from 172.17.0.2:7000-7010\n");
    assert!(nobody_answers(&lab, 5000));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn ten_thousand_ports_are_one_mapping_of_few_entries() {
    let lab = attached();
    let maps = Maps::open(&PinDir::new(lab.pin_dir())).unwrap();
    said(&lab, &["map", "10001-20000:172.17.0.2:10001-20000"]);
    let entries: Vec<_> = maps.v4.mappings.iter().map(|entry| entry.unwrap().1.rule).collect();
    assert_eq!(entries.len(), 14, "the fewest prefixes that are 10001 to 20000 and nothing else");
    assert!(entries.iter().all(|rule| *rule == entries[0]), "{entries:?}");
    assert_eq!(json(&lab, &["list"])["mappings"].as_array().unwrap().len(), 1);
    said(&lab, &["unmap", "--all"]);
    assert_eq!(maps.v4.mappings.keys().count(), 0);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_free_port_is_taken_and_told_and_serves() {
    let lab = attached();
    let server = UdpEcho::start(&lab.containers()[0], 5353).unwrap();
    let _tcp = lab.host().enter(|| TcpListener::bind("127.0.0.1:32768")).unwrap().unwrap();
    let _udp = lab.host().enter(|| UdpSocket::bind("0.0.0.0:32769")).unwrap().unwrap();
    lab.host().sysctl("net/ipv4/ip_local_reserved_ports", "32771-32772").unwrap();
    assert_eq!(said(&lab, &["map", "172.17.0.2:80"]), "mapped 32769/tcp to 172.17.0.2:80\n");
    let both = "mapped 32770/tcp to 172.17.0.2:5353\nmapped 32770/udp to 172.17.0.2:5353\n";
    assert_eq!(said(&lab, &["map", "172.17.0.2:5353/tcp+udp"]), both);
    assert!(asked_by(&lab, 32770));
    assert_eq!(server.peers().len(), 1);
    let one = &map_json(&lab, &["192.168.137.104::172.17.0.2:80-82"])[0];
    assert_eq!(one["host"], value!({ "address": HOST, "port_first": 32773, "port_last": 32775 }));
    assert_eq!((&one["change"], &one["instead_of"]), (&"added".into(), &value!([])));

    assert_eq!(said(&lab, &["map", "32768-32777:172.17.0.2:90"]), "mapped 32771/tcp to 172.17.0.2:90\n");
    let error = refused(&lab, &["map", "32769-32771:172.17.0.2:91"], 1);
    assert!(error.contains("no port is free of 32769-32771 for 32769-32771:172.17.0.2:91/tcp"), "{error}");
    let error = refused(&lab, &["map", "172.17.0.2:1-40000"], 1);
    assert!(error.contains("no 40000 ports in a row are free of 32768-60999"), "{error}");
}

/// moby's `TestMixAnyWithSpecificHostAddrs`.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn chosen_ports_of_any_address_and_of_one_differ() {
    let lab = attached();
    for protocol in ["tcp", "udp"] {
        let requests = ["172.17.0.2:81", "172.17.0.2:82", "127.0.0.1::172.17.0.2:80"];
        let requests = requests.map(|request| format!("{request}/{protocol}"));
        let mapped = map_json(&lab, &requests.each_ref().map(String::as_str));
        let ports = mapped.as_array().unwrap().iter().map(|one| one["host"]["port_first"].as_u64().unwrap());
        let mut ports: Vec<_> = ports.collect();
        ports.sort_unstable();
        assert_eq!(ports.array_windows().filter(|[first, second]| first == second).count(), 0, "{ports:?}");
    }
}

/// moby's `TestPortMappingOnDistinctLoopbackAddrs`.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn loopback_addresses_each_have_their_own_mappings() {
    let lab = attached();
    let mappings = ["127.0.0.1:8080:172.17.0.2:80", "127.0.0.2:8080:172.17.0.3:80"];
    let text = said(&lab, &["map", mappings[0], mappings[1]]);
    assert_eq!(text, "mapped 127.0.0.1:8080/tcp to 172.17.0.2:80\nmapped 127.0.0.2:8080/tcp to 172.17.0.3:80\n");
    assert!(refused(&lab, &["map", "8080:172.17.0.2:80"], 1).contains("have a port in common"));
    assert_eq!(said(&lab, &["unmap", "127.0.0.2:8080"]), "unmapped 127.0.0.2:8080/tcp from 172.17.0.3:80\n");
    assert!(said(&lab, &["list"]).contains("127.0.0.1:8080"));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn both_families_and_all_protocols_are_mapped_side_by_side() {
    let lab = attached();
    let output = lab.netfwd(&["map", "80:172.17.0.2:80/sctp", "80:172.17.0.2:80/tcp+udp", "80:[fd00::2]:80"]).unwrap();
    assert!(
        output.stderr.contains("warning: fd00::2 of 80:[fd00::2]:80/tcp is in no masqueraded subnet"),
        "{output:?}"
    );
    let loopback = said(&lab, &["map", "[::1]:81:[fd00::2]:81"]);
    assert_eq!(loopback, "mapped [::1]:81/tcp to [fd00::2]:81\n");
    let list = said(&lab, &["list"]);
    let rows: Vec<_> =
        list.lines().skip(1).map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        rows,
        [
            "*:80 172.17.0.2:80 tcp",
            "*:80 172.17.0.2:80 udp",
            "*:80 172.17.0.2:80 sctp",
            "[::]:80 [fd00::2]:80 tcp",
            "[::1]:81 [fd00::2]:81 tcp",
        ]
    );
    let removed = said(&lab, &["unmap", "80"]);
    assert_eq!(removed, "unmapped 80/tcp from 172.17.0.2:80\nunmapped [::]:80/tcp from [fd00::2]:80\n");
    let removed = json(&lab, &["unmap", "80/udp", "[::1]:81"]);
    assert_eq!(removed["mappings"][1]["container"]["address"], "fd00::2", "{removed}");
    assert_eq!(json(&lab, &["list"])["mappings"].as_array().unwrap().len(), 1);
}
