//! A program that runs in the lab: its output is readable while it runs, and it ends with its handle.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::interrupt;

const POLL: Duration = Duration::from_millis(5);

/// What a program said and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A running program. Dropping it kills its whole process group and reaps it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ended: Option<ExitStatus>,
    name: String,
    stdout: File,
    stderr: File,
}

impl Process {
    /// Starts `command`; `name` says in messages what it is.
    ///
    /// Its output goes to files, not pipes: nobody has to read for it to go on.
    pub(crate) fn start(mut command: Command, name: String) -> Result<Self> {
        interrupt::check()?;
        let stdout = tempfile::tempfile().context("cannot make a file for a program's output")?;
        let stderr = tempfile::tempfile().context("cannot make a file for a program's output")?;
        command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?).process_group(0);
        let child = command.spawn().with_context(|| start_failure(&name, &command))?;
        Ok(Self { child, ended: None, name, stdout, stderr })
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to its standard output so far.
    pub fn stdout(&self) -> Result<String> {
        read(&self.stdout).with_context(|| format!("cannot read what {} wrote", self.name))
    }

    /// What it has written to its standard error so far.
    pub fn stderr(&self) -> Result<String> {
        read(&self.stderr).with_context(|| format!("cannot read what {} wrote", self.name))
    }

    /// Waits until it has written a line that contains `pattern`, and returns that line.
    pub fn wait_for_line(&mut self, pattern: &str, timeout: Duration) -> Result<String> {
        self.wait_for_nth_line(pattern, 1, timeout)
    }

    /// Waits until it has written so many lines that contain `pattern`, and returns the last of them.
    pub fn wait_for_nth_line(&mut self, pattern: &str, count: usize, timeout: Duration) -> Result<String> {
        let deadline = Instant::now() + timeout;
        loop {
            let ended = self.poll()?;
            let said = format!("{}{}", self.stdout()?, self.stderr()?);
            if let Some(line) = said.lines().filter(|line| line.contains(pattern)).nth(count.saturating_sub(1)) {
                return Ok(line.to_owned());
            }
            if let Some(status) = ended {
                bail!("{} ended ({status}) before it said {pattern:?}; it said:\n{said}", self.name);
            }
            if Instant::now() > deadline {
                bail!("{} did not say {pattern:?} within {timeout:?}; it said:\n{said}", self.name);
            }
            thread::sleep(POLL);
        }
    }

    /// Waits for its end, whatever its exit code.
    pub fn wait(&mut self, timeout: Duration) -> Result<Output> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.poll()? {
                return Ok(Output { status, stdout: self.stdout()?, stderr: self.stderr()? });
            }
            if Instant::now() > deadline {
                bail!("{} did not end within {timeout:?}; it said:\n{}{}", self.name, self.stdout()?, self.stderr()?);
            }
            thread::sleep(POLL);
        }
    }

    /// Waits for its successful end.
    pub fn succeed(&mut self, timeout: Duration) -> Result<Output> {
        let output = self.wait(timeout)?;
        if output.status.success() {
            return Ok(output);
        }
        bail!("{} failed ({}); it said:\n{}{}", self.name, output.status, output.stdout, output.stderr)
    }

    /// Sends it `signal`.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        killpg(self.group(), signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Lets it live on without its handle.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    fn poll(&mut self) -> Result<Option<ExitStatus>> {
        interrupt::check()?;
        if self.ended.is_none() {
            self.ended = self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))?;
        }
        Ok(self.ended)
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Once it is reaped, its id may belong to another process.
        if self.ended.is_none() {
            killpg(self.group(), Signal::SIGKILL).ok();
            self.child.wait().ok();
        }
    }
}

fn start_failure(name: &str, command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    format!("cannot start {name}: is {program} installed? `cargo xtask setup` installs what the lab needs")
}

fn read(file: &File) -> io::Result<String> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command, "the script".to_owned()).unwrap()
    }

    #[test]
    fn output_is_readable_while_the_program_runs() {
        let mut process = shell("echo ready; sleep 60");
        assert_eq!(process.wait_for_line("ready", SOON).unwrap(), "ready");
    }

    #[test]
    fn a_failure_tells_the_exit_code_and_what_was_said() {
        let error = shell("echo broken >&2; exit 3").succeed(SOON).unwrap_err();
        assert_eq!(error.to_string(), "the script failed (exit status: 3); it said:\nbroken\n");
    }

    #[test]
    fn a_program_that_does_not_end_in_time_is_an_error_and_is_killed_with_its_children() {
        let mut process = shell("sleep 60 & echo $!; wait");
        let child: i32 = process.wait_for_line("", SOON).unwrap().parse().unwrap();
        assert!(process.wait(Duration::from_millis(20)).unwrap_err().to_string().contains("did not end"));
        drop(process);
        let gone = || !std::path::Path::new(&format!("/proc/{child}")).exists() || is_zombie(child);
        assert!((0..200).any(|_| {
            thread::sleep(POLL);
            gone()
        }));
    }

    #[test]
    fn a_program_that_is_not_installed_is_named() {
        let error = Process::start(Command::new("no-such-program"), "the witness".to_owned()).unwrap_err();
        assert!(error.to_string().starts_with("cannot start the witness: is no-such-program installed?"));
    }

    fn is_zombie(pid: i32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    }
}
