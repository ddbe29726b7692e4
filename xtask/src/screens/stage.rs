//! A lab with two mappings, and traffic through both and out.

use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, Result};
use lab::{IperfServer, Lab, Process, Topology, WebServer};
use tempfile::TempDir;

/// As wide as the text of a page.
const SIZE: [(&str, &str); 2] = [("COLUMNS", "120"), ("LINES", "32")];
/// The name of a configuration file that says something else than what is running.
pub(super) const CONFIGURATION: &str = "netfwd.toml";
const WANTED: &str = r#"
mappings = ["8443:172.17.0.3:443", "53:172.17.0.2:53/tcp+udp"]

[timeouts]
udp = 180

[[uplink]]
interface = "ens33"
bridges = ["docker0"]
isolate = true
"#;
const DEADLINE: Duration = Duration::from_secs(20);
/// Until there is something to show.
const BEGINNING: Duration = Duration::from_secs(3);

pub(super) struct Stage {
    _traffic: Vec<Process>,
    _servers: (IperfServer, WebServer),
    directory: TempDir,
    lab: Lab,
}

impl Stage {
    pub(super) fn new(netfwd: &Path) -> Result<Self> {
        let lab = Lab::new(&Topology::default())?.with_netfwd(netfwd);
        lab.netfwd(&["attach", "ens33"])?;
        lab.netfwd(&["map", "5201:172.17.0.2:5201", "8080:172.17.0.3:80"])?;
        let site = tempfile::tempdir().context("cannot make a directory for the web server")?;
        fs::write(site.path().join("index.html"), [b'x'; 500]).context("cannot write a page")?;
        fs::write(site.path().join(CONFIGURATION), WANTED).context("cannot write a configuration")?;
        let [c1, c2] = [0, 1].map(|container| &lab.containers()[container]);
        let servers = (IperfServer::start(c1, 5201)?, WebServer::start(c2, 80, site.path())?);
        let download = "iperf3 --client 192.168.137.104 --bitrate 20M --time 300 --reverse";
        let ask = "while :; do curl -s --noproxy '*' -o /dev/null http://192.168.137.104:8080/; sleep 0.5; done";
        let start = |script| lab.client().spawn(&["sh", "-c", script]);
        let ping = c2.spawn(&["ping", "-q", "-i", "0.2", "192.168.137.1"])?;
        let traffic = vec![start(download)?, start(ask)?, ping];
        thread::sleep(BEGINNING);
        Ok(Self { _traffic: traffic, _servers: servers, directory: site, lab })
    }

    /// What a command of netfwd prints.
    pub(super) fn show(&self, arguments: &[&str]) -> Result<String> {
        let file = self.directory.path().join(CONFIGURATION).display().to_string();
        let place = |argument: &&str| if *argument == CONFIGURATION { file.clone() } else { (*argument).to_owned() };
        let arguments: Vec<String> = arguments.iter().map(place).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = self.lab.spawn_netfwd_with(&arguments, &SIZE)?.succeed(DEADLINE)?;
        Ok(output.stdout)
    }
}
