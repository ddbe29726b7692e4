//! Whose a traced packet is: its connection, and that one's mapping.

use std::collections::HashMap;

use anyhow::Result;
use netfwd_common::{
    abi::{Connection, Rule, Side, Traced, Tuple, V4, V6},
    parse::{self, Headers, Parse},
};

use crate::{
    datapath::{
        connections::Connections,
        mappings::{self, Labels},
        maps::{Maps, Select},
    },
    report::{
        Interface,
        trace::{Ends, Event, Flow},
    },
};

/// What is known of connections and mappings, asked again when something new comes.
pub struct Flows {
    maps: Maps,
    v4: Connections<V4>,
    v6: Connections<V6>,
    mappings: HashMap<Rule, (Option<String>, Option<String>)>,
}

impl Flows {
    /// Reads the maps.
    pub fn new(maps: Maps) -> Result<Self> {
        let (v4, v6) = (Connections::open(&maps)?, Connections::open(&maps)?);
        Ok(Self { maps, v4, v6, mappings: HashMap::new() })
    }

    /// Completes what is known of a packet.
    pub fn complete(&mut self, event: &mut Event, traced: &Traced) -> Result<()> {
        let rule = match parse::family(&traced.bytes[0][..], traced.link_header) {
            parse::Family::V4 => self.complete_of::<V4>(event, traced)?,
            parse::Family::V6 => self.complete_of::<V6>(event, traced)?,
            parse::Family::Other => None,
        };
        if let Some(rule) = rule {
            (event.mapping, event.name) = self.mapping(rule)?;
        }
        Ok(())
    }

    fn complete_of<A: Known>(&mut self, event: &mut Event, traced: &Traced) -> Result<Option<Rule>> {
        if let Some(target) = self.container::<A>(traced, event.path)? {
            event.path = if event.path == "xdp" { "xdp" } else { "peer" };
            event.member = Some(Interface::with_index(target));
        }
        let Some(connection) = self.connection::<A>(traced)? else { return Ok(None) };
        let ends = |tuple: Tuple<A>| Ends { source: tuple.source.into(), destination: tuple.destination.into() };
        event.flow = Some(Flow { original: ends(connection.original), reply: ends(connection.reply) });
        Ok(Some(connection.rule))
    }

    /// The member behind which the container is that a packet was sent to past the stack.
    fn container<A: Known>(&self, traced: &Traced, path: &str) -> Result<Option<u32>> {
        let may_be = matches!(path, "peer" | "xdp") || path == "neigh" && traced.hook == Traced::MEMBER;
        let Some(headers) = headers::<A>(traced, 1).filter(|_| may_be) else { return Ok(None) };
        Ok(self.maps.family::<A>().target_of(&headers.destination)?.map(|target| target.member))
    }

    fn connection<A: Known>(&mut self, traced: &Traced) -> Result<Option<Connection<A>>> {
        let Some(headers) = headers::<A>(traced, 0) else { return Ok(None) };
        for side in sides(traced.hook) {
            let Ok(tuple) = headers.tuple(*side) else { continue };
            let Some(slot) = self.maps.family::<A>().slot_of(&tuple)? else { continue };
            if let Some(connection) = A::connections(self).copy(slot.number) {
                return Ok(Some(connection));
            }
            // One of those that there were not when the records were looked at.
            *A::connections_mut(self) = Connections::open(&self.maps)?;
            return Ok(A::connections(self).copy(slot.number));
        }
        Ok(None)
    }

    fn mapping(&mut self, rule: Rule) -> Result<(Option<String>, Option<String>)> {
        if !self.mappings.contains_key(&rule) {
            let labels = Labels::read(&self.maps)?;
            for installed in mappings::list(&self.maps)? {
                let name = Some(labels.of(installed.rule).name).filter(|name| !name.is_empty());
                let host = installed.mapping.host;
                self.mappings.insert(installed.rule, (Some(format!("{}/{}", host.ports, host.protocol)), name));
            }
            // One of a masqueraded subnet's, or of a mapping that is gone.
            self.mappings.entry(rule).or_default();
        }
        Ok(self.mappings.get(&rule).cloned().unwrap_or_default())
    }
}

/// Families whose connections are known.
trait Known: Select + Parse {
    fn connections(flows: &Flows) -> &Connections<Self>;

    fn connections_mut(flows: &mut Flows) -> &mut Connections<Self>;
}

impl Known for V4 {
    fn connections(flows: &Flows) -> &Connections<Self> {
        &flows.v4
    }

    fn connections_mut(flows: &mut Flows) -> &mut Connections<Self> {
        &mut flows.v4
    }
}

impl Known for V6 {
    fn connections(flows: &Flows) -> &Connections<Self> {
        &flows.v6
    }

    fn connections_mut(flows: &mut Flows) -> &mut Connections<Self> {
        &mut flows.v6
    }
}

/// How packets may look at a hook.
const fn sides(hook: u32) -> &'static [Side] {
    match hook {
        Traced::MEMBER => &[Side::Inside, Side::Bridge],
        0 => &[Side::Inside],
        2 => &[Side::Bridge],
        _ => &[Side::Outside],
    }
}

fn headers<A: Parse>(traced: &Traced, side: usize) -> Option<Headers<A>> {
    crate::report::packet::headers(&traced.bytes[side], traced.lengths[side] as usize, traced.link_header)
}
