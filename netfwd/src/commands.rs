//! The verbs: one file each, with its arguments and `run`.

pub mod apply;
pub mod attach;
pub mod check;
pub mod detach;
pub mod docker;
pub mod explain;
pub mod export;
pub mod flows;
pub mod list;
pub mod map;
pub mod run;
pub mod stats;
pub mod status;
pub mod timeouts;
pub mod top;
pub mod trace;
pub mod unmap;

use anyhow::{Context as _, Result};
use clap::Subcommand;

use crate::{context::Context, host::capabilities};

/// A verb with its arguments; what each does is documented there, for `--help` too.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Attach(attach::Args),
    Detach(detach::Args),
    Map(map::Args),
    Unmap(unmap::Args),
    List(list::Args),
    Flows(Box<flows::Args>),
    Top(top::Args),
    Stats(stats::Args),
    Status(status::Args),
    Explain(explain::Args),
    Trace(trace::Args),
    Timeouts(timeouts::Args),
    Run(run::Args),
    Apply(apply::Args),
    Export(export::Args),
    Check(check::Args),
    Docker(docker::Args),
}

impl Command {
    /// Runs it. A failure tells what could not be done.
    pub(crate) fn run(&self, context: &Context) -> Result<()> {
        self.try_run(context).with_context(|| format!("cannot {}", self.intent()))
    }

    fn try_run(&self, context: &Context) -> Result<()> {
        if let Self::Attach(_) = self {
            crate::host::kernel::check()?;
        }
        // These say what is missing, and a file can be wrong for everybody.
        if !matches!(self, Self::Apply(_) | Self::Check(_) | Self::Docker(_)) {
            capabilities::check()?;
        }
        match self {
            Self::Attach(args) => attach::run(args, context),
            Self::Detach(args) => detach::run(args, context),
            Self::Map(args) => map::run(args, context),
            Self::Unmap(args) => unmap::run(args, context),
            Self::List(args) => list::run(args, context),
            Self::Flows(args) => flows::run(args, context),
            Self::Top(args) => top::run(args, context),
            Self::Stats(args) => stats::run(args, context),
            Self::Status(args) => status::run(args, context),
            Self::Explain(args) => explain::run(args, context),
            Self::Trace(args) => trace::run(args, context),
            Self::Timeouts(args) => timeouts::run(args, context),
            Self::Run(args) => run::run(args, context),
            Self::Apply(args) => apply::run(args, context),
            Self::Export(args) => export::run(args, context),
            Self::Check(args) => check::run(args, context),
            Self::Docker(args) => docker::run(args, context),
        }
    }

    fn intent(&self) -> String {
        match self {
            Self::Attach(args) => format!("attach to {}", args.interface),
            Self::Detach(_) => "detach".to_owned(),
            Self::Map(_) => "map".to_owned(),
            Self::Unmap(_) => "unmap".to_owned(),
            Self::List(_) => "list the mappings".to_owned(),
            Self::Flows(args) => args.intent().to_owned(),
            Self::Top(_) => "show what goes on".to_owned(),
            Self::Stats(_) => "show the counters".to_owned(),
            Self::Status(_) => "show the status".to_owned(),
            Self::Explain(args) => args.intent(),
            Self::Trace(_) => "trace packets".to_owned(),
            Self::Timeouts(args) => args.intent().to_owned(),
            Self::Run(_) => "follow the host's addresses".to_owned(),
            Self::Apply(args) => format!("apply {}", args.file.display()),
            Self::Export(_) => "export the configuration".to_owned(),
            Self::Check(_) => "check this host".to_owned(),
            Self::Docker(_) => "check this host's Docker".to_owned(),
        }
    }
}
