//! What stands in a mapping's way.

use std::{
    net::{TcpListener, UdpSocket},
    process,
};

use lab::UdpEcho;
use netfwd::{host::sockets::Sockets, mapping::Request};

use super::{HOST, asked_by, attached};
use crate::support::{refused, said};

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_port_that_a_process_listens_on_is_refused_with_its_name_unless_forced() {
    let lab = attached();
    let _listener = lab.host().enter(|| TcpListener::bind("0.0.0.0:8080")).unwrap().unwrap();
    let error = refused(&lab, &["map", "8000-8100:172.17.0.2:8000-8100"], 1);
    assert!(error.contains("port 8080/tcp is in use by "), "{error}");
    let hint = format!("(pid {}); stop it, or give --force to take its remote clients over", process::id());
    assert!(error.contains(&hint), "{error}");
    assert!(refused(&lab, &["map", &format!("{HOST}:8080:172.17.0.2:80")], 1).contains("port 8080/tcp is in use by "));
    said(&lab, &["map", "8080:172.17.0.2:80/udp", "8081:172.17.0.2:80"]);
    said(&lab, &["map", "--force", "8080:172.17.0.2:80"]);
    // What is mapped already is no news.
    said(&lab, &["map", "8080:172.17.0.2:80"]);
    said(&lab, &["map", "--replace", "8080:172.17.0.3:80"]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_bound_udp_socket_is_in_the_way_and_a_connected_one_is_not() {
    let lab = attached();
    let server = UdpEcho::start(&lab.containers()[0], 5353).unwrap();
    let bind = |port: u16| lab.host().enter(|| UdpSocket::bind((HOST, port))).unwrap().unwrap();
    let (_bound, connected) = (bind(5300), bind(5301));
    connected.connect("192.168.137.1:53").unwrap();
    assert!(refused(&lab, &["map", "5300:172.17.0.2:5353/udp"], 1).contains("port 5300/udp is in use by "));
    said(&lab, &["map", "127.0.0.1:5300:172.17.0.2:5353/udp", "5301:172.17.0.2:5353/udp"]);
    assert!(asked_by(&lab, 5301));
    assert_eq!(server.peers().len(), 1);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_socket_of_any_ipv6_address_is_in_the_way_if_it_serves_ipv4() {
    let lab = attached();
    let listen = |port: u16| lab.host().enter(|| TcpListener::bind(("::", port))).unwrap().unwrap();
    let _both = listen(8080);
    lab.host().sysctl("net/ipv6/bindv6only", "1").unwrap();
    let _ipv6_alone = listen(8081);
    assert!(refused(&lab, &["map", "8080:172.17.0.2:80"], 1).contains("port 8080/tcp is in use by "));
    said(&lab, &["map", "8081:172.17.0.2:80"]);
    for port in [8080, 8081] {
        let error = refused(&lab, &["map", &format!("{port}:[fd00::2]:80")], 1);
        assert!(error.contains(&format!("port {port}/tcp is in use by ")), "{error}");
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_hosts_own_addresses_are_no_targets() {
    let lab = attached();
    for address in [HOST, "172.17.0.1"] {
        let error = refused(&lab, &["map", &format!("8080:{address}:80")], 1);
        assert!(error.contains(&format!("{address} of 8080:{address}:80/tcp is an address of this host")), "{error}");
    }
    let output = lab.netfwd(&["map", "192.168.137.105:8080:172.17.0.2:80"]).unwrap();
    assert!(output.stderr.contains("warning: 192.168.137.105 of 192.168.137.105:8080:172.17.0.2:80/tcp is no address"));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn overlapping_ranges_are_refused_or_replaced_as_a_whole() {
    let lab = attached();
    said(&lab, &["map", "8000-8010:172.17.0.2:8000-8010", "8011:172.17.0.2:80"]);
    let error = refused(&lab, &["map", "8010-8011:172.17.0.3:8010-8011"], 1);
    let message = "8000-8010/tcp is mapped to 172.17.0.2:8000-8010, not to 172.17.0.3:8010-8011; unmap it first";
    assert!(error.contains(message), "{error}");
    let done = said(&lab, &["map", "--replace", "8010-8011:172.17.0.3:8010-8011"]);
    assert_eq!(
        done,
        "mapped 8010-8011/tcp to 172.17.0.3:8010-8011 instead of 8000-8010/tcp to 172.17.0.2:8000-8010 and 8011/tcp to \
         172.17.0.2:80, whose flows have ended\n"
    );
    assert_eq!(said(&lab, &["unmap", "--all"]), "unmapped 8010-8011/tcp from 172.17.0.3:8010-8011\n");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn sockets_are_those_of_the_threads_network_namespace() {
    let lab = attached();
    let bind = || TcpListener::bind("0.0.0.0:0").unwrap();
    let (ours, theirs) = (bind(), lab.host().enter(bind).unwrap());
    let [ours, theirs] = [&ours, &theirs].map(|listener| listener.local_addr().unwrap().port());
    assert_ne!(ours, theirs);
    let found = |sockets: &Sockets, port: u16| {
        let request: Request = format!("{port}:172.17.0.2:80").parse().unwrap();
        let mapping = request.fixed().unwrap().next().unwrap();
        sockets.serving(&mapping.host).len()
    };
    let host = lab.host().enter(|| Sockets::read().unwrap()).unwrap();
    assert_eq!((found(&host, ours), found(&host, theirs)), (0, 1));
}
