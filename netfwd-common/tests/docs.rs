//! The documents say what the code says.

use netfwd_common::abi::{ABI_VERSION, Reason, Timeouts, names};

const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// The cells of a table's row.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// The rest of the only row that begins with `name` in backticks.
fn row(name: &str) -> Vec<&'static str> {
    let first = format!("`{name}`");
    let rows = OPERATIONS.lines().filter(|line| line.starts_with('|')).map(cells);
    let mut found: Vec<_> = rows.filter(|cells| cells[0] == first).collect();
    assert_eq!(found.len(), 1, "docs/operations.md needs one row that begins with {first}");
    found.remove(0).split_off(1)
}

#[test]
fn every_reason_has_a_row_with_its_number_and_outcome() {
    for reason in Reason::ALL {
        let passed_or_dropped = if reason.is_drop() { "dropped" } else { "passed" };
        let outcome = if reason == Reason::Translated { "translated" } else { passed_or_dropped };
        let cells = row(reason.as_str());
        assert_eq!(cells[..2], [&reason.number().to_string(), outcome], "{}", reason.as_str());
        assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()), "{}: {cells:?}", reason.as_str());
    }
}

#[test]
fn every_map_has_a_row() {
    for name in names::MAPS {
        row(name);
    }
}

#[test]
fn the_timeouts_are_the_ones_in_force() {
    let Timeouts { tcp_transitory, tcp_established, udp, icmp } = Timeouts::default();
    let timeouts = [("TCP, established or half closed", tcp_established), ("TCP, otherwise", tcp_transitory)];
    for (name, nanoseconds) in timeouts.into_iter().chain([("UDP", udp), ("ICMP echo", icmp)]) {
        let seconds = (nanoseconds / 1_000_000_000).to_string();
        let rows = OPERATIONS.lines().map(cells);
        let told: Vec<_> = rows.filter(|cells| cells[0] == name).collect();
        assert!(told.len() == 1 && told[0][1] == format!("{seconds} s"), "{name} is {seconds} s, not {told:?}");
    }
}

#[test]
fn the_layouts_version_is_the_one_in_force() {
    assert!(OPERATIONS.contains(&format!("The layout is version {ABI_VERSION}.")));
}
