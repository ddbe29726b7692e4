//! A web server with an access log, and curl.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::netns::Netns;
use crate::process::Process;

const START: Duration = Duration::from_secs(10);

/// A web server that logs who asked.
#[derive(Debug)]
pub struct WebServer {
    process: Process,
}

impl WebServer {
    /// Serves the files of `directory` on `port`; returns once it listens.
    pub fn start(netns: &Netns, port: u16, directory: &Path) -> Result<Self> {
        let directory = directory.to_str().context("the directory's name is not text")?;
        let address = format!("0.0.0.0:{port}");
        let process = netns.spawn(&["busybox", "httpd", "-f", "-vv", "-p", &address, "-h", directory])?;
        netns.wait_for_listener(port, START)?;
        Ok(Self { process })
    }

    /// Its log: one line and more for each request, beginning with the asking address and port.
    pub fn log(&self) -> Result<Vec<String>> {
        Ok(self.process.stderr()?.lines().map(str::to_owned).collect())
    }

    /// The addresses that asked, one for each request, oldest first.
    pub fn askers(&self) -> Result<Vec<IpAddr>> {
        Ok(self.log()?.iter().filter_map(|line| asker(line)).collect())
    }

    /// Lets it live on without its handle, as long as its namespace.
    pub fn keep(self) {
        self.process.keep();
    }
}

/// Fetches `url` with curl and the `extra` options, and returns the body.
pub fn curl(netns: &Netns, url: &str, extra: &[&str]) -> Result<String> {
    let mut words = vec!["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--connect-timeout", "5"];
    words.extend(extra);
    words.push(url);
    Ok(netns.run(&words)?.stdout)
}

fn asker(line: &str) -> Option<IpAddr> {
    let (address, rest) = line.split_once(": ")?;
    let socket: SocketAddr = address.parse().ok()?;
    rest.starts_with("url:").then(|| socket.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_from_the_rest_of_the_log() {
        assert_eq!(asker("192.168.137.1:39444: url:/index.html"), Some(IpAddr::from([192, 168, 137, 1])));
        assert_eq!(asker("192.168.137.1:39444: response:200"), None);
        assert_eq!(asker("httpd: bind: Address already in use"), None);
    }
}
