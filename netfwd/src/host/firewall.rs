//! The rules of netfilter in this network namespace, as far as they concern forwarding and NAT.
//!
//! They are read by the programs that made them, which know every form of them: `nft` for those of nftables and of
//! iptables with its nft back end, `iptables-legacy` for those of the older one.

mod legacy;
mod nft;

use std::{env, fs, io, process::Command};

use anyhow::{Context as _, Result, anyhow};

/// The rules, by the chains that they are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firewall {
    /// The chains.
    pub chains: Vec<Chain>,
    /// Why not all rules are known, if it is so.
    pub unknown: Vec<String>,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// `ip`, `ip6`, `inet` or `bridge`.
    pub family: String,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Who keeps it.
    pub backend: Backend,
    /// Where it begins; nothing for one that others jump to.
    pub hook: Option<Hook>,
    /// Whether it drops what no rule decides on.
    pub drops_by_policy: bool,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// Who keeps a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// nftables, also for iptables.
    #[default]
    Nft,
    /// The older iptables.
    Legacy,
}

/// Where a chain begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Packets that go from interface to interface.
    Forward,
    /// Packets that leave.
    Postrouting,
    /// Any other.
    Other,
}

/// What a rule does, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Rule {
    /// It may let a packet through, or hands it to another chain.
    pub may_accept: bool,
    /// It may drop or refuse a packet.
    pub may_drop: bool,
    /// It looks for the state `invalid` of connection tracking, or for a state that is not known here.
    pub looks_at_state: bool,
    /// It gives packets the host's address.
    pub masquerades: bool,
}

impl Firewall {
    /// Asks the programs.
    #[must_use]
    pub fn read() -> Self {
        let mut firewall = Self::default();
        firewall.take("nft", &["--json", "list", "ruleset"], nft::parse);
        for (names, program, family) in [
            ("/proc/thread-self/net/ip_tables_names", "iptables-legacy", "ip"),
            ("/proc/thread-self/net/ip6_tables_names", "ip6tables-legacy", "ip6"),
        ] {
            // To others than root the file says nothing.
            let tables = fs::read_to_string(names).unwrap_or_default();
            for table in tables.lines().filter(|table| ["filter", "nat"].contains(table)) {
                firewall.take(program, &["-t", table, "-S"], |text| Ok(legacy::parse(family, table, text)));
            }
        }
        firewall
    }

    /// The chains of a hook.
    pub fn of(&self, hook: Hook) -> impl Iterator<Item = &Chain> {
        self.chains.iter().filter(move |chain| chain.hook == Some(hook) && chain.family != "bridge")
    }

    fn take(&mut self, program: &str, arguments: &[&str], parse: impl Fn(&str) -> Result<Vec<Chain>>) {
        match output(program, arguments).and_then(|text| parse(&text)) {
            Ok(chains) => self.chains.extend(chains),
            Err(error) => self.unknown.push(format!("{error:#}")),
        }
    }
}

impl Chain {
    /// Where it is, as `nft` takes it: `ip filter FORWARD`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{} {} {}", self.family, self.table, self.name)
    }

    /// The program that changes it, where it is iptables' own.
    #[must_use]
    pub fn iptables(&self) -> Option<&'static str> {
        let is_builtin = ["filter", "nat"].contains(&self.table.as_str());
        match (self.family.as_str(), self.backend) {
            ("ip", Backend::Legacy) => Some("iptables-legacy"),
            ("ip6", Backend::Legacy) => Some("ip6tables-legacy"),
            ("ip", Backend::Nft) if is_builtin => Some("iptables"),
            ("ip6", Backend::Nft) if is_builtin => Some("ip6tables"),
            _ => None,
        }
    }
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    // They are not in the search path of everybody.
    let path = env::var("PATH").unwrap_or_default();
    let output = match Command::new(program).args(arguments).env("PATH", format!("{path}:/usr/sbin:/sbin")).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(anyhow!("{program} is not installed"));
        }
        output => output.with_context(|| format!("cannot run {program}"))?,
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(anyhow!("`{program} {}` failed: {}", arguments.join(" "), said.lines().next().unwrap_or_default()))
}
