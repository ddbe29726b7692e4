//! Prints.

use std::fmt;

/// Prints a line of the benchmark's own output.
#[expect(clippy::print_stdout, reason = "the one place where the benchmark prints")]
pub(crate) fn say(line: impl fmt::Display) {
    println!("{line}");
}

/// Prints a line about what went wrong.
#[expect(clippy::print_stderr, reason = "the one place where the benchmark complains")]
pub(crate) fn complain(line: impl fmt::Display) {
    eprintln!("{line}");
}
