//! What is on the screen, and what keys do to it.

use std::{collections::VecDeque, time::Duration};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    rows::{self, DropRow, Elapsed, FlowRow, MappingRow},
    sample::{Id, Sample},
    table::{Row, Table},
};
use crate::report::{Traffic, stats::Stats};

/// As many samples as a wide screen has columns.
const HISTORY: usize = 512;
const PAGE: isize = 10;
/// Lengths of an interval to choose from, in milliseconds.
const INTERVALS: [u64; 7] = [250, 500, 1000, 2000, 5000, 10_000, 30_000];

/// A table on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Mappings,
    Flows,
    Drops,
}

/// What keys are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// To look around.
    Browse,
    /// To write the filter.
    Filter,
    /// To say whether to end a connection, which is shown as this text.
    Confirm(Id, String),
    /// To end the help.
    Help,
}

/// What the model cannot do itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// End the program.
    Quit,
    /// End a connection.
    End(Id),
    /// Look as often as that.
    Interval(Duration),
}

/// What goes on altogether.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// What comes from the outside and is translated, in a second.
    pub(super) r#in: Traffic,
    /// What leaves to the outside and is translated, in a second.
    pub(super) out: Traffic,
    /// Connections made in a second.
    pub(super) new_flows: u64,
    /// Packets dropped in a second.
    pub(super) drops: u64,
}

/// What is on the screen.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) pane: Pane,
    pub(super) mode: Mode,
    pub(super) paused: bool,
    pub(super) interval: Duration,
    pub(super) filter: String,
    /// What was done last.
    pub(super) note: Option<String>,
    pub(super) uplinks: Vec<String>,
    pub(super) stats: Option<Stats>,
    pub(super) totals: Totals,
    /// Bits in a second, the newest first.
    pub(super) bits: VecDeque<u64>,
    /// Connections made in a second, the newest first.
    pub(super) new_flows: VecDeque<u64>,
    pub(super) mappings: Table<MappingRow>,
    pub(super) flows: Table<FlowRow>,
    pub(super) drops: Table<DropRow>,
    at: Option<u64>,
}

impl Pane {
    /// In the order in which they are shown.
    pub(super) const ALL: [Self; 3] = [Self::Mappings, Self::Flows, Self::Drops];

    const fn next(self) -> Self {
        match self {
            Self::Mappings => Self::Flows,
            Self::Flows => Self::Drops,
            Self::Drops => Self::Mappings,
        }
    }
}

impl Model {
    /// Of which nothing is known yet.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            pane: Pane::Mappings,
            mode: Mode::Browse,
            paused: false,
            interval,
            filter: String::new(),
            note: None,
            uplinks: Vec::new(),
            stats: None,
            totals: Totals::default(),
            bits: VecDeque::new(),
            new_flows: VecDeque::new(),
            mappings: Table::default(),
            flows: Table::default(),
            drops: Table::default(),
            at: None,
        }
    }

    /// Takes what was seen, unless it is paused. The first sample has no rates.
    pub(super) fn look(&mut self, sample: Sample) {
        if self.paused {
            return;
        }
        let elapsed = Elapsed(self.at.map_or(0, |at| sample.at.saturating_sub(at)));
        self.mappings.replace(rows::mappings(self.mappings.rows(), sample.mappings, elapsed));
        self.flows.replace(rows::flows(self.flows.rows(), &sample.flows, elapsed));
        self.drops.replace(rows::drops(self.drops.rows(), &sample.stats, elapsed));
        if let Some(before) = &self.stats {
            self.totals = Totals::new(before, &sample.stats, elapsed);
            let bytes = self.totals.r#in.bytes.saturating_add(self.totals.out.bytes);
            remember(&mut self.bits, bytes.saturating_mul(8));
            remember(&mut self.new_flows, self.totals.new_flows);
        }
        (self.at, self.uplinks, self.stats) = (Some(sample.at), sample.uplinks, Some(sample.stats));
    }

    /// Does what a key is for.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Request> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Some(Request::Quit);
        }
        match self.mode {
            Mode::Browse => {
                self.note = None;
                self.browse(key.code)
            }
            Mode::Filter => {
                self.write_filter(key.code);
                None
            }
            Mode::Confirm(id, _) => {
                self.mode = Mode::Browse;
                matches!(key.code, KeyCode::Char('y' | 'Y')).then_some(Request::End(id))
            }
            Mode::Help => {
                self.mode = Mode::Browse;
                None
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most keys are for nothing")]
    fn browse(&mut self, code: KeyCode) -> Option<Request> {
        match code {
            KeyCode::Char('q') => return Some(Request::Quit),
            KeyCode::Char('+' | '=') => return Some(self.change_interval(true)),
            KeyCode::Char('-') => return Some(self.change_interval(false)),
            KeyCode::Char('?' | 'h') => self.mode = Mode::Help,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Esc => self.set_filter(String::new()),
            KeyCode::Char('x' | 'd') => self.ask(),
            KeyCode::Tab => self.pane = self.pane.next(),
            KeyCode::BackTab => self.pane = self.pane.next().next(),
            _ => self.arrange(code),
        }
        None
    }

    fn arrange(&mut self, code: KeyCode) {
        match self.pane {
            Pane::Mappings => arrange(&mut self.mappings, code),
            Pane::Flows => arrange(&mut self.flows, code),
            Pane::Drops => arrange(&mut self.drops, code),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most keys are for nothing")]
    fn write_filter(&mut self, code: KeyCode) {
        let mut filter = self.filter.clone();
        match code {
            KeyCode::Enter => self.mode = Mode::Browse,
            KeyCode::Esc => {
                self.mode = Mode::Browse;
                filter.clear();
            }
            KeyCode::Backspace => drop(filter.pop()),
            KeyCode::Char(character) => filter.push(character),
            _ => {}
        }
        self.set_filter(filter);
    }

    fn set_filter(&mut self, filter: String) {
        if filter == self.filter {
            return;
        }
        self.mappings.filter(&filter);
        self.flows.filter(&filter);
        self.drops.filter(&filter);
        self.filter = filter;
    }

    /// Asks whether to end the selected connection.
    fn ask(&mut self) {
        let selected = self.flows.selected().filter(|_| self.pane == Pane::Flows);
        match selected {
            Some(FlowRow { flow, .. }) => {
                let [from, to] = flow.original;
                self.mode = Mode::Confirm(flow.id, format!("{} {from} -> {to}", flow.protocol));
            }
            None => self.note = Some("only flows can be ended: select one (Tab)".to_owned()),
        }
    }

    fn change_interval(&mut self, longer: bool) -> Request {
        let mut lengths = INTERVALS.map(Duration::from_millis).into_iter();
        let found = if longer {
            lengths.find(|length| *length > self.interval)
        } else {
            lengths.rfind(|length| *length < self.interval)
        };
        self.interval = found.unwrap_or(self.interval);
        Request::Interval(self.interval)
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most keys are for nothing")]
fn arrange<R: Row>(table: &mut Table<R>, code: KeyCode) {
    match code {
        KeyCode::Up | KeyCode::Char('k') => table.step(-1),
        KeyCode::Down | KeyCode::Char('j') => table.step(1),
        KeyCode::PageUp => table.step(-PAGE),
        KeyCode::PageDown => table.step(PAGE),
        KeyCode::Home | KeyCode::Char('g') => table.step(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => table.step(isize::MAX),
        KeyCode::Char('s') => table.sort_by_next(),
        KeyCode::Char('r') => table.reverse(),
        _ => {}
    }
}

fn remember(history: &mut VecDeque<u64>, value: u64) {
    history.truncate(HISTORY - 1);
    history.push_front(value);
}

impl Totals {
    fn new(before: &Stats, after: &Stats, elapsed: Elapsed) -> Self {
        let (old, new) = (Sums::of(before), Sums::of(after));
        Self {
            r#in: elapsed.traffic(old.r#in, new.r#in),
            out: elapsed.traffic(old.out, new.out),
            new_flows: elapsed.rate(before.flows.created, after.flows.created),
            drops: elapsed.rate(old.drops, new.drops),
        }
    }
}

/// Counters of all interfaces together.
struct Sums {
    r#in: Traffic,
    out: Traffic,
    drops: u64,
}

impl Sums {
    fn of(stats: &Stats) -> Self {
        let zero = Traffic::default();
        Self {
            r#in: stats.uplinks.iter().fold(zero, |sum, uplink| sum.plus(uplink.ingress.translated)),
            out: stats.uplinks.iter().fold(zero, |sum, uplink| sum.plus(uplink.egress.translated)),
            drops: stats.hooks().map(|(_, _, direction)| direction.dropped.all.packets).sum(),
        }
    }
}
