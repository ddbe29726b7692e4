//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::workload::Workload;

const ROUNDS: usize = 5;
const QUICK_ROUNDS: usize = 2;
const WINDOW: f64 = 1.0;
const QUICK_WINDOW: f64 = 0.25;

/// Compare netfwd with its peers, in network namespaces on this machine
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
pub(crate) struct Args {
    /// Measure less, and end in under 3 minutes
    #[arg(long)]
    pub(crate) quick: bool,

    /// Only this workload; may be repeated
    #[arg(long = "only", value_name = "WORKLOAD", value_enum)]
    pub(crate) only: Vec<Workload>,

    /// Only subjects whose name contains this; may be repeated
    #[arg(long = "subject", value_name = "TEXT")]
    pub(crate) subjects: Vec<String>,

    /// Compare netfwd attached with these options too, such as "--xdp native"; may be repeated
    #[arg(long = "variant", value_name = "OPTIONS", allow_hyphen_values = true)]
    pub(crate) variants: Vec<String>,

    /// Times that each subject is measured [default: 5, quick 2]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,

    /// How long one measurement takes, in seconds [default: 1, quick 0.25]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    window: Option<Duration>,

    /// Write docs/benchmarks.md and its plots also after a partial run
    #[arg(long)]
    pub(crate) docs: bool,

    /// Where figures and plots are written
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(crate) output: PathBuf,

    /// The netfwd to measure
    #[arg(long, value_name = "PATH", env = "NETFWD", default_value = "netfwd")]
    pub(crate) netfwd: PathBuf,

    /// The docker-proxy to compare with
    #[arg(long, value_name = "PATH", env = "DOCKER_PROXY")]
    pub(crate) docker_proxy: Option<PathBuf>,
}

impl Args {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.map_or(if self.quick { QUICK_ROUNDS } else { ROUNDS }, usize::from)
    }

    pub(crate) fn window(&self) -> Duration {
        self.window.unwrap_or(Duration::from_secs_f64(if self.quick { QUICK_WINDOW } else { WINDOW }))
    }

    /// Whether everything is measured, as for the documentation.
    pub(crate) fn is_full(&self) -> bool {
        !self.quick && self.only.is_empty() && self.subjects.is_empty()
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().filter(|seconds| (0.05..=60.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or("not a number of seconds from 0.05 to 60")
}
