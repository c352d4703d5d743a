//! Which numbers of a log share a chart, and the data from which the page draws it.

use serde::Serialize;

use super::metrics::{Metrics, Point};

/// Points of a line at most; of longer ones every second, third … is drawn.
const MOST_POINTS: usize = 2000;

/// Lines over steps, or over time.
#[derive(Debug, Serialize)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) lines: Vec<Line>,
}

/// A number of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    /// Place of the run.
    run: usize,
    /// What tells it from other lines of the same run in this chart.
    name: String,
    /// Solid, dashed, dotted.
    style: usize,
    /// Of so many points one is here.
    every: usize,
    steps: Vec<u64>,
    seconds: Vec<f64>,
    values: Vec<f64>,
}

/// Where a number is drawn: the chart, the name of the line, and its style.
struct Place<'a> {
    chart: &'a str,
    line: &'a str,
    style: usize,
}

/// The place of a number, if it has one. Other figures of a summary are in a table.
fn place<'a>(name: &'a str, metrics: &Metrics) -> Option<Place<'a>> {
    let place = |chart, line, style| Some(Place { chart, line, style });
    match name {
        "seconds" | "median" => None,
        "loss" => place("loss", "training", 0),
        // Of the lines inside of an epoch and those of whole epochs, the former say more.
        "train_loss" if !metrics.points("loss").is_empty() => None,
        "summary.top5" => place("accuracy", "top-5", 2),
        "summary.ap50" => place("ap", "AP50", 1),
        "summary.ap75" => place("ap", "AP75", 2),
        "summary.bleu1" => place("bleu", "BLEU-1", 0),
        "summary.bleu4" => place("bleu", "BLEU-4", 1),
        "summary.rouge_l" => place("rouge_l", "", 0),
        _ if name.starts_with("summary.") => None,
        _ => match name.split_once('_') {
            Some(("train", of)) => place(of, "training", 0),
            Some(("test" | "validation", "ap")) => place("ap", "AP", 0),
            Some(("test", of)) => place(of, "test", 1),
            Some(("validation", of)) => place(of, "validation", 1),
            _ => place(name, "", 0),
        },
    }
}

/// The charts of some runs: losses, metrics, and what the machine did.
pub(super) fn charts(runs: &[&Metrics]) -> Vec<Chart> {
    let mut charts: Vec<(&str, Vec<Line>)> = Vec::new();
    for (run, metrics) in runs.iter().enumerate() {
        for name in metrics.names() {
            let Some(Place { chart, line, style }) = place(name, metrics) else { continue };
            let line = Line::new(run, line, style, metrics.points(name));
            match charts.iter_mut().find(|(name, _)| *name == chart) {
                Some((_, lines)) => lines.push(line),
                None => charts.push((chart, vec![line])),
            }
        }
    }
    let order = |name: &str| match name {
        "loss" => 0,
        "rate" => 2,
        "grad_norm" => 3,
        "img_s" => 4,
        "rss_mb" => 5,
        _ => 1,
    };
    charts.sort_by_key(|(name, _)| (order(name), *name));
    let chart = |(name, mut lines): (&str, Vec<Line>)| {
        lines.sort_by_key(|line| (line.run, line.style));
        Chart { title: title(name), lines }
    };
    charts.into_iter().map(chart).collect()
}

impl Line {
    /// Points (step, value) of the mean of several runs, whose steps took so many seconds.
    pub(crate) fn of_mean(run: usize, style: usize, points: &[(f64, f64)], seconds: f64) -> Self {
        let point = |&(step, value): &(f64, f64)| Point {
            step: step as u64,
            seconds: step * seconds,
            value,
        };
        Self::new(run, "", style.min(2), &points.iter().map(point).collect::<Vec<_>>())
    }

    fn new(run: usize, name: &str, style: usize, points: &[Point]) -> Self {
        let every = points.len().div_ceil(MOST_POINTS);
        let last = points.len() - 1;
        let kept = points.iter().enumerate().filter(|(i, _)| (last - i).is_multiple_of(every));
        let kept: Vec<&Point> = kept.map(|(_, point)| point).collect();
        Self {
            run,
            name: name.to_owned(),
            style,
            every,
            steps: kept.iter().map(|point| point.step).collect(),
            seconds: kept.iter().map(|point| rounded(point.seconds)).collect(),
            values: kept.iter().map(|point| rounded(point.value)).collect(),
        }
    }
}

/// Seven digits, more than a picture shows.
fn rounded(x: f64) -> f64 {
    format!("{x:.6e}").parse().unwrap_or(x)
}

/// A number's name for people.
pub(crate) fn title(name: &str) -> String {
    let known = match name {
        "loss" => "Loss",
        "accuracy" => "Accuracy",
        "class_accuracy" => "Class accuracy of matched queries",
        "ap" => "Average precision",
        "cider" => "CIDEr-D",
        "bleu" => "BLEU",
        "rouge_l" => "ROUGE-L",
        "bits_per_dim" => "Bits per dimension",
        "bits_per_pixel" => "Bits per pixel",
        "rate" => "Learning rate",
        "grad_norm" => "Gradient norm",
        "img_s" => "Images per second",
        "rss_mb" => "Memory, MiB",
        other => {
            let words = other.replace(['_', '.'], " ");
            let mut letters = words.chars();
            let first = letters.next().map(|letter| letter.to_uppercase().to_string());
            return first.unwrap_or_default() + letters.as_str();
        }
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(text: &str) -> Metrics {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("metrics.jsonl"), text).expect("written");
        Metrics::read(folder.path()).expect("read")
    }

    #[test]
    fn what_is_compared_shares_a_chart() {
        let one = metrics(
            "{\"step\":1,\"loss\":2,\"rate\":0.1}\n\
             {\"step\":2,\"train_loss\":2,\"test_loss\":3,\"test_ap\":0.5,\"summary\":{\"ap50\":0.75,\"ap_small\":-1}}",
        );
        let two = metrics(
            "{\"step\":5,\"train_loss\":1,\"test_accuracy\":0.2,\"summary\":{\"top5\":0.7}}",
        );
        let charts = charts(&[&one, &two]);
        let titles: Vec<&str> = charts.iter().map(|chart| chart.title.as_str()).collect();
        assert_eq!(titles, ["Loss", "Accuracy", "Average precision", "Learning rate"]);
        let lines = |i: usize| -> Vec<(usize, &str)> {
            charts[i].lines.iter().map(|line| (line.run, line.name.as_str())).collect()
        };
        assert_eq!(lines(0), [(0, "training"), (0, "test"), (1, "training")]);
        assert_eq!(lines(1), [(1, "test"), (1, "top-5")]);
        assert_eq!(lines(2), [(0, "AP"), (0, "AP50")]);
    }

    #[test]
    fn long_lines_are_thinned_and_keep_their_last_point() {
        let lines: Vec<String> = (1..=6001)
            .map(|step| format!("{{\"step\":{step},\"loss\":{}}}", 1.0 / step as f64))
            .collect();
        let charts = charts(&[&metrics(&lines.join("\n"))]);
        let line = &charts[0].lines[0];
        assert_eq!((line.every, line.steps.len()), (4, 1501));
        assert_eq!((line.steps[0], line.steps[1500]), (1, 6001));
        assert_eq!(line.values[1500], 1.666389e-4);
    }
}
