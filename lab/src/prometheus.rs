//! A real Prometheus, and promtool.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::netns::Netns;
use crate::process::{Output, Process};
use crate::web::curl;

/// Names the directory that Debian's package was unpacked to. Without it the search path is used.
const DIRECTORY: &str = "NETFWD_PROMETHEUS";
const PROGRAMS: [&str; 2] = ["prometheus", "promtool"];
const ADDRESS: &str = "127.0.0.1:9090";
const START: Duration = Duration::from_secs(30);
const COMMAND: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// A running Prometheus, which scrapes one target each second. It ends when this is dropped.
#[derive(Debug)]
pub struct Prometheus {
    _process: Process,
    // It goes last.
    _directory: TempDir,
}

impl Prometheus {
    /// Why there can be none here, if it is so.
    #[must_use]
    pub fn obstacle() -> Option<String> {
        let missing = PROGRAMS.into_iter().find(|program| find(program).is_none())?;
        Some(format!("{missing} is missing: `cargo xtask setup` brings a Prometheus, on Debian"))
    }

    /// Starts one in `netns` that scrapes `target`, an address and port, and has the rules of a file.
    pub fn start(netns: &Netns, target: &str, rules: &Path) -> Result<Self> {
        if let Some(obstacle) = Self::obstacle() {
            bail!(obstacle);
        }
        let directory = tempfile::tempdir().context("cannot make a directory for a Prometheus")?;
        let configuration = directory.path().join("prometheus.yml");
        let rules = fs::canonicalize(rules).with_context(|| format!("there is no {}", rules.display()))?;
        fs::write(
            &configuration,
            format!(
                "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [ {:?} ]\nscrape_configs:\n- \
                 job_name: netfwd\n  static_configs: [ {{ targets: [ {target:?} ] }} ]\n",
                rules.display()
            ),
        )?;
        let mut command = netns.command(program("prometheus")?)?;
        command.arg(format!("--config.file={}", configuration.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
        command.arg(format!("--web.listen-address={ADDRESS}"));
        let mut process = Process::start(command, format!("prometheus in {}", netns.name()))?;
        process.wait_for_line("Server is ready to receive web requests", START)?;
        Ok(Self { _process: process, _directory: directory })
    }

    /// What its API says to a query, as the value of each series that answers.
    pub fn ask(&self, netns: &Netns, query: &str) -> Result<Vec<String>> {
        let answer = api(netns, "query", &["--get", "--data-urlencode", &format!("query={query}")])?;
        let series = answer["data"]["result"].as_array().context("a query without a result")?;
        Ok(series.iter().filter_map(|one| one["value"][1].as_str()).map(str::to_owned).collect())
    }

    /// Waits until a query has one answer, and it is this one.
    pub fn wait_for(&self, netns: &Netns, query: &str, value: &str, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let answer = self.ask(netns, query)?;
            if answer == [value] {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("Prometheus answers {answer:?} to `{query}`, not {value}");
            }
            thread::sleep(POLL);
        }
    }

    /// The health of each of its rules, by name: `ok`, or why not.
    pub fn rules(&self, netns: &Netns) -> Result<Vec<(String, String)>> {
        let answer = api(netns, "rules", &[])?;
        let groups = answer["data"]["groups"].as_array().into_iter().flatten();
        let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(rules.map(|rule| (text(&rule["name"]), text(&rule["health"]))).collect())
    }
}

/// Runs promtool to its end, with what `input` holds on its standard input.
pub fn promtool(arguments: &[&str], input: &str) -> Result<Output> {
    let directory = tempfile::tempdir().context("cannot make a file for promtool")?;
    let file = directory.path().join("input");
    fs::write(&file, input)?;
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" < \"$0\""]).arg(&file).arg(program("promtool")?).args(arguments);
    Process::start(command, format!("`promtool {}`", arguments.join(" ")))?.wait(COMMAND)
}

fn api(netns: &Netns, what: &str, extra: &[&str]) -> Result<Value> {
    let answer = curl(netns, &format!("http://{ADDRESS}/api/v1/{what}"), extra)?;
    serde_json::from_str(&answer).with_context(|| format!("Prometheus answers what is no JSON: {answer}"))
}

fn program(name: &str) -> Result<PathBuf> {
    find(name).with_context(|| format!("{name} is missing: `cargo xtask setup` brings it, on Debian"))
}

fn find(name: &str) -> Option<PathBuf> {
    let unpacked = env::var_os(DIRECTORY).map(|directory| PathBuf::from(directory).join("usr/bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = unpacked.into_iter().chain(env::split_paths(&path)).map(|directory| directory.join(name));
    places.find(|place| place.is_file())
}
