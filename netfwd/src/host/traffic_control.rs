//! Traffic control: the clsact queueing discipline and the BPF filters on it.

use anyhow::{Context as _, Result};
use rtnetlink::packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};

use super::netlink::Netlink;
use crate::datapath::hook::Direction;

/// Both kinds sit at the handle `ffff:`; `ingress` has no egress hook.
const INGRESS_KINDS: [&str; 2] = ["clsact", "ingress"];

/// A filter on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its place among the interface's filters.
    pub priority: u16,
    /// Its number within its priority.
    pub handle: u32,
    /// The name of its BPF program.
    pub program_name: Option<String>,
    /// The id of its BPF program.
    pub program_id: Option<u32>,
}

impl Netlink {
    /// The kind of what holds an interface's filters, `clsact` or `ingress`.
    pub fn filter_holder(&self, ifindex: u32) -> Result<Option<String>> {
        let disciplines = self
            .collect(self.handle().qdisc().get().index(ifindex.cast_signed()).execute())
            .context("cannot list the queueing disciplines")?;
        let on_interface = disciplines.iter().filter(|message| message.header.index == ifindex.cast_signed());
        Ok(on_interface.filter_map(kind).find(|kind| INGRESS_KINDS.contains(kind)).map(str::to_owned))
    }

    /// The filters on one side of an interface.
    pub fn filters(&self, ifindex: u32, direction: Direction) -> Result<Vec<Filter>> {
        let request = self.handle().traffic_filter(ifindex.cast_signed()).get();
        let request = match direction {
            Direction::Ingress => request.ingress(),
            Direction::Egress => request.egress(),
        };
        let messages = self.collect(request.execute()).context("cannot list the filters")?;
        // Each priority is also listed on its own, without a filter's handle.
        Ok(messages.iter().filter(|message| u32::from(message.header.handle) != 0).map(filter).collect())
    }

    /// Removes the clsact queueing discipline from an interface.
    pub fn remove_clsact(&self, ifindex: u32) -> Result<()> {
        let mut request = self.handle().qdisc().del(ifindex.cast_signed());
        let message = request.message_mut();
        message.header.parent = TcHandle::CLSACT;
        message.header.handle = TcHandle { major: u16::MAX, minor: 0 };
        message.attributes.push(TcAttribute::Kind("clsact".to_owned()));
        self.wait(request.execute()).context("cannot remove the clsact queueing discipline")
    }
}

fn filter(message: &TcMessage) -> Filter {
    let mut filter = Filter {
        priority: (message.header.info >> 16) as u16,
        handle: message.header.handle.into(),
        program_name: None,
        program_id: None,
    };
    for option in options(message) {
        if let TcOption::Bpf(TcFilterBpfOption::ProgName(name)) = option {
            filter.program_name = Some(name.clone());
        } else if let TcOption::Bpf(TcFilterBpfOption::ProgId(id)) = option {
            filter.program_id = Some(*id);
        }
    }
    filter
}

fn options(message: &TcMessage) -> impl Iterator<Item = &TcOption> {
    message.attributes.iter().flat_map(|attribute| {
        let TcAttribute::Options(options) = attribute else { return [].iter() };
        options.iter()
    })
}

fn kind(message: &TcMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| {
        let TcAttribute::Kind(kind) = attribute else { return None };
        Some(kind.as_str())
    })
}
