//! What netfwd is to reach, and whether it does.

use serde::Serialize;

use super::text::ratio;
use crate::record::{Better, Record, Series, Summary};
use crate::subject::{DockerProxy, Iptables, Netfwd, Nftables, Plain};
use crate::traffic::Direction;
use crate::workload::services::{CONNECTIONS, LATENCY_HIGH, LATENCY_MEDIAN, Streams, throughput};
use crate::workload::{docker, growth, localhost, new_flows, packets, ports, tcp};

const NETFILTER: [&str; 2] = [Iptables::NAME, Nftables::NAME];
/// What "not worse" allows for: how far two runs of the same differ.
const NOISE: f64 = 0.03;

/// A goal, and what was reached of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Outcome {
    pub(super) what: String,
    pub(super) against: String,
    pub(super) wanted: String,
    pub(super) reached: String,
    /// Unless it was not measured.
    pub(super) met: Option<bool>,
}

impl Outcome {
    pub(super) fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "not measured",
        }
    }
}

/// What is wanted of a ratio or of a figure.
#[derive(Clone, Copy)]
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
    NotWorse,
}

/// Judges all goals.
pub(super) fn judge(record: &Record) -> Vec<Outcome> {
    let mut goals = packet_goals(record);
    goals.extend(tcp_goals(record));
    goals.extend(localhost_goals(record));
    for (count, most) in [(200, 20.0), (10_000, 50.0)] {
        goals.push(figure(record, ports::TITLE, &ports::case("publish", count), most));
    }
    goals.push(figure(record, ports::TITLE, &ports::case("processes for", 200), 0.0));
    goals.extend(
        [(docker::RUN, 700.0), (docker::ANSWER, 100.0)].map(|(case, most)| figure(record, docker::TITLE, case, most)),
    );
    let (many, few) = growth::GOAL;
    let (many, few): (String, String) = (growth::case(many), growth::case(few));
    let own = |case: &str| record.find(growth::TITLE, case, Netfwd::NAME);
    let reached = own(&many).zip(own(&few)).and_then(|(many, few)| many.ratio(few));
    goals.push(outcome(format!("packets/s, {many}"), few, Wanted::AtLeast(0.7), Better::More, reached));
    goals.push(figure(record, growth::TITLE, growth::MEMORY, 320.0));
    goals
}

fn packet_goals(record: &Record) -> Vec<Outcome> {
    let mut goals = Vec::new();
    for (direction, flows, least) in
        [(Direction::In, 1, 2.2), (Direction::In, 10_000, 2.0), (Direction::Out, 1, 2.0), (Direction::Out, 10_000, 1.8)]
    {
        let case = packets::case(direction, flows);
        goals.push(against(record, packets::TITLE, &case, Netfwd::NAME, &NETFILTER, Wanted::AtLeast(least)));
        goals.push(against(record, packets::TITLE, &case, Netfwd::NAME, &[Plain::NAME], Wanted::AtLeast(1.6)));
    }
    for flows in [1, 10_000] {
        let case = packets::case(Direction::In, flows);
        goals.push(against(record, packets::TITLE, &case, Netfwd::XDP, &NETFILTER, Wanted::AtLeast(2.5)));
    }
    for direction in [Direction::In, Direction::Out] {
        let case = direction.to_string();
        goals.push(against(record, new_flows::TITLE, &case, Netfwd::NAME, &NETFILTER, Wanted::AtLeast(1.3)));
    }
    goals
}

fn tcp_goals(record: &Record) -> Vec<Outcome> {
    let mut cases: Vec<_> = [LATENCY_MEDIAN, LATENCY_HIGH, CONNECTIONS].map(str::to_owned).into();
    for direction in [Direction::In, Direction::Out] {
        cases.extend(Streams::APART.iter().chain(&Streams::TOGETHER).map(|it| throughput(direction, *it)));
    }
    let goal = |case: &String| against(record, tcp::TITLE, case, Netfwd::NAME, &NETFILTER, Wanted::NotWorse);
    cases.iter().map(goal).collect()
}

fn localhost_goals(record: &Record) -> Vec<Outcome> {
    let throughputs = Streams::APART.map(|streams| (throughput(Direction::In, streams), Wanted::AtLeast(2.0)));
    let messages = [
        (CONNECTIONS.to_owned(), Wanted::AtLeast(3.0)),
        (LATENCY_MEDIAN.to_owned(), Wanted::AtMost(0.6)),
        (LATENCY_HIGH.to_owned(), Wanted::AtMost(0.6)),
    ];
    let goals = throughputs
        .into_iter()
        .chain(messages)
        .map(|(case, wanted)| against(record, localhost::TITLE, &case, Netfwd::NAME, &[DockerProxy::NAME], wanted));
    goals.collect()
}

/// The ratio to the best of `others`, by their medians.
fn against(record: &Record, workload: &str, case: &str, own: &str, others: &[&str], wanted: Wanted) -> Outcome {
    let others = others.iter().filter_map(|other| record.find(workload, case, other));
    let best = others.reduce(|best, other| if other.beats(best) { other } else { best });
    let own_series = record.find(workload, case, own);
    let reached = own_series.zip(best).and_then(|(own, best)| own.ratio(best));
    let better = own_series.map_or(Better::More, |series| series.case.better);
    let name = best.map_or_else(|| "a peer".to_owned(), |best: &Series| best.subject.clone());
    let subject = if own == Netfwd::NAME { String::new() } else { format!(" ({own})") };
    outcome(format!("{workload}: {case}{subject}"), name, wanted, better, reached)
}

fn outcome(what: String, against: String, wanted: Wanted, better: Better, reached: Option<Summary>) -> Outcome {
    let (text, met): (String, fn(f64, f64) -> bool) = match (wanted, better) {
        (Wanted::AtLeast(least), _) => (format!("≥ {least} ×"), |reached, limit| reached >= limit),
        (Wanted::AtMost(most), _) => (format!("≤ {most} ×"), |reached, limit| reached <= limit),
        (Wanted::NotWorse, Better::More) => ("not less".to_owned(), |reached, _| reached >= 1.0 - NOISE),
        (Wanted::NotWorse, Better::Less) => ("not more".to_owned(), |reached, _| reached <= 1.0 + NOISE),
    };
    let limit = match wanted {
        Wanted::AtLeast(limit) | Wanted::AtMost(limit) => limit,
        Wanted::NotWorse => 1.0,
    };
    let met = reached.map(|reached| met(reached.median, limit));
    Outcome { what, against, wanted: text, reached: reached.map(ratio).unwrap_or_default(), met }
}

/// A figure of netfwd's own that is not to be above `most`.
fn figure(record: &Record, workload: &str, case: &str, most: f64) -> Outcome {
    let series = record.find(workload, case, Netfwd::NAME);
    let reached = series.and_then(|series| Some((series.summary()?, series.case.unit)));
    Outcome {
        what: format!("{workload}: {case}"),
        against: String::new(),
        wanted: format!("≤ {most}"),
        reached: reached.map(|(it, unit)| super::text::figure(it, unit)).unwrap_or_default(),
        met: reached.map(|(it, _)| it.median <= most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Case;

    fn record(figures: &[(&str, f64)]) -> Record {
        let case = packets::case(Direction::In, 1);
        let case = Case { workload: packets::TITLE, name: case, unit: "packets/s", better: Better::More };
        let mut record = Record::default();
        for (subject, value) in figures {
            record.add(&case, subject, *value);
        }
        record
    }

    #[test]
    fn a_goal_is_judged_against_the_better_of_two_peers() {
        let record = record(&[(Iptables::NAME, 100.0), (Nftables::NAME, 120.0), (Netfwd::NAME, 240.0)]);
        let goal = &judge(&record)[0];
        assert_eq!((goal.against.as_str(), goal.met), (Nftables::NAME, Some(false)));
        assert!(goal.reached.starts_with("2.00 ×"), "{}", goal.reached);
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let goals = judge(&Record::default());
        assert!(goals.len() > 20 && goals.iter().all(|goal| goal.met.is_none()));
    }
}
