//! Bringing a configuration about once: what it differs in from what is running, and doing that, completely or not at
//! all.

mod desired;
mod perform;
pub mod plan;
mod running;

use anyhow::Result;

use crate::{
    config::Config,
    datapath::{
        mappings,
        pin::PinDir,
        uplinks::{Host, Report, Request},
    },
};
use desired::Resolved;
use perform::Performer;
use plan::Plan;

pub use running::{Running, running};

/// What bringing a configuration about has come to.
#[derive(Debug, Default)]
pub struct Applied {
    /// What was to be done, and is.
    pub plan: Plan,
    /// The uplinks that were attached, and what came of it.
    pub reports: Vec<(Request, Report)>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// All that is known before something is done.
struct Prepared {
    host: Host,
    running: Option<Running>,
    resolved: Resolved,
    plan: Plan,
}

/// What is to be done to bring a configuration about. Does nothing.
pub fn plan(pin_dir: &PinDir, config: &Config) -> Result<Applied> {
    let Prepared { plan, resolved, .. } = prepare(pin_dir, config)?;
    Ok(Applied { plan, notes: resolved.notes, reports: Vec::new() })
}

/// Brings a configuration about. What fails half way is undone.
pub fn apply(pin_dir: &PinDir, config: &Config) -> Result<Applied> {
    // For what cannot be, or is there already, no pin directory is made.
    let planned = plan(pin_dir, config)?;
    if planned.plan.steps.is_empty() {
        return Ok(planned);
    }
    let lock = pin_dir.prepare()?;
    // Another process may have changed something before it was locked.
    let Prepared { host, running, resolved, plan } = prepare(pin_dir, config)?;
    let mut performer = Performer::new(pin_dir, &lock, &host, running.as_ref(), &resolved);
    performer.perform(&plan)?;
    let reports = performer.reports;
    Ok(Applied { plan, reports, notes: resolved.notes })
}

fn prepare(pin_dir: &PinDir, config: &Config) -> Result<Prepared> {
    let host = Host::look()?;
    let running = Running::read(pin_dir, &host)?;
    let resolved = desired::resolve(config, pin_dir, &host, running.as_ref())?;
    let state = running.as_ref().map(Running::state).unwrap_or_default();
    let addresses = mappings::Host::look(&host.interfaces, &[])?.addresses;
    let plan = plan::diff(&resolved.desired, &state, &addresses)?;
    Ok(Prepared { host, running, resolved, plan })
}
