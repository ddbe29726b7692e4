//! Packets per second of established flows.

use std::path::Path;

use anyhow::Result;

use crate::limits::ROOM;
use crate::record::{Better, Case, Record};
use crate::report::text::number;
use crate::session::{Session, go_round, prepared};
use crate::subject::Subject;
use crate::traffic::{Direction, Stage};

/// The workload's heading.
pub(crate) const TITLE: &str = "Packets per second";
const FLOWS: [u32; 3] = [1, 10_000, 200_000];

/// The name of a case.
pub(crate) fn case(direction: Direction, flows: u32) -> String {
    format!("{direction}, {} {}", number(flows.into()), if flows == 1 { "flow" } else { "flows" })
}

/// Floods each subject in turn.
pub(super) fn run(session: &mut Session) -> Result<()> {
    let Session { subjects, netfwd, record, rounds, window, quick, .. } = session;
    let mut stages = stages(subjects, netfwd, record, ROOM)?;
    for direction in [Direction::In, Direction::Out] {
        for &flows in if *quick { &FLOWS[..2] } else { &FLOWS } {
            for stage in &mut stages {
                stage.establish(direction, flows)?;
            }
            let case = Case { workload: TITLE, name: case(direction, flows), unit: "packets/s", better: Better::More };
            go_round(record, *rounds, &case, &mut stages, |stage| {
                Ok((stage.subject().name().to_owned(), stage.rate(direction, flows, *window)?))
            })?;
        }
    }
    Ok(())
}

/// A stage for each subject that forwards packets, with room for so many connections.
pub(super) fn stages<'s>(
    subjects: &'s [Box<dyn Subject>],
    netfwd: &Path,
    record: &mut Record,
    room: u32,
) -> Result<Vec<Stage<'s>>> {
    let subjects = subjects.iter().filter(|subject| subject.forwards());
    prepared(subjects, record, |subject| Stage::new(subject, netfwd, room))
}
