//! The tables.

use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Text},
    widgets::{self, Block, TableState},
};

use super::{Theme, text::amount};
use crate::{
    render,
    report::stats::Stats,
    top::{
        model::{Model, Pane},
        rows::{DropRow, FlowRow, MappingRow},
        sample::Flow,
        table::{Row, Table},
    },
};

/// Two lines of the border, and the names of the columns.
pub(super) const FRAME: u16 = 3;

/// A column: its name, its width, and whether numbers are in it.
type Column = (&'static str, Constraint, bool);

const HIDDEN: Constraint = Constraint::Length(0);

const fn text(name: &'static str, share: u16) -> Column {
    (name, Constraint::Fill(share), false)
}

const fn word(name: &'static str, width: u16) -> Column {
    (name, Constraint::Length(width), false)
}

const fn number(name: &'static str) -> Column {
    (name, Constraint::Length(8), true)
}

const fn short_number(name: &'static str) -> Column {
    (name, Constraint::Length(7), true)
}

/// Left out where the area is narrower than that: what is left is to be whole.
const fn from(width: u16, area: Rect, (name, constraint, is_number): Column) -> Column {
    (name, if area.width < width { HIDDEN } else { constraint }, is_number)
}

/// Records in use, and how many there can be.
pub(super) fn records(stats: &Stats) -> (usize, u64) {
    let tables = [stats.flows.ipv4, stats.flows.ipv6];
    (tables.map(|table| table.active + table.shared).iter().sum(), stats.flows.maximum)
}

/// The mappings.
pub(super) fn draw_mappings(frame: &mut Frame<'_>, area: Rect, model: &mut Model, theme: Theme) {
    let columns = [
        text("NAME", 2),
        text("HOST", 3),
        text("CONTAINER", 3),
        word("PROTO", 5),
        from(120, area, number("PKT/S IN")),
        from(120, area, number("OUT")),
        number("B/S IN"),
        number("OUT"),
        number("FLOWS"),
        from(100, area, number("NEW/S")),
    ];
    let look = Look { name: "mappings", is_chosen: model.pane == Pane::Mappings, theme };
    draw_table(frame, area, &mut model.mappings, columns, &look, |MappingRow { entry, r#in, out, new_flows }| {
        let [packets_in, packets_out, bytes_in, bytes_out] =
            [r#in.packets, out.packets, r#in.bytes, out.bytes].map(amount);
        [
            entry.name.clone().unwrap_or_else(|| "-".to_owned()),
            entry.host_text(),
            entry.target(),
            entry.protocol.clone(),
            packets_in,
            packets_out,
            bytes_in,
            bytes_out,
            entry.flows.active.to_string(),
            amount(*new_flows),
        ]
    });
}

/// The connections.
pub(super) fn draw_flows(frame: &mut Frame<'_>, area: Rect, model: &mut Model, theme: Theme) {
    let columns = [
        word("PROTO", 5),
        word("STATE", 12),
        text("FROM", 1),
        text("TO", 1),
        from(120, area, text("NAT", 1)),
        from(150, area, short_number("PKT/S")),
        from(150, area, short_number("BACK")),
        from(60, area, short_number("B/S")),
        from(60, area, short_number("BACK")),
        from(100, area, short_number("BYTES")),
        from(100, area, short_number("AGE")),
    ];
    let look = Look { name: "flows", is_chosen: model.pane == Pane::Flows, theme };
    draw_table(frame, area, &mut model.flows, columns, &look, |FlowRow { flow, rates: [original, reply] }| {
        let [from, to] = flow.original;
        let bytes = flow.traffic[0].bytes.saturating_add(flow.traffic[1].bytes);
        [
            flow.protocol.to_string(),
            flow.phase.as_str().to_owned(),
            from.to_string(),
            to.to_string(),
            nat(flow),
            amount(original.packets),
            amount(reply.packets),
            amount(original.bytes),
            amount(reply.bytes),
            amount(bytes),
            render::duration(flow.age),
        ]
    });
}

/// The ends that are translated, as they are behind the NAT.
fn nat(flow: &Flow) -> String {
    let ([from, to], [back_from, back_to]) = (flow.original, flow.reply);
    match (from != back_to, to != back_from) {
        (false, false) => "-".to_owned(),
        (true, false) => format!("<{back_to}"),
        (false, true) => format!(">{back_from}"),
        (true, true) => format!("<{back_to} >{back_from}"),
    }
}

/// What is dropped.
pub(super) fn draw_drops(frame: &mut Frame<'_>, area: Rect, model: &mut Model, theme: Theme) {
    let columns = [
        text("REASON", 2),
        text("INTERFACE", 1),
        text("HOOK", 1),
        number("PKT/S"),
        number("BYTES/S"),
        number("PACKETS"),
        number("BYTES"),
    ];
    let look = Look { name: "drops", is_chosen: model.pane == Pane::Drops, theme };
    draw_table(frame, area, &mut model.drops, columns, &look, |row: &DropRow| {
        let counts = [row.rate.packets, row.rate.bytes, row.total.packets, row.total.bytes];
        let [rate, byte_rate, packets, bytes] = counts.map(amount);
        [row.reason.to_owned(), row.interface.clone(), row.hook.to_owned(), rate, byte_rate, packets, bytes]
    });
}

struct Look {
    name: &'static str,
    is_chosen: bool,
    theme: Theme,
}

impl Look {
    fn block<R: Row>(&self, table: &Table<R>) -> Block<'static> {
        let ((sort, reversed), count) = (table.order(), table.count());
        let shown = if count == table.rows().len() { String::new() } else { format!("{count} of ") };
        let reversed = if reversed { ", reversed" } else { "" };
        let title = format!(" {} {shown}{} by {sort}{reversed} ", self.name, table.rows().len());
        let border = if self.is_chosen { Color::Cyan } else { Color::DarkGray };
        let title_style = if self.is_chosen { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
        let title = Line::styled(title, title_style);
        Block::bordered().title(title).border_style(self.theme.coloured(border))
    }
}

/// Draws a table's frame, its columns' names, and those of its rows that there is room for.
fn draw_table<R: Row, const N: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    table: &mut Table<R>,
    columns: [Column; N],
    look: &Look,
    cells: impl Fn(&R) -> [String; N],
) {
    if area.height < FRAME {
        return;
    }
    let block = look.block(table);
    let (rows, selected) = table.window((area.height - FRAME).into());
    let align = |text: String, (_, _, is_number): &Column| {
        if *is_number { Text::from(text).right_aligned() } else { Text::from(text) }
    };
    let is_shown = |(_, constraint, _): &Column| *constraint != HIDDEN;
    let row = |texts: [String; N]| {
        let cells = texts.into_iter().zip(&columns).filter(|(_, column)| is_shown(column));
        widgets::Row::new(cells.map(|(text, column)| align(text, column)))
    };
    let rows: Vec<_> = rows.map(|one| row(cells(one))).collect();
    let mut state = TableState::default();
    state.select((look.is_chosen && !rows.is_empty()).then_some(selected));
    let widths = columns.iter().filter(|column| is_shown(column)).map(|(_, width, _)| *width);
    let table = widgets::Table::new(rows, widths)
        .header(row(columns.map(|(name, _, _)| name.to_owned())).style(look.theme.label()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(block);
    frame.render_stateful_widget(table, area, &mut state);
}
