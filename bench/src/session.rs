//! A run of the benchmark: what is compared, how often and how long, and what came of it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::args::Args;
use crate::machine::Machine;
use crate::record::{Case, Record};
use crate::report::text::figure;
use crate::say::say;
use crate::subject::{self, Subject};
use crate::workload::Workload;

/// A run of the benchmark.
pub(crate) struct Session {
    pub(crate) subjects: Vec<Box<dyn Subject>>,
    pub(crate) record: Record,
    pub(crate) machine: Machine,
    pub(crate) netfwd: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) quick: bool,
    /// Whether everything is measured that the documentation tells.
    pub(crate) documented: bool,
    pub(crate) output: PathBuf,
    only: Vec<Workload>,
}

impl Session {
    /// Finds out what can be measured here.
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let (mut record, mut subjects) = (Record::default(), Vec::new());
        for subject in subject::all(args) {
            match subject.obstacle() {
                None => subjects.push(subject),
                Some(reason) => record.leave_out(format!("{}: {reason}", subject.name())),
            }
        }
        Ok(Self {
            subjects,
            record,
            machine: Machine::here()?,
            netfwd: args.netfwd.clone(),
            rounds: args.rounds(),
            window: args.window(),
            quick: args.quick,
            documented: args.docs || args.is_full(),
            output: args.output.clone(),
            only: args.only.clone(),
        })
    }

    /// Whether a workload is wanted. One that may have to build the tests first is not quick, nor is Docker.
    pub(crate) fn includes(&self, workload: Workload) -> bool {
        let by_default = !self.quick || !matches!(workload, Workload::Cost | Workload::Docker);
        if self.only.is_empty() { by_default } else { self.only.contains(&workload) }
    }
}

/// Prepares each of `subjects`. One that need not take part is left out when it cannot be prepared.
pub(crate) fn prepared<'s, S>(
    subjects: impl Iterator<Item = &'s Box<dyn Subject>>,
    record: &mut Record,
    prepare: impl Fn(&'s dyn Subject) -> Result<S>,
) -> Result<Vec<S>> {
    let mut prepared = Vec::new();
    for subject in subjects {
        match prepare(&**subject) {
            Ok(ready) => prepared.push(ready),
            Err(error) if subject.is_optional() => record.leave_out(format!("{}: {error:#}", subject.name())),
            Err(error) => return Err(error.context(format!("cannot prepare {}", subject.name()))),
        }
    }
    Ok(prepared)
}

/// Measures each of `subjects` in turn, round after round.
pub(crate) fn go_round<S>(
    record: &mut Record,
    rounds: usize,
    case: &Case,
    subjects: &mut [S],
    mut measure: impl FnMut(&mut S) -> Result<(String, f64)>,
) -> Result<()> {
    say(format_args!("  {}", case.name));
    for _ in 0..rounds {
        for subject in &mut *subjects {
            let (name, value) = measure(subject)?;
            record.add(case, &name, value);
        }
    }
    tell(record, case);
    Ok(())
}

/// Shows what was measured in a case.
pub(crate) fn tell(record: &Record, case: &Case) {
    for series in record.of(case) {
        if let Some(summary) = series.summary() {
            say(format_args!("    {:<28} {}", series.subject, figure(summary, case.unit)));
        }
    }
}
