//! Puts the model on a terminal.

mod panes;
mod text;

use std::collections::VecDeque;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, RenderDirection, Sparkline},
};

use super::model::{Mode, Model, Pane};
use text::{amount, bits};

/// Lines that a terminal needs to have all panes on it at once.
const ALL_PANES: u16 = 24;
const KEYS: &str = "Tab pane  ↑↓ select  s sort  r reverse  / filter  x end  p pause  ? help  q quit";

const HELP: &str = "\
Tab, Shift+Tab   the next pane, the one before
↑ ↓, k j         select a row
PgUp PgDn g G    ten rows, the first, the last
s                sort by something else
r                sort the other way round
/                filter by text; Enter keeps it, Esc clears it
x, d             end the selected flow
p, space         pause, go on
+ -              look less often, more often
q, Ctrl+C        quit

IN is from the outside, OUT to the outside. A flow's first packet went FROM
somewhere TO somewhere; by NAT it came from <ADDRESS or went to >ADDRESS, and
BACK are the answers. Bytes are counted from the IP header on.

Any key ends this help.";

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    /// Whether there are colours; of the 16 that every terminal has.
    pub(super) colours: bool,
}

impl Theme {
    fn coloured(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn label(self) -> Style {
        self.coloured(Color::Cyan)
    }

    fn alarm(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, theme: Theme) {
    let rows = [Constraint::Length(2), Constraint::Length(4), Constraint::Min(3), Constraint::Length(1)];
    let [header, sparklines, middle, footer] = Layout::vertical(rows).areas(frame.area());
    draw_header(frame, header, model, theme);
    draw_sparklines(frame, sparklines, model, theme);
    draw_panes(frame, middle, model, theme);
    draw_footer(frame, footer, model, theme);
    if model.mode == Mode::Help {
        draw_help(frame, middle, theme);
    }
}

fn draw_header(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let label = |text: &'static str| Span::styled(text, theme.label());
    let mut first = vec![Span::styled("netfwd", Style::new().add_modifier(Modifier::BOLD)), label("  uplinks ")];
    first.push(Span::raw(if model.uplinks.is_empty() { "none".to_owned() } else { model.uplinks.join("  ") }));
    let interval = model.interval.as_secs_f64();
    first.extend([label("  every "), Span::raw(format!("{interval}s"))]);
    if model.paused {
        first.push(Span::styled("  PAUSED", theme.alarm()));
    }
    let (totals, (used, maximum)) = (&model.totals, model.stats.as_ref().map_or((0, 0), panes::records));
    let traffic = |traffic: crate::report::Traffic| {
        Span::raw(format!("{} {} pkt/s", bits(traffic.bytes.saturating_mul(8)), amount(traffic.packets)))
    };
    let drops = if totals.drops > 0 { theme.alarm() } else { Style::new() };
    let second = vec![
        label("in "),
        traffic(totals.r#in),
        label("  out "),
        traffic(totals.out),
        label("  flows "),
        Span::raw(format!("{} +{}/s", model.flows.rows().len(), amount(totals.new_flows))),
        label("  drops "),
        Span::styled(format!("{}/s", amount(totals.drops)), drops),
        label("  records "),
        Span::raw(format!("{used}/{maximum}")),
    ];
    frame.render_widget(Paragraph::new(vec![Line::from(first), Line::from(second)]), area);
}

fn draw_sparklines(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    let greatest = |history: &VecDeque<u64>| history.iter().copied().max().unwrap_or_default();
    let throughput = format!(" throughput, at most {} ", bits(greatest(&model.bits)));
    let new_flows = format!(" new flows, at most {}/s ", amount(greatest(&model.new_flows)));
    let mut draw = |area: Rect, title: String, history: &VecDeque<u64>, colour| {
        let sparkline = Sparkline::default()
            .block(Block::bordered().title(title).border_style(theme.coloured(Color::DarkGray)))
            .style(theme.coloured(colour))
            .direction(RenderDirection::RightToLeft)
            .data(history.iter().copied());
        frame.render_widget(sparkline, area);
    };
    draw(left, throughput, &model.bits, Color::Green);
    draw(right, new_flows, &model.new_flows, Color::Yellow);
}

/// All panes if there is room for them, else the chosen one.
fn draw_panes(frame: &mut Frame<'_>, area: Rect, model: &mut Model, theme: Theme) {
    let are_all = frame.area().height >= ALL_PANES;
    let drops = u16::try_from(model.drops.count()).unwrap_or(u16::MAX).clamp(1, 5);
    let share = |pane: Pane| match pane {
        _ if pane == model.pane => Constraint::Fill(3),
        Pane::Drops if are_all => Constraint::Length(panes::FRAME + drops),
        _ if are_all => Constraint::Fill(2),
        Pane::Mappings | Pane::Flows | Pane::Drops => Constraint::Length(0),
    };
    let [mappings, flows, drops] = Layout::vertical(Pane::ALL.map(share)).areas(area);
    panes::draw_mappings(frame, mappings, model, theme);
    panes::draw_flows(frame, flows, model, theme);
    panes::draw_drops(frame, drops, model, theme);
}

fn draw_footer(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let line = match &model.mode {
        Mode::Filter => {
            Line::from(vec![Span::styled("filter: ", theme.label()), Span::raw(format!("{}▏", model.filter))])
        }
        Mode::Confirm(_, flow) => Line::from(Span::styled(format!("end {flow}? y/n"), theme.alarm())),
        Mode::Browse | Mode::Help => match &model.note {
            Some(note) => Line::from(note.as_str()),
            None => Line::from(Span::styled(KEYS, theme.label())),
        },
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let wanted = |count: usize| u16::try_from(count + 2).unwrap_or(u16::MAX);
    let (lines, columns) = (HELP.lines().count(), HELP.lines().map(|line| line.chars().count()).max().unwrap_or(0));
    let [place] = Layout::vertical([Constraint::Max(wanted(lines))]).areas(area);
    let [place] = Layout::horizontal([Constraint::Max(wanted(columns))]).areas(place);
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(" keys ").border_style(theme.label());
    frame.render_widget(Paragraph::new(HELP).block(block), place);
}
