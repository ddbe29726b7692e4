//! Growth: many connections, many mappings.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::packets;
use crate::limits::MUCH_ROOM;
use crate::record::{Better, Case};
use crate::report::text::number;
use crate::session::{Session, go_round};
use crate::site::Site;
use crate::subject::{Netfwd, Ports, Protocol};
use crate::traffic::{Direction, Stage};

/// The workload's heading.
pub(crate) const TITLE: &str = "Growth";
/// The case of the memory of a connection.
pub(crate) const MEMORY: &str = "memory of a connection";
/// Of which connections the packet rates are compared.
pub(crate) const GOAL: (u32, u32) = (1_000_000, 10_000);

const FLOWS: [u32; 4] = [1000, 10_000, 100_000, 1_000_000];
const QUICK_FLOWS: [u32; 2] = [1000, 10_000];
const MAPPINGS: [u16; 3] = [1, 100, 10_000];
const FIRST_HOST_PORT: u16 = 20_000;
const FIRST_CONTAINER_PORT: u16 = 1000;
/// Flows that are opened to see what many mappings cost.
const NEW_FLOWS: u32 = 20_000;

/// The map of connections.
const RECORDS: &str = "CONNECTIONS_V4";

/// The name of a case.
pub(crate) fn case(flows: u32) -> String {
    packets::case(Direction::In, flows)
}

/// Measures each subject that translates, in turn.
pub(super) fn run(session: &mut Session) -> Result<()> {
    let Session { subjects, netfwd, record, rounds, window, quick, .. } = session;
    let mut stages = packets::stages(subjects, netfwd, record, MUCH_ROOM)?;
    stages.retain(|stage| stage.subject().translates());
    let flow_counts: &[u32] = if *quick { &QUICK_FLOWS } else { &FLOWS };
    for flows in flow_counts {
        for stage in &mut stages {
            stage.establish(Direction::In, *flows)?;
        }
        let case = Case { workload: TITLE, name: case(*flows), unit: "packets/s", better: Better::More };
        go_round(record, *rounds, &case, &mut stages, |stage| {
            Ok((stage.subject().name().to_owned(), stage.rate(Direction::In, *flows, *window)?))
        })?;
    }
    let case = Case { workload: TITLE, name: MEMORY.to_owned(), unit: "bytes", better: Better::Less };
    // Few connections would share the whole hash table.
    let full = stages.iter_mut().filter(|stage| !*quick && stage.subject().name() == Netfwd::NAME);
    for stage in full {
        record.add(&case, Netfwd::NAME, memory(stage.site())?);
    }
    for mappings in MAPPINGS {
        let name = format!("new flows in, after {} other ports", number(mappings.into()));
        let case = Case { workload: TITLE, name, unit: "flows/s", better: Better::More };
        go_round(record, *rounds, &case, &mut stages, |stage| {
            Ok((stage.subject().name().to_owned(), with_mappings(stage, mappings)?))
        })?;
    }
    Ok(())
}

fn with_mappings(stage: &mut Stage<'_>, mappings: u16) -> Result<f64> {
    let subject = stage.subject();
    let ports = Ports { host: FIRST_HOST_PORT, container: FIRST_CONTAINER_PORT, count: mappings };
    stage.forget()?;
    subject.publish_each(stage.site(), Protocol::Udp, ports)?;
    // Where rules are tried one after the other, the port that is used comes last.
    stage.publish_again()?;
    let rate = stage.new_flow_rate(Direction::In, NEW_FLOWS);
    subject.withdraw_each(stage.site(), Protocol::Udp, ports)?;
    rate
}

/// What a connection takes: its record and its place in the list of free ones, where there is memory for as many as
/// there may be, and its two tuples.
fn memory(site: &Site) -> Result<f64> {
    let status: Value = serde_json::from_str(&site.lab().netfwd(&["status", "--json"])?.stdout)?;
    let maps = status["maps"].as_array().context("netfwd's status tells no maps")?;
    let number = |name: &str, what: &str| {
        let map = maps.iter().find(|map| map["name"] == name);
        map.and_then(|map| map[what].as_f64()).with_context(|| format!("netfwd's status tells no {what} of {name}"))
    };
    let places = number(RECORDS, "max_entries")?;
    let tuples = number("TUPLES_V4", "memory_bytes")? / number(RECORDS, "entries")?;
    let places_memory = number(RECORDS, "memory_bytes")? + number("FREE_SLOTS_V4", "memory_bytes")?;
    Ok(places_memory / places + tuples)
}
