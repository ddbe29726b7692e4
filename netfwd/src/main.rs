//! The `netfwd` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    netfwd::cli::main()
}
