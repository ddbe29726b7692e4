//! Which flows are meant: the options that listing, watching and ending have in common.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use netfwd_common::{
    abi::{Protocol, Rule},
    conntrack::Phase,
};
use nix::net::if_::if_nametoindex;
use thiserror::Error;

use crate::{
    datapath::{
        mappings::{self, Labels},
        maps::Maps,
    },
    filter::{EndpointFilter, Ends, Filter, Nat, PortFilter, Status, Version},
    mapping::Selector,
};

const PROTOCOLS: [Protocol; 5] = [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::ICMPV6, Protocol::SCTP];
const FILTERS: &str = "Which flows";

/// The names of all options here, as clap knows them.
pub(super) const ALL: [&str; 15] = [
    "protocol",
    "family",
    "source",
    "destination",
    "source_ports",
    "destination_ports",
    "original_source",
    "original_destination",
    "reply_source",
    "reply_destination",
    "states",
    "status",
    "nat",
    "interface",
    "mapping",
];

/// Those that a binding has nothing to compare with.
pub(super) const NOT_OF_BINDINGS: [&str; 10] = [
    "destination",
    "destination_ports",
    "original_destination",
    "reply_source",
    "reply_destination",
    "original_source",
    "states",
    "status",
    "nat",
    "mapping",
];

// No documentation comment: clap would take it for the command's that these are flattened into.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = FILTERS)]
pub(super) struct FilterArgs {
    /// Only this protocol: tcp, udp, icmp, icmpv6, sctp or a number
    #[arg(short, long = "proto", value_name = "PROTOCOL", value_parser = protocol)]
    protocol: Option<Protocol>,

    /// Only this version of IP
    #[arg(short, long)]
    family: Option<Version>,

    #[arg(
        short,
        long = "src",
        value_name = "ENDPOINT",
        help = "Only those opened by this sender: ADDRESS[/LENGTH][:PORTS], [IPV6]:PORTS or :PORTS, where PORTS is PORT or PORT-PORT, before or after translation"
    )]
    source: Option<EndpointFilter>,

    #[arg(
        short,
        long = "dst",
        value_name = "ENDPOINT",
        help = "Only those opened to this receiver, in the same form, before or after translation"
    )]
    destination: Option<EndpointFilter>,

    /// Only those whose sender has this port: `--src :PORTS`, beside an address
    #[arg(long = "sport", value_name = "PORTS")]
    source_ports: Option<PortFilter>,

    /// Only those whose receiver has this port: `--dst :PORTS`, beside an address
    #[arg(long = "dport", value_name = "PORTS")]
    destination_ports: Option<PortFilter>,

    /// Only those with this sender in ORIGINAL
    #[arg(long = "orig-src", value_name = "ENDPOINT")]
    original_source: Option<EndpointFilter>,

    /// Only those with this receiver in ORIGINAL
    #[arg(long = "orig-dst", value_name = "ENDPOINT")]
    original_destination: Option<EndpointFilter>,

    /// Only those with this sender in REPLY
    #[arg(short = 'r', long = "reply-src", value_name = "ENDPOINT")]
    reply_source: Option<EndpointFilter>,

    /// Only those with this receiver in REPLY
    #[arg(short = 'q', long = "reply-dst", value_name = "ENDPOINT")]
    reply_destination: Option<EndpointFilter>,

    /// Only those in one of these states, separated by commas
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',', value_parser = state_parser())]
    states: Vec<Phase>,

    /// Only those that were answered, or not; that both ends have confirmed, or not
    #[arg(short = 'u', long)]
    status: Option<Status>,

    /// Only those of which this end is translated
    #[arg(long)]
    nat: Option<Nat>,

    /// Only those that were made on this uplink or bridge
    #[arg(long, value_name = "IFACE")]
    interface: Option<String>,

    /// Only those of a mapping: its host part, as for `netfwd unmap`, or its name
    #[arg(long, value_name = "MAPPING")]
    mapping: Option<String>,
}

/// Nothing has such a mapping.
#[derive(Debug, Error)]
#[error("there is no mapping {0}: `netfwd list` shows all, by host part (8080, 192.0.2.1:53/udp) or name")]
struct NoMapping(String);

impl FilterArgs {
    /// The filter, where what is named exists now.
    pub(super) fn filter(&self, maps: &Maps) -> Result<Filter> {
        let index = |name: &String| {
            if_nametoindex(name.as_str()).with_context(|| format!("there is no interface {name}: `ip link` lists them"))
        };
        Ok(Filter {
            interface: self.interface.as_ref().map(index).transpose()?,
            rules: self.mapping.as_deref().map(|mapping| rules(maps, mapping)).transpose()?,
            ..self.unnamed()
        })
    }

    /// The filter, but for what it takes the maps or the host to know.
    pub(super) fn unnamed(&self) -> Filter {
        let ends = |source, destination| Ends { source, destination };
        let all = |endpoint: Option<EndpointFilter>, ports: Option<PortFilter>| {
            endpoint.into_iter().chain(ports.map(EndpointFilter::with_ports)).collect()
        };
        Filter {
            protocol: self.protocol,
            family: self.family,
            source: all(self.source, self.source_ports),
            destination: all(self.destination, self.destination_ports),
            original: ends(self.original_source, self.original_destination),
            reply: ends(self.reply_source, self.reply_destination),
            states: self.states.clone(),
            status: self.status,
            nat: self.nat,
            interface: None,
            rules: None,
        }
    }
}

/// The rules of the mappings with a host part, or else with a name.
fn rules(maps: &Maps, text: &str) -> Result<HashSet<Rule>> {
    let (installed, labels) = (mappings::list(maps)?, Labels::read(maps)?);
    let selector: Option<Selector> = text.parse().ok();
    let by_host = installed.iter().filter(|one| selector.is_some_and(|selector| selector.selects(&one.mapping.host)));
    let mut rules: HashSet<_> = by_host.map(|one| one.rule).collect();
    if rules.is_empty() {
        rules.extend(installed.iter().map(|one| one.rule).filter(|rule| labels.of(*rule).name == text));
    }
    if rules.is_empty() { Err(NoMapping(text.to_owned()).into()) } else { Ok(rules) }
}

/// A protocol's name, or its number.
pub(in crate::commands) fn protocol(text: &str) -> Result<Protocol, &'static str> {
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
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: FilterArgs,
    }

    fn filter(options: &str) -> Filter {
        Cli::try_parse_from(format!("flows {options}").split_whitespace()).unwrap().args.unnamed()
    }

    #[test]
    fn the_names_of_all_options_are_known() {
        let command = Cli::command();
        let mut names: Vec<_> = command.get_arguments().map(|argument| argument.get_id().as_str()).collect();
        names.retain(|name| *name != "help");
        assert_eq!(names, ALL);
        assert!(NOT_OF_BINDINGS.iter().all(|name| ALL.contains(name)));
    }

    #[test]
    fn options_are_those_of_conntrack_where_it_has_them() {
        let short = filter("-p udp -f ipv6 -s fd00::1 -d :53 -r fd00::2 -q :9 -u replied");
        let long = filter(
            "--proto udp --family ipv6 --src fd00::1 --dst :53 --reply-src fd00::2 --reply-dst :9 --status replied",
        );
        assert_eq!(short, long);
        assert_eq!((short.protocol, short.family), (Some(Protocol::UDP), Some(Version::Ipv6)));
        assert_eq!(filter("--sport 5-9").source, [":5-9".parse().unwrap()]);
        assert_eq!(
            filter("--dst 192.0.2.1 --dport 80").destination,
            ["192.0.2.1", ":80"].map(|text| text.parse().unwrap())
        );
        assert_eq!(filter("--orig-src :1 --orig-dst :2").original.destination, Some(":2".parse().unwrap()));
    }

    #[test]
    fn states_are_separated_by_commas() {
        assert_eq!(filter("--state established,closing").states, [Phase::Established, Phase::Closing]);
        assert_eq!(filter("").states, []);
    }

    #[test]
    fn a_protocol_is_a_name_or_a_number() {
        assert_eq!((protocol("icmpv6"), protocol("47")), (Ok(Protocol::ICMPV6), Ok(Protocol::from_number(47))));
        assert!(protocol("256").is_err() && protocol("TCP").is_err());
    }
}
