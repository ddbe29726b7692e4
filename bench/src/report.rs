//! What is shown of the record: tables, JSON, plots and the documentation.

mod document;
mod goals;
mod plot;
mod table;
pub(crate) mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::machine::Machine;
use crate::record::Record;
use crate::say::say;
use crate::session::Session;

/// Where the documentation is.
const DOCUMENT: &str = "docs/benchmarks.md";
/// Where its plots are, relative to it.
const PLOTS: &str = "benchmarks";

/// What is written as JSON.
#[derive(Serialize)]
struct Whole<'r> {
    machine: &'r Machine,
    rounds: usize,
    window_seconds: f64,
    #[serde(flatten)]
    record: &'r Record,
    goals: Vec<goals::Outcome>,
}

/// Writes all of it. The documentation is left as it is when not everything could be measured.
pub(crate) fn write(session: &Session, complete: bool) -> Result<()> {
    let record = &session.record;
    if record.series.is_empty() {
        return Ok(());
    }
    say("\n== Medians, with ratios to netfwd's round by round");
    for (title, table) in table::all(record) {
        say(format_args!("\n{title}\n{table}"));
    }
    let goals = goals::judge(record);
    if goals.iter().any(|goal| goal.met.is_some()) {
        say(format_args!("\n{}", table::of_goals(&goals)));
    }
    fs::create_dir_all(&session.output).with_context(|| format!("cannot make {}", session.output.display()))?;
    let whole = Whole {
        machine: &session.machine,
        rounds: session.rounds,
        window_seconds: session.window.as_secs_f64(),
        record,
        goals,
    };
    write_file(&session.output.join("bench.json"), &serde_json::to_string_pretty(&whole)?)?;
    let plots = plot::all(record, &session.output)?;
    if session.documented && complete {
        let directory = Path::new(DOCUMENT).with_file_name(PLOTS);
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let plots = plot::all(record, &directory)?;
        write_file(Path::new(DOCUMENT), &document::render(session, &whole.goals, &plots))?;
    }
    say(format_args!("\nbench.json and {} plots are in {}", plots.len(), session.output.display()));
    Ok(())
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
