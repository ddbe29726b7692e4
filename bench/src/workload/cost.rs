//! What the programs cost by themselves: nanoseconds for a packet, and instructions for the verifier.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::record::{Better, Case};
use crate::session::{Session, tell};
use crate::subject::Netfwd;

/// The workload's heading.
pub(crate) const TITLE: &str = "netfwd's programs";
/// Runs at most: each loads all programs.
const ROUNDS: usize = 3;

/// A line that the kernel tests print: `packet kernel=6.18 program=netfwd_egress translated IPv4 TCP nanoseconds=300`.
struct Figure {
    case: String,
    unit: &'static str,
    value: f64,
}

/// Takes the figures from the kernel tests that print them.
pub(super) fn run(session: &mut Session) -> Result<()> {
    let record = &mut session.record;
    let mut cases = Vec::new();
    for round in 0..session.rounds.min(ROUNDS) {
        for figure in figures(&printed()?)? {
            // The verifier always says the same.
            if round > 0 && figure.unit != "ns" {
                continue;
            }
            let Figure { case: name, unit, value } = figure;
            let case = Case { workload: TITLE, name, unit, better: Better::Less };
            record.add(&case, Netfwd::NAME, value);
            if !cases.contains(&case) {
                cases.push(case);
            }
        }
    }
    for case in &cases {
        crate::say::say(format_args!("  {}", case.name));
        tell(record, case);
    }
    Ok(())
}

fn printed() -> Result<String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--quiet", "--package", "netfwd", "--test", "kernel", "--", "--ignored", "--nocapture"]);
    cargo.args(["--test-threads=1", "programs::budgets"]).stderr(Stdio::inherit());
    let output = cargo.output().context("cannot run cargo")?;
    ensure!(output.status.success(), "the tests that measure netfwd's programs failed ({})", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn figures(printed: &str) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for line in printed.lines() {
        let Some(start) = ["packet kernel=", "budget kernel="].iter().find_map(|start| line.find(start)) else {
            continue;
        };
        let words: Vec<_> = line[start..].split_whitespace().collect();
        let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let program = value("program").with_context(|| format!("no program in `{line}`"))?;
        let kind: Vec<_> = words.iter().skip(3).take_while(|word| !word.contains('=')).copied().collect();
        let known = [("nanoseconds", "ns"), ("instructions", "verified instructions")];
        for (name, unit) in known {
            let Some(number) = value(name) else { continue };
            let case = if kind.is_empty() { program.to_owned() } else { format!("{program}, {}", kind.join(" ")) };
            let value = number.parse().with_context(|| format!("no number: {name} in `{line}`"))?;
            figures.push(Figure { case, unit, value });
        }
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_between_the_tests_own_lines() {
        let printed = "running 2 tests\n.packet kernel=6.18 program=netfwd_egress translated IPv4 TCP nanoseconds=301\n\
                       budget kernel=6.18 program=netfwd_bridge instructions=9000 stack=448\ntest result: ok";
        let figures = figures(printed).unwrap();
        let told: Vec<_> = figures.iter().map(|it| (it.case.as_str(), it.unit, it.value)).collect();
        assert_eq!(
            told,
            [("netfwd_egress, translated IPv4 TCP", "ns", 301.0), ("netfwd_bridge", "verified instructions", 9000.0)]
        );
    }
}
