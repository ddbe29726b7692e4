//! A Debian in a virtual machine, with its own kernel, on a disk of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab::{Netns, Process};

use crate::task;
use crate::vm::{MOST_PROCESSORS, qemu};

/// Ports of the loopback interface outside, and of the machine, to which they lead.
const FORWARDED: [(u16, u16); 3] = [(SSH, 22), (8080, 8080), (8090, 8090)];
const SSH: u16 = 2222;
const USER: &str = "root@127.0.0.1";
/// Of the disk, in bytes; what the system does not fill takes no room.
const DISK: u64 = 8 << 30;
const MEMORY_MIB: u32 = 2048;
/// Emulated, everything takes its time.
const PATIENCE: Duration = Duration::from_mins(8);
/// The longest that one of several tries may take.
const TRY: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_secs(1);
/// Another one after each boot.
const BOOT_ID: &str = "systemctl is-system-running --wait >/dev/null; cat /proc/sys/kernel/random/boot_id";

/// It ends when it is dropped. Its outside is the loopback interface of a network namespace.
pub(super) struct Vm<'a> {
    outside: &'a Netns,
    /// Whoever has this one may log in.
    key: PathBuf,
    qemu: Process,
    boot_id: String,
}

impl<'a> Vm<'a> {
    /// Boots a copy of the system, which goes below `scratch`.
    pub(super) fn boot(outside: &'a Netns, system: &Path, scratch: &Path) -> Result<Self> {
        let (disk, key) = (scratch.join("disk"), scratch.join("key"));
        make_disk(system, &disk)?;
        task::output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-C", "", "-N", "", "-f"]).arg(&key))?;
        let public = fs::read_to_string(key.with_extension("pub")).context("ssh-keygen made no key")?;
        let words = machine(system, &disk, &public);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let mut vm = Self { outside, key, qemu: outside.spawn(&words)?, boot_id: String::new() };
        vm.wait_until_up()?;
        Ok(vm)
    }

    /// Runs a script of the shell in it to its successful end, and returns what it printed.
    pub(super) fn run(&self, script: &str) -> Result<String> {
        self.run_within(PATIENCE, script)
    }

    /// Runs a script until it is as it should be, and for some minutes at most.
    pub(super) fn wait_until(&self, script: &str, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
        let deadline = Instant::now() + TRY;
        loop {
            let outcome = self.run_within(TRY, script);
            match outcome {
                Ok(said) if is_wanted(&said) => return Ok(()),
                outcome if Instant::now() > deadline => bail!("`{script}` came to {outcome:?}"),
                _ => lab::check_interrupt()?,
            }
            thread::sleep(POLL);
        }
    }

    fn run_within(&self, limit: Duration, script: &str) -> Result<String> {
        let (port, key) = (SSH.to_string(), self.key.to_string_lossy());
        let words = [&["ssh", "-p", &port, "-i", &key], &SSH_OPTIONS[..], &[USER, script]].concat();
        Ok(self.outside.spawn(&words)?.succeed(limit)?.stdout)
    }

    /// Copies a file into the directory that a user is in at first.
    pub(super) fn bring(&self, file: &Path) -> Result<()> {
        let (port, key, file) = (SSH.to_string(), self.key.to_string_lossy(), file.to_string_lossy());
        let to = format!("{USER}:");
        let words = [&["scp", "-P", &port, "-i", &key], &SSH_OPTIONS[..], &[&file, &to]].concat();
        self.outside.spawn(&words)?.succeed(PATIENCE).map(drop)
    }

    /// Restarts it, as its user does.
    pub(super) fn reboot(&mut self) -> Result<()> {
        // The connection may end before the command does.
        let outcome = self.run_within(TRY, "systemctl reboot");
        self.wait_until_up().with_context(|| format!("`systemctl reboot` came to {outcome:?}"))
    }

    /// Waits until it has booted once more than is known.
    fn wait_until_up(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            lab::check_interrupt()?;
            match self.run_within(TRY, BOOT_ID) {
                Ok(id) if id != self.boot_id => {
                    self.boot_id = id;
                    return Ok(());
                }
                outcome if Instant::now() > deadline => {
                    outcome.with_context(|| format!("it is not up after {PATIENCE:?}. {}", self.console()))?;
                    bail!("it did not restart within {PATIENCE:?}. {}", self.console());
                }
                _ => (),
            }
            if let Ok(ended) = self.qemu.wait(POLL) {
                bail!("QEMU ended ({}): {}. {}", ended.status, ended.stderr.trim(), self.console());
            }
        }
    }

    fn console(&self) -> String {
        let said = self.qemu.stdout().unwrap_or_default();
        format!("Its console said:\n{said}")
    }
}

/// Nobody but this test knows the machine. It may not be there yet though its port is open, and restart under a session.
const SSH_OPTIONS: [&str; 14] = [
    "-o",
    "BatchMode=yes",
    "-o",
    "LogLevel=ERROR",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "ConnectTimeout=30",
    "-o",
    "ServerAliveInterval=15",
    "-o",
    "ServerAliveCountMax=4",
];

fn make_disk(system: &Path, disk: &Path) -> Result<()> {
    let file = File::create_new(disk).and_then(|file| file.set_len(DISK));
    file.with_context(|| format!("cannot make {}", disk.display()))?;
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-d"]).args([system, disk]);
    task::run_quietly("making a disk of the Debian", mke2fs)
}

/// QEMU and its arguments.
fn machine(system: &Path, disk: &Path, public_key: &str) -> Vec<String> {
    let forwarded = FORWARDED.map(|(outside, inside)| format!(",hostfwd=tcp:127.0.0.1:{outside}-:{inside}"));
    // systemd gives it to root, if it is in the firmware's tables.
    let credential = format!("io.systemd.credential:ssh.authorized_keys.root={}", public_key.trim());
    let services = ["ssh.service", "systemd-networkd.service"].map(|unit| format!(" systemd.wants={unit}"));
    let file = |name: &str| system.join(name).to_string_lossy().into_owned();
    let own = [
        ["-kernel", &file("vmlinuz")],
        ["-initrd", &file("initrd.img")],
        ["-append", &format!("{} root=/dev/vda rw{}", qemu::KERNEL_ARGUMENTS, services.concat())],
        ["-drive", &format!("if=virtio,format=raw,cache=unsafe,file={}", disk.display())],
        ["-nic", &format!("user,model=virtio-net-pci{}", forwarded.concat())],
        ["-smbios", &format!("type=11,value={credential}")],
    ];
    let own = own.as_flattened().iter().map(|word| (*word).to_owned());
    [qemu::PROGRAM.to_owned()].into_iter().chain(qemu::board(false, MOST_PROCESSORS, MEMORY_MIB)).chain(own).collect()
}
