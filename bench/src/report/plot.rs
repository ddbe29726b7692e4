//! Plots: one SVG for each workload and unit, a bar for each median with a line from least to most.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::element::{PathElement, Rectangle};
use plotters::prelude::{BLACK, Color as _, Palette as _, Palette99, SVGBackend, WHITE};

use super::text::number;
use crate::record::{Case, Record, Summary};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 420;
const FONT: &str = "sans-serif";

/// A plot's title and file.
pub(super) struct Plot {
    pub(super) workload: &'static str,
    pub(super) unit: &'static str,
    pub(super) file: PathBuf,
}

/// Draws all of them.
pub(super) fn all(record: &Record, directory: &Path) -> Result<Vec<Plot>> {
    let mut plots: Vec<Plot> = Vec::new();
    for case in record.cases() {
        // What is not compared needs no picture.
        if record.of(case).count() < 2 {
            continue;
        }
        if plots.iter().any(|plot| plot.workload == case.workload && plot.unit == case.unit) {
            continue;
        }
        let file = directory.join(format!("{}.svg", file_name(case)));
        draw(record, case, &file).with_context(|| format!("cannot draw {}", file.display()))?;
        plots.push(Plot { workload: case.workload, unit: case.unit, file });
    }
    Ok(plots)
}

fn file_name(case: &Case) -> String {
    let text = format!("{} {}", case.workload, case.unit).to_lowercase().replace('µ', "u");
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// Draws the cases of a workload that have the same unit.
fn draw(record: &Record, like: &Case, file: &Path) -> Result<()> {
    let cases: Vec<_> =
        record.cases().into_iter().filter(|it| it.workload == like.workload && it.unit == like.unit).collect();
    let mut subjects: Vec<&str> = Vec::new();
    for series in cases.iter().flat_map(|case| record.of(case)) {
        if !subjects.contains(&series.subject.as_str()) {
            subjects.push(&series.subject);
        }
    }
    let area = SVGBackend::new(file, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE).map_err(|error| anyhow!("{error}"))?;
    chart(&area, record, &cases, &subjects).map_err(|error| anyhow!("{error}"))?;
    area.present().map_err(|error| anyhow!("{error}"))
}

fn chart(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    record: &Record,
    cases: &[&Case],
    subjects: &[&str],
) -> Result<(), Box<dyn std::error::Error>> {
    // The key has room above the highest bar.
    let most = cases.iter().flat_map(|case| record.of(case)).flat_map(|it| &it.values).copied().fold(0.0, f64::max);
    let case = cases.first().ok_or("nothing to draw")?;
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{} ({})", case.workload, case.unit), (FONT, 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(90)
        .build_cartesian_2d(0.0..cases.len() as f64, 0.0..(most * 1.45).max(1.0))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(2 * cases.len() + 1)
        // The middle between two borders belongs to a case.
        .x_label_formatter(&|x| if (x.fract() - 0.5).abs() < 0.1 { name(cases, *x) } else { String::new() })
        .y_label_formatter(&|y| number(*y))
        .draw()?;
    let width = 0.8 / subjects.len() as f64;
    for (index, subject) in subjects.iter().enumerate() {
        let (color, offset) = (Palette99::pick(index).to_rgba(), 0.1 + width * index as f64);
        let bars: Vec<_> = bars(record, cases, subject, offset).collect();
        let rectangles = bars
            .iter()
            .map(|(left, it)| Rectangle::new([(*left, 0.0), (left + width * 0.9, it.median)], color.filled()));
        let key = move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], color.filled());
        chart.draw_series(rectangles)?.label(*subject).legend(key);
        chart.draw_series(bars.iter().map(|(left, it)| {
            let middle = left + width * 0.45;
            PathElement::new(vec![(middle, it.least), (middle, it.most)], BLACK)
        }))?;
    }
    let labels = &mut chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperRight).background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    Ok(())
}

/// A subject's bars: where each begins, and what it shows.
fn bars<'r>(
    record: &'r Record,
    cases: &'r [&Case],
    subject: &'r str,
    offset: f64,
) -> impl Iterator<Item = (f64, Summary)> + 'r {
    cases.iter().enumerate().filter_map(move |(position, case)| {
        let summary = record.find(case.workload, &case.name, subject)?.summary()?;
        Some((position as f64 + offset, summary))
    })
}

fn name(cases: &[&Case], position: f64) -> String {
    cases.get(position as usize).map(|case| case.name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Better;

    #[test]
    fn a_plot_is_drawn_of_all_cases_with_the_same_unit_that_compare() {
        let mut record = Record::default();
        for (name, unit, subject) in [
            ("a", "x/s", "one"),
            ("a", "x/s", "two"),
            ("b", "x/s", "one"),
            ("c", "µs", "one"),
            ("d", "µs", "one"),
            ("d", "µs", "two"),
            ("e", "s", "one"),
        ] {
            let case = Case { workload: "Some work", name: name.to_owned(), unit, better: Better::More };
            record.add(&case, subject, 5.0);
        }
        let directory = std::env::temp_dir();
        let plots = all(&record, &directory).unwrap();
        let names: Vec<_> = plots.iter().map(|it| it.file.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["some-work-x-s.svg", "some-work-us.svg"]);
        let text = std::fs::read_to_string(&plots[0].file).unwrap();
        assert!(text.contains("one") && text.contains("two"));
        for plot in plots {
            std::fs::remove_file(plot.file).unwrap();
        }
    }
}
