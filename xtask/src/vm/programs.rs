//! The host's programs that go into the guest, with the libraries they need.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::initramfs::Initramfs;
use crate::{task, workspace};

/// What tests run in the guest.
const PROGRAMS: [&str; 21] = [
    "ip",
    "tc",
    "ss",
    "sh",
    "nsenter",
    "setpriv",
    "ping",
    "tcpdump",
    "curl",
    "iperf3",
    "bpftool",
    "nft",
    "conntrack",
    "nc",
    "socat",
    "ethtool",
    "traceroute",
    "tracepath",
    "stun",
    "stund",
    "busybox",
];

/// Adds the tests' programs, and busybox's applets for every other common program.
pub(super) fn add_all(guest: &mut Initramfs) -> Result<()> {
    for program in PROGRAMS {
        let host = workspace::find_program(program)
            .with_context(|| format!("the guest needs the host's {program}: run `cargo xtask setup`"))?;
        add(guest, &host, &format!("/bin/{program}"))?;
    }
    let applets = task::output(Command::new("busybox").arg("--list"))?;
    for path in applets.lines().map(|applet| format!("/bin/{applet}")) {
        if !guest.contains(&path) {
            guest.link(&path, "/bin/busybox");
        }
    }
    Ok(())
}

/// Adds a file of the host and, if it is a dynamic program, its libraries and loader where it looks for them.
pub(super) fn add(guest: &mut Initramfs, host: &Path, path: &str) -> Result<()> {
    guest.program(path, host);
    for library in libraries(host)? {
        guest.program(&library.to_string_lossy(), &library);
    }
    Ok(())
}

fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    // ldd fails on a static program, which needs nothing.
    Ok(parse_ldd(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_ldd(printed: &str) -> Vec<PathBuf> {
    let words = printed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_found_in_what_ldd_prints() {
        let printed = "\tlinux-vdso.so.1 (0x00007ffc)\n\
                       \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f0b)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f0c)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(parse_ldd(printed), expected.map(PathBuf::from));
    }

    #[test]
    fn a_static_program_needs_nothing() {
        assert!(parse_ldd("\tstatically linked\n").is_empty());
        assert!(parse_ldd("").is_empty());
    }
}
