//! What becomes of flows when a mapping changes.

use lab::UdpEcho;
use serde_json::json as value;

use super::{Client, attached};
use crate::support::{json, said};

/// dataplane's `compatible_rule_updates_preserves_flows`, and its counterpart for what is not compatible.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_compatible_change_keeps_the_flows_of_ports_that_stay_and_ends_the_others() {
    let lab = attached();
    let servers = [7000, 7005, 7010].map(|port| UdpEcho::start(&lab.containers()[0], port).unwrap());
    let peers = || servers.each_ref().map(|server| server.peers().len());
    said(&lab, &["map", "5000-5007:172.17.0.2:7000-7007/udp"]);
    let (first, second) = (Client::new(&lab), Client::new(&lab));
    assert!(first.ask(5000) && second.ask(5005));

    let done = said(&lab, &["map", "--replace", "5003-5010:172.17.0.2:7003-7010/udp"]);
    assert_eq!(
        done,
        "mapped 5003-5010/udp to 172.17.0.2:7003-7010 instead of 5000-5007/udp; flows of ports that both have go on\n"
    );
    let flows = json(&lab, &["flows"]);
    assert_eq!(flows["flows"].as_array().unwrap().len(), 1, "{flows}");
    assert!(second.ask(5005) && second.ask(5010));
    assert!(first.gets_nothing(5000));
    assert_eq!(peers(), [1, 2, 1]);
    let flows = json(&lab, &["flows", "--dst", ":5005"]);
    assert_eq!(flows["flows"][0]["original"]["packets"], 2, "{flows}");
    let mapping = &json(&lab, &["list"])["mappings"][0];
    assert_eq!(mapping["flows"], value!({ "active": 2, "total": 3 }), "it is the same mapping: {mapping}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn adding_a_mapping_again_keeps_its_flows() {
    let lab = attached();
    let _server = UdpEcho::start(&lab.containers()[0], 5353).unwrap();
    let client = Client::new(&lab);
    for _ in 0..2 {
        said(&lab, &["map", "--replace", "5300:172.17.0.2:5353/udp"]);
        assert!(client.ask(5300));
    }
    let flows = json(&lab, &["flows"]);
    assert_eq!(flows["flows"][0]["original"]["packets"], 2, "{flows}");
}

/// moby#53384: the flows of a published port were looked for by the container's port, and so outlived it.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn moby_53384_a_client_that_goes_on_sending_reaches_the_new_container_and_not_the_old_one() {
    let lab = attached();
    let [old, new] = [0, 1].map(|number| UdpEcho::start(&lab.containers()[number], 5353).unwrap());
    let client = Client::new(&lab);
    said(&lab, &["map", "5300:172.17.0.2:5353/udp"]);
    assert!(client.ask(5300));
    said(&lab, &["unmap", "5300/udp"]);
    assert!(client.gets_nothing(5300));
    said(&lab, &["map", "5300:172.17.0.3:5353/udp"]);
    assert!(client.ask(5300));
    assert_eq!((old.peers().len(), new.peers().len()), (1, 1));
}
