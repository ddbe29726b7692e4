//! A netfwd of another build attaches in the place of this one, while traffic flows.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use aya_obj::{Object, generated::bpf_insn};
use lab::{Lab, TcpEcho, Topology, UdpEcho};
use memchr::memmem;
use netfwd_common::abi::names;
use tempfile::TempDir;

use super::{assert_no_leak, capture_leaks, client, connect, echoes, host, udp};
use crate::{
    programs::OBJECT,
    support::{json, lab, path, said},
};

/// `dst = imm` for 64 bits and for 32 bits (RFC 9669 section 4.1): the same, if the immediate is not negative.
const MOVE_64: u8 = 0xb7;
const MOVE_32: u8 = 0xb4;

fn bytes_of(instruction: bpf_insn) -> Vec<u8> {
    let registers = instruction.dst_reg() | instruction.src_reg() << 4;
    let head = [instruction.code, registers];
    [&head[..], &instruction.off.to_ne_bytes(), &instruction.imm.to_ne_bytes()].concat()
}

/// The object with an instruction of the egress program in another form, which does the same.
fn other_object() -> Vec<u8> {
    let object = Object::parse(OBJECT).unwrap();
    let function = &object.functions[&object.programs[names::EGRESS].function_key()];
    let code: Vec<u8> = function.instructions.iter().copied().flat_map(bytes_of).collect();
    let start = memmem::find(OBJECT, &code).unwrap();
    let number = function.instructions.iter().position(|it| it.code == MOVE_64 && it.imm >= 0).unwrap();
    let mut other = OBJECT.to_vec();
    other[start + number * size_of::<bpf_insn>()] = MOVE_32;
    other
}

/// The program under test with another object in it.
fn other_build() -> (PathBuf, TempDir) {
    let mut program = fs::read(path()).unwrap();
    let start = memmem::find(&program, OBJECT).unwrap();
    program[start..start + OBJECT.len()].copy_from_slice(&other_object());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("netfwd");
    fs::write(&path, program).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (path, directory)
}

/// How much longer nothing is said than words take: an emulated machine has one processor, and the verifier needs it.
const PAUSE: u32 = 5;
/// How long words may take while it does.
const BUSY: Duration = Duration::from_secs(30);

/// Exchanges words until the end, and counts them.
fn exchange(mut stream: TcpStream, is_over: &AtomicBool, count: &AtomicU64) {
    stream.set_read_timeout(Some(BUSY)).unwrap();
    let mut answer = [0; 8];
    while !is_over.load(Relaxed) {
        let start = Instant::now();
        let number = count.load(Relaxed).to_be_bytes();
        stream.write_all(&number).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, number);
        count.fetch_add(1, Relaxed);
        thread::sleep(PAUSE * start.elapsed());
    }
}

/// Ends the exchanges when dropped, as a failed assertion does too.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Waits until each count has gone on for some more.
fn await_more(counts: &[AtomicU64]) {
    let before: Vec<_> = counts.iter().map(|count| count.load(Relaxed)).collect();
    let deadline = Instant::now() + BUSY;
    while counts.iter().zip(&before).any(|(count, before)| count.load(Relaxed) < before + 20) {
        assert!(Instant::now() < deadline, "{counts:?} since {before:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The ids of the programs on the uplink.
fn attached_programs(lab: &Lab) -> Vec<u64> {
    let status = json(lab, &["status"]);
    let attachments = status["uplinks"][0]["attachments"].as_array().unwrap().iter();
    attachments.map(|attachment| attachment["program_id"].as_u64().unwrap()).collect()
}

/// Attaches once more, with a program that puts its own in the place of all that are attached.
fn assert_replaced(lab: &Lab, options: &[&str]) {
    let before = attached_programs(lab);
    let told = said(lab, &[&["attach", "ens33"], options].concat());
    assert!(told.contains("put the programs of this version in the place of"), "{told}");
    let after = attached_programs(lab);
    assert!(after.len() == 2 && after.iter().all(|id| !before.contains(id)), "{before:?} {after:?}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_programs_of_another_build_take_over_live_flows() {
    let (other, _directory) = other_build();
    for options in [&[][..], &["--hook", "tc"]] {
        let topology = Topology::default();
        let lab = lab(&topology);
        said(&lab, &[&["attach", "ens33"], options].concat());
        said(&lab, &["map", "8080:172.17.0.2:80"]);
        let (outside, inside) = ((client(&topology), 443), (host(&topology), 8080));
        let server = TcpEcho::start(lab.client(), outside.into()).unwrap();
        let _published = TcpEcho::start(&lab.containers()[0], "0.0.0.0:80".parse().unwrap()).unwrap();
        let echo = UdpEcho::start(lab.client(), 53).unwrap();
        let socket = udp(&lab.containers()[1], 5353);
        assert!(echoes(&socket, (client(&topology), 53).into()));
        let streams = [connect(&lab.containers()[0], outside.into()), connect(lab.client(), inside.into())];
        let (is_over, counts) = (AtomicBool::new(false), [AtomicU64::new(0), AtomicU64::new(0)]);
        let leaks = capture_leaks(&lab, &topology);
        let lab = thread::scope(|scope| {
            let _end = End(&is_over);
            for (stream, count) in streams.into_iter().zip(&counts) {
                scope.spawn(|| exchange(stream.unwrap(), &is_over, count));
            }
            await_more(&counts);
            // There and back.
            [&other, &path()].into_iter().fold(lab, |lab, program| {
                let lab = lab.with_netfwd(program);
                assert_replaced(&lab, options);
                await_more(&counts);
                assert!(echoes(&socket, (client(&topology), 53).into()));
                lab
            })
        });
        assert_eq!(server.peers().len(), 1);
        assert_eq!(echo.peers(), [(host(&topology), 5353).into(); 3], "one outside port");
        assert_eq!(json(&lab, &["stats"])["flows"]["created"], 3);
        assert_no_leak(leaks);
    }
}
