//! A pane's rows: their order, which are shown, and which is selected.

use std::{cmp::Ordering, ops::Range};

/// A row of a pane.
pub(super) trait Row {
    /// What tells it from the others, from one sample to the next.
    type Key: PartialEq;

    /// By what rows can be sorted; the first is it at the beginning.
    const SORTS: &'static [&'static str];

    /// Its key.
    fn key(&self) -> Self::Key;

    /// Its order by one of [`Self::SORTS`]: the larger number first, text as in a dictionary.
    fn compare(&self, other: &Self, sort: usize) -> Ordering;

    /// Writes what a filter is looked for in.
    fn write_text(&self, text: &mut String);
}

/// Rows, sorted and filtered.
#[derive(Debug)]
pub(super) struct Table<R> {
    /// As they came.
    rows: Vec<R>,
    /// Those that the filter lets through, by their places in `rows`, in order.
    shown: Vec<usize>,
    /// In lower case.
    filter: String,
    sort: usize,
    reversed: bool,
    /// A place in `shown`.
    selected: usize,
    /// The first place in `shown` that is on the screen.
    top: usize,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        let (rows, shown) = (Vec::new(), Vec::new());
        Self { rows, shown, filter: String::new(), sort: 0, reversed: false, selected: 0, top: 0 }
    }
}

impl<R: Row> Table<R> {
    /// All rows, as they came.
    pub(super) fn rows(&self) -> &[R] {
        &self.rows
    }

    /// How many rows the filter lets through.
    pub(super) fn count(&self) -> usize {
        self.shown.len()
    }

    /// By what they are sorted, and whether the other way round.
    pub(super) fn order(&self) -> (&'static str, bool) {
        (R::SORTS.get(self.sort).copied().unwrap_or_default(), self.reversed)
    }

    /// The selected row.
    pub(super) fn selected(&self) -> Option<&R> {
        self.rows.get(*self.shown.get(self.selected)?)
    }

    /// Puts new rows in place of the present ones. The selection stays with its row, unless it is the first: then it
    /// stays there.
    pub(super) fn replace(&mut self, rows: Vec<R>) {
        let key = self.selected().map(Row::key);
        self.rows = rows;
        self.arrange(key);
    }

    /// Shows only rows with this text, whatever its case.
    pub(super) fn filter(&mut self, text: &str) {
        let key = self.selected().map(Row::key);
        self.filter = text.to_lowercase();
        self.arrange(key);
    }

    /// Sorts by the next of [`Row::SORTS`].
    pub(super) fn sort_by_next(&mut self) {
        self.sort = (self.sort + 1) % R::SORTS.len();
        self.arrange(None);
    }

    /// Sorts the other way round.
    pub(super) fn reverse(&mut self) {
        self.reversed = !self.reversed;
        self.arrange(None);
    }

    /// Moves the selection down, or up if `by` is negative, as far as there are rows.
    pub(super) fn step(&mut self, by: isize) {
        self.selected = self.selected.saturating_add_signed(by).min(self.shown.len().saturating_sub(1));
    }

    /// The rows on a screen with room for `height`, among which the selected one is, and its place among them.
    pub(super) fn window(&mut self, height: usize) -> (impl Iterator<Item = &R>, usize) {
        let Range { start, end } = self.place_window(height);
        let rows = self.shown.get(start..end).unwrap_or_default();
        (rows.iter().filter_map(|row| self.rows.get(*row)), self.selected.saturating_sub(start))
    }

    fn place_window(&mut self, height: usize) -> Range<usize> {
        let lowest = (self.selected + 1).saturating_sub(height);
        let highest = self.shown.len().saturating_sub(height);
        self.top = self.top.clamp(lowest, self.selected.max(lowest)).min(highest);
        self.top..(self.top + height).min(self.shown.len())
    }

    fn arrange(&mut self, selected: Option<R::Key>) {
        let Self { rows, filter, sort, reversed, .. } = self;
        let mut text = String::new();
        let mut is_shown = |row: &R| {
            text.clear();
            row.write_text(&mut text);
            text.make_ascii_lowercase();
            text.contains(filter.as_str())
        };
        let places = rows.iter().enumerate();
        self.shown = if filter.is_empty() {
            (0..rows.len()).collect()
        } else {
            places.filter(|(_, row)| is_shown(row)).map(|(place, _)| place).collect()
        };
        let rows: &[R] = rows;
        // Both are places of rows. Rows that are equal stay in the order in which they came.
        self.shown.sort_by(|one, other| match (rows.get(*one), rows.get(*other)) {
            (Some(one), Some(other)) => one.compare(other, *sort),
            _ => Ordering::Equal,
        });
        if *reversed {
            self.shown.reverse();
        }
        self.select(selected);
    }

    fn select(&mut self, key: Option<R::Key>) {
        let is_first = self.selected == 0;
        let key = key.filter(|_| !is_first);
        let find =
            |key: R::Key| self.shown.iter().position(|row| self.rows.get(*row).is_some_and(|row| row.key() == key));
        self.selected = key.and_then(find).unwrap_or(self.selected).min(self.shown.len().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fruit(&'static str, u32);

    impl Row for Fruit {
        type Key = &'static str;
        const SORTS: &'static [&'static str] = &["number", "name"];

        fn key(&self) -> &'static str {
            self.0
        }

        fn compare(&self, other: &Self, sort: usize) -> Ordering {
            if sort == 0 { other.1.cmp(&self.1) } else { self.0.cmp(other.0) }
        }

        fn write_text(&self, text: &mut String) {
            text.push_str(self.0);
        }
    }

    fn table() -> Table<Fruit> {
        let mut table = Table::default();
        table.replace(vec![Fruit("Pear", 5), Fruit("apple", 9), Fruit("fig", 5), Fruit("plum", 1)]);
        table
    }

    fn shown(table: &mut Table<Fruit>, height: usize) -> (Vec<&'static str>, usize) {
        let (rows, selected) = table.window(height);
        (rows.map(|fruit| fruit.0).collect(), selected)
    }

    #[test]
    fn rows_are_sorted_by_number_first_and_equal_ones_as_they_came_or_all_of_it_the_other_way_round() {
        let mut table = table();
        assert_eq!(shown(&mut table, 9).0, ["apple", "Pear", "fig", "plum"]);
        table.reverse();
        assert_eq!(shown(&mut table, 9).0, ["plum", "fig", "Pear", "apple"]);
        table.reverse();
        table.sort_by_next();
        assert_eq!((shown(&mut table, 9).0, table.order()), (vec!["Pear", "apple", "fig", "plum"], ("name", false)));
        table.sort_by_next();
        assert_eq!(table.order().0, "number");
    }

    #[test]
    fn a_filter_does_not_look_at_the_case() {
        let mut table = table();
        table.filter("PEAR");
        assert_eq!(shown(&mut table, 9).0, ["Pear"]);
        table.filter("P");
        assert_eq!(shown(&mut table, 9).0, ["apple", "Pear", "plum"]);
        table.filter("nothing");
        assert_eq!((shown(&mut table, 9).0.len(), table.selected().is_none()), (0, true));
        table.filter("");
        assert_eq!(table.count(), 4);
    }

    #[test]
    fn the_selection_goes_with_its_row_unless_it_is_the_first_place() {
        let mut table = table();
        table.step(2);
        assert_eq!(table.selected().unwrap().0, "fig");
        table.replace(vec![Fruit("kiwi", 7), Fruit("fig", 9), Fruit("plum", 1)]);
        assert_eq!(table.selected().unwrap().0, "fig");
        table.step(-9);
        table.replace(vec![Fruit("kiwi", 7), Fruit("fig", 1)]);
        assert_eq!(table.selected().unwrap().0, "kiwi");
    }

    #[test]
    fn a_selected_row_that_is_gone_leaves_its_place_to_another() {
        let mut table = table();
        table.step(3);
        table.replace(vec![Fruit("kiwi", 7), Fruit("fig", 1)]);
        assert_eq!(table.selected().unwrap().0, "fig");
        table.replace(vec![]);
        assert!(table.selected().is_none());
        table.step(1);
        assert_eq!(shown(&mut table, 3), (vec![], 0));
    }

    #[test]
    fn the_window_follows_the_selection_and_is_full_if_it_can() {
        let mut table = table();
        assert_eq!(shown(&mut table, 2), (vec!["apple", "Pear"], 0));
        table.step(2);
        assert_eq!(shown(&mut table, 2), (vec!["Pear", "fig"], 1));
        table.step(9);
        assert_eq!(shown(&mut table, 2), (vec!["fig", "plum"], 1));
        table.step(-1);
        assert_eq!(shown(&mut table, 2), (vec!["fig", "plum"], 0));
        assert_eq!(shown(&mut table, 3), (vec!["Pear", "fig", "plum"], 1));
        assert_eq!(shown(&mut table, 0).0.len(), 0);
    }
}
