//! How listings look: aligned columns for people, JSON for programs.

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::context::Context;

/// Something to list, in both forms.
pub trait Listing: Serialize {
    /// As text for people.
    fn text(&self) -> String;
}

/// Prints a listing in the form that was asked for.
pub fn show(context: &Context, listing: &impl Listing) -> Result<()> {
    if context.json { context.say_json(listing) } else { context.say(&listing.text()) }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Text, aligned left.
    Text(&'static str),
    /// Numbers, aligned right.
    Number(&'static str),
}

/// Rows in aligned columns, without lines.
#[must_use]
pub fn table<const N: usize>(columns: [Column; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.map(|column| match column {
        Column::Text(name) | Column::Number(name) => name,
    }));
    table.add_rows(rows);
    for (column, kind) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        column.set_cell_alignment(match kind {
            Column::Text(_) => CellAlignment::Left,
            Column::Number(_) => CellAlignment::Right,
        });
    }
    table.trim_fmt()
}

/// Nanoseconds in the unit that fits, such as `250ms`, `4.2s`, `3m20s` and `2h04m`.
#[must_use]
pub fn duration(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds / 1_000_000;
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..10 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_right_and_lines_end_without_spaces() {
        let columns = [Column::Text("NAME"), Column::Number("PACKETS"), Column::Text("NOTE")];
        let rows = [["a", "1", "x"], ["long name", "12345", ""]].map(|row| row.map(str::to_owned));
        let expected = "NAME       PACKETS  NOTE\na                1  x\nlong name    12345";
        assert_eq!(table(columns, rows), expected);
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let second = 1_000_000_000;
        let text = [second / 4, 42 * second / 10, 59 * second, 200 * second, 7440 * second].map(duration);
        assert_eq!(text, ["250ms", "4.2s", "59s", "3m20s", "2h04m"]);
    }
}
