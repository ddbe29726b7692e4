//! Runs the programs that a task is made of, and shows what it is doing.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

const SPINNER_STEP: Duration = Duration::from_millis(120);
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
const LINES_KEPT: usize = 30;

/// Prints a line of the task's own output.
#[expect(clippy::print_stdout, reason = "the one place where tasks print")]
pub(crate) fn say(line: impl fmt::Display) {
    println!("{line}");
}

/// Prints a line about what went wrong.
#[expect(clippy::print_stderr, reason = "the one place where tasks complain")]
pub(crate) fn complain(line: impl fmt::Display) {
    eprintln!("{line}");
}

/// Prints a headline.
pub(crate) fn headline(text: &str) {
    let (bold, plain) = if io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    say(format_args!("\n{bold}== {text}{plain}"));
}

/// Runs `command` to a successful end, showing its output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", describe(command)))?;
    if status.success() {
        return Ok(());
    }
    bail!("`{}` failed ({status}): see its output above", describe(command))
}

/// What `command` printed on its standard output, if it ended successfully.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", describe(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed ({}): {}", describe(command), output.status, said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no text", describe(command)))
}

/// Runs `command` to a successful end, showing `title` and its latest line; its whole output only when it fails.
pub(crate) fn run_quietly(title: &str, mut command: Command) -> Result<()> {
    let name = describe(&command);
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut progress = Progress::start(title);
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    // The command holds the pipe's writing end, and the reader waits for its last holder.
    drop(command);
    for line in BufReader::new(reader).split(b'\n') {
        progress.show(&String::from_utf8_lossy(&line?));
    }
    let status = child.wait()?;
    if status.success() {
        progress.succeed();
        return Ok(());
    }
    let said = progress.fail();
    bail!("`{name}` failed ({status}); it said last:\n{said}")
}

fn describe(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A running task: a spinner on a terminal, else a line now and then.
struct Progress {
    title: String,
    start: Instant,
    last_sign: Instant,
    spinner: ProgressBar,
    said: VecDeque<String>,
}

impl Progress {
    fn start(title: &str) -> Self {
        let spinner = ProgressBar::new_spinner().with_message(title.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg:.dim}") {
            spinner.set_style(style);
        }
        spinner.set_prefix(title.to_owned());
        spinner.set_message("");
        spinner.enable_steady_tick(SPINNER_STEP);
        if spinner.is_hidden() {
            say(format_args!("  {title} ..."));
        }
        let now = Instant::now();
        Self { title: title.to_owned(), start: now, last_sign: now, spinner, said: VecDeque::new() }
    }

    fn show(&mut self, output: &str) {
        let Some(line) = output.split('\r').map(str::trim).rfind(|part| !part.is_empty()) else {
            return;
        };
        if self.spinner.is_hidden() && self.last_sign.elapsed() > SIGN_OF_LIFE {
            self.last_sign = Instant::now();
            say(format_args!("    {} s: {line}", self.start.elapsed().as_secs()));
        }
        self.spinner.set_message(line.to_owned());
        self.said.push_back(line.to_owned());
        if self.said.len() > LINES_KEPT {
            self.said.pop_front();
        }
    }

    fn succeed(self) {
        self.spinner.finish_and_clear();
        say(format_args!("  {}: done in {} s", self.title, self.start.elapsed().as_secs()));
        io::stdout().flush().ok();
    }

    fn fail(self) -> String {
        self.spinner.finish_and_clear();
        Vec::from(self.said).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failed_quiet_command_tells_its_last_lines() {
        let error = run_quietly("failing", shell("echo first; echo second >&2; exit 3")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.ends_with("first\nsecond"), "{text}");
    }

    #[test]
    fn a_command_that_does_not_exist_is_named() {
        let error = run(&mut Command::new("/no/such/program")).unwrap_err();
        assert_eq!(error.to_string(), "cannot run /no/such/program");
    }

    #[test]
    fn output_is_the_standard_output_alone() {
        assert_eq!(output(&mut shell("echo yes; echo no >&2")).unwrap(), "yes\n");
    }
}
