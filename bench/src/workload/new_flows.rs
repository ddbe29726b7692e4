//! New flows per second: every packet is the first of its flow.

use anyhow::Result;

use super::packets;
use crate::limits::ROOM;
use crate::record::{Better, Case};
use crate::session::{Session, go_round};
use crate::traffic::Direction;

/// The workload's heading.
pub(crate) const TITLE: &str = "New flows per second";
const FLOWS: u32 = 200_000;
const QUICK_FLOWS: u32 = 50_000;

/// Lets each subject open flows in turn, after it has forgotten those before.
pub(super) fn run(session: &mut Session) -> Result<()> {
    let Session { subjects, netfwd, record, rounds, quick, .. } = session;
    let mut stages = packets::stages(subjects, netfwd, record, ROOM)?;
    stages.retain(|stage| stage.subject().translates());
    let flows = if *quick { QUICK_FLOWS } else { FLOWS };
    for direction in [Direction::In, Direction::Out] {
        let case = Case { workload: TITLE, name: direction.to_string(), unit: "flows/s", better: Better::More };
        go_round(record, *rounds, &case, &mut stages, |stage| {
            stage.forget()?;
            Ok((stage.subject().name().to_owned(), stage.new_flow_rate(direction, flows)?))
        })?;
    }
    Ok(())
}
