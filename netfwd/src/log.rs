//! Where a process that stays says what happens: sentences by hand, with their fields for machines.

mod plain;

use std::{env, io, str::FromStr as _};

use anyhow::{Context as _, Result};
use nix::sys::stat::fstat;
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use plain::Plain;

/// Under which all fields of netfwd are in the journal: `NETFWD_UPLINK` …
const JOURNAL_PREFIX: &str = "NETFWD";

/// How it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Sentences: on standard output, warnings and failures on standard error
    Plain,
    /// Lines with time, level and fields, on standard error
    Text,
    /// JSON, an object a line, on standard error
    Json,
    /// Entries of the systemd journal, with fields
    Journal,
}

/// How, and how much of it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How to log; unless given, to the journal if standard error goes there, else plain
    #[arg(long = "log-format", value_name = "FORMAT")]
    format: Option<Format>,

    /// What to log: error, warn, info, debug or trace, also by part (netfwd=debug,hyper=warn)
    #[arg(long = "log-level", value_name = "LEVEL", default_value = "info", value_parser = levels)]
    #[arg(env = "RUST_LOG", hide_env_values = true)]
    levels: Targets,
}

/// Begins to log. It is done once, by a process that stays.
pub fn start(options: &Options) -> Result<()> {
    let format = options.format.unwrap_or_else(|| if is_journal() { Format::Journal } else { Format::Plain });
    let registry = Registry::default().with(layer(format)?).with(options.levels.clone());
    registry.try_init().context("cannot begin to log")
}

fn layer(format: Format) -> Result<Box<dyn Layer<Registry> + Send + Sync>> {
    // Where nobody reads what is logged any more, the work goes on.
    let lines = fmt::layer().with_ansi(false).log_internal_errors(false);
    Ok(match format {
        Format::Plain => lines.event_format(Plain).with_writer(plain::writer()).boxed(),
        Format::Text => lines.with_target(false).with_writer(io::stderr).boxed(),
        Format::Json => lines.json().flatten_event(true).with_target(false).with_writer(io::stderr).boxed(),
        Format::Journal => {
            let journal = tracing_journald::layer().context("cannot log to the journal: use another --log-format")?;
            let journal = journal.with_syslog_identifier("netfwd".to_owned());
            journal.with_field_prefix(Some(JOURNAL_PREFIX.to_owned())).boxed()
        }
    })
}

/// Whether standard error goes to the journal: systemd.exec(5), `$JOURNAL_STREAM`.
fn is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    fstat(io::stderr()).is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino))
}

/// As for `RUST_LOG`, but that a word which is no level is no part's name either.
fn levels(text: &str) -> Result<Targets, String> {
    // A variable that is set to nothing.
    if text.is_empty() {
        return Ok(Targets::new().with_default(LevelFilter::INFO));
    }
    let is_wrong = |part: &&str| !part.contains('=') && LevelFilter::from_str(part).is_err();
    match text.split(',').map(str::trim).find(is_wrong) {
        None => Targets::from_str(text).map_err(|error| error.to_string()),
        Some(word) => Err(format!("`{word}` is neither a level (error, warn, info, debug, trace, off) nor PART=LEVEL")),
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_are_words_and_parts_with_words() {
        let levels = |text: &str| levels(text).unwrap();
        assert!(!levels("warn").would_enable("netfwd", &Level::INFO));
        assert!(levels("info").would_enable("netfwd", &Level::INFO));
        let mixed = levels("warn,netfwd=debug");
        assert!(mixed.would_enable("netfwd::agent", &Level::DEBUG) && !mixed.would_enable("hyper", &Level::INFO));
        assert!(levels("").would_enable("netfwd", &Level::INFO));
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        let message = "`loud` is neither a level (error, warn, info, debug, trace, off) nor PART=LEVEL";
        assert_eq!(levels("loud").unwrap_err(), message);
        assert!(levels("netfwd=loud").is_err());
    }
}
