//! What every verb is given, and how it speaks.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{datapath::pin::PinDir, persist::Store};

/// The global options.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where the kernel part is pinned.
    pub pin_dir: PinDir,
    /// Mappings that are kept across reboots.
    pub store: Store,
    /// Whether listings are JSON.
    pub json: bool,
    /// Whether to say more.
    pub verbose: bool,
}

impl Context {
    /// Prints a text on standard output, with a line break at its end.
    pub fn say(&self, text: &str) -> Result<()> {
        let text = text.trim_end_matches('\n');
        writeln!(io::stdout().lock(), "{text}").context("cannot write to standard output")
    }

    /// Prints a text on standard output if more is to be said.
    pub fn say_more(&self, text: &str) -> Result<()> {
        if self.verbose { self.say(text) } else { Ok(()) }
    }

    /// Prints a value as JSON on standard output.
    pub fn say_json(&self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).context("cannot write the listing as JSON")?;
        self.say(&text)
    }

    /// Prints on standard error what could not be done.
    pub fn complain(&self, text: &str) {
        // Without a standard error there is nobody to tell.
        writeln!(io::stderr().lock(), "netfwd: {text}").ok();
    }

    /// Prints a warning on standard error.
    pub fn warn(&self, text: &str) {
        // Without a standard error there is nobody to warn.
        writeln!(io::stderr().lock(), "netfwd: warning: {text}").ok();
    }
}
