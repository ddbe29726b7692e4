//! The command line: global options, and what becomes of an error.

use std::{
    error::Error as Cause,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Error;
use clap::{
    Parser,
    builder::styling::{AnsiColor, Styles},
};

use crate::{
    commands::Command,
    config::Invalid,
    context::Context,
    datapath::pin::{self, PinDir},
    host::kernel::Unsupported,
    persist::{self, Store},
};

/// Arguments that are possible one by one, and not together: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

/// Something is wrong, and has been said: exit code 1.
#[derive(Debug, thiserror::Error)]
#[error("there are problems")]
pub struct Told;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNSUPPORTED: u8 = 3;

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 this host cannot run netfwd";

const GLOBAL: &str = "Global options";
const STYLES: Styles = Styles::styled().header(AnsiColor::Green.on_default().bold());

/// NAT and port forwarding for Docker hosts, in eBPF
///
/// The translation happens in the kernel and goes on when no netfwd process runs.
///
/// Example: `netfwd attach eth0`, then `netfwd map 8080:172.17.0.2:80`
#[derive(Debug, Parser)]
#[command(name = "netfwd", version, arg_required_else_help = true, after_help = EXIT_CODES, styles = STYLES)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// Print listings as JSON
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,

    /// Where maps, programs and links are pinned
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR", default_value = pin::DEFAULT)]
    #[arg(env = "NETFWD_PIN_DIR", hide_env_values = true)]
    pin_dir: PathBuf,

    /// Where mappings are kept across reboots
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "DIR", default_value = persist::DEFAULT)]
    #[arg(env = "NETFWD_STATE_DIR", hide_env_values = true)]
    state_dir: PathBuf,

    /// Say more: also what stays as it is
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    verbose: bool,

    #[command(subcommand)]
    command: Command,
}

/// Does what the process's arguments say.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => explain(&error),
    }
}

impl Cli {
    fn run(self) -> ExitCode {
        let Self { json, pin_dir, state_dir, verbose, command } = self;
        let context = Context { pin_dir: PinDir::new(pin_dir), store: Store::new(&state_dir), json, verbose };
        match command.run(&context) {
            Ok(()) => ExitCode::SUCCESS,
            // Whoever reads the output has seen enough.
            Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
            Err(error) if error.is::<Told>() => ExitCode::from(FAILED),
            Err(error) => {
                // Without a standard error there is nobody to tell.
                writeln!(io::stderr().lock(), "netfwd: {}{}", one_line(&error), excerpt(&error)).ok();
                ExitCode::from(code(&error))
            }
        }
    }
}

fn explain(error: &clap::Error) -> ExitCode {
    // Without a standard error there is nobody to tell.
    error.print().ok();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

fn code(error: &Error) -> u8 {
    let is_any = |is: fn(&(dyn Cause + 'static)) -> bool| error.chain().any(is);
    match () {
        () if is_any(<dyn Cause>::is::<Unsupported>) => UNSUPPORTED,
        () if is_any(<dyn Cause>::is::<Misuse>) || is_any(<dyn Cause>::is::<Invalid>) => USAGE,
        () => FAILED,
    }
}

/// The lines of a file that are wrong, if that is the reason.
fn excerpt(error: &Error) -> String {
    let invalid = error.chain().find_map(|cause| cause.downcast_ref::<Invalid>());
    invalid.map(|invalid| format!("\n{}", invalid.excerpt())).unwrap_or_default()
}

fn is_broken_pipe(error: &Error) -> bool {
    let is_broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_broken))
}

/// The error with its causes. Some causes repeat their own cause in their text, which is then left out.
pub(crate) fn one_line(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let error = anyhow!("no such\nfile").context("cannot open x: no such\nfile").context("cannot attach");
        assert_eq!(one_line(&error), "cannot attach: cannot open x: no such file");
    }

    #[test]
    fn an_unsupported_host_has_its_own_exit_code() {
        let error = Error::new(Unsupported::NoBtf("6.1".to_owned())).context("cannot attach");
        assert_eq!((code(&error), code(&anyhow!("other"))), (UNSUPPORTED, FAILED));
        assert_eq!(code(&Error::new(Misuse("both".to_owned())).context("cannot attach")), USAGE);
    }

    #[test]
    fn a_broken_pipe_is_found_below_its_context() {
        let error = Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot write");
        assert!(is_broken_pipe(&error));
        assert!(!is_broken_pipe(&anyhow!("other")));
    }
}
