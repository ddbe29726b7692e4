//! `cargo xtask demo`: shows netfwd's main job on a lab of network namespaces, and checks all that it shows.

mod inbound;
mod outbound;
mod stage;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use crate::setup::{self, Scope};
use crate::{task, workspace};
use stage::Stage;

/// Show netfwd at work in a lab of network namespaces.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave the lab when the demo is over, and say how to enter it
    #[arg(long)]
    keep: bool,
}

/// Sets up, builds, plays both experiments in a lab, and removes the lab.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(workspace::is_root(), "the demo makes network namespaces and loads BPF programs: run it as root");
    setup::ensure(Scope::Demo)?;
    let netfwd = build()?;
    let mut stage = Stage::new(&netfwd)?;
    let played = play(&mut stage);
    let (passed, failed) = stage.checks();
    if args.keep {
        stage.leave(&netfwd);
    } else {
        drop(stage);
        task::say("\nThe lab is removed.");
    }
    played?;
    if failed > 0 {
        bail!("{failed} of the demo's {} checks failed: see ✗ above", passed + failed);
    }
    task::say(format_args!("All {passed} checks passed."));
    Ok(())
}

fn build() -> Result<PathBuf> {
    task::headline("Build");
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--package", "netfwd"]);
    task::run_quietly("Building netfwd", cargo)?;
    Ok(workspace::target_directory()?.join("release/netfwd"))
}

fn play(stage: &mut Stage) -> Result<()> {
    stage.introduce();
    task::headline("netfwd takes over the host's NAT");
    let (uplink, mapping) = (stage.uplink().name.clone(), stage.mapping());
    stage.netfwd(&["attach", &uplink])?;
    stage.netfwd(&["map", &mapping])?;
    outbound::show(stage)?;
    inbound::show(stage)?;
    task::headline("What netfwd has to say");
    for verb in ["list", "flows", "stats"] {
        stage.netfwd(&[verb])?;
    }
    Ok(())
}
