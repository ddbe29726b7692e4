//! What the kernel's verifier says of a program: aya gives its log only when it refuses one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io, mem,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
};

use aya::maps::MapData;
use aya_obj::{
    Function, Object, ProgramSection,
    generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_map_type, bpf_prog_type},
};
use nix::libc;

use super::datapath::OBJECT;

const STATISTICS: u32 = 4;
const LOG_SIZE: usize = 1 << 16;
const MAX_FLOWS: u32 = 64;

const CALL: u8 = 0x85;
const LOAD_ADDRESS: u8 = 0x18;
const PSEUDO_CALL: u8 = 1;
const PSEUDO_FUNCTION: u8 = 4;
/// A kernel without a JIT, or an old one, counts a function's stack in units of this; the others, of 16
/// (kernel/bpf/verifier.c, `check_max_stack_depth`).
const STACK_UNIT: u32 = 32;

/// What a program costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// Instructions that the verifier looked at; a branch counts each time.
    pub(super) instructions: u32,
    /// Bytes of stack of the longest chain of calls.
    pub(super) stack: u32,
}

/// The costs of all programs on this kernel.
pub(super) fn costs() -> BTreeMap<String, Cost> {
    let mut object = Object::parse(OBJECT).unwrap();
    let btf = object.fixup_and_sanitize_btf(aya::features().btf().unwrap()).unwrap().unwrap().to_bytes();
    let btf = load_btf(&btf).unwrap();
    let maps: HashMap<_, _> = object.maps.drain().map(|(name, map)| (name, small(map))).collect();
    let data: HashMap<_, _> =
        maps.iter().map(|(name, map)| (name, MapData::create(map.clone(), name, Some(btf.as_fd())).unwrap())).collect();
    let texts = object.functions.keys().map(|(section, _)| *section).collect();
    let descriptors = maps.iter().map(|(name, map)| (name.as_str(), data[name].fd().as_fd().as_raw_fd(), map));
    object.relocate_maps(descriptors, &texts).unwrap();
    object.relocate_calls(&texts).unwrap();
    let programs = object.programs.iter().map(|(name, program)| {
        let function = &object.functions[&program.function_key()];
        (name.clone(), cost(function, &log(kind(&program.section), function, &object, &btf).unwrap()))
    });
    programs.collect()
}

fn small(mut map: aya_obj::Map) -> aya_obj::Map {
    // A ring's bytes are whole pages.
    if map.map_type() != bpf_map_type::BPF_MAP_TYPE_RINGBUF as u32 {
        map.set_max_entries(map.max_entries().min(MAX_FLOWS));
    }
    map
}

fn cost(function: &Function, log: &str) -> Cost {
    let after = |name: &str| log.split_whitespace().skip_while(|word| *word != name).nth(1).ok_or(log).unwrap();
    let depths: Vec<u32> = after("depth").split('+').map(|depth| depth.parse().unwrap()).collect();
    Cost { instructions: after("processed").parse().unwrap(), stack: longest_chain(&calls(function), &depths, 0) }
}

/// The stack of a function and of what it calls.
fn longest_chain(calls: &[BTreeSet<usize>], depths: &[u32], function: usize) -> u32 {
    let callees = calls[function].iter().map(|callee| longest_chain(calls, depths, *callee));
    depths[function].max(1).next_multiple_of(STACK_UNIT) + callees.max().unwrap_or(0)
}

/// Which functions each function calls, by their order in the program.
fn calls(function: &Function) -> Vec<BTreeSet<usize>> {
    let instructions = function.instructions.iter().enumerate();
    let sites: Vec<_> = instructions.filter_map(|(at, instruction)| Some((at, target(at, *instruction)?))).collect();
    let starts: BTreeSet<_> = sites.iter().map(|(_, target)| *target).chain([0]).collect();
    let starts: Vec<_> = starts.into_iter().collect();
    let function_at = |at: usize| starts.partition_point(|start| *start <= at) - 1;
    let mut calls = vec![BTreeSet::new(); starts.len()];
    for (at, target) in sites {
        calls[function_at(at)].insert(function_at(target));
    }
    calls
}

/// The function that an instruction calls or hands on.
fn target(at: usize, instruction: bpf_insn) -> Option<usize> {
    let is_call = instruction.code == CALL && instruction.src_reg() == PSEUDO_CALL;
    let is_address = instruction.code == LOAD_ADDRESS && instruction.src_reg() == PSEUDO_FUNCTION;
    (is_call || is_address).then(|| at.strict_add_signed(instruction.imm as isize + 1))
}

fn load_btf(btf: &[u8]) -> io::Result<OwnedFd> {
    let mut attributes = no_attributes();
    attributes.__bindgen_anon_7.btf = btf.as_ptr() as u64;
    attributes.__bindgen_anon_7.btf_size = btf.len() as u32;
    // SAFETY: the attributes refer to `btf`, which outlives the call.
    unsafe { bpf(bpf_cmd::BPF_BTF_LOAD, &attributes) }
}

/// The type of a program, and where it is to be attached.
type Kind = (u32, u32);

fn kind(section: &ProgramSection) -> Kind {
    if let ProgramSection::CgroupSockAddr { attach_type } = section {
        return (bpf_prog_type::BPF_PROG_TYPE_CGROUP_SOCK_ADDR as u32, bpf_attach_type::from(*attach_type) as u32);
    }
    if let ProgramSection::Xdp { .. } = section {
        return (bpf_prog_type::BPF_PROG_TYPE_XDP as u32, bpf_attach_type::BPF_XDP as u32);
    }
    (bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS as u32, 0)
}

/// Loads a program, and returns the verifier's statistics.
fn log(kind: Kind, function: &Function, object: &Object, btf: &OwnedFd) -> io::Result<String> {
    let mut log = vec![0; LOG_SIZE];
    let (functions, lines) = (function.func_info.func_info_bytes(), function.line_info.line_info_bytes());
    let mut attributes = no_attributes();
    // SAFETY: zeros are a valid value of every member.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    (load.prog_type, load.expected_attach_type) = kind;
    (load.insns, load.insn_cnt) = (function.instructions.as_ptr() as u64, function.instructions.len() as u32);
    load.license = object.license.as_ptr() as u64;
    load.prog_btf_fd = btf.as_raw_fd().cast_unsigned();
    (load.func_info, load.func_info_cnt) = (functions.as_ptr() as u64, function.func_info.len() as u32);
    (load.line_info, load.line_info_cnt) = (lines.as_ptr() as u64, function.line_info.len() as u32);
    load.func_info_rec_size = function.func_info_rec_size as u32;
    load.line_info_rec_size = function.line_info_rec_size as u32;
    (load.log_level, load.log_buf, load.log_size) = (STATISTICS, log.as_mut_ptr() as u64, log.len() as u32);
    // SAFETY: the attributes refer to `log`, `functions`, `lines`, `function` and `object`, which outlive the call.
    unsafe { bpf(bpf_cmd::BPF_PROG_LOAD, &attributes) }?;
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    Ok(String::from_utf8_lossy(&log[..end]).into_owned())
}

fn no_attributes() -> bpf_attr {
    // SAFETY: plain old data, in which zero stands for what is not given.
    unsafe { mem::zeroed() }
}

/// # Safety
///
/// What the attributes refer to is valid for the command, which returns a file descriptor.
unsafe fn bpf(command: bpf_cmd, attributes: &bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for what the attributes refer to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as u32, attributes, size_of::<bpf_attr>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made it for this call alone.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}
