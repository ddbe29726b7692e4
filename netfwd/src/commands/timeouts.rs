//! `netfwd timeouts`.

use std::str::FromStr;

use anyhow::Result;
use netfwd_common::abi;

use crate::{
    cli::Misuse,
    context::Context,
    datapath::{
        maps::Maps,
        timeouts::{self, ALL, MAX_SECONDS, Timeout},
    },
    render,
    report::timeouts::Timeouts,
};

/// List the timeouts, or set some
///
/// A flow ends when no packet has come for as long as its timeout says. What is set takes effect at once, also for
/// flows that are there already: either all of it or nothing. It stays until the last uplink is detached.
///
/// Examples: `netfwd timeouts udp=180 tcp-established=86400`, `netfwd timeouts --reset`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A timeout, and its seconds, from 1 to 2592000 (30 days)
    #[arg(value_name = "NAME=SECONDS")]
    wanted: Vec<Wanted>,

    /// Set all others to their defaults
    #[arg(long)]
    reset: bool,
}

/// A timeout that is to be set.
#[derive(Clone, Copy)]
struct Wanted {
    timeout: &'static Timeout,
    seconds: u64,
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.timeout.name, self.seconds)
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, seconds) = text.split_once('=').ok_or("not NAME=SECONDS, such as udp=180")?;
        let timeout = Timeout::named(name).ok_or_else(|| unknown(name))?;
        let seconds = seconds.parse().ok().filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
        let seconds = seconds.ok_or_else(|| format!("a timeout has 1 to {MAX_SECONDS} whole seconds (30 days)"))?;
        Ok(Self { timeout, seconds })
    }
}

impl Args {
    /// What is to be done, for messages.
    pub(super) fn intent(&self) -> &'static str {
        if self.is_listing() { "list the timeouts" } else { "set the timeouts" }
    }

    fn is_listing(&self) -> bool {
        self.wanted.is_empty() && !self.reset
    }
}

/// Prints the timeouts, or sets them.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    if let Some(name) = repeated(&args.wanted) {
        return Err(Misuse(format!("{name} is given twice")).into());
    }
    if !args.is_listing() {
        set(args, context)?;
    }
    if args.is_listing() || context.json {
        let maps = Maps::open(&context.pin_dir)?;
        return render::show(context, &Timeouts::new(&maps.settings()?.timeouts));
    }
    Ok(())
}

fn set(args: &Args, context: &Context) -> Result<()> {
    let _lock = context.pin_dir.lock()?;
    let mut maps = Maps::open(&context.pin_dir)?;
    let wanted = changed(&maps.settings()?.timeouts, args);
    let before = timeouts::put(&mut maps, wanted)?;
    for Wanted { timeout, seconds } in &args.wanted {
        if let Some(minimum) = timeout.minimum.filter(|minimum| seconds < minimum) {
            context.warn(&format!("{}={seconds} is below the {minimum} s of {}", timeout.name, timeout.note));
        }
    }
    if context.json {
        return Ok(());
    }
    outcome(&before, &wanted).iter().try_for_each(|line| context.say(line))
}

fn changed(present: &abi::Timeouts, args: &Args) -> abi::Timeouts {
    let mut timeouts = if args.reset { abi::Timeouts::default() } else { *present };
    for Wanted { timeout, seconds } in &args.wanted {
        timeout.set(&mut timeouts, *seconds);
    }
    timeouts
}

fn outcome(before: &abi::Timeouts, after: &abi::Timeouts) -> Vec<String> {
    let values = ALL.iter().map(|timeout| (timeout.name, timeout.seconds(*before), timeout.seconds(*after)));
    let changed = values.filter(|(_, before, after)| before != after);
    let mut lines: Vec<_> =
        changed.map(|(name, before, after)| format!("{name} is {after} s, no longer {before} s")).collect();
    if lines.is_empty() {
        lines.push("the timeouts are so already, nothing changed".to_owned());
    }
    lines
}

fn repeated(wanted: &[Wanted]) -> Option<&'static str> {
    let mut names: Vec<_> = wanted.iter().map(|wanted| wanted.timeout.name).collect();
    names.sort_unstable();
    names.array_windows().find(|[one, next]| one == next).map(|[name, _]| *name)
}

fn unknown(name: &str) -> String {
    let nearest = ALL.iter().min_by_key(|timeout| strsim::damerau_levenshtein(name, timeout.name));
    let nearest = nearest.map(|nearest| format!("; the nearest is {}", nearest.name)).unwrap_or_default();
    let names: Vec<_> = ALL.iter().map(|timeout| timeout.name).collect();
    format!("there is no timeout `{name}`{nearest}; there are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| line.args)
    }

    fn refused(line: &str) -> String {
        parse(line).unwrap_err().to_string()
    }

    #[test]
    fn a_timeout_is_a_known_name_and_possible_seconds() {
        let text = refused("timeouts tcp-establish=60");
        assert!(text.contains("there is no timeout `tcp-establish`; the nearest is tcp-established; there"), "{text}");
        assert!(text.contains("there are tcp-opening, ") && text.contains("fragment"), "{text}");
        for wrong in ["udp=0", "udp=2592001", "udp=1.5", "udp=-3", "udp="] {
            let text = refused(&format!("timeouts {wrong}"));
            assert!(text.contains("a timeout has 1 to 2592000 whole seconds (30 days)"), "{text}");
        }
        assert!(refused("timeouts udp").contains("not NAME=SECONDS, such as udp=180"));
        assert_eq!(repeated(&parse("timeouts udp=1 icmp=2 udp=3").unwrap().wanted), Some("udp"));
    }

    #[test]
    fn setting_changes_what_is_named_and_reset_the_others_too() {
        let present = abi::Timeouts { icmp: 5_000_000_000, udp: 6_000_000_000, ..abi::Timeouts::default() };
        let set = changed(&present, &parse("timeouts udp=7").unwrap());
        assert_eq!((set.udp, set.icmp), (7_000_000_000, 5_000_000_000));
        assert_eq!(outcome(&present, &set), ["udp is 7 s, no longer 6 s"]);
        let reset = changed(&present, &parse("timeouts --reset udp=7").unwrap());
        assert_eq!(reset, abi::Timeouts { udp: 7_000_000_000, ..abi::Timeouts::default() });
        assert_eq!(outcome(&set, &set), ["the timeouts are so already, nothing changed"]);
    }
}
