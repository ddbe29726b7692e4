//! Loading: the BPF object into the kernel, with everything in it pinned.

use std::{
    fs,
    hash::{DefaultHasher, Hasher as _},
};

use anyhow::{Context as _, Error, Result};
use aya::{
    Ebpf, EbpfLoader,
    programs::{
        CgroupSockAddr, Program, ProgramError, ProgramInfo, SchedClassifier, TestRun as _, TestRunOptions, Xdp,
    },
};
use aya_obj::programs::XdpAttachType;
use netfwd_common::abi::names;

use super::pin::PinDir;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netfwd"));

/// The programs for packets, and the one that starts the timer.
pub const CLASSIFIERS: [&str; 5] = [names::INGRESS, names::EGRESS, names::BRIDGE, names::MEMBER, names::START_REAPER];

/// The verifier says at the end of its log what is wrong.
const QUOTED_LINES: usize = 3;
/// The kernel refuses to run a program on less than the headers of a frame and an IP packet.
const FRAME: [u8; 64] = [0; 64];

/// The programs of this build, loaded with the pinned maps, and not pinned.
pub struct Loaded(Ebpf);

impl Loaded {
    /// Loads the object; maps that are not pinned yet are made, for `max_flows` connections of each family.
    pub fn new(pin_dir: &PinDir, max_flows: [u32; 2]) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        for name in names::MAPS {
            loader.map_pin_path(name, pin_dir.map(name));
        }
        for (maps, max_flows) in [names::V4_MAPS, names::V6_MAPS].into_iter().zip(max_flows) {
            loader
                .map_max_entries(maps.connections, max_flows)
                .map_max_entries(maps.free_slots, max_flows)
                .map_max_entries(maps.tuples, max_flows.saturating_mul(2));
        }
        let mut ebpf = loader.load(OBJECT).context("cannot make the BPF maps")?;
        for name in programs() {
            load(program(&mut ebpf, name)?, name).map_err(|error| refused(name, error))?;
        }
        Ok(Self(ebpf))
    }

    /// A program of this build for packets.
    pub fn program(&mut self, name: &str) -> Result<&mut SchedClassifier> {
        program(&mut self.0, name)?.try_into().with_context(|| format!("the program {name} is no classifier"))
    }

    /// The XDP program of this build.
    pub fn xdp(&mut self) -> Result<&mut Xdp> {
        program(&mut self.0, names::XDP)?.try_into().context("the program for XDP is none")
    }

    /// Whether the pinned programs are the same as these.
    pub fn is_pinned(&mut self, pin_dir: &PinDir) -> Result<bool> {
        for name in programs() {
            let own =
                program(&mut self.0, name)?.info().with_context(|| format!("cannot examine the program {name}"))?;
            let pinned = ProgramInfo::from_pin(pin_dir.program(name));
            if !pinned.is_ok_and(|pinned| pinned.tag() == own.tag()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Pins the programs in place of those that are pinned.
    pub fn pin(&mut self, pin_dir: &PinDir) -> Result<()> {
        for name in programs() {
            let (path, fresh) = (pin_dir.program(name), pin_dir.program(&format!("{name}_new")));
            program(&mut self.0, name)?.pin(&fresh).with_context(|| format!("cannot pin {}", fresh.display()))?;
            fs::rename(&fresh, &path).with_context(|| format!("cannot pin {}", path.display()))?;
        }
        Ok(())
    }
}

/// A digest of this build's object and of the programs that are pinned: as long as it stays the same, they are those of
/// this object, and need not be loaded to see that.
#[must_use]
pub fn build(pin_dir: &PinDir) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(OBJECT);
    for name in programs() {
        hasher.write_u64(ProgramInfo::from_pin(pin_dir.program(name)).map_or(0, |program| program.tag()));
    }
    hasher.finish()
}

/// The names of all programs.
pub fn programs() -> impl Iterator<Item = &'static str> {
    CLASSIFIERS.into_iter().chain([names::XDP]).chain(names::HOST_ACCESS)
}

/// Whether the program with an id is pinned here.
#[must_use]
pub fn is_pinned(pin_dir: &PinDir, program_id: u32) -> bool {
    programs().any(|name| {
        let pinned = ProgramInfo::from_pin(pin_dir.program(name));
        pinned.is_ok_and(|pinned| pinned.id() == program_id)
    })
}

/// A pinned program.
pub fn pinned_program(pin_dir: &PinDir, name: &str) -> Result<SchedClassifier> {
    let path = pin_dir.program(name);
    SchedClassifier::from_pin(&path).with_context(|| format!("cannot open the pinned program {}", path.display()))
}

/// The pinned XDP program.
pub fn pinned_xdp(pin_dir: &PinDir) -> Result<Xdp> {
    let path = pin_dir.program(names::XDP);
    Xdp::from_pin(&path, XdpAttachType::Interface)
        .with_context(|| format!("cannot open the pinned program {}", path.display()))
}

/// Starts the timer that removes connections that have ended, or restarts it with the pinned program's code.
pub fn start_reaper(pin_dir: &PinDir) -> Result<()> {
    let options = TestRunOptions { data_in: Some(&FRAME), ..TestRunOptions::default() };
    pinned_program(pin_dir, names::START_REAPER)?.test_run(options).context("cannot start the reaper's timer")?;
    Ok(())
}

fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Program> {
    ebpf.program_mut(name).with_context(|| format!("the BPF object has no program {name}"))
}

fn load(program: &mut Program, name: &str) -> Result<(), ProgramError> {
    if CLASSIFIERS.contains(&name) {
        <&mut SchedClassifier>::try_from(program)?.load()
    } else if name == names::XDP {
        <&mut Xdp>::try_from(program)?.load()
    } else {
        <&mut CgroupSockAddr>::try_from(program)?.load()
    }
}

fn refused(name: &str, error: ProgramError) -> Error {
    let what = format!("the kernel refused the program {name}");
    if let ProgramError::LoadError { io_error, verifier_log } = error {
        return Error::new(io_error).context(format!("{what} ({})", end_of(&verifier_log.to_string())));
    }
    Error::new(error).context(what)
}

fn end_of(log: &str) -> String {
    let lines: Vec<_> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(QUOTED_LINES)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_verifiers_log_is_quoted() {
        assert_eq!(end_of("1\n2\n3\n\n4 \n"), "2; 3; 4");
        assert_eq!(end_of(""), "");
    }
}
