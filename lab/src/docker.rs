//! A real Docker Engine in a network namespace of its own, driven by the docker command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context as _, Result, bail, ensure};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::netns::Netns;
use crate::process::Process;

/// Names the directory that Debian's packages of the engine were unpacked to. What is not there is looked for in the
/// search path.
const DIRECTORY: &str = "NETFWD_DOCKER";
const PROGRAMS: [&str; 4] = ["dockerd", "containerd", "runc", "docker"];
const CGROUPS: &str = "/sys/fs/cgroup";
const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(15);
const COMMAND: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(10);

/// A running Docker Engine without registries. Its image `web` serves `/www` on port 80, unless it is told to run
/// another applet of busybox. Dropping it removes it with its containers.
#[derive(Debug)]
pub struct DockerEngine {
    /// Its process; `None` while it is stopped.
    process: Option<Process>,
    group: CgroupTree,
    // It goes last.
    directory: TempDir,
}

impl DockerEngine {
    /// A `daemon.json` that leaves NAT to netfwd, as the documentation tells users to write it.
    pub const WITHOUT_NAT: &str = r#"{
        "iptables": false,
        "ip6tables": false,
        "userland-proxy": false,
        "ip-masq": false,
        "live-restore": true
    }
    "#;

    /// Why there can be no engine here, if it is so.
    #[must_use]
    pub fn obstacle() -> Option<String> {
        let path = search_path();
        let is_there = |program: &str| env::split_paths(&path).any(|directory| directory.join(program).is_file());
        let missing = PROGRAMS.into_iter().find(|program| !is_there(program))?;
        Some(format!("{missing} is missing: `cargo xtask setup` brings a Docker Engine, on Debian"))
    }

    /// Starts an engine in `host`, which must have no bridge `docker0`, with nothing of Docker's own NAT.
    pub fn start(host: &Netns) -> Result<Self> {
        Self::start_with(host, Self::WITHOUT_NAT)
    }

    /// Starts an engine with this `daemon.json`.
    pub fn start_with(host: &Netns, configuration: &str) -> Result<Self> {
        if let Some(obstacle) = Self::obstacle() {
            bail!(obstacle);
        }
        let directory = tempfile::tempdir().context("cannot make a directory for a Docker Engine")?;
        let group = CgroupTree::new(&format!("{}-docker", host.name()))?;
        let mut engine = Self { process: None, group, directory };
        engine.configure(configuration)?;
        engine.start_again(host)?;
        engine.import_image().context("cannot make an image")?;
        Ok(engine)
    }

    /// Gives it another `daemon.json`, which counts when it starts again.
    pub fn configure(&self, configuration: &str) -> Result<()> {
        let path = self.directory.path().join("daemon.json");
        fs::write(&path, configuration).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Has it read its `daemon.json`, of which some switches count at once, as `systemctl reload docker` does.
    pub fn reload(&self) -> Result<()> {
        self.process.as_ref().context("the Docker Engine does not run")?.signal(Signal::SIGHUP)
    }

    /// Starts it again in `host` after [`Self::stop`].
    pub fn start_again(&mut self, host: &Netns) -> Result<()> {
        ensure!(self.process.is_none(), "the Docker Engine runs already");
        let mut process = Process::start(self.command(host)?, format!("dockerd in {}", host.name()))?;
        process.wait_for_line("API listen on", START)?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it. Its containers go on.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the Docker Engine does not run")?;
        process.signal(Signal::SIGTERM)?;
        process.succeed(END)?;
        Ok(())
    }

    /// What `DOCKER_HOST` has to be.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.directory.path().join("docker.sock").display())
    }

    /// Runs the docker command line to its successful end, and returns what it prints.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("docker");
        command.args(arguments).env("DOCKER_HOST", self.address()).env("DOCKER_CONFIG", self.directory.path());
        prepare(&mut command);
        let output = Process::start(command, format!("`docker {}`", arguments.join(" ")))?.succeed(COMMAND)?;
        Ok(output.stdout.trim_end().to_owned())
    }

    fn command(&self, host: &Netns) -> Result<Command> {
        let directory = self.directory.path();
        // `exec` keeps the process: it joins the group before it becomes the engine.
        let script = "echo $$ > \"$0/cgroup.procs\" && exec dockerd \"$@\"";
        let mut command = host.command("sh")?;
        command.args(["-c", script]).arg(self.group.engine());
        for (option, name) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "docker.pid"),
        ] {
            command.arg(option).arg(directory.join(name));
        }
        command.args(["--host", &self.address(), "--group", "root", "--storage-driver", "overlay2"]);
        command.args(["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", &self.group.containers()]);
        prepare(&mut command);
        Ok(command)
    }

    fn import_image(&self) -> Result<()> {
        let root = self.directory.path().join("image");
        fs::create_dir_all(root.join("bin"))?;
        fs::create_dir_all(root.join("www"))?;
        fs::write(root.join("www/index.html"), "Hello from a container.\n")?;
        let path = search_path();
        let mut busybox = env::split_paths(&path).map(|directory| directory.join("busybox"));
        let busybox = busybox.find(|path| path.is_file()).context("there is no busybox")?;
        fs::copy(busybox, root.join("bin/busybox"))?;
        let archive = self.directory.path().join("image.tar").to_string_lossy().into_owned();
        let mut tar = Command::new("tar");
        tar.args(["--create", "--file", &archive, "--directory"]).arg(&root).arg(".");
        Process::start(tar, "tar".to_owned())?.succeed(COMMAND)?;
        let entry = "ENTRYPOINT [\"/bin/busybox\"]";
        let server = "CMD [\"httpd\",\"-f\",\"-p\",\"80\",\"-h\",\"/www\"]";
        self.docker(&["import", "--change", entry, "--change", server, &archive, "web"])?;
        Ok(())
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        drop(self.process.take());
        self.group.kill().ok();
        unmount_below(self.directory.path()).ok();
    }
}

/// The unpacked packages' programs and libraries go before the machine's own.
fn prepare(command: &mut Command) {
    command.env("PATH", search_path());
    if let Some(Ok(libraries)) = unpacked().map(|directory| env::join_paths(libraries(&directory))) {
        command.env("LD_LIBRARY_PATH", libraries);
    }
}

fn unpacked() -> Option<PathBuf> {
    env::var_os(DIRECTORY).map(PathBuf::from)
}

fn search_path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let unpacked = unpacked().map(|directory| ["usr/sbin", "usr/bin"].map(|name| directory.join(name)));
    let all = unpacked.into_iter().flatten().chain(env::split_paths(&path));
    env::join_paths(all.collect::<Vec<_>>()).unwrap_or(path)
}

/// `usr/lib/x86_64-linux-gnu` or the like, and what comes before libraries were all in `usr`.
fn libraries(directory: &Path) -> Vec<PathBuf> {
    let places = ["usr/lib", "lib"].map(|name| fs::read_dir(directory.join(name)));
    let entries = places.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.to_string_lossy().ends_with("-linux-gnu")).collect()
}

/// Two control groups, for the engine and for its containers: what is in them can be found when they are in disorder.
#[derive(Debug)]
struct CgroupTree {
    name: String,
    root: PathBuf,
}

impl CgroupTree {
    fn new(name: &str) -> Result<Self> {
        // With version 1 there is one hierarchy for each controller.
        let pids = Path::new(CGROUPS).join("pids");
        let hierarchy = if pids.is_dir() { pids } else { CGROUPS.into() };
        let tree = Self { name: name.to_owned(), root: hierarchy.join(name) };
        let engine = tree.engine();
        fs::create_dir_all(&engine).with_context(|| format!("cannot make {}: it takes root", engine.display()))?;
        Ok(tree)
    }

    fn engine(&self) -> PathBuf {
        self.root.join("engine")
    }

    /// As Docker names it.
    fn containers(&self) -> String {
        format!("/{}/containers", self.name)
    }

    /// Kills everything, and waits until it is gone.
    fn kill(&self) -> Result<()> {
        let deadline = Instant::now() + END;
        loop {
            let pids = pids_below(&self.root);
            if pids.is_empty() {
                break;
            }
            ensure!(Instant::now() < deadline, "{pids:?} do not end");
            for pid in pids {
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
            thread::sleep(POLL);
        }
        remove_groups(&self.root);
        for controller in fs::read_dir(CGROUPS)?.flatten() {
            remove_groups(&controller.path().join(&self.name));
        }
        Ok(())
    }
}

fn pids_below(group: &Path) -> Vec<i32> {
    let own = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let own = own.lines().filter_map(|line| line.parse().ok());
    own.chain(groups_in(group).iter().flat_map(|group| pids_below(group))).collect()
}

fn remove_groups(group: &Path) {
    for group in groups_in(group) {
        remove_groups(&group);
    }
    fs::remove_dir(group).ok();
}

fn groups_in(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// The containers' file systems and namespaces.
fn unmount_below(directory: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let below: Vec<_> = points.filter(|point| point.starts_with(directory)).collect();
    for point in below.into_iter().rev() {
        umount2(point, MntFlags::MNT_DETACH).ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_of_the_machine_s_architecture() {
        let directory = tempfile::tempdir().unwrap();
        assert!(libraries(directory.path()).is_empty());
        for name in ["usr/lib/docker", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        let expected = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|name| directory.path().join(name));
        assert_eq!(libraries(directory.path()), expected);
    }
}
