//! `netfwd flows`.

use anyhow::Result;
use clap::{
    ArgGroup,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use netfwd_common::{
    abi::{Protocol, V4, V6},
    conntrack::Phase,
};

use crate::{
    clock,
    context::Context,
    datapath::{
        connections::{Connections, Flow},
        maps::{Maps, Select},
    },
    filter::{EndpointFilter, Filter},
    render,
    report::flows::{Bindings, Count, Flows},
};

const PROTOCOLS: [Protocol; 5] = [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ICMPV6, Protocol::SCTP];

/// List connections, or end some
///
/// A connection is two tuples: ORIGINAL is what its first packet looked like where it came from, REPLY what an answer
/// looks like where it comes from. For ICMP echo the port is the identifier. A binding is the outside port that a
/// container's endpoint has towards everybody, shared by the connections that hold it.
///
/// Examples: `netfwd flows --proto tcp --dst 172.17.0.2:80`, `netfwd flows delete --src 192.0.2.0/24`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    filter: FilterArgs,

    /// Print only how many there are
    #[arg(long)]
    count: bool,

    /// List the bindings instead; --src is the inside or the outside endpoint
    #[arg(long, conflicts_with_all = ["destination", "state"])]
    bindings: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// End connections, at once
    ///
    /// They match no packet any more; a packet of a new handshake or datagram may open a new connection.
    Delete(DeleteArgs),
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").args(["protocol", "source", "destination", "state", "all"]).required(true).multiple(true))]
struct DeleteArgs {
    #[command(flatten)]
    filter: FilterArgs,

    /// End all connections
    #[arg(long, conflicts_with_all = ["protocol", "source", "destination", "state"])]
    all: bool,
}

// No documentation comment: clap would take it for the command's that these are flattened into.
#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// Only this protocol: tcp, udp, icmp, icmpv6, sctp or a number
    #[arg(long = "proto", value_name = "PROTOCOL", value_parser = protocol)]
    protocol: Option<Protocol>,

    #[arg(
        long = "src",
        value_name = "ENDPOINT",
        help = "Only those opened by this sender: ADDRESS[/LENGTH][:PORT], [IPV6]:PORT or :PORT, before or after translation"
    )]
    source: Option<EndpointFilter>,

    #[arg(
        long = "dst",
        value_name = "ENDPOINT",
        help = "Only those opened to this receiver: ADDRESS[/LENGTH][:PORT], [IPV6]:PORT or :PORT, before or after translation"
    )]
    destination: Option<EndpointFilter>,

    /// Only those in this state
    #[arg(long, value_parser = state_parser())]
    state: Option<Phase>,
}

impl Args {
    /// What is to be done, for messages.
    pub(super) fn intent(&self) -> &'static str {
        match self.action {
            None => "list the flows",
            Some(Action::Delete(_)) => "end flows",
        }
    }
}

/// Prints the connections, or ends them.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    match &args.action {
        None => list(args, context),
        Some(Action::Delete(delete)) => end(&delete.filter.filter(), context),
    }
}

fn list(args: &Args, context: &Context) -> Result<()> {
    let maps = Maps::open(&context.pin_dir)?;
    let now = clock::now()?;
    let filter = args.filter.filter();
    let v4 = found::<V4>(args, &maps, &filter, now)?;
    let v6 = found::<V6>(args, &maps, &filter, now)?;
    if args.count {
        return render::show(context, &Count { count: v4.len() + v6.len() });
    }
    if args.bindings {
        return render::show(context, &Bindings::new(&v4, &v6, now));
    }
    render::show(context, &Flows::new(&v4, &v6, &maps.settings()?.timeouts, now))
}

fn end(filter: &Filter, context: &Context) -> Result<()> {
    let _lock = context.pin_dir.lock()?;
    let maps = Maps::open(&context.pin_dir)?;
    let now = clock::now()?;
    let ended = end_matching::<V4>(&maps, filter, now)? + end_matching::<V6>(&maps, filter, now)?;
    context.say(&format!("ended {ended} {}", if ended == 1 { "flow" } else { "flows" }))
}

fn found<A: Select>(args: &Args, maps: &Maps, filter: &Filter, now: u64) -> Result<Vec<Flow<A>>> {
    let connections = Connections::<A>::open(maps)?;
    if !args.bindings {
        return matching(&connections, maps, filter, now);
    }
    let mut bindings = connections.bindings(maps, now)?;
    bindings.retain(|binding| filter.matches(binding));
    Ok(bindings)
}

fn end_matching<A: Select>(maps: &Maps, filter: &Filter, now: u64) -> Result<usize> {
    let connections = Connections::<A>::open(maps)?;
    let flows = matching(&connections, maps, filter, now)?;
    Ok(flows.iter().filter(|flow| connections.condemn(flow)).count())
}

fn matching<A: Select>(connections: &Connections<A>, maps: &Maps, filter: &Filter, now: u64) -> Result<Vec<Flow<A>>> {
    let mut flows = connections.live(maps, now)?;
    flows.retain(|flow| filter.matches(flow));
    Ok(flows)
}

impl FilterArgs {
    fn filter(&self) -> Filter {
        let Self { protocol, source, destination, state } = *self;
        Filter { protocol, source, destination, state }
    }
}

pub(super) fn protocol(text: &str) -> Result<Protocol, &'static str> {
    let named = PROTOCOLS.into_iter().find(|protocol| protocol.name() == Some(text));
    let numbered = || text.parse().ok().map(Protocol::from_number);
    named.or_else(numbered).ok_or("neither tcp, udp, icmp, icmpv6 or sctp nor a number from 0 to 255")
}

fn state_parser() -> impl clap::builder::TypedValueParser<Value = Phase> {
    PossibleValuesParser::new(Phase::ALL.map(Phase::as_str))
        .try_map(|text| Phase::ALL.into_iter().find(|phase| phase.as_str() == text).ok_or("unknown state"))
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

    fn parse(text: &str) -> Result<Args, clap::Error> {
        Cli::try_parse_from(text.split(' ')).map(|cli| cli.args)
    }

    #[test]
    fn filters_are_the_same_for_listing_and_for_ending() {
        let options = "--proto udp --src 192.0.2.0/24 --dst :53 --state unreplied";
        let listed = parse(&format!("flows {options}")).unwrap().filter.filter();
        assert_eq!(listed.protocol, Some(Protocol::UDP));
        assert_eq!(listed.state, Some(Phase::Unreplied));
        let Some(Action::Delete(delete)) = parse(&format!("flows delete {options}")).unwrap().action else {
            panic!("no subcommand");
        };
        assert_eq!(delete.filter.filter(), listed);
    }

    #[test]
    fn ending_needs_a_filter_or_all_and_not_both() {
        assert!(parse("flows delete").is_err());
        assert!(parse("flows delete --all").is_ok());
        assert!(parse("flows delete --all --proto tcp").is_err());
        assert!(parse("flows --proto tcp delete --all").is_err());
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        let error = parse("flows --state open").unwrap_err().to_string();
        assert!(error.contains("syn-sent") && error.contains("established"), "{error}");
        let error = parse("flows --proto gre").unwrap_err().to_string();
        assert!(error.contains("neither tcp, udp, icmp, icmpv6 or sctp nor a number from 0 to 255"), "{error}");
        let error = parse("flows --src [fd00::1").unwrap_err().to_string();
        assert!(error.contains("fd00:1::/64 or [fd00:1::2]:80"), "{error}");
    }

    #[test]
    fn a_protocol_is_a_name_or_a_number() {
        assert_eq!((protocol("icmpv6"), protocol("47")), (Ok(Protocol::ICMPV6), Ok(Protocol::from_number(47))));
        assert!(protocol("256").is_err() && protocol("TCP").is_err());
    }

    #[test]
    fn bindings_have_neither_receiver_nor_state() {
        assert!(parse("flows --bindings --src 172.17.0.2 --proto udp").is_ok());
        assert!(parse("flows --bindings --dst 172.17.0.2").is_err());
        assert!(parse("flows --bindings --state replied").is_err());
    }
}
