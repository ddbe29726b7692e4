//! Reads the maps.

use std::collections::HashMap;

use anyhow::Result;
use netfwd_common::abi::{Address as _, Rule, Side, V4, V6};

use super::sample::{Flow, Id, Sample};
use crate::{
    clock,
    datapath::{
        connections::{self, Connections},
        maps::{Maps, Select},
        pin::PinDir,
        uplinks::Host,
    },
    report::{
        census::{Census, Counted},
        mappings::Mappings,
        stats::Stats,
        status,
    },
};

/// How old what is known of the uplinks' paths may become: to find them out takes many questions to the kernel.
const PATHS: u64 = 10_000_000_000;

/// Opened maps.
pub(super) struct Sampler {
    pin_dir: PinDir,
    maps: Maps,
    v4: Connections<V4>,
    v6: Connections<V6>,
    uplinks: Vec<String>,
    uplinks_at: Option<u64>,
}

impl Sampler {
    /// Opens the maps.
    pub(super) fn open(pin_dir: &PinDir) -> Result<Self> {
        let maps = Maps::open(pin_dir)?;
        let (v4, v6) = (Connections::open(&maps)?, Connections::open(&maps)?);
        Ok(Self { pin_dir: pin_dir.clone(), maps, v4, v6, uplinks: Vec::new(), uplinks_at: None })
    }

    /// Reads everything.
    pub(super) fn sample(&mut self) -> Result<Sample> {
        self.maps.check_pinned(&self.pin_dir)?;
        let at = clock::now()?;
        self.look_at_uplinks(at)?;
        let (mut flows, mut by_rule) = (Vec::new(), HashMap::new());
        let ipv4 = look(&mut self.v4, &self.maps, at, &mut flows, &mut by_rule)?;
        let ipv6 = look(&mut self.v6, &self.maps, at, &mut flows, &mut by_rule)?;
        let census = Census { ipv4, ipv6, by_rule };
        Ok(Sample {
            at,
            uplinks: self.uplinks.clone(),
            stats: Stats::with(&self.maps, &census)?,
            mappings: Mappings::with(&self.maps, &census)?.mappings,
            flows,
        })
    }

    /// Ends a connection; `false` if it had ended already.
    pub(super) fn end(&mut self, id: Id) -> Result<bool> {
        let _lock = self.pin_dir.lock()?;
        let now = clock::now()?;
        if id.family == V4::FAMILY { end(&self.v4, &self.maps, id, now) } else { end(&self.v6, &self.maps, id, now) }
    }

    fn look_at_uplinks(&mut self, now: u64) -> Result<()> {
        if self.uplinks_at.is_some_and(|at| now.saturating_sub(at) < PATHS) {
            return Ok(());
        }
        let uplinks = status::uplinks(&self.pin_dir, &self.maps, &Host::look()?)?;
        self.uplinks = uplinks.iter().map(status::Uplink::summary).collect();
        self.uplinks_at = Some(now);
        Ok(())
    }
}

/// Looks at the records of a family.
fn look<A: Select>(
    connections: &mut Connections<A>,
    maps: &Maps,
    now: u64,
    flows: &mut Vec<Flow>,
    by_rule: &mut HashMap<Rule, u64>,
) -> Result<Counted> {
    connections.refresh(maps)?;
    let records = connections.records(maps, now)?;
    let is_flow = |record: &&connections::Flow<A>| Side::is_of_packets(record.connection.original.side);
    flows.extend(records.iter().filter(is_flow).map(|flow| Flow::new(flow, now)));
    Counted::of(maps, &records, by_rule)
}

fn end<A: Select>(connections: &Connections<A>, maps: &Maps, id: Id, now: u64) -> Result<bool> {
    let flows = connections.live(maps, now)?;
    let found = flows.iter().find(|flow| (flow.slot, flow.incarnation()) == (id.slot, id.incarnation));
    Ok(found.is_some_and(|flow| connections.condemn(flow)))
}
