//! `netfwd trace`.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use ipnet::IpNet;
use netfwd_common::abi::{Protocol, Reason, Traced};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use super::flows;
use crate::{
    clock,
    context::Context,
    datapath::{
        mappings::{self, Labels},
        maps::Maps,
        trace::Tracer,
    },
    host::netlink::Netlink,
    report::trace::Event,
    trace::{Filter, Flows, Pcap, Port},
};

/// How long to wait for a packet before looking whether to end.
const PATIENCE: Duration = Duration::from_millis(200);

/// Show what happens to packets, as it happens
///
/// A line for each packet at each hook: the packet as it came and, behind `=>`, as it left; its mapping; the reason that
/// was counted; and how it goes on: by the host's stack, past it into a container (peer) or to a neighbour (neigh), from
/// the driver (xdp), answered, or not at all (none). What is not IP is left out. Ctrl-C ends it, and what it has switched
/// on in the kernel part.
///
/// Examples: `netfwd trace --mapping 8080`, `netfwd trace --reason filtered --count 10`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this protocol: tcp, udp, icmp, icmpv6, sctp or a number
    #[arg(long = "proto", value_name = "PROTOCOL", value_parser = flows::protocol)]
    protocol: Option<Protocol>,

    /// Only packets from or to these addresses, before or after translation: ADDRESS or ADDRESS/LENGTH
    #[arg(long = "addr", value_name = "ADDRESS", value_parser = network)]
    network: Option<IpNet>,

    /// Only packets from or to this port, before or after translation
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,

    /// Only packets of the mapping of this host port
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    mapping: Option<Port>,

    /// Only packets of the mappings with this name, and of the containers that they lead to
    #[arg(long, value_name = "NAME")]
    container: Option<String>,

    /// Only packets that end for this reason, such as `filtered`: `netfwd stats` has them
    #[arg(long, value_name = "REASON", value_parser = reason_parser(), hide_possible_values = true)]
    reason: Option<Reason>,

    /// Only packets at this uplink, bridge or bridge's member
    #[arg(long, value_name = "IFACE")]
    interface: Option<String>,

    /// End after so many packets
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Write packets to a file for Wireshark too, as they came and as they left: the interfaces `before` and `after`
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

/// Prints packets until it is told to end.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let maps = Maps::open(&context.pin_dir)?;
    let filter = args.filter(&maps)?;
    let pcap = args.pcap.as_deref().map(Pcap::create).transpose()?;
    let ends = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&ends)).context("cannot wait for signals")?;
    }
    let tracer = Tracer::start(&context.pin_dir, filter.watch())?;
    context.complain("tracing; Ctrl-C ends it");
    Session { context, filter, pcap, tracer, flows: Flows::new(maps)?, started: clock::beginning()? }
        .follow(args.count, &ends)
}

struct Session<'c> {
    context: &'c Context,
    filter: Filter,
    pcap: Option<Pcap>,
    tracer: Tracer,
    flows: Flows,
    /// When the monotonic clock was 0, in nanoseconds since 1970.
    started: u64,
}

impl Session<'_> {
    fn follow(mut self, count: Option<u64>, ends: &AtomicBool) -> Result<()> {
        let mut shown = 0;
        let is_enough = |shown| count.is_some_and(|count| shown >= count);
        while !ends.load(Relaxed) && !is_enough(shown) {
            match self.tracer.next(PATIENCE)? {
                Some(traced) => shown += u64::from(self.show(&traced)?),
                None => self.pcap.as_mut().map_or(Ok(()), Pcap::flush)?,
            }
        }
        self.tracer.switch_off()?;
        while !is_enough(shown)
            && let Some(traced) = self.tracer.take()
        {
            shown += u64::from(self.show(&traced)?);
        }
        self.pcap.as_mut().map_or(Ok(()), Pcap::flush)?;
        let lost = self.tracer.lost()?;
        if lost > 0 {
            self.context.warn(&format!("{lost} packets came too fast and are not shown: a filter leaves more room"));
        }
        let missed = self.tracer.missed();
        if !missed.is_zero() {
            let seconds = missed.as_secs_f64();
            self.context.warn(&format!("for {seconds:.1} s nothing was traced, as nobody took what was shown"));
        }
        Ok(())
    }

    /// Shows a packet if it is meant.
    fn show(&mut self, traced: &Traced) -> Result<bool> {
        let time = self.started.saturating_add(traced.time);
        let mut event = Event::new(traced, time);
        self.flows.complete(&mut event, traced)?;
        if !self.filter.matches(&event) || !event.is_ip() && self.filter.reason.is_none() {
            return Ok(false);
        }
        if let Some(pcap) = &mut self.pcap {
            pcap.add(traced, time, &event.comment())?;
        }
        if self.context.json {
            let line = serde_json::to_string(&event).context("cannot write a packet as JSON")?;
            self.context.say(&line)?;
        } else {
            self.context.say(&event.line())?;
        }
        Ok(true)
    }
}

impl Args {
    fn filter(&self, maps: &Maps) -> Result<Filter> {
        let interface = match &self.interface {
            Some(name) => Some(Netlink::connect()?.interfaces()?.named(name)?.index),
            None => None,
        };
        let container = match &self.container {
            Some(name) => Some((name.clone(), addresses(maps, name)?)),
            None => None,
        };
        let Self { protocol, network, port, mapping, reason, .. } = *self;
        Ok(Filter { protocol, network, port, mapping, container, reason, interface })
    }
}

/// Where the mappings with a name lead to.
fn addresses(maps: &Maps, name: &str) -> Result<Vec<std::net::IpAddr>> {
    let (labels, installed) = (Labels::read(maps)?, mappings::list(maps)?);
    let named = installed.iter().filter(|installed| labels.of(installed.rule).name == name);
    let mut addresses: Vec<_> = named.map(|installed| installed.mapping.container).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        bail!("no mapping has the name {name}: `netfwd list` shows names");
    }
    Ok(addresses)
}

fn network(text: &str) -> Result<IpNet, &'static str> {
    let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or_else(|_| address())
        .map_err(|_| "not an address or network such as 172.17.0.2 or fd00:1::/64")
}

fn reason_parser() -> impl clap::builder::TypedValueParser<Value = Reason> {
    PossibleValuesParser::new(Reason::ALL.map(Reason::as_str))
        .try_map(|text| Reason::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or("unknown reason"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_filters_parts_are_read_as_they_are_written() {
        let line = "trace --proto udp --addr 172.17.0.0/16 --port 53 --mapping 53/udp --reason filtered --count 3";
        let args = Cli::try_parse_from(line.split(' ')).unwrap().args;
        assert_eq!((args.protocol, args.port, args.count), (Some(Protocol::UDP), Some(53), Some(3)));
        assert_eq!((args.network, args.reason), ("172.17.0.0/16".parse().ok(), Some(Reason::Filtered)));
        assert_eq!(args.mapping, "53/udp".parse().ok());
        assert_eq!(network("fd00::1"), Ok("fd00::1/128".parse().unwrap()));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for (line, part) in [
            ("trace --addr docker0", "not an address or network"),
            ("trace --mapping 0", "give PORT or PORT/PROTOCOL"),
            ("trace --reason lost", "invalid value 'lost'"),
            ("trace --port 0", "0 is not in 1..="),
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
