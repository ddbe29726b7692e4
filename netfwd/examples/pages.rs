//! Writes the manual pages and the shells' completions, made of the command line's types, into a directory:
//! `cargo run --package netfwd --example pages -- DIRECTORY`. `cargo xtask dist` packs them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use netfwd::cli::Cli;

/// System administration (man(1)).
const SECTION: &str = "8";
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

fn main() -> Result<()> {
    let directory: PathBuf = env::args_os().nth(1).context("give the directory to write to")?.into();
    let (pages, completions) = (directory.join("man"), directory.join("completions"));
    for directory in [&pages, &completions] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let mut command = Cli::command();
    command.build();
    write_pages(&command, &pages)?;
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut Cli::command(), "netfwd", &completions)
            .with_context(|| format!("cannot write the completions for {shell}"))?;
    }
    Ok(())
}

/// One for the command and one for each verb, and each verb of a verb.
fn write_pages(command: &Command, directory: &Path) -> Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write_pages(verb, directory)?;
    }
    let page = Man::new(command.clone())
        .section(SECTION)
        .source(concat!("netfwd ", env!("CARGO_PKG_VERSION")))
        .manual("netfwd");
    page.generate_to(directory).with_context(|| format!("cannot write the page of {}", command.get_name()))?;
    Ok(())
}
