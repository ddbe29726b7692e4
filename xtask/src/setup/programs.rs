//! The programs that the demo and the tests run, and the packages they come in.

use std::env::consts::ARCH;

use super::Scope;
use super::distro::Family;
use crate::workspace;

/// No package is known to have it.
const NONE: &str = "";

pub(super) struct Program {
    pub(super) name: &'static str,
    needed_for: Scope,
    debian: &'static str,
    fedora: &'static str,
    arch: &'static str,
    suse: &'static str,
    alpine: &'static str,
}

impl Program {
    /// The package that it comes in, if the distributions of `family` have one.
    pub(super) fn package(&self, family: Family) -> Option<&'static str> {
        let package = match family {
            Family::Debian | Family::Other => self.debian,
            Family::Fedora => self.fedora,
            Family::Arch => self.arch,
            Family::Suse => self.suse,
            Family::Alpine => self.alpine,
        };
        Some(package).filter(|package| *package != NONE)
    }

    /// Programs that only Debian and what descends from it are known to have.
    pub(super) const fn of_debian(name: &'static str, package: &'static str) -> Self {
        Self { fedora: NONE, arch: NONE, suse: NONE, alpine: NONE, ..Self::plain(name, package) }
    }

    /// Programs that are the same package under the same name everywhere.
    pub(super) const fn plain(name: &'static str, package: &'static str) -> Self {
        let needed_for = Scope::Demo;
        Self { name, needed_for, debian: package, fedora: package, arch: package, suse: package, alpine: package }
    }
}

const SSH: Program = Program {
    needed_for: Scope::Package,
    fedora: "openssh-clients",
    arch: "openssh",
    suse: "openssh-clients",
    ..Program::plain("ssh", "openssh-client")
};

static PROGRAMS: [Program; 22] = [
    Program { fedora: "iproute", ..Program::plain("ip", "iproute2") },
    Program { fedora: "iproute-tc", ..Program::plain("tc", "iproute2") },
    Program { debian: "iputils-ping", ..Program::plain("ping", "iputils") },
    Program { alpine: "util-linux-misc", ..Program::plain("nsenter", "util-linux") },
    Program::plain("tcpdump", "tcpdump"),
    Program::plain("curl", "curl"),
    Program { suse: "iperf", ..Program::plain("iperf3", "iperf3") },
    Program { arch: "bpf", ..Program::plain("bpftool", "bpftool") },
    Program::plain("nft", "nftables"),
    Program { debian: "conntrack", ..Program::plain("conntrack", "conntrack-tools") },
    Program { debian: "busybox-static", alpine: "busybox-extras", ..Program::plain("busybox", "busybox") },
    Program { fedora: "nmap-ncat", arch: "openbsd-netcat", ..Program::plain("nc", "netcat-openbsd") },
    Program::plain("ethtool", "ethtool"),
    Program { needed_for: Scope::Bench, fedora: "iptables-nft", ..Program::plain("iptables", "iptables") },
    Program { needed_for: Scope::Tests, ..Program::plain("socat", "socat") },
    Program { needed_for: Scope::Tests, ..Program::plain("traceroute", "traceroute") },
    Program { needed_for: Scope::Tests, debian: "iputils-tracepath", ..Program::plain("tracepath", "iputils") },
    Program { needed_for: Scope::Tests, ..Program::of_debian("stun", "stun-client") },
    Program { needed_for: Scope::Tests, ..Program::of_debian("stund", "stun-server") },
    Program { needed_for: Scope::Package, ..Program::of_debian("debootstrap", "debootstrap") },
    Program { needed_for: Scope::Package, ..Program::plain("mke2fs", "e2fsprogs") },
    SSH,
];

/// Where it can be run, for tests and for the package's test.
static QEMU: Program = Program {
    fedora: "qemu-system-x86-core",
    suse: "qemu-x86",
    alpine: "qemu-system-x86_64",
    ..Program::plain("qemu-system-x86_64", "qemu-system-x86")
};

/// The programs that `scope` needs on this machine.
fn needed(scope: Scope) -> impl Iterator<Item = &'static Program> {
    let qemu = (ARCH == "x86_64" && [Scope::Tests, Scope::Package].contains(&scope)).then_some(&QEMU);
    let is_wanted = move |needed_for| match needed_for {
        Scope::Demo => true,
        Scope::Bench => [Scope::Bench, Scope::Tests].contains(&scope),
        Scope::Tests | Scope::Package => scope == needed_for,
    };
    PROGRAMS.iter().filter(move |program| is_wanted(program.needed_for)).chain(qemu)
}

/// The programs that `scope` needs and this machine has not.
pub(super) fn missing(scope: Scope) -> Vec<&'static Program> {
    needed(scope).filter(|program| workspace::find_program(program.name).is_none()).collect()
}

/// The packages of `programs` in `family`, each once.
pub(super) fn packages(programs: &[&Program], family: Family) -> Vec<&'static str> {
    let mut packages: Vec<_> = programs.iter().filter_map(|program| program.package(family)).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scope: Scope) -> Vec<&'static str> {
        needed(scope).map(|program| program.name).collect()
    }

    #[test]
    fn only_tests_need_a_virtual_machine() {
        for (scope, is_needed) in
            [(Scope::Demo, false), (Scope::Bench, false), (Scope::Tests, true), (Scope::Package, true)]
        {
            assert_eq!(names(scope).contains(&QEMU.name), is_needed && ARCH == "x86_64");
        }
    }

    #[test]
    fn only_debian_is_known_to_have_the_stun_programs() {
        let stun: Vec<_> = PROGRAMS.iter().filter(|program| program.name.starts_with("stun")).collect();
        assert_eq!(packages(&stun, Family::Debian), ["stun-client", "stun-server"]);
        for family in [Family::Fedora, Family::Arch, Family::Suse, Family::Alpine] {
            assert!(packages(&stun, family).is_empty(), "{family:?}");
        }
    }

    #[test]
    fn a_package_with_two_programs_is_named_once() {
        let programs: Vec<_> = PROGRAMS.iter().take(3).collect();
        assert_eq!(packages(&programs, Family::Debian), ["iproute2", "iputils-ping"]);
        assert_eq!(packages(&programs, Family::Fedora), ["iproute", "iproute-tc", "iputils"]);
    }
}
