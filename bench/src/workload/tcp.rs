//! TCP between the client and the container.

use anyhow::Result;

use super::services::{Service, Streams, measure_messages, measure_throughput};
use crate::session::{Session, prepared};
use crate::traffic::Direction;

/// The workload's heading.
pub(crate) const TITLE: &str = "TCP through a published port, and out";

/// Measures each subject that carries TCP in turn.
pub(super) fn run(session: &mut Session) -> Result<()> {
    let Session { subjects, netfwd, record, rounds, window, quick, .. } = session;
    let (rounds, window) = (*rounds, *window);
    let (apart, together) =
        if *quick { (&Streams::APART[..1], &[][..]) } else { (&Streams::APART[..], &Streams::TOGETHER[..]) };
    let subjects = subjects.iter().filter(|subject| subject.carries_tcp());
    let mut services = prepared(subjects, record, |subject| Service::new(subject, netfwd))?;
    measure_messages(record, rounds, TITLE, &mut services, |service| service.of_client(window))?;
    let mut measure = |services: &mut [Service<'_>], direction, streams| {
        measure_throughput(record, rounds, TITLE, (direction, streams), services, |service| match direction {
            Direction::In => service.of_client(window),
            Direction::Out => service.of_container(window),
        })
    };
    for &streams in apart {
        measure(&mut services, Direction::In, streams)?;
    }
    // A relay has no part in what leaves, and a processor of its own.
    services.retain(|service| service.subject.forwards());
    for &streams in together {
        measure(&mut services, Direction::In, streams)?;
    }
    for &streams in apart.iter().chain(together) {
        measure(&mut services, Direction::Out, streams)?;
    }
    Ok(())
}
