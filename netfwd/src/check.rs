//! Whether this host is as netfwd needs it, and what is in its way.
//!
//! Facts are gathered first; what they come to is decided by pure functions.

pub mod docker;
pub mod host;

use std::{fmt, iter};

use serde::Serialize;

use crate::render::Listing;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// It works, and something does not work as well as it could, or not as somebody may expect.
    Warning,
    /// Something does not work.
    Problem,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was looked at, in a word or two.
    pub subject: &'static str,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: Option<String>,
    /// What to do: a command where there is one.
    pub todo: Option<String>,
}

/// All findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many of them are problems.
    pub problems: usize,
    /// How many of them are warnings.
    pub warnings: usize,
    /// The findings, in the order of what was looked at.
    pub findings: Vec<Finding>,
}

impl Finding {
    fn ok(subject: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Ok, subject, what: what.into(), why: None, todo: None }
    }

    fn warning(subject: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::ok(subject, what) }
    }

    fn problem(subject: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Problem, ..Self::ok(subject, what) }
    }

    fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }

    fn todo(self, todo: impl Into<String>) -> Self {
        Self { todo: Some(todo.into()), ..self }
    }
}

impl Report {
    fn new(findings: Vec<Finding>) -> Self {
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        Self { problems: count(Level::Problem), warnings: count(Level::Warning), findings }
    }
}

impl Listing for Report {
    fn text(&self) -> String {
        let width = self.findings.iter().map(|finding| finding.subject.len()).max().unwrap_or_default();
        let lines = self.findings.iter().flat_map(|finding| {
            let Finding { level, subject, what, why, todo } = finding;
            let first = format!("{:<8} {subject:<width$}  {what}", level.to_string());
            let more = |name: &str, text: &Option<String>| {
                text.as_ref().map(|text| format!("{:<8} {:>width$}  {text}", "", name))
            };
            iter::once(first).chain(more("why", why)).chain(more("do", todo))
        });
        let end = format!("\n{}, {}", count(self.problems, "problem"), count(self.warnings, "warning"));
        lines.chain([end]).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        })
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Names in a sentence.
fn list(names: &[impl AsRef<str>]) -> String {
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_has_a_line_and_below_it_why_it_matters_and_what_to_do() {
        let report = Report::new(vec![
            Finding::ok("kernel", "6.12"),
            Finding::problem("forwarding", "is off").because("nothing is forwarded").todo("sysctl -w x=1"),
        ]);
        let expected = "\
ok       kernel      6.12
problem  forwarding  is off
                why  nothing is forwarded
                 do  sysctl -w x=1

1 problem, 0 warnings";
        assert_eq!(report.text(), expected);
    }
}
