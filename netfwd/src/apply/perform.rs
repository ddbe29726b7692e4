//! Doing what is planned, each step with the one that undoes it.

use anyhow::{Context as _, Error, Result};
use netfwd_common::abi::Timeouts;

use super::{
    desired::Resolved,
    plan::{Plan, Step, Uplink},
    running::Running,
};
use crate::{
    datapath::{
        addresses, host_access, mappings,
        maps::Maps,
        members,
        pin::{Lock, PinDir},
        timeouts,
        uplinks::{self, Host, Report, Request},
    },
    mapping::Origin,
};

/// What undoes a step.
enum Undo {
    Detach(u32),
    Attach(Box<Request>),
    HostAccess(bool),
    Timeouts(Timeouts),
}

/// Does what is planned, under the lock.
pub(super) struct Performer<'a> {
    pin_dir: &'a PinDir,
    lock: &'a Lock,
    host: &'a Host,
    running: Option<&'a Running>,
    resolved: &'a Resolved,
    /// What has been done, and what undoes it.
    done: Vec<(String, Undo)>,
    /// What attaching has come to.
    pub(super) reports: Vec<(Request, Report)>,
}

impl<'a> Performer<'a> {
    pub(super) const fn new(
        pin_dir: &'a PinDir,
        lock: &'a Lock,
        host: &'a Host,
        running: Option<&'a Running>,
        resolved: &'a Resolved,
    ) -> Self {
        Self { pin_dir, lock, host, running, resolved, done: Vec::new(), reports: Vec::new() }
    }

    /// Does all of it, or nothing.
    pub(super) fn perform(&mut self, plan: &Plan) -> Result<()> {
        if let Err(error) = self.perform_what_can_be_undone(plan) {
            return Err(self.after_undoing(error));
        }
        if plan.steps.iter().any(is_of_mapping) {
            self.refresh().context("all is done, but the host's addresses and bridge members were not looked at")?;
        }
        let leaving = plan.steps.iter().filter_map(|step| {
            let Step::Detach(uplink) = step else { return None };
            self.running?.uplinks.get(name(uplink)).map(|request| request.interface.index)
        });
        let leaving: Vec<_> = leaving.collect();
        if !leaving.is_empty() {
            let detached = uplinks::detach_under(self.lock, self.pin_dir, self.host, &leaving);
            detached.context("all else is done, but an uplink cannot be detached")?;
        }
        Ok(())
    }

    fn perform_what_can_be_undone(&mut self, plan: &Plan) -> Result<()> {
        plan.steps.iter().try_for_each(|step| self.step(step))?;
        // The last: it is all or nothing by itself.
        if plan.steps.iter().any(is_of_mapping) { self.bring() } else { Ok(()) }
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Attach(uplink) | Step::Alter { after: uplink, .. } => self.attach(name(uplink)),
            Step::HostAccess(is_on) => self.host_access(*is_on),
            Step::Timeouts { after, .. } => self.set_timeouts(*after),
            Step::Map(_) | Step::Replace(..) | Step::Relabel(..) | Step::Unmap(_) | Step::Detach(_) => Ok(()),
        }
    }

    fn attach(&mut self, name: &str) -> Result<()> {
        let request = self.resolved.requests.get(name).with_context(|| format!("{name} is no uplink"))?;
        let report = uplinks::attach_under(self.lock, self.pin_dir, self.host, request)
            .with_context(|| format!("cannot attach to {name}"))?;
        let before = self.running.and_then(|running| running.uplinks.get(name));
        let undo =
            before.map_or(Undo::Detach(request.interface.index), |before| Undo::Attach(Box::new(before.clone())));
        self.done.push((format!("attached to {name}"), undo));
        self.reports.push((request.clone(), report));
        Ok(())
    }

    fn host_access(&mut self, is_on: bool) -> Result<()> {
        host_access::apply(self.pin_dir, is_on)?;
        self.done.push((format!("turned host access {}", if is_on { "on" } else { "off" }), Undo::HostAccess(!is_on)));
        Ok(())
    }

    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<()> {
        let before = timeouts::put(&mut Maps::open(self.pin_dir)?, timeouts)?;
        self.done.push(("set timeouts".to_owned(), Undo::Timeouts(before)));
        Ok(())
    }

    /// Docker's mappings stay, but for the ports that the configuration has.
    fn bring(&self) -> Result<()> {
        let mut maps = Maps::open(self.pin_dir)?;
        let host = mappings::Host::look(&self.host.interfaces, &[])?;
        let present = self.running.map(|running| running.mappings.as_slice()).unwrap_or_default();
        let docker = present.iter().filter(|one| one.label.origin == Origin::Docker);
        let wanted: Vec<_> = self.resolved.desired.mappings.iter().chain(docker).cloned().collect();
        mappings::bring(&mut maps, &host, &[Origin::Config, Origin::Docker], &wanted)
    }

    fn refresh(&self) -> Result<()> {
        let mut maps = Maps::open(self.pin_dir)?;
        addresses::refresh(&mut maps, &self.host.interfaces)?;
        members::refresh(self.pin_dir, &self.host.netlink, &self.host.interfaces, &mut maps).map(drop)
    }

    fn after_undoing(&mut self, error: Error) -> Error {
        let (mut undone, mut failures) = (Vec::new(), Vec::new());
        while let Some((what, undo)) = self.done.pop() {
            match self.undo(undo) {
                Ok(()) => undone.push(what),
                Err(second) => failures.push(format!("{what} ({second:#})")),
            }
        }
        match (undone.is_empty(), failures.is_empty()) {
            (true, true) => error,
            (_, true) => error.context(format!("undone again: {}", undone.join(", "))),
            _ => error.context(format!("cannot be undone: {}; see `netfwd status`", failures.join(", "))),
        }
    }

    fn undo(&self, undo: Undo) -> Result<()> {
        match undo {
            Undo::Detach(ifindex) => uplinks::detach_under(self.lock, self.pin_dir, self.host, &[ifindex]).map(drop),
            Undo::Attach(request) => uplinks::attach_under(self.lock, self.pin_dir, self.host, &request).map(drop),
            Undo::HostAccess(is_on) => host_access::apply(self.pin_dir, is_on).map(drop),
            Undo::Timeouts(timeouts) => timeouts::put(&mut Maps::open(self.pin_dir)?, timeouts).map(drop),
        }
    }
}

const fn is_of_mapping(step: &Step) -> bool {
    matches!(step, Step::Map(_) | Step::Replace(..) | Step::Relabel(..) | Step::Unmap(_))
}

fn name(uplink: &Uplink) -> &str {
    uplink.options.interface.get_ref()
}
