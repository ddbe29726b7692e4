//! A Docker Engine for tests and benchmarks: Debian's packages, unpacked. Installing them would start an engine, with
//! its rules.

use std::path::Path;

use anyhow::Result;

use super::unpacked::{self, unpack};

/// The engine, what it runs, and the libraries that a small system may lack.
const PACKAGES: [&str; 5] = ["docker.io", "containerd", "runc", "libseccomp2", "libdevmapper1.02.1"];
/// The command line, where `docker.io` has it no more (since Debian 13).
const COMMAND_LINE: &str = "docker-cli";
const DOCKER: &str = "usr/bin/docker";

/// Why there is no engine, if it is so.
pub(super) fn obstacle() -> Option<String> {
    // cargo sets NETFWD_DOCKER for what it runs: see `.cargo/config.toml`.
    lab::DockerEngine::obstacle()
}

/// Unpacks an engine to where `lab` looks for it.
pub(super) fn bring() -> Result<()> {
    unpacked::bring("docker", |directory: &Path| {
        unpack(&PACKAGES, directory)?;
        if directory.join(DOCKER).is_file() { Ok(()) } else { unpack(&[COMMAND_LINE], directory) }
    })
}
