//! `cargo xtask bench`: builds what is compared and what compares it, and runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::setup::{self, Scope};
use crate::{task, workspace};

const DOCKER_PROXY: &str = "docker-proxy";
/// Where distributions put it.
const DOCKER_DIRECTORIES: [&str; 4] = ["/usr/libexec/docker", "/usr/sbin", "/usr/bin", "/usr/lib/docker"];
/// Debian's package that has it. Installing it would start a Docker Engine, with its rules.
const PACKAGE: &str = "docker.io";

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
    match docker_proxy(&target.join("bench")) {
        Ok(path) => {
            bench.env("DOCKER_PROXY", path);
        }
        Err(error) => task::complain(format_args!("warning: docker-proxy is left out: {error:#}")),
    }
    task::run(&mut bench)
}

/// The machine's docker-proxy, or else the one of Debian's package, without installing the package.
fn docker_proxy(directory: &Path) -> Result<PathBuf> {
    let installed = DOCKER_DIRECTORIES.map(|directory| Path::new(directory).join(DOCKER_PROXY));
    let unpacked = directory.join(DOCKER_PROXY);
    if let Some(found) = installed.into_iter().chain([unpacked.clone()]).find(|path| path.is_file()) {
        return Ok(found);
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let place = tempfile::tempdir().context("cannot make a directory for the package")?;
    let mut download = Command::new("apt-get");
    download.current_dir(place.path()).args(["download", PACKAGE]);
    task::run_quietly("Fetching docker-proxy", download)?;
    let package = fs::read_dir(place.path())?.next().context("apt-get downloaded nothing")??.path();
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--extract").args([&package, &place.path().join("files")]);
    task::run(&mut unpack)?;
    let files = place.path().join("files");
    let mut found = walkdir::WalkDir::new(&files).into_iter().flatten().filter(|it| it.file_name() == DOCKER_PROXY);
    let found = found.next().with_context(|| format!("{PACKAGE} has no {DOCKER_PROXY}"))?;
    fs::copy(found.path(), &unpacked).with_context(|| format!("cannot write {}", unpacked.display()))?;
    Ok(unpacked)
}
