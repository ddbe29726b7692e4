//! `netfwd run --metrics`: what is served, and what is logged.

mod prometheus;

use std::{
    net::TcpListener,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use lab::{Lab, Output, Process, Topology, curl, ping};

use crate::{
    apply::File,
    sockets::{connect, listener},
    support::{json, lab, refused, said},
};

const ADDRESS: &str = "127.0.0.1:19753";
const ATTACH: Duration = Duration::from_mins(1);
/// It looks for attaches by others every 5 seconds.
const NEXT_LOOK: Duration = Duration::from_secs(10);

/// An agent that has looked once. The verifier takes its time where it attaches.
fn agent(lab: &Lab, state: &Path, arguments: &[&str], says: &str) -> Process {
    let run = ["run", "--metrics", "--state-dir", state.to_str().unwrap()];
    let mut agent = lab.spawn_netfwd(&[&run[..], arguments].concat()).unwrap();
    agent.wait_for_line(says, ATTACH).unwrap();
    agent
}

fn page(lab: &Lab) -> String {
    curl(lab.host(), &format!("http://{ADDRESS}/metrics"), &[]).unwrap()
}

/// The value of a series, which is written as in the page.
fn value(page: &str, series: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    assert!(line.is_some(), "no {series} in\n{page}");
    line.unwrap().parse().unwrap()
}

/// The status and body of the health endpoint.
fn health(lab: &Lab) -> (String, String) {
    let url = format!("http://{ADDRESS}/healthz");
    let Output { stdout, .. } = lab.host().run(&["curl", "--silent", "--write-out", "%{http_code}", &url]).unwrap();
    let (body, status) = stdout.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_scrape_tells_what_the_listings_tell() {
    let (lab, state) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    let _agent = agent(&lab, state.path(), &["--uplink", "ens33"], "follows ens33");
    assert!(ping(&lab.containers()[0], [192, 168, 137, 1].into(), 5, 0.02).unwrap().complete());
    said(&lab, &["map", "8080:172.17.0.2:80", "9000-9009:172.17.0.2:9000-9009/udp"]);
    let _server = listener(&lab.containers()[0], 80);
    let _open = connect(lab.client(), "192.168.137.104:8080".parse().unwrap()).unwrap();

    let (page, counted, mapping) = (page(&lab), json(&lab, &["stats"]), json(&lab, &["list"])["mappings"][0].clone());
    let series = r#"netfwd_subnet_packets_total{interface="ens33",subnet="172.17.0.0/16",direction="out"}"#;
    assert_eq!(value(&page, series), 5);
    let mapped = r#"mapping="8080/tcp",origin="hand",name="""#;
    let packets = value(&page, &format!("netfwd_mapping_packets_total{{{mapped},direction=\"in\"}}"));
    assert_eq!((Some(packets), packets), (mapping["in"]["packets"].as_u64(), 2));
    assert_eq!(value(&page, &format!("netfwd_mapping_flows{{{mapped}}}")), 1);
    let range = r#"netfwd_mapping_flows{mapping="9000-9009/udp",origin="hand",name=""}"#;
    assert_eq!((value(&page, range), value(&page, r#"netfwd_mappings{origin="hand"}"#)), (0, 2));
    assert_eq!(value(&page, r#"netfwd_flows{family="ipv4",state="established"}"#), 1);
    assert_eq!(Some(value(&page, "netfwd_flows_created_total")), counted["flows"]["created"].as_u64());
    assert_eq!(
        Some(value(&page, r#"netfwd_flows_limit{family="ipv4"}"#)),
        counted["flows"]["ipv4"]["maximum"].as_u64()
    );
    let memory = page.lines().filter(|line| line.starts_with("netfwd_map_memory_bytes{"));
    let memory: u64 = memory.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    assert_eq!(Some(memory), json(&lab, &["status"])["memory_bytes"].as_u64());
    said(&lab, &["unmap", "--all"]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn health_follows_what_is_attached() {
    let (lab, state) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    let _agent = agent(&lab, state.path(), &[], "nothing is attached: waits for");
    let detached = "netfwd is not attached to any uplink: run `netfwd attach IFACE`";
    assert_eq!(health(&lab), ("503".to_owned(), detached.to_owned()));
    assert_eq!(value(&page(&lab), "netfwd_attached"), 0);
    said(&lab, &["attach", "ens33"]);
    becomes(&lab, "200", "ok");
    assert_eq!(value(&page(&lab), "netfwd_agent_healthy"), 1);
    said(&lab, &["detach", "--all"]);
    becomes(&lab, "503", detached);
}

fn becomes(lab: &Lab, status: &str, body: &str) {
    let deadline = Instant::now() + NEXT_LOOK;
    while health(lab) != (status.to_owned(), body.to_owned()) {
        assert!(Instant::now() < deadline, "{:?}", health(lab));
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_port_that_is_taken_is_an_error_and_nat_goes_on() {
    let lab = lab(&Topology::default());
    said(&lab, &["attach", "ens33"]);
    let _taken = lab.host().enter(|| TcpListener::bind(ADDRESS)).unwrap().unwrap();
    let message = refused(&lab, &["run", "--metrics", ADDRESS], 1);
    let expected =
        format!("cannot serve metrics at {ADDRESS}: another program listens there: stop it (`ss -ltnp sport = :19753`");
    assert!(message.contains(&expected), "{message}");
    assert!(ping(&lab.containers()[0], [192, 168, 137, 1].into(), 3, 0.02).unwrap().complete());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_port_of_the_configuration_that_is_taken_is_waited_for_and_the_uplink_is_attached() {
    let lab = lab(&Topology::default());
    let taken = lab.host().enter(|| TcpListener::bind(ADDRESS)).unwrap().unwrap();
    let file = File::new(&format!("[metrics]\nlisten = \"{ADDRESS}\"\n[[uplink]]\ninterface = \"ens33\"\n"));
    let mut agent = lab.spawn_netfwd(&["run", "--config", file.path()]).unwrap();
    let failure = agent.wait_for_line("cannot serve metrics", ATTACH).unwrap();
    assert!(failure.contains("another program listens there"), "{failure}");
    agent.wait_for_line("follows ens33", ATTACH).unwrap();
    assert!(ping(&lab.containers()[0], [192, 168, 137, 1].into(), 3, 0.02).unwrap().complete());
    drop(taken);
    agent.wait_for_line("serves metrics at", ATTACH).unwrap();
    curl(lab.host(), &format!("http://{ADDRESS}/healthz"), &[]).unwrap();
}
