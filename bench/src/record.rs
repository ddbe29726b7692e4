//! What was measured.

use serde::Serialize;

/// What is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Better {
    More,
    Less,
}

/// What is measured, in which unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Case {
    /// The workload's heading.
    pub(crate) workload: &'static str,
    /// Which case of it.
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
}

/// A subject's figures in a case, one for each round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Series {
    #[serde(flatten)]
    pub(crate) case: Case,
    pub(crate) subject: String,
    pub(crate) values: Vec<f64>,
}

/// All figures, in the order in which they were taken.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Record {
    pub(crate) series: Vec<Series>,
    /// What was left out, and why.
    pub(crate) left_out: Vec<String>,
}

/// Middle, least and most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Record {
    /// Takes a figure of one round down.
    pub(crate) fn add(&mut self, case: &Case, subject: &str, value: f64) {
        let known = self.series.iter_mut().find(|series| series.case == *case && series.subject == subject);
        match known {
            Some(series) => series.values.push(value),
            None => {
                self.series.push(Series { case: case.clone(), subject: subject.to_owned(), values: vec![value] });
            }
        }
    }

    /// Says once what is missing, and why.
    pub(crate) fn leave_out(&mut self, what: String) {
        if !self.left_out.contains(&what) {
            crate::say::say(format_args!("  left out: {what}"));
            self.left_out.push(what);
        }
    }

    /// The cases, in the order in which they were measured.
    pub(crate) fn cases(&self) -> Vec<&Case> {
        let mut cases: Vec<&Case> = Vec::new();
        for series in &self.series {
            if !cases.contains(&&series.case) {
                cases.push(&series.case);
            }
        }
        cases
    }

    /// All subjects' figures in a case.
    pub(crate) fn of<'r>(&'r self, case: &'r Case) -> impl Iterator<Item = &'r Series> {
        self.series.iter().filter(move |series| series.case == *case)
    }

    /// A subject's figures in the case of a workload.
    pub(crate) fn find(&self, workload: &str, case: &str, subject: &str) -> Option<&Series> {
        self.series
            .iter()
            .find(|series| series.case.workload == workload && series.case.name == case && series.subject == subject)
    }
}

impl Series {
    pub(crate) fn summary(&self) -> Option<Summary> {
        Summary::of(&self.values)
    }

    /// The ratios to another subject's figures, round by round.
    pub(crate) fn ratio(&self, other: &Self) -> Option<Summary> {
        let ratios: Vec<_> = self.values.iter().zip(&other.values).map(|(own, other)| own / other).collect();
        Summary::of(&ratios)
    }

    /// Whether this is better than the other in the middle.
    pub(crate) fn beats(&self, other: &Self) -> bool {
        let medians = self.summary().zip(other.summary()).map(|(own, other)| (own.median, other.median));
        medians.is_some_and(|(own, other)| match self.case.better {
            Better::More => own > other,
            Better::Less => own < other,
        })
    }
}

impl Summary {
    /// The summary of at least one value.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (sorted.get((sorted.len() - 1) / 2)?, sorted.get(sorted.len() / 2)?);
        Some(Self { median: f64::midpoint(*low, *high), least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(better: Better) -> Case {
        Case { workload: "w", name: "c".to_owned(), unit: "packets/s", better }
    }

    fn series(better: Better, values: &[f64]) -> Series {
        Series { case: case(better), subject: "s".to_owned(), values: values.to_vec() }
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_that_are() {
        assert_eq!(Summary::of(&[3.0, 1.0, 9.0]), Some(Summary { median: 3.0, least: 1.0, most: 9.0 }));
        assert_eq!(Summary::of(&[4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn a_ratio_is_taken_in_each_round() {
        let (fast, slow) = (series(Better::More, &[20.0, 60.0, 30.0]), series(Better::More, &[10.0, 10.0, 30.0]));
        assert_eq!(fast.ratio(&slow), Some(Summary { median: 2.0, least: 1.0, most: 6.0 }));
        assert!(fast.beats(&slow) && !slow.beats(&fast));
        assert!(series(Better::Less, &[1.0]).beats(&series(Better::Less, &[2.0])));
    }

    #[test]
    fn figures_of_the_same_case_and_subject_are_one_series() {
        let mut record = Record::default();
        for (subject, value) in [("a", 1.0), ("b", 2.0), ("a", 3.0)] {
            record.add(&case(Better::More), subject, value);
        }
        assert_eq!(record.find("w", "c", "a").unwrap().values, [1.0, 3.0]);
        assert_eq!((record.cases().len(), record.of(&case(Better::More)).count()), (1, 2));
    }
}
