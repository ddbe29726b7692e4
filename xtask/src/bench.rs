//! `cargo xtask bench`: builds what is compared and what compares it, and runs it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::setup::{self, Scope};
use crate::{task, workspace};

const DOCKER_PROXY: &str = "docker-proxy";
/// Where distributions put it.
const DOCKER_DIRECTORIES: [&str; 4] = ["usr/libexec/docker", "usr/sbin", "usr/bin", "usr/lib/docker"];
/// Names where `cargo xtask setup` unpacks an engine.
const UNPACKED: &str = "NETFWD_DOCKER";

/// Compare netfwd with its peers in speed, in network namespaces
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Options of the benchmark: --help lists them
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Sets up, builds, and runs the benchmark with its options.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(workspace::is_root(), "the benchmark makes network namespaces and loads BPF programs: run it as root");
    setup::ensure(Scope::Bench)?;
    let target = workspace::target_directory()?;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--package", "netfwd", "--package", "bench"]);
    task::run_quietly("Building netfwd and the benchmark", cargo)?;
    let release = target.join("release");
    let mut bench = Command::new(release.join("bench"));
    bench.current_dir(workspace::root()).args(&args.options).env("NETFWD", release.join("netfwd"));
    match docker_proxy() {
        Some(path) => drop(bench.env("DOCKER_PROXY", path)),
        None => task::complain("warning: docker-proxy is left out: there is none, and no engine in `target`"),
    }
    task::run(&mut bench)
}

/// The docker-proxy of the engine that is measured too: an unpacked one goes before the machine's.
fn docker_proxy() -> Option<PathBuf> {
    let roots = [env::var_os(UNPACKED), Some("/".into())].into_iter().flatten().map(PathBuf::from);
    let mut places = roots.flat_map(|root| DOCKER_DIRECTORIES.map(|directory| root.join(directory).join(DOCKER_PROXY)));
    places.find(|path| path.is_file())
}
