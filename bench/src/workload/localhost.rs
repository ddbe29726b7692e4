//! TCP from a process of the host to a published port of 127.0.0.1.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;

use super::services::{Question, Service, Streams, measure_messages, measure_throughput};
use crate::session::{Session, prepared};
use crate::subject::Plain;
use crate::traffic::Direction;

/// The workload's heading.
pub(crate) const TITLE: &str = "TCP from the host itself through 127.0.0.1";

/// Measures each subject that serves localhost in turn. With plain routing the host asks for the container's address.
pub(super) fn run(session: &mut Session) -> Result<()> {
    let Session { subjects, netfwd, record, rounds, window, quick, .. } = session;
    let (rounds, window, streams) = (*rounds, *window, if *quick { &Streams::APART[..1] } else { &Streams::APART });
    let subjects = subjects.iter().filter(|it| it.serves_localhost() || it.name() == Plain::NAME);
    let mut services = prepared(subjects, record, |subject| Service::new(subject, netfwd))?;
    measure_messages(record, rounds, TITLE, &mut services, |service| question(service, window))?;
    for &streams in streams {
        let case = (Direction::In, streams);
        measure_throughput(record, rounds, TITLE, case, &mut services, |service| question(service, window))?;
    }
    Ok(())
}

fn question<'n>(service: &'n Service<'_>, window: Duration) -> Question<'n> {
    let address = if service.subject.translates() { Ipv4Addr::LOCALHOST } else { service.site.container_address() };
    Question { from: service.site.host(), address: address.into(), window }
}
