//! `netfwd flows --watch`: looks again and again, and tells the difference.

use std::{
    io::{self, BufWriter, Write as _},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use netfwd_common::abi::{Timeouts, V4, V6};

use super::arguments::FilterArgs;
use crate::{
    clock,
    context::Context,
    datapath::{
        connections::{Connections, Flow, changes},
        maps::{Maps, Select},
    },
    filter::Filter,
    report::flows::{Event, Names},
};

/// The connections of a family, as they were when they were last looked at.
struct Watched<A> {
    connections: Connections<A>,
    known: Vec<Flow<A>>,
}

/// Prints what happens to connections, for as long as netfwd is attached.
pub(super) fn watch(filter: &FilterArgs, interval: Duration, context: &Context) -> Result<()> {
    let maps = Maps::open(&context.pin_dir)?;
    let filter = filter.filter(&maps)?;
    let mut v4 = Watched::<V4>::open(&maps)?;
    let mut v6 = Watched::<V6>::open(&maps)?;
    let mut names = Names::new();
    loop {
        thread::sleep(interval);
        maps.check_pinned(&context.pin_dir)?;
        let (timeouts, now) = (maps.settings()?.timeouts, clock::now()?);
        let mut events = v4.look(&maps, &filter, &mut names, (&timeouts, now))?;
        events.extend(v6.look(&maps, &filter, &mut names, (&timeouts, now))?);
        events.sort_by_key(Event::created);
        print(&events, context.json)?;
    }
}

impl<A: Select> Watched<A> {
    fn open(maps: &Maps) -> Result<Self> {
        let connections = Connections::open(maps)?;
        Ok(Self { known: connections.live(maps, clock::now()?)?, connections })
    }

    fn look(
        &mut self,
        maps: &Maps,
        filter: &Filter,
        names: &mut Names,
        (timeouts, now): (&Timeouts, u64),
    ) -> Result<Vec<Event>> {
        self.connections.refresh(maps)?;
        let seen = self.connections.live(maps, now)?;
        let changes = changes(&self.known, &seen).filter(|change| filter.matches(change.flow()));
        let events = changes.map(|change| Event::new(&change, names, timeouts, now)).collect();
        self.known = seen;
        Ok(events)
    }
}

fn print(events: &[Event], json: bool) -> Result<()> {
    let failed = "cannot write to standard output";
    let mut output = BufWriter::new(io::stdout().lock());
    for event in events {
        if json {
            let line = serde_json::to_string(event).context("cannot write an event as JSON")?;
            writeln!(output, "{line}").context(failed)?;
        } else {
            writeln!(output, "{event}").context(failed)?;
        }
    }
    output.flush().context(failed)
}
