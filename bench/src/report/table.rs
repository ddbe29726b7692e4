//! Tables for the terminal.

use comfy_table::{CellAlignment, Table, presets};

use super::goals::Outcome;
use super::text::{number, ratio};
use crate::record::{Record, Series};
use crate::subject::Netfwd;

/// One table for each workload: a row for each case and subject.
pub(super) fn all(record: &Record) -> Vec<(&'static str, Table)> {
    let mut tables: Vec<(&'static str, Table)> = Vec::new();
    for case in record.cases() {
        if tables.last().is_none_or(|(title, _)| *title != case.workload) {
            tables.push((case.workload, new(&["case", "subject", "median", "least", "most", "unit", "netfwd is"])));
        }
        let own = record.find(case.workload, &case.name, Netfwd::NAME);
        for (index, series) in record.of(case).enumerate() {
            let name = if index == 0 { case.name.as_str() } else { "" };
            if let Some((_, table)) = tables.last_mut() {
                table.add_row(row(name, series, own));
            }
        }
    }
    for (_, table) in &mut tables {
        align(table, &[2, 3, 4, 6]);
    }
    tables
}

fn row(case: &str, series: &Series, own: Option<&Series>) -> [String; 7] {
    let figures = series.summary().map(|it| [it.median, it.least, it.most].map(number));
    let [median, least, most] = figures.unwrap_or_default();
    let ratio = own.filter(|own| *own != series).and_then(|own| own.ratio(series)).map(ratio);
    [
        case.to_owned(),
        series.subject.clone(),
        median,
        least,
        most,
        series.case.unit.to_owned(),
        ratio.unwrap_or_default(),
    ]
}

/// The goals that were measured, and what was reached.
pub(super) fn of_goals(goals: &[Outcome]) -> Table {
    let mut table = new(&["goal", "against", "wanted", "reached", "met"]);
    for goal in goals.iter().filter(|goal| goal.met.is_some()) {
        table.add_row([&goal.what, &goal.against, &goal.wanted, &goal.reached, goal.verdict()]);
    }
    table
}

fn new(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(header.iter().copied());
    table
}

fn align(table: &mut Table, columns: &[usize]) {
    for (index, column) in table.column_iter_mut().enumerate() {
        if columns.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
