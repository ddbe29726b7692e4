//! A program in a terminal of its own (pty(7)): its keys are written, and all that it writes is kept.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

use crate::interrupt;

const POLL: Duration = Duration::from_millis(5);

/// A program that runs in a terminal. Dropping it kills it.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keys: File,
    /// The program's side, kept so that what it was set to can be seen when the program has ended.
    other_side: OwnedFd,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts a command of setsid(1) in a terminal with this many lines and columns.
    pub(crate) fn start(mut command: Command, [lines, columns]: [u16; 2]) -> Result<Self> {
        interrupt::check()?;
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).context("cannot open a pseudo-terminal")?;
        let other_side = || pty.slave.try_clone().context("cannot refer to the pseudo-terminal");
        let child = command.stdin(other_side()?).stdout(other_side()?).stderr(other_side()?).spawn();
        let child = child.with_context(|| format!("cannot start {command:?}: is it installed?"))?;
        let keys = File::from(pty.master);
        let screen = keys.try_clone().context("cannot refer to the pseudo-terminal")?;
        let written = Arc::default();
        keep(screen, Arc::clone(&written));
        Ok(Self { child, keys, other_side: pty.slave, written })
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes()).context("cannot write to the pseudo-terminal")
    }

    /// Gives the terminal this many lines and columns, which the program is told of (SIGWINCH).
    pub fn resize(&self, [lines, columns]: [u16; 2]) -> Result<()> {
        let terminal = self.other_side.try_clone().context("cannot refer to the pseudo-terminal")?;
        let mut stty = Command::new("stty");
        stty.args(["rows", &lines.to_string(), "cols", &columns.to_string()]).stdin(terminal);
        let status = stty.status().context("cannot start stty")?;
        ensure!(status.success(), "stty has failed: {status}");
        Ok(())
    }

    /// Sends it `signal`.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).with_context(|| format!("cannot send {signal}"))
    }

    /// All that it has written so far.
    #[must_use]
    pub fn written(&self) -> Vec<u8> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the terminal echoes keys and takes them by lines, as a shell leaves it to a program.
    pub fn is_cooked(&self) -> Result<bool> {
        let settings = tcgetattr(&self.other_side).context("cannot read the terminal's settings")?;
        Ok(settings.local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON))
    }

    /// Waits for its end.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            interrupt::check()?;
            if let Some(status) = self.child.try_wait().context("cannot wait for a program in a terminal")? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("a program in a terminal did not end within {timeout:?}");
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Keeps what comes out of a terminal, on a thread that ends with the terminal.
fn keep(mut screen: File, written: Arc<Mutex<Vec<u8>>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match screen.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
                    written.extend(buffer.iter().take(count));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // EIO: the other side is closed.
                Err(_) => return,
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_hears_keys_and_sees_a_terminal_of_the_size() {
        let mut command = Command::new("setsid");
        command.args(["-c", "sh", "-c", "stty size; read line; echo got $line; stty size; exit 3"]);
        let mut terminal = Terminal::start(command, [44, 88]).unwrap();
        let written = || String::from_utf8(terminal.written()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while !written().contains("44 88") {
            assert!(Instant::now() < deadline, "{}", written());
            thread::sleep(POLL);
        }
        terminal.resize([33, 77]).unwrap();
        terminal.press("abc\n").unwrap();
        assert_eq!(terminal.wait(Duration::from_secs(5)).unwrap().code(), Some(3));
        assert!(terminal.is_cooked().unwrap());
        let written = String::from_utf8(terminal.written()).unwrap();
        assert!(written.contains("got abc") && written.contains("33 77"), "{written}");
    }
}
