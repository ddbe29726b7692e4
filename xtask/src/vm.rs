//! `cargo xtask vm`: runs one program in a virtual machine with a kernel of Debian's, and ends with its exit code.

mod image;
mod initramfs;
mod kernel;
mod modules;
mod programs;
pub(crate) mod qemu;

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use guest_init::Manifest;

use crate::setup::{self, Scope};
use crate::{task, workspace};
use kernel::Kernel;

pub(crate) use kernel::UnavailableError;

/// The kernels that the tests run on: clsact only, and with TCX.
pub(crate) const KERNELS: [&str; 2] = ["6.1", "6.12"];

/// The most processors that a guest has a use for.
pub(crate) const MOST_PROCESSORS: usize = 2;

/// Run a program in a virtual machine.
#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask vm --kernel 6.1 -- ip -details address")]
pub(crate) struct Args {
    /// Kernel version, as in the names of Debian's packages
    #[arg(long, value_name = "VERSION", default_value = KERNELS[1])]
    kernel: String,
    /// Put a file of the host, and the libraries it needs, at a path of the guest
    #[arg(long = "file", value_name = "HOST=GUEST", value_parser = parse_file)]
    files: Vec<(PathBuf, String)>,
    /// Set a variable in the guest
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = parse_variable)]
    environment: Vec<(String, String)>,
    #[command(flatten)]
    machine: Machine,
    /// What to run: a program of the guest, or a file of the host by its path
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    command: Vec<String>,
}

/// How the virtual machine is made.
#[derive(clap::Args)]
pub(crate) struct Machine {
    /// Use KVM instead of emulation: faster, but it hangs on some nested machines
    #[arg(long)]
    pub(crate) kvm: bool,
    /// Memory of the virtual machine in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u32,
    /// End a virtual machine that printed nothing for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    silence: u64,
    /// End a virtual machine after so long
    #[arg(long, value_name = "SECONDS", default_value_t = 4500)]
    limit: u64,
}

/// What to run in a guest.
pub(crate) struct Job {
    /// The kernel's version, such as 6.1.
    pub(crate) kernel: String,
    /// Files of the host and where they go; a program's libraries follow it.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// Variables besides PATH.
    pub(crate) environment: Vec<(String, String)>,
    /// The program's path in the guest, and its arguments.
    pub(crate) command: Vec<String>,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(Scope::Tests)?;
    if let Some(reason) = obstacle() {
        bail!("no virtual machine here: {reason}");
    }
    let mut job = Job {
        kernel: args.kernel.clone(),
        files: args.files.clone(),
        environment: args.environment.clone(),
        command: args.command.clone(),
    };
    take_program_from_host(&mut job)?;
    match execute(&job, &args.machine, &mut |line| task::say(line))? {
        0 => Ok(()),
        code => bail!("{} ended with code {code} in the guest", job.command.join(" ")),
    }
}

/// Why this machine cannot run virtual machines, if it cannot.
pub(crate) fn obstacle() -> Option<String> {
    if env::consts::ARCH != "x86_64" {
        return Some(format!("only x86-64 is supported, this is {}", env::consts::ARCH));
    }
    setup::lacking(Scope::Tests)
}

/// Runs `job` and returns its program's exit code; gives every line of the console to `on_line`.
pub(crate) fn execute(job: &Job, machine: &Machine, on_line: &mut dyn FnMut(&str)) -> Result<u8> {
    Bootable::prepare(job)?.run(machine, MOST_PROCESSORS, on_line)
}

/// A guest with all that its job takes.
pub(crate) struct Bootable {
    kernel: PathBuf,
    initramfs: File,
}

impl Bootable {
    /// Fetches, builds and packs what `job` takes. Not to be done for several jobs at once: it runs APT and cargo.
    pub(crate) fn prepare(job: &Job) -> Result<Self> {
        let target = workspace::target_directory()?;
        let kernel = Kernel::fetch(&job.kernel, &target.join("kernels"))?;
        let modules = modules::closure(&kernel, &modules::WANTED)?;
        let manifest = Manifest {
            modules: modules.iter().map(modules::Module::guest_path).collect(),
            command: job.command.clone(),
            environment: environment(job),
        };
        let init = build_init(&target)?;
        let initramfs = image::build(&init, &manifest, &modules, &job.files)?;
        Ok(Self { kernel: kernel.image, initramfs })
    }

    /// Boots the guest and returns its program's exit code; gives every line of the console to `on_line`.
    pub(crate) fn run(&self, machine: &Machine, processors: usize, on_line: &mut dyn FnMut(&str)) -> Result<u8> {
        let guest = qemu::Guest {
            kernel: &self.kernel,
            initramfs: &self.initramfs,
            kvm: machine.kvm,
            processors,
            memory_mib: machine.memory,
            silence: Duration::from_secs(machine.silence),
            limit: Duration::from_secs(machine.limit),
        };
        guest.run(on_line)
    }
}

fn environment(job: &Job) -> BTreeMap<String, String> {
    let fixed = [("PATH", image::SEARCH_PATH), ("HOME", "/root"), ("TERM", "dumb"), ("LANG", "C")];
    let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
    fixed.into_iter().chain(job.environment.iter().cloned()).collect()
}

fn build_init(target: &Path) -> Result<PathBuf> {
    let mut built = workspace::build_static(target, &["build", "--package", "guest-init"])?;
    built.remove("guest-init").context("cargo built no guest-init")
}

fn take_program_from_host(job: &mut Job) -> Result<()> {
    let Some(program) = job.command.first_mut().filter(|program| program.contains('/')) else {
        return Ok(());
    };
    let host = Path::new(&*program).canonicalize().with_context(|| format!("cannot find {program} on the host"))?;
    let name = host.file_name().context("a program's path ends with its name")?;
    let guest = format!("/bin/{}", name.to_string_lossy());
    program.clone_from(&guest);
    job.files.push((host, guest));
    Ok(())
}

fn parse_file(text: &str) -> Result<(PathBuf, String), String> {
    let (host, guest) = parse_variable(text)?;
    if !guest.starts_with('/') {
        return Err("the guest's path must be absolute".to_owned());
    }
    Ok((host.into(), guest))
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("there is no = in it")?;
    Ok((name.to_owned(), value.to_owned()))
}
