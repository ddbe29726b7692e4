//! `netfwd flows`.

mod arguments;
mod watch;

use std::time::Duration;

use anyhow::Result;
use clap::ArgGroup;
use netfwd_common::abi::{V4, V6};

use crate::{
    clock,
    context::Context,
    datapath::{
        connections::{Connections, Flow},
        maps::{Maps, Select},
    },
    filter::Filter,
    render,
    report::flows::{Bindings, Count, Flows},
};
use arguments::FilterArgs;

pub(super) use arguments::protocol;

/// List connections, or end some
///
/// A connection is two tuples: ORIGINAL is what its first packet looked like where it came from, REPLY what an answer
/// looks like where it comes from. For ICMP echo the port is the identifier. A binding is the outside port that a
/// container's endpoint has towards everybody, shared by the connections that hold it.
///
/// Examples: `netfwd flows --proto tcp --dst 172.17.0.2:80`, `netfwd flows --watch --mapping web`,
/// `netfwd flows delete --src 192.0.2.0/24`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,

    /// Print only how many there are
    #[arg(long)]
    count: bool,

    /// List the bindings instead; --src is the inside or the outside endpoint
    #[arg(long, conflicts_with_all = arguments::NOT_OF_BINDINGS)]
    bindings: bool,

    /// Print connections as they are made (`[NEW]`) and as they end (`[END]`), until interrupted
    ///
    /// With --json a line for each. The connections are looked at once in every interval: one that comes and goes in
    /// between may be missed.
    #[arg(long, conflicts_with_all = ["count", "bindings"])]
    watch: bool,

    /// Seconds from one look to the next
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval, requires = "watch")]
    interval: Duration,

    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// End connections, at once
    ///
    /// They match no packet any more; a packet of a new handshake or datagram may open a new connection.
    Delete(DeleteArgs),
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").args(arguments::ALL).arg("all").required(true).multiple(true))]
struct DeleteArgs {
    /// End all connections
    #[arg(long, conflicts_with_all = arguments::ALL)]
    all: bool,

    #[command(flatten)]
    filter: FilterArgs,
}

impl Args {
    /// What is to be done, for messages.
    pub(super) fn intent(&self) -> &'static str {
        match self.action {
            None if self.watch => "watch the flows",
            None => "list the flows",
            Some(Action::Delete(_)) => "end flows",
        }
    }
}

/// Prints the connections, or ends them.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    match &args.action {
        None if args.watch => watch::watch(&args.filter, args.interval, context),
        None => list(args, context),
        Some(Action::Delete(delete)) => end(&delete.filter, context),
    }
}

fn list(args: &Args, context: &Context) -> Result<()> {
    let maps = Maps::open(&context.pin_dir)?;
    let now = clock::now()?;
    let filter = args.filter.filter(&maps)?;
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

fn end(filter: &FilterArgs, context: &Context) -> Result<()> {
    let _lock = context.pin_dir.lock()?;
    let maps = Maps::open(&context.pin_dir)?;
    let (filter, now) = (filter.filter(&maps)?, clock::now()?);
    let ended = end_matching::<V4>(&maps, &filter, now)? + end_matching::<V6>(&maps, &filter, now)?;
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

/// Seconds, with a fraction or not, such as `0.5`.
pub(super) fn interval(text: &str) -> Result<Duration, &'static str> {
    const RANGE: std::ops::RangeInclusive<f64> = 0.1..=3600.0;
    let seconds = text.parse().ok().filter(|seconds| RANGE.contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or("give seconds from 0.1 to 3600, such as 1 or 0.5")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use netfwd_common::{abi::Protocol, conntrack::Phase};

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
        let listed = parse(&format!("flows {options}")).unwrap().filter.unnamed();
        assert_eq!(listed.protocol, Some(Protocol::UDP));
        assert_eq!(listed.states, [Phase::Unreplied]);
        let Some(Action::Delete(delete)) = parse(&format!("flows delete {options}")).unwrap().action else {
            panic!("no subcommand");
        };
        assert_eq!(delete.filter.unnamed(), listed);
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
    fn an_interval_is_a_tenth_of_a_second_or_more() {
        assert_eq!(parse("flows --watch --interval 0.5").unwrap().interval, Duration::from_millis(500));
        assert_eq!(parse("flows --watch").unwrap().interval, Duration::from_secs(1));
        for text in ["0", "0.01", "-1", "NaN", "inf", "3601", "x", ""] {
            assert!(interval(text).is_err(), "{text}");
        }
        assert!(parse("flows --interval 2").is_err());
    }

    #[test]
    fn watching_is_neither_counting_nor_ending() {
        for text in ["flows --watch --count", "flows --watch --bindings", "flows --watch delete --all"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bindings_have_neither_receiver_nor_state() {
        assert!(parse("flows --bindings --src 172.17.0.2 --proto udp").is_ok());
        assert!(parse("flows --bindings --dst 172.17.0.2").is_err());
        assert!(parse("flows --bindings --state replied").is_err());
    }
}
