//! A lab with two mappings, and traffic through both and out.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::{Lab, Process, Topology, WebServer};
use tempfile::TempDir;

/// As wide as the text of a page.
const SIZE: [(&str, &str); 2] = [("COLUMNS", "120"), ("LINES", "32")];
const DEADLINE: Duration = Duration::from_secs(20);
/// Until there is something to show.
const BEGINNING: Duration = Duration::from_secs(3);
const BIG: usize = 20_000_000;

pub(super) struct Stage {
    _traffic: Vec<Process>,
    _servers: [WebServer; 2],
    _site: TempDir,
    lab: Lab,
}

impl Stage {
    pub(super) fn new(netfwd: &Path) -> Result<Self> {
        let lab = Lab::new(&Topology::default())?.with_netfwd(netfwd);
        lab.netfwd(&["attach", "ens33"])?;
        lab.netfwd(&["map", "8080:172.17.0.2:80", "8081:172.17.0.3:80"])?;
        let site = tempfile::tempdir().context("cannot make a directory for the web servers")?;
        for (name, size) in [("big", BIG), ("index.html", 100)] {
            std::fs::write(site.path().join(name), vec![b'x'; size]).context("cannot write a page")?;
        }
        let serve = |container: usize| WebServer::start(&lab.containers()[container], 80, site.path());
        let servers = [serve(0)?, serve(1)?];
        let again = |command: &str| ["sh".to_owned(), "-c".to_owned(), format!("while :; do {command}; done")];
        let download = again("curl -s --noproxy '*' --limit-rate 2M -o /dev/null http://192.168.137.104:8080/big");
        let ask = again("curl -s --noproxy '*' -o /dev/null http://192.168.137.104:8081/; sleep 0.2");
        let start = |words: &[String]| lab.client().spawn(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let ping = lab.containers()[1].spawn(&["ping", "-q", "-i", "0.2", "192.168.137.1"])?;
        let traffic = vec![start(&download)?, start(&ask)?, ping];
        thread::sleep(BEGINNING);
        Ok(Self { _traffic: traffic, _servers: servers, _site: site, lab })
    }

    /// What a command of netfwd prints.
    pub(super) fn show(&self, arguments: &[&str]) -> Result<String> {
        let output = self.lab.spawn_netfwd_with(arguments, &SIZE)?.succeed(DEADLINE)?;
        Ok(output.stdout)
    }
}
