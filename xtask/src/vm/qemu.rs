//! Boots a guest, follows its console and learns how it ended.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use guest_init::EXIT_PORT;

/// QEMU.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";

/// What every kernel is told. Mitigations, and the clearing of allocated memory, slow the emulated verifier down by a
/// quarter or more. What it accepts from root is the same without them.
pub(crate) const KERNEL_ARGUMENTS: &str =
    "console=ttyS0 panic=-1 quiet loglevel=4 net.ifnames=0 mitigations=off init_on_alloc=0 no_timer_check";
const LINES_KEPT: usize = 15;

pub(super) struct Guest<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a File,
    pub(super) kvm: bool,
    pub(super) processors: usize,
    pub(super) memory_mib: u32,
    /// The longest time without any output.
    pub(super) silence: Duration,
    /// The longest time in all.
    pub(super) limit: Duration,
}

impl Guest<'_> {
    /// Runs the guest to its end and returns its program's exit code.
    pub(super) fn run(&self, on_line: &mut dyn FnMut(&str)) -> Result<u8> {
        let mut qemu = Qemu(self.command().spawn().with_context(|| format!("cannot run {PROGRAM}"))?);
        let console = qemu.0.stdout.take().context("QEMU has no standard output")?;
        let followed = self.follow(&read_lines(console), on_line)?;
        let status = qemu.0.wait()?;
        judge(&followed, status)
    }

    fn command(&self) -> Command {
        let mut qemu = Command::new(PROGRAM);
        qemu.args(board(self.kvm, self.processors, self.memory_mib))
            .arg("-no-reboot")
            .args(["-device", &format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=0x04")])
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(format!("/proc/{}/fd/{}", process::id(), self.initramfs.as_raw_fd()))
            .args(["-append", KERNEL_ARGUMENTS])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        qemu
    }

    fn follow(&self, lines: &Receiver<String>, on_line: &mut dyn FnMut(&str)) -> Result<Followed> {
        let end = Instant::now() + self.limit;
        let mut followed = Followed::default();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match lines.recv_timeout(self.silence.min(left)) {
                Ok(line) => followed.take(&line, on_line),
                Err(RecvTimeoutError::Disconnected) => return Ok(followed),
                Err(RecvTimeoutError::Timeout) if left < self.silence => {
                    bail!("the guest ran for {} s; ended it (--limit). {}", self.limit.as_secs(), followed.tail());
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the guest was silent for {} s; ended it. {}", self.silence.as_secs(), followed.tail());
                }
            }
        }
    }
}

/// The arguments for a machine without any device but a console, which is QEMU's standard output.
pub(crate) fn board(kvm: bool, processors: usize, memory_mib: u32) -> Vec<String> {
    // An emulated "rep movsb" copies byte by byte; without ERMS, the kernel copies and clears memory by words.
    let (acceleration, processor) = if kvm { ("kvm", "max") } else { ("tcg,thread=multi", "max,-erms") };
    let (processors, memory) = (processors.to_string(), memory_mib.to_string());
    let made = ["-M", "q35", "-accel", acceleration, "-cpu", processor, "-smp", &processors, "-m", &memory];
    let bare = ["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"];
    made.into_iter().chain(bare).map(str::to_owned).collect()
}

/// Ends QEMU when the guest is given up.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        // Both fail only when QEMU has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[derive(Default)]
struct Followed {
    marker: Option<u8>,
    last_lines: VecDeque<String>,
}

impl Followed {
    fn take(&mut self, line: &str, on_line: &mut dyn FnMut(&str)) {
        if let Some(code) = guest_init::parse_marker(line) {
            self.marker = Some(code);
            return;
        }
        on_line(line);
        self.last_lines.push_back(line.to_owned());
        if self.last_lines.len() > LINES_KEPT {
            self.last_lines.pop_front();
        }
    }

    fn tail(&self) -> String {
        let lines: Vec<_> = self.last_lines.iter().map(String::as_str).collect();
        format!("Its console said last:\n{}", lines.join("\n"))
    }
}

fn read_lines(console: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The guest's exit code, on which its last line and QEMU's own exit code must agree:
/// a kernel panic ends QEMU with 0, and QEMU's errors look like a guest's success.
fn judge(followed: &Followed, status: ExitStatus) -> Result<u8> {
    match (followed.marker, status.code()) {
        (Some(code), Some(exit)) if exit == exit_of(code) => Ok(code),
        (Some(code), _) => {
            bail!("the guest said it ended with code {code}, but QEMU ended with {status}")
        }
        (None, _) => bail!("the guest died without an exit code; QEMU ended with {status}. {}", followed.tail()),
    }
}

/// How QEMU ends when the guest writes `code` to the exit device.
fn exit_of(code: u8) -> i32 {
    (i32::from(code) << 1 | 1) & 0xff
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn judged(marker: Option<u8>, exit: i32) -> Result<u8> {
        judge(&Followed { marker, ..Followed::default() }, ExitStatus::from_raw(exit << 8))
    }

    #[test]
    fn a_guest_has_ended_well_only_when_marker_and_exit_agree() {
        assert_eq!(judged(Some(0), 1).unwrap(), 0);
        assert_eq!(judged(Some(101), 203).unwrap(), 101);
        assert!(judged(Some(0), 0).is_err());
        assert!(judged(Some(1), 1).is_err());
    }

    #[test]
    fn a_panic_and_an_error_of_qemu_are_no_success() {
        assert!(judged(None, 0).is_err());
        assert!(judged(None, 1).is_err());
    }
}
