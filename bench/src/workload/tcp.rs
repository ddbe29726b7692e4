//! TCP between the client and the container.

use anyhow::Result;

use super::services::{Service, measure_messages, measure_throughput, throughput};
use crate::record::{Better, Case};
use crate::session::{Session, prepared};
use crate::traffic::Direction;

/// The workload's heading.
pub(crate) const TITLE: &str = "TCP through a published port, and out";
/// How many streams at once.
pub(crate) const STREAMS: [u8; 2] = [1, 8];

/// Measures each subject that carries TCP in turn.
pub(super) fn run(session: &mut Session) -> Result<()> {
    let Session { subjects, netfwd, record, rounds, window, quick, .. } = session;
    let (rounds, window, streams) = (*rounds, *window, if *quick { &STREAMS[..1] } else { &STREAMS });
    let subjects = subjects.iter().filter(|subject| subject.carries_tcp());
    let mut services = prepared(subjects, record, |subject| Service::new(subject, netfwd))?;
    let case = |direction, streams| {
        let name = throughput(direction, streams);
        Case { workload: TITLE, name, unit: "Gbit/s", better: Better::More }
    };
    measure_messages(record, rounds, TITLE, &mut services, |service| service.of_client(window))?;
    for &streams in streams {
        let case = case(Direction::In, streams);
        measure_throughput(record, rounds, &case, streams, &mut services, |service| service.of_client(window))?;
    }
    // A relay has no part in what leaves.
    services.retain(|service| service.subject.forwards());
    for &streams in streams {
        let case = case(Direction::Out, streams);
        measure_throughput(record, rounds, &case, streams, &mut services, |service| service.of_container(window))?;
    }
    Ok(())
}
