//! docs/benchmarks.md.

use std::fmt::Write as _;

use super::PLOTS;
use super::goals::Outcome;
use super::plot::Plot;
use super::text::{number, ratio};
use crate::record::{Case, Record};
use crate::session::Session;
use crate::subject::Netfwd;

/// The document's beginning, which no measurement changes.
const METHOD: &str = include_str!("method.md");
/// What is known of the goals that are missed.
const SHORTFALLS: &str = include_str!("shortfalls.md");

/// The whole document.
pub(super) fn render(session: &Session, goals: &[Outcome], plots: &[Plot]) -> String {
    let mut text = METHOD.to_owned();
    machine(&mut text, session);
    goal_table(&mut text, goals);
    text.push_str(SHORTFALLS);
    let mut workload = "";
    for case in session.record.cases() {
        if case.workload != workload {
            workload = case.workload;
            push(&mut text, &format!("\n## {workload}\n"));
            for plot in plots.iter().filter(|plot| plot.workload == workload) {
                let file = plot.file.file_name().unwrap_or_default().to_string_lossy();
                push(&mut text, &format!("\n![{workload}, {}]({PLOTS}/{file})\n", plot.unit));
            }
            push(&mut text, "\n| case | subject | median | least | most | unit | netfwd is |\n");
            push(&mut text, "|---|---|--:|--:|--:|---|--:|\n");
        }
        rows(&mut text, &session.record, case);
    }
    if !session.record.left_out.is_empty() {
        push(&mut text, "\n## Left out\n\n");
        session.record.left_out.iter().for_each(|what| push(&mut text, &format!("- {what}\n")));
    }
    text
}

fn machine(text: &mut String, session: &Session) {
    let machine = &session.machine;
    let kind = if machine.virtualized { "a virtual machine" } else { "a real machine" };
    push(text, "\n## Machine\n\n");
    push(text, &format!("- {}, {} processors, {kind}\n", machine.processor, machine.processors));
    push(text, &format!("- Linux {}; {}\n", machine.kernel, machine.mitigations.join("; ")));
    push(text, &format!("- {}; {}\n", machine.iptables, machine.nftables));
    let window = session.window.as_secs_f64();
    push(text, &format!("- {} rounds, {window} s for each measurement\n", session.rounds));
}

fn goal_table(text: &mut String, goals: &[Outcome]) {
    push(text, "\n## Goals\n\n| goal | against | wanted | reached | met |\n|---|---|---|---|---|\n");
    for goal in goals {
        let Outcome { what, against, wanted, reached, .. } = goal;
        push(text, &format!("| {what} | {against} | {wanted} | {reached} | {} |\n", goal.verdict()));
    }
}

fn rows(text: &mut String, record: &Record, case: &Case) {
    let own = record.find(case.workload, &case.name, Netfwd::NAME);
    for series in record.of(case) {
        let Some(summary) = series.summary() else { continue };
        let [median, least, most] = [summary.median, summary.least, summary.most].map(number);
        let relation = own.filter(|own| *own != series).and_then(|own| own.ratio(series)).map(ratio);
        let relation = relation.unwrap_or_default();
        let (name, subject, unit) = (&case.name, &series.subject, case.unit);
        push(text, &format!("| {name} | {subject} | {median} | {least} | {most} | {unit} | {relation} |\n"));
    }
}

fn push(text: &mut String, more: &str) {
    // Writing to a string cannot fail.
    let _ = text.write_str(more);
}
