use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::docker::networks::bridges;

fn networks() -> BTreeMap<Id, Network> {
    let networks =
        json!([{"Id": "1", "Name": "bridge", "Driver": "bridge"}, {"Id": "2", "Name": "h", "Driver": "host"}]);
    bridges(serde_json::from_value(networks).unwrap())
}

/// An answer of Docker 20.10, shortened.
fn answer(ports: &Value) -> Value {
    json!({
        "Id": "fc9488fd3623",
        "Name": "/a1",
        "State": {"Status": "running", "Running": true, "Paused": false},
        "NetworkSettings": {
            "Ports": ports,
            "Networks": {"bridge": {
                "IPAMConfig": null, "NetworkID": "1", "Gateway": "172.17.0.1", "IPAddress": "172.17.0.2",
                "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
            }},
        },
    })
}

fn container(answer: Value) -> Option<Container> {
    Some(Inspected::of(serde_json::from_value(answer).unwrap())?.container(&networks()))
}

fn texts(answer: Value) -> Vec<String> {
    container(answer).unwrap().mappings.iter().map(ToString::to_string).collect()
}

#[test]
fn published_ports_become_mappings_to_the_containers_address() {
    let ports = json!({
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}, {"HostIp": "0.0.0.0", "HostPort": "8080"}],
        "81/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8081"}],
        "53/udp": [{"HostIp": "192.0.2.1", "HostPort": "53"}],
        "7/sctp": [{"HostIp": "", "HostPort": "7"}],
        "443/tcp": null,
        "444/tcp": [],
    });
    let expected = [
        "8080:172.17.0.2:80/tcp",
        "32768:172.17.0.2:80/tcp",
        "7:172.17.0.2:7/sctp",
        "127.0.0.1:8081:172.17.0.2:81/tcp",
        "192.0.2.1:53:172.17.0.2:53/udp",
    ];
    assert_eq!(texts(answer(&ports)), expected);
    assert_eq!(container(answer(&ports)).unwrap().name, "a1");
}

#[test]
fn ipv6_is_for_containers_that_have_it() {
    let ports = json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}, {"HostIp": "::", "HostPort": "80"}]});
    let mut answer = answer(&ports);
    assert_eq!(texts(answer.clone()), ["80:172.17.0.2:80/tcp"]);
    let endpoint = &mut answer["NetworkSettings"]["Networks"]["bridge"];
    endpoint["IPv6Gateway"] = json!("fd00::1");
    endpoint["GlobalIPv6Address"] = json!("fd00::2");
    assert_eq!(texts(answer.clone()), ["80:172.17.0.2:80/tcp", "80:[fd00::2]:80/tcp"]);
    answer["NetworkSettings"]["Ports"] = json!({"80/tcp": [{"HostIp": "", "HostPort": "80"}]});
    assert_eq!(texts(answer), ["80:172.17.0.2:80/tcp", "80:[fd00::2]:80/tcp"]);
}

#[test]
fn what_has_no_host_port_or_makes_no_sense_is_left_out() {
    let ports = json!({
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": ""}, {"HostIp": "0.0.0.0", "HostPort": "0"}, {}],
        "81/tcp": [{"HostIp": "everywhere", "HostPort": "81"}, {"HostIp": "0.0.0.0", "HostPort": "65536"}],
        "82/quic": [{"HostIp": "0.0.0.0", "HostPort": "82"}],
        "0/tcp": [{"HostIp": "0.0.0.0", "HostPort": "83"}],
        "http": [{"HostIp": "0.0.0.0", "HostPort": "84"}],
    });
    assert_eq!(container(answer(&ports)).unwrap().mappings, []);
}

#[test]
fn a_container_in_the_hosts_network_publishes_nothing() {
    let mut answer = answer(&json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]}));
    answer["NetworkSettings"]["Networks"] = json!({"h": {"NetworkID": "2", "IPAddress": "", "Gateway": ""}});
    assert_eq!(container(answer.clone()).unwrap().mappings, []);
    answer["NetworkSettings"] = json!({"Ports": {}, "Networks": {}});
    assert_eq!(container(answer).unwrap().mappings, []);
}

#[test]
fn a_container_that_does_not_run_is_none_and_a_paused_one_is_one() {
    let mut answer = answer(&json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]}));
    answer["State"] = json!({"Status": "paused", "Running": true, "Paused": true});
    assert_eq!(texts(answer.clone()).len(), 1);
    answer["State"] = json!({"Status": "exited", "Running": false});
    assert_eq!(container(answer.clone()), None);
    answer["State"] = Value::Null;
    assert_eq!(container(answer), None);
}

#[test]
fn two_hundred_consecutive_ports_are_one_mapping() {
    let binding =
        |port: u32| (format!("{}/udp", port + 100), json!([{"HostIp": "0.0.0.0", "HostPort": port.to_string()}]));
    let ports: serde_json::Map<_, _> = (9000..9200).map(binding).collect();
    assert_eq!(texts(answer(&ports.into())), ["9000-9199:172.17.0.2:9100-9299/udp"]);
}

/// Ports so few that they are often neighbours.
fn any_published() -> impl Strategy<Value = Published> {
    let address = prop::sample::select(vec!["0.0.0.0", "127.0.0.1", "::"]).prop_map(|text| text.parse().unwrap());
    let transport = prop::sample::select(vec![Transport::Tcp, Transport::Udp]);
    let port = || prop_oneof![1..12_u16, 65_530..=u16::MAX];
    let container = prop::sample::select(vec!["172.17.0.2", "172.17.0.3"]).prop_map(|text| text.parse().unwrap());
    prop::collection::btree_map((address, transport, port()), (container, port()), 0..60)
}

proptest! {
    #[test]
    fn merging_keeps_every_port_and_leaves_nothing_to_be_merged(published in any_published()) {
        let mappings = merge(published.clone());
        let each = mappings.iter().flat_map(|mapping| {
            let HostPorts { address, protocol, ports } = mapping.host;
            let inside = mapping.container_ports();
            let pairs = (ports.first()..=ports.last()).zip(inside.first()..=inside.last());
            pairs.map(move |(host, port)| ((address, protocol, host), (mapping.container, port)))
        });
        let each: Vec<_> = each.collect();
        prop_assert_eq!(each.len(), published.len());
        prop_assert_eq!(each.into_iter().collect::<Published>(), published);
        for pair in mappings.windows(2) {
            prop_assert_eq!(joined(&pair[0], &pair[1]), None);
        }
    }
}
