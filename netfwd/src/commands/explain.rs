//! `netfwd explain`.

use anyhow::{Error, Result};
use netfwd_common::parse::TcpFlags;

use crate::{
    cli::Misuse,
    context::Context,
    explain::{self, Question},
    render,
};

/// Say what would happen to a packet, without sending it
///
/// Runs the code of the kernel part on its maps as they are, and changes nothing. For each program that the packet would
/// meet it prints the five steps: parse, track, choose, rewrite, report. A port that would be chosen by chance may be
/// another one when the packet comes.
///
/// Examples: `netfwd explain tcp 192.0.2.1:40000 to 192.0.2.2:8080`, `netfwd explain icmp 172.17.0.2 to 192.0.2.1`
#[derive(Debug, clap::Args)]
#[command(override_usage = "netfwd explain [OPTIONS] PROTOCOL SOURCE to DESTINATION")]
pub struct Args {
    /// tcp, udp, sctp, icmp or icmpv6
    #[arg(value_name = "PROTOCOL")]
    protocol: String,

    /// ADDRESS:PORT, or ADDRESS for a port that does not matter; of ICMP the port is the identifier
    #[arg(value_name = "SOURCE")]
    source: Option<String>,

    /// `to`, `->` or `→`
    #[arg(value_name = "to", allow_hyphen_values = true)]
    arrow: Option<String>,

    /// ADDRESS:PORT; with a port of ICMP it is an echo's answer
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,

    /// The interface by which it comes in; the one that leads to its sender unless given
    #[arg(long = "in", value_name = "IFACE")]
    interface: Option<String>,

    /// TCP's flags, such as `syn,ack`; `syn` unless given
    #[arg(long, value_name = "FLAGS", value_delimiter = ',')]
    flags: Vec<Flag>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Flag {
    Syn,
    Ack,
    Fin,
    Rst,
}

impl Args {
    fn text(&self) -> String {
        let rest = [&self.source, &self.arrow, &self.destination].into_iter().flatten();
        [&self.protocol].into_iter().chain(rest).map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    fn question(&self) -> Result<Question> {
        let mut question: Question = self.text().parse().map_err(|error| Error::new(Misuse(format!("{error}"))))?;
        if !self.flags.is_empty() {
            question.flags = TcpFlags(self.flags.iter().fold(0, |flags, flag| flags | flag.bit()));
        }
        Ok(question)
    }

    /// What is to be done, for messages.
    pub(super) fn intent(&self) -> String {
        format!("explain {}", self.text())
    }
}

impl Flag {
    const fn bit(self) -> u8 {
        match self {
            Self::Syn => TcpFlags::SYN,
            Self::Ack => TcpFlags::ACK,
            Self::Fin => TcpFlags::FIN,
            Self::Rst => TcpFlags::RST,
        }
    }
}

/// Prints what would happen.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let explanation = explain::explain(context, &args.question()?, args.interface.as_deref())?;
    render::show(context, &explanation)
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

    fn parse(words: &[&str]) -> Args {
        Cli::try_parse_from([&["explain"], words].concat()).unwrap().args
    }

    #[test]
    fn a_packet_is_one_word_or_several_and_options_may_follow() {
        let expected: Question = "tcp 192.0.2.1:1 to 192.0.2.2:2".parse().unwrap();
        for words in [
            &["tcp 192.0.2.1:1 -> 192.0.2.2:2"][..],
            &["tcp", "192.0.2.1:1", "->", "192.0.2.2:2"],
            &["tcp", "192.0.2.1:1", "to", "192.0.2.2:2", "--in", "eth0"],
            &["--in", "eth0", "tcp", "192.0.2.1:1", "192.0.2.2:2"],
            &["tcp", "192.0.2.1:1", "→", "192.0.2.2:2"],
        ] {
            let args = parse(words);
            assert_eq!(args.question().unwrap(), expected, "{words:?}");
            assert_eq!(args.interface.is_some(), words.contains(&"--in"));
        }
    }

    #[test]
    fn flags_are_those_given_or_a_handshakes_first() {
        let flags =
            |words: &[&str]| parse(&[&["tcp 192.0.2.1:1 to 192.0.2.2:2"], words].concat()).question().unwrap().flags;
        assert_eq!(flags(&[]), TcpFlags(TcpFlags::SYN));
        assert_eq!(flags(&["--flags", "fin,ack"]), TcpFlags(TcpFlags::FIN | TcpFlags::ACK));
    }

    #[test]
    fn what_is_no_packet_is_wrong_usage() {
        let error = parse(&["tcp", "192.0.2.1:1"]).question().unwrap_err();
        assert!(error.downcast_ref::<Misuse>().is_some(), "{error}");
    }
}
