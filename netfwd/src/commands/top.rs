//! `netfwd top`.

use std::time::Duration;

use anyhow::Result;

use super::flows::interval;
use crate::{cli::Misuse, context::Context, top};

/// Show what goes through the NAT just now
///
/// Mappings and flows by what goes through them in a second, drops by reason, and the throughput of all uplinks, in a
/// terminal of any size. `?` shows the keys: to choose a pane, to sort, to filter, to end a flow. Colours are left out
/// if `NO_COLOR` is set.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Seconds from one look to the next
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,

    /// Print one frame as text, of one interval, and end
    ///
    /// `COLUMNS` and `LINES` say how large it is.
    #[arg(long)]
    once: bool,
}

/// Shows it.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    if context.json {
        let hint = "top prints no JSON: `netfwd list`, `flows` and `stats` have its numbers, and take --json";
        return Err(Misuse(hint.to_owned()).into());
    }
    if args.once {
        return context.say(&top::once(&context.pin_dir, args.interval)?);
    }
    top::run(&context.pin_dir, args.interval)
}
