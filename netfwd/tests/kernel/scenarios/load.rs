//! Much at once: nothing is lost, and nothing is reset.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

use lab::{Capture, Iperf, IperfServer, Lab, Topology, ping};

use super::{assert_checksums, attached, client, connect, host, ignore_interruptions, listener};
use crate::support::{on_the_way, said};

const GIGABYTE: u64 = 1_000_000_000;
const MAPPED: u16 = 5000;
/// A virtual machine without hardware support is slow.
const TRANSFER: Duration = Duration::from_mins(5);

fn transfer(lab: &Lab, topology: &Topology, size: u64, options: &[&str]) {
    let bytes = size.to_string();
    let options = [&["--bytes", &bytes], options].concat();
    let (target, port) = (host(topology).into(), MAPPED);
    let transfer = Iperf { target, port, options: &options, timeout: TRANSFER }.run(lab.client()).unwrap();
    assert!(transfer.sent >= size && transfer.received >= size - on_the_way(lab), "{transfer:?}");
}

/// The RST segments of a lab. iperf3's server ends a measured connection with one when all has been transferred; each
/// other one would be the host's or the client's answer to a segment that it does not know.
struct Resets {
    wire: Capture,
    container: Capture,
}

impl Resets {
    fn watch(lab: &Lab) -> Self {
        let watch = |netns| Capture::start(netns, "eth0", "tcp[tcpflags] & tcp-rst != 0").unwrap();
        Self { wire: watch(lab.client()), container: watch(&lab.containers()[0]) }
    }

    fn assert_only_the_servers(self) {
        let seen = |capture: Capture| -> Vec<Vec<u8>> {
            let packets = capture.stop().unwrap().ipv4().unwrap();
            // The sequence and acknowledgement numbers: the same segment on both sides.
            packets.iter().map(|packet| packet.payload[4..12].to_vec()).collect()
        };
        assert_eq!(seen(self.wire), seen(self.container));
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_gigabyte_goes_each_way_without_a_reset_or_a_wrong_checksum() {
    // Without offload it is much slower, above all in a virtual machine.
    for (checksum_offload, size) in [(true, GIGABYTE), (false, GIGABYTE / 10)] {
        let topology = Topology { checksum_offload, ..Topology::default() };
        let lab = attached(&topology);
        let _server = IperfServer::start(&lab.containers()[0], 5201).unwrap();
        said(&lab, &["map", &format!("{MAPPED}:172.17.0.2:5201")]);
        let resets = Resets::watch(&lab);
        // At full speed not every packet can be captured, but those can whose identification ends in 0x55.
        let sample = Capture::start(lab.client(), "eth0", "tcp and ip[5] = 0x55").unwrap();
        transfer(&lab, &topology, size, &[]);
        transfer(&lab, &topology, size, &["--reverse"]);
        assert_checksums(&sample.stop().unwrap());
        resets.assert_only_the_servers();
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn two_thousand_connections_are_open_through_one_mapping_at_once() {
    const COUNT: u32 = 2_000;
    let topology = Topology::default();
    let lab = attached(&topology);
    said(&lab, &["map", "8080:172.17.0.2:80"]);
    let server = listener(&lab.containers()[0], 80);
    let accepted = thread::spawn(move || -> Vec<TcpStream> {
        (0..COUNT).map(|_| ignore_interruptions(|| server.accept()).unwrap().0).collect()
    });
    let target = (host(&topology), 8080).into();
    let mut clients: Vec<_> = (0..COUNT).map(|_| connect(lab.client(), target).unwrap()).collect();
    let mut servers = accepted.join().unwrap();
    for stream in &mut servers {
        assert_eq!(stream.peer_addr().unwrap().ip(), client(&topology), "the client's own address");
        stream.write_all(&stream.peer_addr().unwrap().port().to_be_bytes()).unwrap();
    }
    for stream in &mut clients {
        let mut port = [0; 2];
        stream.read_exact(&mut port).unwrap();
        assert_eq!(u16::from_be_bytes(port), stream.local_addr().unwrap().port());
    }
    let active = said(&lab, &["flows", "--count", "--state", "established"]);
    assert_eq!(active.trim(), COUNT.to_string());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_thousand_echo_requests_are_all_answered() {
    let topology = Topology::default();
    let lab = attached(&topology);
    let report = ping(&lab.containers()[0], client(&topology).into(), 1_000, 0.01).unwrap();
    assert_eq!((report.sent, report.received), (1_000, 1_000));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_transfer_outlives_every_change_that_does_not_concern_it() {
    let topology = Topology::default();
    let lab = attached(&topology);
    let _server = IperfServer::start(&lab.containers()[0], 5201).unwrap();
    said(&lab, &["map", &format!("{MAPPED}:172.17.0.2:5201")]);
    let resets = Resets::watch(&lab);
    thread::scope(|scope| {
        let transferring = scope.spawn(|| transfer(&lab, &topology, GIGABYTE, &[]));
        for _ in 0..10 {
            said(&lab, &["map", "8080:172.17.0.3:80", "5300:172.17.0.3:53/udp"]);
            said(&lab, &["attach", "ens33"]);
            said(&lab, &["attach", "ens33", "--subnet", "172.17.0.0/16", "--subnet", "10.99.0.0/24"]);
            said(&lab, &["unmap", "8080", "5300/udp"]);
        }
        transferring.join().unwrap();
    });
    resets.assert_only_the_servers();
}
