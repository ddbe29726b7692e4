//! Asking the host and the engine.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use procfs::process::{ProcState, Process, all_processes};
use tokio::{runtime::Builder, time::timeout};

use super::{Configuration, Facts, Proxy, configuration::Switches};
use crate::{
    datapath::{mappings, maps::Maps, pin::PinDir},
    docker::{Description, Engine, State, Update, Watch},
    host::{capabilities, firewall::Firewall},
    mapping::Mapping,
};

const DEFAULT: &str = "/etc/docker/daemon.json";
/// An engine lists what it has within milliseconds, and its own patience is shorter.
const PATIENCE: Duration = Duration::from_secs(15);

/// Looks at the host and asks the engine that `DOCKER_HOST` names.
pub fn gather(pin_dir: &PinDir, daemon_json: Option<&Path>) -> Result<Facts> {
    let here = fs::read_link("/proc/thread-self/ns/net").ok();
    let processes: Vec<_> = all_processes().context("cannot list the processes")?.flatten().collect();
    let named = |name: &str| -> Vec<&Process> {
        processes.iter().filter(|process| is_here(process, here.as_deref()) && is_called(process, name)).collect()
    };
    let engines = named("dockerd");
    let arguments = engines.first().and_then(|engine| engine.cmdline().ok()).unwrap_or_default();
    let (engine, state) = match ask() {
        Ok((engine, state)) => (Ok(engine), state),
        Err(error) => (Err(format!("{error:#}")), State::default()),
    };
    let published = state
        .containers
        .values()
        .flat_map(|container| container.mappings.iter().map(|mapping| (container.name.clone(), *mapping)));
    Ok(Facts {
        configuration: configuration(daemon_json, &arguments),
        runs: !engines.is_empty(),
        engine: Some(engine),
        proxies: named("docker-proxy").into_iter().map(proxy).collect(),
        firewall: Firewall::read(),
        published: published.collect(),
        mapped: mapped(pin_dir)?,
    })
}

/// Whether a process is in this network namespace, as far as that can be seen.
fn is_here(process: &Process, here: Option<&Path>) -> bool {
    let there = fs::read_link(format!("/proc/{}/ns/net", process.pid)).ok();
    there.is_none() || there.as_deref() == here
}

/// A process that has ended and that nobody has waited for carries nothing.
fn is_called(process: &Process, name: &str) -> bool {
    process.stat().is_ok_and(|stat| stat.comm == name && stat.state().is_ok_and(|state| state != ProcState::Zombie))
}

fn configuration(chosen: Option<&Path>, arguments: &[String]) -> Configuration {
    let path = chosen.map(Path::to_owned).or_else(|| option(arguments, "--config-file").map(PathBuf::from));
    let path = path.unwrap_or_else(|| DEFAULT.into());
    let command_line = Switches::of_arguments(arguments);
    let read = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Switches::default()),
        text => text.map_err(Into::into).and_then(|text| Switches::of_file(&text)),
    };
    match read {
        Ok(file) => Configuration { path, failure: None, file, command_line },
        Err(error) => {
            let failure = Some(format!("cannot read {}: {error:#}", path.display()));
            Configuration { path, failure, command_line, ..Configuration::default() }
        }
    }
}

/// The value of `--name VALUE` or `--name=VALUE`.
fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix(name) {
            Some("") => return arguments.next().map(String::as_str),
            Some(rest) if rest.starts_with('=') => return rest.get(1..),
            _ => {}
        }
    }
    None
}

fn proxy(process: &Process) -> Proxy {
    let arguments = process.cmdline().unwrap_or_default();
    let given = |name| option(&arguments, name).unwrap_or("?");
    Proxy { pid: process.pid, port: format!("{}/{}", given("-host-port"), given("-proto")) }
}

fn mapped(pin_dir: &PinDir) -> Result<Option<Vec<Mapping>>> {
    if !capabilities::missing()?.is_empty() {
        return Ok(None);
    }
    let Some(maps) = Maps::open_if_attached(pin_dir)? else { return Ok(None) };
    Ok(Some(mappings::list(&maps)?.into_iter().map(|one| one.mapping).collect()))
}

/// What the engine is and has, as of now.
fn ask() -> Result<(Description, State)> {
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let engine = Engine::of_environment()?;
        let description = engine.describe().await?;
        let mut watch = Watch::start(engine);
        let update = timeout(PATIENCE, watch.next()).await.context("the engine does not say what it has")?;
        match update {
            Update::Changed(state) => Ok((description, state)),
            Update::Lost(reason) => Err(anyhow::anyhow!(reason)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn options_of_programs_are_found_in_both_forms() {
        let proxy = words("docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080");
        assert_eq!((option(&proxy, "-host-port"), option(&proxy, "-proto")), (Some("8080"), Some("tcp")));
        assert_eq!(option(&words("dockerd --config-file=/a --debug"), "--config-file"), Some("/a"));
        assert_eq!(option(&words("dockerd --config-file-x /a"), "--config-file"), None);
    }

    #[test]
    fn the_running_engines_file_is_read_unless_another_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "{\"userland-proxy\": false}").unwrap();
        let arguments = words(&format!("dockerd --config-file {}", file.path().display()));
        assert!(!configuration(None, &arguments).has_proxies());
        let missing = configuration(Some(Path::new("/nowhere")), &arguments);
        assert!(missing.has_proxies() && missing.failure.is_none());
        fs::write(file.path(), "{").unwrap();
        assert!(configuration(None, &arguments).failure.unwrap().contains("the engine does not start with it"));
    }
}
