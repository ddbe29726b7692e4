//! What is measured.

mod cost;
pub(crate) mod docker;
pub(crate) mod growth;
pub(crate) mod localhost;
pub(crate) mod new_flows;
pub(crate) mod packets;
pub(crate) mod ports;
pub(crate) mod services;
pub(crate) mod tcp;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::say::say;
use crate::session::Session;

/// A group of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Packets per second of established flows
    Packets,
    /// New flows per second
    NewFlows,
    /// TCP throughput, latency and connections
    Tcp,
    /// The same from the host itself
    Localhost,
    /// Publishing ports
    Ports,
    /// `docker run` with published ports
    Docker,
    /// Many connections and many mappings
    Growth,
    /// What netfwd's programs cost by themselves
    Cost,
}

type Run = fn(&mut Session) -> Result<()>;

const ALL: [(Workload, &str, Run); 8] = [
    (Workload::Packets, packets::TITLE, packets::run),
    (Workload::NewFlows, new_flows::TITLE, new_flows::run),
    (Workload::Tcp, tcp::TITLE, tcp::run),
    (Workload::Localhost, localhost::TITLE, localhost::run),
    (Workload::Ports, ports::TITLE, ports::run),
    (Workload::Docker, docker::TITLE, docker::run),
    (Workload::Growth, growth::TITLE, growth::run),
    (Workload::Cost, cost::TITLE, cost::run),
];

/// Runs all workloads that are wanted.
pub(crate) fn run(session: &mut Session) -> Result<()> {
    for (workload, title, run) in ALL {
        if session.includes(workload) {
            say(format_args!("\n== {title}"));
            run(session).with_context(|| format!("cannot measure: {title}"))?;
        }
    }
    Ok(())
}
