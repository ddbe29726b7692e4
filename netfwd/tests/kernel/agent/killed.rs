//! An agent that is killed again and again.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use lab::{Capture, Lab, Process, TcpEcho, Topology};
use nix::sys::signal::Signal;

use super::PATIENCE;
use crate::{
    apply::File,
    sockets::{assert_tcp, connect, ignore_interruptions, listener},
    support::{lab, ports, said},
};

const ROUNDS: u32 = 20;
const CHANGES_EACH: u16 = 10;
const BLOCK: usize = 1_000_000;
const BLOCKS_EACH: usize = 50;

/// Reads to the end, and returns how much there was and its CRC.
fn receive(server: TcpListener) -> JoinHandle<(usize, u32)> {
    thread::spawn(move || {
        let (mut stream, _) = ignore_interruptions(|| server.accept()).unwrap();
        let (mut length, mut crc, mut block) = (0, 0, vec![0; BLOCK]);
        loop {
            let read = ignore_interruptions(|| stream.read(&mut block)).unwrap();
            if read == 0 {
                return (length, crc);
            }
            length += read;
            crc = crc32c::crc32c_append(crc, &block[..read]);
        }
    })
}

/// Sends a part of the gigabyte, each with other bytes, and returns the CRC.
fn send(stream: &mut TcpStream, part: u32, mut crc: u32) -> u32 {
    for number in 0..BLOCKS_EACH {
        let seed = part.to_be_bytes()[3].wrapping_mul(51).wrapping_add(number.to_be_bytes()[7]);
        let block: Vec<u8> =
            (0..BLOCK).map(|at| seed.wrapping_add(at.to_le_bytes()[0] ^ at.to_le_bytes()[1])).collect();
        stream.write_all(&block).unwrap();
        crc = crc32c::crc32c_append(crc, &block);
    }
    crc
}

/// Maps and unmaps, in turn, and returns the ports that are to be mapped then.
fn change(lab: &Lab, state: &Path, round: u32, mapped: &mut BTreeSet<u64>) {
    let directory = state.to_str().unwrap();
    for number in 0..CHANGES_EACH {
        let port = 6000 + u64::from(round * 7 + u32::from(number) * 3) % 40;
        if mapped.remove(&port) {
            said(lab, &["unmap", &port.to_string(), "--state-dir", directory]);
        } else {
            said(lab, &["map", "--persist", &format!("{port}:172.17.0.3:80"), "--state-dir", directory]);
            mapped.insert(port);
        }
    }
}

/// The first and the last port of what the configuration maps in a round: some stay, some grow and some shrink.
fn configured(round: u32) -> [[u64; 2]; 4] {
    [1, 2, 3, 4].map(|number| [7000 + number * 100, 7000 + number * 100 + u64::from(round * 5) * number % 60])
}

/// The configuration of a round. The agent makes these changes itself.
fn configuration(round: u32) -> String {
    let mappings = configured(round).map(|[first, last]| format!("\"{first}-{last}:172.17.0.3:{first}-{last}\""));
    format!("mappings = [{}]\n[[uplink]]\ninterface = \"ens33\"\n", mappings.join(", "))
}

/// Every port of ranges.
fn each(ranges: &[[u64; 2]]) -> BTreeSet<u64> {
    ranges.iter().flat_map(|[first, last]| *first..=*last).collect()
}

fn start(lab: &Lab, file: &File, state: &Path) -> Process {
    lab.spawn_netfwd(&["run", "--config", file.path(), "--state-dir", state.to_str().unwrap()]).unwrap()
}

fn kill(agent: &mut Process) {
    agent.signal(Signal::SIGKILL).unwrap();
    agent.wait(PATIENCE).unwrap();
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_gigabyte_and_two_hundred_changes_survive_an_agent_that_is_killed_forty_times() {
    let (lab, state) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    let file = File::new(&configuration(0));
    let mut running = start(&lab, &file, state.path());
    running.wait_for_line("follows ens33", PATIENCE).unwrap();
    said(&lab, &["map", "--persist", "8080:172.17.0.2:80", "--state-dir", state.path().to_str().unwrap()]);
    let server = receive(listener(&lab.containers()[0], 80));
    let mut stream = connect(lab.client(), "192.168.137.104:8080".parse().unwrap()).unwrap();
    let resets = Capture::start(lab.client(), "eth0", "tcp[tcpflags] & tcp-rst != 0").unwrap();
    let (mut crc, mut mapped) = (0, BTreeSet::from([8080]));
    for round in 0..ROUNDS {
        crc = thread::scope(|scope| {
            let sent = scope.spawn(|| send(&mut stream, round, crc));
            let moment = Duration::from_millis(u64::from(round) * 7);
            // Sooner or later after there is something to change, and after the start of another one.
            file.write(&configuration(round));
            thread::sleep(moment);
            kill(&mut running);
            let mut starting = start(&lab, &file, state.path());
            thread::sleep(moment);
            kill(&mut starting);
            running = start(&lab, &file, state.path());
            change(&lab, state.path(), round, &mut mapped);
            sent.join().unwrap()
        });
    }
    drop(stream);
    let sent = usize::try_from(ROUNDS).unwrap() * BLOCKS_EACH * BLOCK;
    assert_eq!(server.join().unwrap(), (sent, crc));
    assert_eq!(resets.stop().unwrap().ipv4().unwrap().len(), 0, "no reset");
    mapped.extend(each(&configured(ROUNDS - 1)));
    let deadline = Instant::now() + PATIENCE;
    while each(&ports(&lab)) != mapped {
        assert!(Instant::now() < deadline, "{:?} instead of {mapped:?}", each(&ports(&lab)));
    }
    // What is kept is the same: it is there again after everything was lost.
    drop(running);
    said(&lab, &["detach", "--all"]);
    let mut last = start(&lab, &file, state.path());
    last.wait_for_line("follows ens33", PATIENCE).unwrap();
    assert_eq!(each(&ports(&lab)), mapped);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_agent_that_is_killed_while_it_attaches_is_made_up_for_by_the_next_one() {
    let (lab, state) = (lab(&Topology::default()), tempfile::tempdir().unwrap());
    let directory = state.path().to_str().unwrap();
    let start = || lab.spawn_netfwd(&["run", "--uplink", "ens33", "--state-dir", directory]).unwrap();
    let _server = TcpEcho::start(&lab.containers()[0], "0.0.0.0:80".parse().unwrap()).unwrap();
    let _outside = TcpEcho::start(lab.client(), "192.168.137.1:7".parse().unwrap()).unwrap();
    for begun in ["maps/SETTINGS", "maps/INTERFACES", "programs", "links", "links/2-ingress"] {
        let (mut first, begun) = (start(), lab.pin_dir().join(begun));
        let deadline = Instant::now() + PATIENCE;
        while !begun.exists() {
            assert!(Instant::now() < deadline, "{}", begun.display());
        }
        kill(&mut first);
        assert!(!first.stdout().unwrap().contains("follows"), "{}", begun.display());
        let mut next = start();
        next.wait_for_line("follows ens33", PATIENCE).unwrap();
        said(&lab, &["map", "8080:172.17.0.2:80"]);
        assert_tcp(lab.client(), ([192, 168, 137, 104].into(), 8080));
        assert_tcp(lab.host(), ([127, 0, 0, 1].into(), 8080));
        assert_tcp(&lab.containers()[0], ([192, 168, 137, 1].into(), 7));
        drop(next);
        said(&lab, &["detach", "--all"]);
    }
}
