//! Where things are: the workspace, its toolchain, cargo and the host's programs.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::semver::Version;
use cargo_metadata::{Message, MetadataCommand};

/// The target of the binaries that run in a VM.
pub(crate) const GUEST_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Whether this is CI, where nothing may be left out.
pub(crate) fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| value == "true")
}

/// The root directory of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// Cargo's target directory, which may be outside the workspace.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec()?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// The version of netfwd.
pub(crate) fn version() -> Result<Version> {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec()?;
    let package = metadata.packages.into_iter().find(|package| package.name.as_str() == "netfwd");
    Ok(package.context("the workspace has no package netfwd")?.version)
}

/// The toolchain that `rust-toolchain.toml` pins.
pub(crate) fn toolchain() -> Result<String> {
    let path = root().join("rust-toolchain.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: toml::Table = text.parse().with_context(|| format!("cannot parse {}", path.display()))?;
    let channel = file.get("toolchain").and_then(|table| table.get("channel")?.as_str());
    Ok(channel.with_context(|| format!("{} names no toolchain.channel", path.display()))?.to_owned())
}

/// The cargo that runs this program, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Builds static binaries for a guest with a cargo command, and returns them by name.
pub(crate) fn build_static(target: &Path, arguments: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = cargo();
    command
        .args(arguments)
        .args(["--quiet", "--target", GUEST_TARGET, "--message-format", "json-render-diagnostics"])
        .arg("--target-dir")
        .arg(target.join("guest"))
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-C target-feature=+crt-static")
        // Without its debug information a test binary is a tenth of the size, and the VM loads it all.
        .env("CARGO_PROFILE_DEV_DEBUG", "none")
        // Emulated, what is not optimized takes seconds.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        // They take precedence over the variable for one target, and would change the BPF object too.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stderr(Stdio::inherit());
    let messages = command.output().context("cannot run cargo")?;
    if !messages.status.success() {
        bail!("cannot build static binaries for the guest ({}): see cargo's messages above", messages.status);
    }
    executables(&messages.stdout)
}

fn executables(messages: &[u8]) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for message in Message::parse_stream(messages) {
        if let Message::CompilerArtifact(artifact) = message?
            && let Some(executable) = artifact.executable
        {
            found.insert(artifact.target.name, executable.into_std_path_buf());
        }
    }
    Ok(found)
}

/// Where `program` is, if the host has it.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    which::which(program).ok()
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Adds to the search path what a plain `su`, or a cargo that is not rustup's, leaves out.
pub(crate) fn complete_search_path() {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let extra = cargo_home.map(|home| home.join("bin")).into_iter().chain(["/usr/sbin".into(), "/sbin".into()]);
    let path = with_directories(&env::var_os("PATH").unwrap_or_default(), extra);
    // SAFETY: main calls this before it starts any thread.
    unsafe { env::set_var("PATH", path) };
}

fn with_directories(path: &OsString, extra: impl Iterator<Item = PathBuf>) -> OsString {
    let mut directories: Vec<PathBuf> = env::split_paths(path).collect();
    for directory in extra {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    env::join_paths(directories).unwrap_or_else(|_| path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_path_gains_what_it_lacks_once_and_at_its_end() {
        let extra = || ["/usr/sbin", "/sbin"].map(PathBuf::from).into_iter();
        let path = with_directories(&"/bin:/sbin".into(), extra());
        assert_eq!(path, "/bin:/sbin:/usr/sbin");
        assert_eq!(with_directories(&path, extra()), path);
    }

    #[test]
    fn the_toolchain_is_a_released_version() {
        let toolchain = toolchain().unwrap();
        assert!(toolchain.split('.').count() == 3, "{toolchain}");
    }
}
