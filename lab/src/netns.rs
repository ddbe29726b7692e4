//! A network namespace: runs programs and closures inside.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{io, panic, thread};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::interrupt;
use crate::process::{Output, Process};
use crate::wire::{hardware_address, link_address};

const DEADLINE: Duration = Duration::from_mins(2);
const READY: Duration = Duration::from_secs(10);
/// States of sockets in /proc/net.
const LISTENING: &str = "0A";
const UNCONNECTED: &str = "07";

/// A named network namespace. Dropping it kills what runs in it and deletes it.
#[derive(Debug)]
pub struct Netns {
    name: String,
    file: File,
}

impl Netns {
    /// Makes the namespace `name`, empty and with IPv6 off: captures shall show what is under test, nothing else.
    pub(crate) fn add(name: String) -> Result<Self> {
        manage(&["add", &name]).with_context(|| format!("cannot make the network namespace {name}"))?;
        let file = match File::open(path(&name)) {
            Ok(file) => file,
            Err(error) => {
                manage(&["delete", &name]).ok();
                return Err(error).with_context(|| format!("cannot open the network namespace {name}"));
            }
        };
        let netns = Self { name, file };
        for interfaces in ["all", "default"] {
            netns.sysctl(&format!("net/ipv6/conf/{interfaces}/disable_ipv6"), "1")?;
        }
        Ok(netns)
    }

    /// The name under which `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file to enter it by: `nsenter --net=PATH`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path(&self.name)
    }

    /// A command that will run in the namespace.
    ///
    /// It enters by setns(2) alone. `ip netns exec` would also mount another /sys, in which pinned maps are missing.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let file = self.file.try_clone().with_context(|| format!("cannot refer to the namespace {}", self.name))?;
        let mut command = Command::new(program);
        let enter = move || setns(&file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
        // SAFETY: between fork and exec, the closure makes one system call and neither allocates nor locks.
        unsafe { command.pre_exec(enter) };
        Ok(command)
    }

    /// Starts the program and arguments in `words`.
    pub fn spawn(&self, words: &[&str]) -> Result<Process> {
        let (program, arguments) = words.split_first().context("a command needs a program")?;
        let mut command = self.command(program)?;
        command.args(arguments);
        Process::start(command, format!("`{}` in {}", words.join(" "), self.name))
    }

    /// Runs the program and arguments in `words` to its end, whatever its exit code.
    pub fn output(&self, words: &[&str]) -> Result<Output> {
        self.spawn(words)?.wait(DEADLINE)
    }

    /// Runs the program and arguments in `words` to its successful end.
    pub fn run(&self, words: &[&str]) -> Result<Output> {
        self.spawn(words)?.succeed(DEADLINE)
    }

    /// Runs `work` on a thread of its own inside the namespace.
    ///
    /// A socket belongs for ever to the namespace that it was made in: it can be returned and used outside.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let inside = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("cannot enter the network namespace {}: it takes root", self.name))?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(inside).join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)))
    }

    /// Sets a kernel parameter of the namespace; `key` is its path under /proc/sys.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.enter(|| fs::write(format!("/proc/sys/{key}"), value))?
            .with_context(|| format!("cannot set {key} to {value} in {}", self.name))
    }

    /// Forwards packets between interfaces, of both families.
    pub fn enable_forwarding(&self) -> Result<()> {
        self.sysctl("net/ipv4/ip_forward", "1")?;
        self.sysctl("net/ipv6/conf/all/forwarding", "1")
    }

    /// Turns IPv6 on; addresses can be used at once, and nobody asks for routers.
    pub(crate) fn enable_ipv6(&self) -> Result<()> {
        for interfaces in ["all", "default"] {
            for (name, value) in [("accept_dad", "0"), ("accept_ra", "0"), ("router_solicitations", "0")] {
                self.sysctl(&format!("net/ipv6/conf/{interfaces}/{name}"), value)?;
            }
            self.sysctl(&format!("net/ipv6/conf/{interfaces}/disable_ipv6"), "0")?;
        }
        Ok(())
    }

    /// Waits until an interface takes part in IPv6: it has its own link-local address then.
    pub(crate) fn wait_for_ipv6(&self, interface: &str) -> Result<()> {
        let is_ready = || -> Result<bool> {
            let table = self.enter(|| fs::read_to_string("/proc/thread-self/net/if_inet6"))?;
            let table = table.context("cannot read the IPv6 addresses")?;
            Ok(table.lines().any(|line| line.starts_with("fe80") && line.ends_with(&format!(" {interface}"))))
        };
        if is_ready()? {
            return Ok(());
        }
        // A new carrier is noticed once a second, or (since Linux 6.8) when somebody asks for it.
        self.output(&["ethtool", interface])?;
        let deadline = Instant::now() + READY;
        while !is_ready()? {
            interrupt::check()?;
            if Instant::now() > deadline {
                bail!("{interface} in {} is not ready for IPv6 after {READY:?}", self.name);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The hardware address of an Ethernet interface.
    pub fn hardware_address(&self, interface: &str) -> Result<[u8; 6]> {
        self.enter(|| hardware_address(&link_address(interface)?))?
            .with_context(|| format!("cannot find {interface} in {}", self.name))
    }

    /// The ids of the processes in the namespace.
    pub fn pids(&self) -> Result<Vec<u32>> {
        let list = manage(&["pids", &self.name])?;
        list.lines().map(|line| line.trim().parse().with_context(|| format!("no process id: {line:?}"))).collect()
    }

    /// Waits until a TCP socket listens on `port`.
    pub fn wait_for_listener(&self, port: u16, timeout: Duration) -> Result<()> {
        self.wait_for_socket("tcp", LISTENING, port, timeout)
    }

    /// Waits until a UDP socket has `port`.
    pub fn wait_for_udp(&self, port: u16, timeout: Duration) -> Result<()> {
        self.wait_for_socket("udp", UNCONNECTED, port, timeout)
    }

    fn wait_for_socket(&self, protocol: &str, state: &str, port: u16, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while !self.has_socket(protocol, state, port)? {
            interrupt::check()?;
            if Instant::now() > deadline {
                bail!("no socket waits on {protocol} port {port} in {} after {timeout:?}", self.name);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Applies `commands` of `ip`, all at once.
    pub(crate) fn configure(&self, commands: &[String]) -> Result<()> {
        let mut batch = tempfile::NamedTempFile::new().context("cannot make a file of commands")?;
        io::Write::write_all(&mut batch, commands.join("\n").as_bytes()).context("cannot write a file of commands")?;
        self.run(&["ip", "-batch", &batch.path().to_string_lossy()]).with_context(|| commands.join("\n"))?;
        Ok(())
    }

    /// Kills every process in the namespace.
    pub(crate) fn kill_processes(&self) -> Result<()> {
        for pid in self.pids()? {
            if pid != std::process::id() {
                kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).ok();
            }
        }
        Ok(())
    }

    fn has_socket(&self, protocol: &str, state: &str, port: u16) -> Result<bool> {
        // /proc/net would be the namespace of the process's first thread.
        let tables = ["", "6"].map(|family| format!("/proc/thread-self/net/{protocol}{family}"));
        let text = self.enter(|| tables.map(|table| fs::read_to_string(table).unwrap_or_default()).concat())?;
        Ok(lists_socket(&text, state, port))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        self.kill_processes().ok();
        manage(&["delete", &self.name]).ok();
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// Runs `ip netns`, out of reach of the terminal's Ctrl-C: taking down must not be interrupted.
fn manage(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip")
        .arg("netns")
        .args(arguments)
        .process_group(0)
        .output()
        .context("cannot run ip: install iproute2, or run `cargo xtask setup`")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("`ip netns {}` failed (it takes root): {}", arguments.join(" "), said.trim())
}

fn lists_socket(table: &str, wanted: &str, port: u16) -> bool {
    let port = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        local.is_some_and(|address| address.ends_with(&port)) && state == Some(wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue
   0: 00000000:0050 00000000:0000 0A 00000000:00000000
   1: 0100007F:1F90 0100007F:0051 01 00000000:00000000";

    #[test]
    fn a_listener_is_told_from_a_connection() {
        assert!(lists_socket(TABLE, LISTENING, 80));
        assert!(!lists_socket(TABLE, LISTENING, 8080));
        assert!(!lists_socket(TABLE, LISTENING, 81));
    }

    #[test]
    #[ignore = "needs root: cargo xtask test"]
    fn a_namespace_is_gone_with_its_processes_after_its_handle() {
        let name = format!("netfwd-{}-alone", std::process::id());
        let netns = Netns::add(name).unwrap();
        let process = netns.spawn(&["sleep", "60"]).unwrap();
        assert_eq!(netns.pids().unwrap(), [process.id()]);
        let path = netns.path();
        assert!(path.exists());
        drop(netns);
        assert!(!path.exists());
        let mut process = process;
        assert!(!process.wait(Duration::from_secs(5)).unwrap().status.success());
    }

    #[test]
    #[ignore = "needs root: cargo xtask test"]
    fn a_failed_program_tells_its_namespace_and_its_output() {
        let netns = Netns::add(format!("netfwd-{}-failing", std::process::id())).unwrap();
        let error = netns.run(&["ping", "-c1", "192.0.2.1"]).unwrap_err().to_string();
        assert!(error.contains("ping -c1 192.0.2.1") && error.contains(netns.name()), "{error}");
        assert!(error.contains("unreachable"), "{error}");
    }
}
