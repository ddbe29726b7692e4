//! What a scrape gets: values of metrics, in Prometheus' text format.

use std::fmt;

use anyhow::{Context as _, Result};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, prometheus_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::catalogue::{ALL, Kind, Metric};

pub(super) use prometheus_text::CONTENT_TYPE;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// How many.
    Count(u64),
    /// Seconds since 1970.
    Time(f64),
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    metric: Metric,
    /// The labels' values, in the order of [`Metric::labels`].
    labels: Vec<String>,
    value: Value,
}

/// Values of metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Page(Vec<Sample>);

impl Page {
    pub(super) fn add<const N: usize>(&mut self, metric: Metric, labels: [&str; N], value: Value) {
        self.0.push(Sample { metric, labels: labels.map(str::to_owned).to_vec(), value });
    }

    pub(super) fn count<const N: usize>(&mut self, metric: Metric, labels: [&str; N], count: u64) {
        self.add(metric, labels, Value::Count(count));
    }

    /// The text that Prometheus reads.
    pub(super) fn text(self) -> Result<String> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).context("cannot write the metrics")?;
        Ok(text)
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in ALL {
            let samples: Vec<_> = self.0.iter().filter(|sample| sample.metric == *metric).collect();
            if !samples.is_empty() {
                metric.encode(&mut encoder, &samples)?;
            }
        }
        Ok(())
    }
}

impl Metric {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>, samples: &[&Sample]) -> fmt::Result {
        let (name, kind) = match self.kind {
            // The encoder adds the suffix.
            Kind::Counter => (self.name.trim_end_matches("_total"), MetricType::Counter),
            Kind::Gauge => (self.name, MetricType::Gauge),
        };
        let mut encoder = encoder.encode_descriptor(name, self.help, None, kind)?;
        for Sample { labels, value, .. } in samples {
            let pairs: Vec<_> = self.labels.iter().copied().zip(labels.iter().map(String::as_str)).collect();
            let encoder = encoder.encode_family(&pairs)?;
            match (self.kind, *value) {
                (Kind::Counter, Value::Count(count)) => ConstCounter::new(count).encode(encoder)?,
                (Kind::Counter, Value::Time(time)) => ConstCounter::new(time).encode(encoder)?,
                (Kind::Gauge, Value::Count(count)) => ConstGauge::new(count).encode(encoder)?,
                (Kind::Gauge, Value::Time(time)) => ConstGauge::new(time).encode(encoder)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::{DOCKER_CONNECTED, LAST_LOOK, MAPPING_PACKETS};
    use super::*;

    #[test]
    fn values_are_written_below_their_metric_in_the_order_of_the_catalogue() {
        let mut page = Page::default();
        page.count(DOCKER_CONNECTED, [], 1);
        page.add(LAST_LOOK, [], Value::Time(1_700_000_000.25));
        page.count(MAPPING_PACKETS, ["8080/tcp", "docker", "we\"b", "in"], u64::MAX);
        page.count(MAPPING_PACKETS, ["8080/tcp", "docker", "we\"b", "out"], 0);
        let text = page.text().unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        let expected = [
            "# TYPE netfwd_mapping_packets_total counter",
            r#"netfwd_mapping_packets_total{mapping="8080/tcp",origin="docker",name="we\"b",direction="in"} 18446744073709551615"#,
            r#"netfwd_mapping_packets_total{mapping="8080/tcp",origin="docker",name="we\"b",direction="out"} 0"#,
            "# TYPE netfwd_agent_last_look_timestamp_seconds gauge",
            "netfwd_agent_last_look_timestamp_seconds 1700000000.25",
            "# TYPE netfwd_docker_connected gauge",
            "netfwd_docker_connected 1",
        ];
        assert_eq!(lines, expected);
    }
}
