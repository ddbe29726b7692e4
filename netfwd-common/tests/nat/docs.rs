//! The documents say what the code says.

use std::{fs, path::Path};

use netfwd_common::abi::{ABI_VERSION, Reason, Timeouts, names};

const OPERATIONS: &str = include_str!("../../../docs/operations.md");
/// The documents that name a test for what they say.
const CLAIMS: [&str; 2] = [include_str!("../../../docs/nat-behaviour.md"), include_str!("../../../docs/features.md")];

/// The cells of a table's row.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// The rest of the only row of a section that begins with `name` in backticks.
fn row(section: &str, name: &str) -> Vec<&'static str> {
    let first = format!("`{name}`");
    let heading = format!("## {section}");
    let lines = OPERATIONS.lines().skip_while(|line| *line != heading).skip(1);
    let rows = lines.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with('|')).map(cells);
    let mut found: Vec<_> = rows.filter(|cells| cells[0] == first).collect();
    assert_eq!(found.len(), 1, "{section} in docs/operations.md needs one row that begins with {first}");
    found.remove(0).split_off(1)
}

#[test]
fn every_reason_has_a_row_with_its_number_and_outcome() {
    for reason in Reason::ALL {
        let passed_or_dropped = if reason.is_drop() { "dropped" } else { "passed" };
        let is_translated = matches!(reason, Reason::Translated | Reason::FastPath | Reason::Xdp);
        let outcome = if is_translated { "translated" } else { passed_or_dropped };
        let cells = row("Reasons", reason.as_str());
        assert_eq!(cells[..2], [&reason.number().to_string(), outcome], "{}", reason.as_str());
        assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()), "{}: {cells:?}", reason.as_str());
    }
}

#[test]
fn every_map_has_a_row() {
    for name in names::MAPS {
        row("What lies where", name);
    }
}

#[test]
fn the_timeouts_are_the_ones_in_force() {
    let timeouts = Timeouts::default();
    for (name, nanoseconds) in [
        ("tcp-opening", timeouts.tcp_opening),
        ("tcp-established", timeouts.tcp_established),
        ("tcp-half-closed", timeouts.tcp_half_closed),
        ("tcp-closing", timeouts.tcp_closing),
        ("tcp-reset", timeouts.tcp_reset),
        ("udp-unreplied", timeouts.udp_unreplied),
        ("udp", timeouts.udp),
        ("icmp", timeouts.icmp),
        ("sctp-transitory", timeouts.sctp_transitory),
        ("sctp-established", timeouts.sctp_established),
        ("other", timeouts.other),
        ("fragment", timeouts.fragment),
    ] {
        let seconds = (nanoseconds / 1_000_000_000).to_string();
        let told = row("Timeouts", name);
        assert!(told[0] == format!("{seconds} s"), "{name} is {seconds} s, not {told:?}");
    }
}

#[test]
fn the_layouts_version_is_the_one_in_force() {
    assert!(OPERATIONS.contains(&format!("The layout is version {ABI_VERSION}.")));
}

/// The source files below a directory, one after the other.
fn sources(directory: &Path, all: &mut String) {
    for entry in fs::read_dir(directory).expect("a directory of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(&path).expect("a source file"));
        }
    }
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = String::new();
    for directory in ["netfwd-common/src", "netfwd-common/tests", "netfwd/src", "netfwd/tests"] {
        sources(&root.join(directory), &mut all);
    }
    let is_name = |word: &&str| word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let rows = CLAIMS.iter().flat_map(|document| document.lines()).filter(|line| line.starts_with('|'));
    let words = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).filter(is_name);
    // Names of tests are sentences; shorter ones are of something else, and the kernel's begin with its own.
    let names: Vec<_> = words.filter(|word| word.matches('_').count() > 2 && !word.starts_with("bpf_")).collect();
    assert!(names.len() > 100, "{}", names.len());
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !["(", "<"].iter().any(|after| all.contains(&format!("fn {name}{after}"))))
        .collect();
    assert!(missing.is_empty(), "there are no such tests: {missing:?}");
}
