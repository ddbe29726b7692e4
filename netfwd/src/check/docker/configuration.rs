//! The engine's configuration: `daemon.json` and its command line (dockerd(8)).

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::check::Finding;

/// From this version on `ip6tables` is on unless it is turned off.
const IP6TABLES_ON: u32 = 27;

/// The configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Configuration {
    /// Where the file is, or would be.
    pub(super) path: PathBuf,
    /// Why the file cannot be read.
    pub(super) failure: Option<String>,
    pub(super) file: Switches,
    /// Of the running engine.
    pub(super) command_line: Switches,
}

/// Those that matter, as far as they are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Switches {
    iptables: Option<bool>,
    ip6tables: Option<bool>,
    userland_proxy: Option<bool>,
    ip_masq: Option<bool>,
    live_restore: Option<bool>,
}

impl Switches {
    /// Those of a `daemon.json`.
    pub(super) fn of_file(text: &str) -> Result<Self> {
        // An empty file is as good as none to the engine.
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(text).context("the engine does not start with it")
    }

    /// Those of a command line.
    pub(super) fn of_arguments(arguments: &[String]) -> Self {
        let given = |name: &str| {
            arguments.iter().find_map(|argument| match argument.strip_prefix("--")?.strip_prefix(name)? {
                "" => Some(true),
                value => {
                    value.strip_prefix('=').map(|value| !["false", "0", "f", "F", "FALSE", "False"].contains(&value))
                }
            })
        };
        Self {
            iptables: given("iptables"),
            ip6tables: given("ip6tables"),
            userland_proxy: given("userland-proxy"),
            ip_masq: given("ip-masq"),
            live_restore: given("live-restore"),
        }
    }
}

impl Configuration {
    /// Whether ports are carried by processes.
    pub(super) fn has_proxies(&self) -> bool {
        self.given(|switches| switches.userland_proxy).unwrap_or(true)
    }

    /// Whether containers are to live on while the engine restarts.
    pub(super) fn restores_live(&self) -> bool {
        self.given(|switches| switches.live_restore) == Some(true)
    }

    /// A switch; the engine refuses one that is given twice.
    fn given(&self, switch: fn(&Switches) -> Option<bool>) -> Option<bool> {
        switch(&self.command_line).or_else(|| switch(&self.file))
    }

    fn set(&self, name: &str, value: bool, switch: fn(&Switches) -> Option<bool>) -> String {
        let first = if switch(&self.command_line).is_some() {
            format!("take --{name} off the engine's command line, ")
        } else {
            String::new()
        };
        format!("{first}set \"{name}\": {value} in {}, then: systemctl restart docker", self.path.display())
    }
}

/// A switch that is to be off.
struct ToBeOff {
    name: &'static str,
    switch: fn(&Switches) -> Option<bool>,
    /// Whether it is in netfwd's way, or merely of no use.
    is_in_the_way: bool,
    why: &'static str,
}

const TO_BE_OFF: [ToBeOff; 4] = [
    ToBeOff {
        name: "iptables",
        switch: |switches| switches.iptables,
        is_in_the_way: true,
        why: "Docker masquerades before netfwd does, drops what is forwarded, and makes rules for each port",
    },
    ToBeOff { name: "ip6tables", switch: |switches| switches.ip6tables, is_in_the_way: true, why: "the same, of IPv6" },
    ToBeOff {
        name: "ip-masq",
        switch: |switches| switches.ip_masq,
        is_in_the_way: false,
        why: "Docker would masquerade the default bridge as soon as iptables is on",
    },
    ToBeOff {
        name: "userland-proxy",
        switch: |switches| switches.userland_proxy,
        is_in_the_way: false,
        why: "a process for each published port does what netfwd does already",
    },
];

/// `version` is the engine's.
pub(super) fn judge(configuration: &Configuration, version: Option<&str>) -> Vec<Finding> {
    let path = configuration.path.display();
    if let Some(failure) = &configuration.failure {
        return vec![Finding::problem("daemon.json", failure.clone()).todo(format!("correct {path}"))];
    }
    let mut findings = Vec::new();
    for ToBeOff { name, switch, is_in_the_way, why } in TO_BE_OFF {
        let default = name != "ip6tables" || version.and_then(major).is_none_or(|major| major >= IP6TABLES_ON);
        let given = configuration.given(switch);
        if given.unwrap_or(default) {
            let what =
                if given.is_some() { format!("{name} is on") } else { format!("{name} is on, as it is not given") };
            let finding = if is_in_the_way { Finding::problem } else { Finding::warning };
            findings.push(finding("daemon.json", what).because(why).todo(configuration.set(name, false, switch)));
        }
    }
    if !configuration.restores_live() {
        findings.push(
            Finding::warning("daemon.json", "live-restore is off")
                .because("containers stop when the engine restarts, and their connections end")
                .todo(configuration.set("live-restore", true, |switches| switches.live_restore)),
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok("daemon.json", format!("{path}: Docker's own NAT is off")));
    }
    findings
}

/// The first number of a version.
fn major(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::check::Level::{Ok as Well, Problem, Warning};

    /// As docs/docker.md says.
    pub(in super::super) fn off() -> Configuration {
        let text = r#"{"iptables": false, "ip6tables": false, "userland-proxy": false, "ip-masq": false,
                       "live-restore": true, "data-root": "/srv/docker"}"#;
        let path = "/etc/docker/daemon.json".into();
        Configuration { path, file: Switches::of_file(text).unwrap(), ..Configuration::default() }
    }

    fn levels(configuration: &Configuration, version: &str) -> Vec<(crate::check::Level, String)> {
        judge(configuration, Some(version)).into_iter().map(|finding| (finding.level, finding.what)).collect()
    }

    #[test]
    fn what_is_not_given_is_as_the_engine_has_it() {
        let none = Configuration::default();
        let expected = [
            (Problem, "iptables is on, as it is not given".to_owned()),
            (Problem, "ip6tables is on, as it is not given".to_owned()),
            (Warning, "ip-masq is on, as it is not given".to_owned()),
            (Warning, "userland-proxy is on, as it is not given".to_owned()),
            (Warning, "live-restore is off".to_owned()),
        ];
        assert_eq!(levels(&none, "28.1.0"), expected);
        assert_eq!(levels(&none, "20.10.24+dfsg1").len(), 4, "ip6tables was off");
        assert!(none.has_proxies());
    }

    #[test]
    fn what_is_off_is_well() {
        assert_eq!(levels(&off(), "28.1.0")[0].0, Well);
        assert!(!off().has_proxies());
        assert_eq!(Switches::of_file(" \n").unwrap(), Switches::default());
        assert!(Switches::of_file("{\"iptables\": \"no\"}").is_err());
    }

    #[test]
    fn the_command_line_counts_too() {
        let arguments = ["dockerd", "--iptables", "--ip-masq=false", "--live-restore=true"].map(str::to_owned);
        let command_line = Switches::of_arguments(&arguments);
        assert_eq!(
            (command_line.iptables, command_line.ip_masq, command_line.ip6tables),
            (Some(true), Some(false), None)
        );
        let configuration = Configuration { command_line, ..off() };
        let findings = judge(&configuration, None);
        assert_eq!(findings.len(), 1);
        let todo = "take --iptables off the engine's command line, set \"iptables\": false in \
                    /etc/docker/daemon.json, then: systemctl restart docker";
        assert_eq!(findings[0].todo.as_deref(), Some(todo));
    }
}
