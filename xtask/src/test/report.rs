//! Judges the levels and prints the table of results.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};

use super::level::Ended;
use super::libtest::Counts;

pub(super) struct Row {
    level: String,
    time: Duration,
    counts: Counts,
    fate: Fate,
    /// What else is to be said of a level that ran.
    note: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Ran,
    NothingRan,
    Skipped(String),
    Failed(String),
}

impl Row {
    pub(super) fn new(level: String, time: Duration, result: Result<Ended>) -> Self {
        let without_counts = |fate| (Counts::default(), fate, String::new());
        let (counts, fate, note) = match result {
            Ok(Ended::Skipped(reason)) => without_counts(Fate::Skipped(reason)),
            Ok(Ended::Ran { counts, success, note }) => (counts, fate(counts, success), note),
            Err(error) => without_counts(Fate::Failed(format!("{error:#}"))),
        };
        Self { level, time, counts, fate, note }
    }
}

fn fate(counts: Counts, success: bool) -> Fate {
    match (success, counts.failed) {
        (false, 0) => Fate::Failed("a build or a test binary failed".to_owned()),
        (_, 1..) => Fate::Failed("see the failures above".to_owned()),
        (true, 0) if counts.passed == 0 => Fate::NothingRan,
        (true, 0) => Fate::Ran,
    }
}

pub(super) struct Report {
    rows: Vec<Row>,
    skips_fail: bool,
    filtered: bool,
}

impl Report {
    /// A report in which skips fail if `skips_fail`, and a level may run nothing if tests are `filtered`.
    pub(super) fn new(skips_fail: bool, filtered: bool) -> Self {
        Self { rows: Vec::new(), skips_fail, filtered }
    }

    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(super) fn failed(&self) -> bool {
        let nothing_passed = self.rows.iter().all(|row| row.counts.passed == 0);
        nothing_passed || self.rows.iter().any(|row| self.level_failed(row))
    }

    fn level_failed(&self, row: &Row) -> bool {
        match row.fate {
            Fate::Ran => false,
            Fate::NothingRan => !self.filtered,
            Fate::Skipped(_) => self.skips_fail,
            Fate::Failed(_) => true,
        }
    }

    fn note(&self, row: &Row) -> String {
        match &row.fate {
            Fate::Ran => row.note.clone(),
            Fate::NothingRan if self.filtered => "no test of that name".to_owned(),
            Fate::NothingRan => "FAILED: no test ran".to_owned(),
            Fate::Skipped(reason) if self.skips_fail => format!("FAILED: skipped in CI: {reason}"),
            Fate::Skipped(reason) => format!("skipped: {reason}"),
            Fate::Failed(reason) => format!("FAILED: {reason}"),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["level", "passed", "failed", "ignored", "time", "note"]);
        for row in &self.rows {
            let Counts { passed, failed, ignored, .. } = row.counts;
            let time = format!("{:.1} s", row.time.as_secs_f64());
            let counts = [passed, failed, ignored].map(|count| count.to_string());
            table.add_row([row.level.clone()].into_iter().chain(counts).chain([time, self.note(row)]));
        }
        for column in table.column_iter_mut().skip(1).take(4) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// Tests passed, failed and skipped. A level that failed or was skipped as a whole counts as one.
    fn totals(&self) -> (u32, u32, u32) {
        let failed = |row: &Row| row.counts.failed.max(self.level_failed(row).into());
        let skipped = |row: &Row| match row.fate {
            Fate::Skipped(_) => u32::from(!self.skips_fail),
            Fate::Ran | Fate::NothingRan | Fate::Failed(_) => row.counts.ignored,
        };
        let sum = |count: &dyn Fn(&Row) -> u32| self.rows.iter().map(count).sum();
        (sum(&|row| row.counts.passed), sum(&failed), sum(&skipped))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, failed, skipped) = self.totals();
        writeln!(f, "\n{}\n", self.table())?;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn ran(passed: u32, failed: u32, ignored: u32, success: bool) -> Ended {
        let counts = Counts { passed, failed, ignored };
        Ended::Ran { counts, success, note: "as usual".to_owned() }
    }

    fn skipped() -> Ended {
        Ended::Skipped("needs root".to_owned())
    }

    fn report(in_ci: bool, filtered: bool, results: impl IntoIterator<Item = (&'static str, Result<Ended>)>) -> Report {
        let mut report = Report::new(in_ci, filtered);
        for (level, result) in results {
            report.add(Row::new(level.to_owned(), Duration::from_secs(1), result));
        }
        report
    }

    fn closing_line(report: &Report) -> String {
        report.to_string().lines().last().unwrap().to_owned()
    }

    #[test]
    fn a_skipped_level_is_counted_and_fails_in_ci_only() {
        let results = || [("host", Ok(ran(5, 0, 0, true))), ("kernel 6.18", Ok(skipped()))];
        let alone = report(false, false, results());
        assert!(!alone.failed() && alone.to_string().contains("as usual"));
        assert_eq!(closing_line(&alone), "5 passed, 0 failed, 1 skipped");
        let ci = report(true, false, results());
        assert!(ci.failed() && ci.to_string().contains("FAILED: skipped in CI: needs root"));
        assert_eq!(closing_line(&ci), "5 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_level_that_ran_no_test_fails_unless_tests_were_filtered() {
        let results = || [("host", Ok(ran(5, 0, 0, true))), ("vm 6.1", Ok(ran(0, 0, 0, true)))];
        assert!(report(false, false, results()).failed());
        assert!(!report(false, true, results()).failed());
        assert!(report(false, true, [("host", Ok(ran(0, 0, 0, true)))]).failed());
    }

    #[test]
    fn a_failure_without_a_failed_test_counts_as_one() {
        for result in [Ok(ran(5, 0, 0, false)), Err(anyhow!("no such device"))] {
            let report = report(false, false, [("host", Ok(ran(1, 0, 0, true))), ("vm 6.1", result)]);
            assert!(report.failed() && closing_line(&report).contains(" 1 failed, 0 skipped"));
        }
    }

    #[test]
    fn a_failed_test_fails_even_when_its_binary_ends_well() {
        assert!(report(false, false, [("vm 6.1", Ok(ran(9, 1, 0, true)))]).failed());
    }
}
