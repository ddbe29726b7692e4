//! PID 1 of the test VM: prepares the guest, runs the manifest's program and hands its exit code to the host.

mod prepare;

use std::fs;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use guest_init::{HIGHEST_CODE, INIT_FAILED, MANIFEST_PATH, Manifest};
use nix::errno::Errno;
use nix::sys::termios;
use nix::sys::wait::{self, WaitStatus};
use nix::unistd::Pid;

fn main() -> Result<()> {
    if std::process::id() != 1 {
        bail!("guest-init is the first process of a test VM: run `cargo xtask vm`");
    }
    let code = run().unwrap_or_else(|error| {
        say(&format!("guest-init: {error:#}"));
        INIT_FAILED
    });
    say(&guest_init::marker(code));
    termios::tcdrain(io::stdout())?;
    power_off(code)
}

fn run() -> Result<u8> {
    prepare::mount_all()?;
    let manifest = fs::read(MANIFEST_PATH).with_context(|| format!("cannot read {MANIFEST_PATH}"))?;
    let manifest: Manifest = serde_json::from_slice(&manifest)?;
    prepare::load_modules(&manifest.modules)?;
    prepare::raise_limits()?;
    let loopback = command("ip", &manifest).args(["link", "set", "lo", "up"]).status()?;
    if !loopback.success() {
        bail!("cannot bring up the loopback interface: ip ended with {loopback}");
    }
    run_program(&manifest)
}

fn command(program: &str, manifest: &Manifest) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(&manifest.environment).stdin(Stdio::null());
    command
}

fn run_program(manifest: &Manifest) -> Result<u8> {
    let (program, arguments) = manifest.command.split_first().context("the manifest names no program")?;
    let child = command(program, manifest)
        .args(arguments)
        .spawn()
        .with_context(|| format!("cannot run {program} in the guest"))?;
    let code = reap_until(Pid::from_raw(child.id().cast_signed()))?;
    if code > i32::from(HIGHEST_CODE) {
        bail!("the program's exit code {code} does not fit the exit device");
    }
    u8::try_from(code).context("negative exit code")
}

/// Collects every process that ends, as PID 1 must, until `child` has ended.
fn reap_until(child: Pid) -> Result<i32> {
    loop {
        match wait::wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => return Ok(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                bail!("the program was ended by {}", signal.as_str())
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for the program"),
        }
    }
}

fn say(line: &str) {
    // The program may have left its last line open. Nobody is left to tell when the console is gone.
    writeln!(io::stdout(), "\n{line}").ok();
}

#[cfg(target_arch = "x86_64")]
fn power_off(code: u8) -> Result<()> {
    use guest_init::EXIT_PORT;

    // SAFETY: grants this process one I/O port, which belongs to the exit device.
    Errno::result(unsafe { libc::ioperm(EXIT_PORT.into(), 1, 1) }).context("cannot reach the exit device")?;
    // SAFETY: the port was granted above; writing to it ends the VM and touches no memory.
    unsafe {
        std::arch::asm!("out dx, al", in("dx") EXIT_PORT, in("al") code, options(nomem, nostack, preserves_flags));
    }
    bail!("the VM goes on after a write to its exit device")
}

#[cfg(not(target_arch = "x86_64"))]
fn power_off(_code: u8) -> Result<()> {
    bail!("the test VM has an exit device on x86-64 only")
}
