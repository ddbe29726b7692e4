//! What the host and the first process of the test VM agree on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the manifest lies in the guest.
pub const MANIFEST_PATH: &str = "/etc/guest.json";

/// The I/O port of QEMU's `isa-debug-exit` device.
pub const EXIT_PORT: u16 = 0xf4;

/// The exit code of a guest that could not run its program.
pub const INIT_FAILED: u8 = 125;

/// The highest exit code that the exit device can carry.
pub const HIGHEST_CODE: u8 = 127;

const MARKER: &str = "guest-init: ended with code ";

/// What the guest shall do.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Paths of the kernel modules, in the order of loading.
    pub modules: Vec<String>,
    /// The program to run and its arguments.
    pub command: Vec<String>,
    /// The program's whole environment.
    pub environment: BTreeMap<String, String>,
}

/// The line that the guest prints last.
#[must_use]
pub fn marker(code: u8) -> String {
    format!("{MARKER}{code}")
}

/// The exit code that `line` announces, if it is a guest's last line.
#[must_use]
pub fn parse_marker(line: &str) -> Option<u8> {
    line.trim().strip_prefix(MARKER)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_back_and_other_lines_are_not_markers() {
        assert_eq!(parse_marker(&format!("{}\r\n", marker(101))), Some(101));
        assert_eq!(parse_marker("guest-init: ended with code 999"), None);
        assert_eq!(parse_marker("test result: ok"), None);
    }
}
