//! The documentation, the dashboard and the alerts know the metrics that there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::PathBuf,
};

use serde_json::Value;

use super::{ALL, Kind, Metric};

/// Set, it writes the table instead of comparing it.
const BLESS: &str = "NETFWD_BLESS";
const BEGIN: &str = "<!-- metrics: made of the code by a test -->\n";
const END: &str = "<!-- end of metrics -->\n";
/// What Prometheus adds to each series, and what its alerts have.
const COMMON: [&str; 4] = ["job", "instance", "alertname", "alertstate"];

fn path(parts: &[&str]) -> PathBuf {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect();
    root.join(parts.iter().collect::<PathBuf>())
}

fn read(parts: &[&str]) -> String {
    fs::read_to_string(path(parts)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&read(&["contrib", "grafana", "netfwd.json"])).unwrap()
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
    for Metric { name, kind, labels, help } in ALL {
        assert!(name.starts_with("netfwd_") && name.ends_with("_total") == (*kind == Kind::Counter), "{name}");
        assert!(!help.is_empty() && !help.ends_with('.'), "{name}: {help}");
        let is_snake = |label: &&str| label.chars().all(|character| character.is_ascii_lowercase() || character == '_');
        assert!(labels.iter().all(is_snake), "{name}: {labels:?}");
    }
}

fn table() -> String {
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for Metric { name, kind, labels, help } in ALL {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(table, "| `{name}` | {kind} | {} | {help}. |", labels.join(", ")).unwrap();
    }
    table
}

#[test]
fn the_documentation_has_every_metric() {
    let parts = ["docs", "metrics.md"];
    let present = read(&parts);
    let (before, rest) = present.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let made = [before, BEGIN, &table(), END, after].concat();
    if env::var_os(BLESS).is_some() {
        fs::write(path(&parts), &made).unwrap();
    }
    let present = read(&parts);
    assert!(present == made, "docs/metrics.md differs: {BLESS}=1 cargo test -p netfwd --lib metrics writes it anew");
}

/// Names of metrics in an expression, each with the labels that are asked for in braces.
fn asked(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let starts = expression.match_indices("netfwd_").map(|(start, _)| &expression[start..]);
    let metric = |text: &str| {
        let name: String = text.chars().take_while(|character| is_of_name(*character)).collect();
        let matchers =
            text[name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(in_it, _)| in_it);
        let labels = matchers.into_iter().flat_map(|matchers| matchers.split(", "));
        let label = |matcher: &str| matcher.chars().take_while(|character| is_of_name(*character)).collect();
        (name, labels.map(label).collect())
    };
    starts.map(metric).collect()
}

/// Labels by which an expression groups.
fn groups(expression: &str) -> Vec<String> {
    let lists = expression.split("by (").skip(1).filter_map(|rest| rest.split_once(')'));
    lists.flat_map(|(list, _)| list.split(", ").map(str::to_owned)).collect()
}

fn assert_known(expression: &str) {
    let metrics: BTreeMap<_, _> = ALL.iter().map(|metric| (metric.name, metric.labels)).collect();
    let mut possible: BTreeSet<_> = COMMON.into();
    for (name, labels) in asked(expression) {
        let known = metrics.get(name.as_str()).unwrap_or_else(|| panic!("there is no {name}: {expression}"));
        possible.extend(known.iter());
        let is_known = |label: &String| known.contains(&label.as_str()) || COMMON.contains(&label.as_str());
        assert!(labels.iter().all(is_known), "{name} has no such label: {expression}");
    }
    assert!(groups(expression).iter().all(|label| possible.contains(label.as_str())), "{expression}");
}

#[test]
fn an_expression_is_taken_apart() {
    let expression = r#"sum by (job, path) (rate(netfwd_a_total{job="$job", x=~"a|b"}[5m])) / netfwd_b"#;
    let labels = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let expected = [("netfwd_a_total".to_owned(), labels(&["job", "x"])), ("netfwd_b".to_owned(), labels(&[]))];
    assert_eq!(asked(expression), expected);
    assert_eq!(groups(expression), ["job", "path"]);
}

#[test]
fn the_dashboard_asks_for_metrics_and_labels_that_there_are() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 20);
    expressions.into_iter().for_each(assert_known);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    for query in variables.iter().filter_map(|variable| variable["query"]["query"].as_str()) {
        let arguments = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
        let (series, label) = arguments.rsplit_once(", ").unwrap();
        assert_known(&format!("sum by ({label}) ({series})"));
    }
}

#[test]
fn the_alerts_ask_for_metrics_and_labels_that_there_are() {
    let rules = read(&["contrib", "prometheus", "netfwd.rules.yml"]);
    let rules: Vec<_> = rules.split("- alert: ").skip(1).collect();
    assert!(rules.len() > 5);
    for rule in rules {
        let (_, expression) = rule.split_once("expr:").unwrap();
        let (expression, _) = expression.split_once("for:").unwrap();
        assert_known(expression);
    }
}

#[test]
fn the_dashboards_panels_lie_beside_each_other() {
    let dashboard = dashboard();
    let number = |panel: &Value, name: &str| panel["gridPos"][name].as_u64().unwrap();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}", panel["title"]);
        let [x, y, width, height] = ["x", "y", "w", "h"].map(|name| number(panel, name));
        assert!(x + width <= 24, "{}", panel["title"]);
        let cells = (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y)));
        assert!(cells.into_iter().all(|cell| taken.insert(cell)), "{} lies on another", panel["title"]);
    }
}
