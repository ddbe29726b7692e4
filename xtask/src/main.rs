//! Development tasks of netfwd. `cargo xtask` alone lists them.

mod bench;
mod budget;
mod ci;
mod demo;
mod dist;
mod screens;
mod setup;
mod task;
mod test;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory as _, Parser, Subcommand};

/// Set up, show, test, check and pack netfwd.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    Setup(setup::Args),
    Demo(demo::Args),
    Screens(screens::Args),
    Test(test::Args),
    Vm(vm::Args),
    Ci(ci::Args),
    Budget(budget::Args),
    Bench(bench::Args),
    Dist(dist::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    workspace::complete_search_path();
    match run(cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            task::complain(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Option<Verb>) -> Result<()> {
    match verb {
        None => Ok(Cli::command().print_help()?),
        Some(Verb::Setup(args)) => setup::run(&args),
        Some(Verb::Demo(args)) => demo::run(&args),
        Some(Verb::Screens(args)) => screens::run(&args),
        Some(Verb::Test(args)) => test::run(&args),
        Some(Verb::Vm(args)) => vm::run(&args),
        Some(Verb::Ci(args)) => ci::run(&args),
        Some(Verb::Budget(args)) => budget::run(&args),
        Some(Verb::Bench(args)) => bench::run(&args),
        Some(Verb::Dist(args)) => dist::run(&args),
    }
}
