//! What the runs of a design say: figures of each row, how they differ from those of the reference, and how fast they came.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use models::statistics::{
    Estimate, Goal, Interval, bca_interval, differences, holm, resampled_means, steps_to,
    t_interval, t_test,
};
use serde::Serialize;
use serde_json::Value;

use super::figure::Figure;
use crate::study::Outcome;
use crate::written::read_own;

/// The row that others are compared with.
pub(super) const REFERENCE: &str = "lff-mlp";
/// Probability that an interval holds the true mean, if its assumptions hold.
pub(super) const LEVEL: f64 = 0.95;
/// Samples of the bootstrap.
const RESAMPLES: usize = 10_000;

/// The runs of a row.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    pub(super) row: String,
    /// The encoding with its numbers.
    pub(super) position: String,
    pub(super) outcomes: Vec<Outcome>,
    /// Parameters of the encoding among those of the model.
    pub(super) position_params: usize,
    /// Of each run, the metric on held-out data over steps.
    curves: Vec<Vec<(f64, f64)>>,
}

/// All that is told of a design.
#[derive(Debug, Serialize)]
pub(super) struct Analysis {
    pub(super) name: String,
    pub(super) figures: Vec<Measured>,
    /// What the curves had to reach: where the worst run ended, those of `none` aside, unless another threshold was given.
    pub(super) threshold: f64,
    pub(super) rows: Vec<RowSummary>,
    #[serde(skip)]
    pub(super) metric: String,
}

/// A figure of all rows.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) figure: Figure,
    pub(super) rows: Vec<Compared>,
}

/// A figure of a row.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) row: String,
    pub(super) values: Vec<f64>,
    #[serde(flatten)]
    pub(super) estimate: Estimate,
    /// This row less the reference, seed by seed; none of the reference itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) difference: Option<Difference>,
}

/// A paired difference to the reference.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Difference {
    pub(super) mean: f64,
    /// Student's interval; none for one seed.
    pub(super) interval: Option<Interval>,
    /// The bootstrap's (BCa), which is too narrow for few seeds.
    pub(super) bootstrap: Interval,
    /// Of Student's paired test.
    pub(super) p: Option<f64>,
    /// Corrected for the number of rows by Holm's method.
    pub(super) adjusted: Option<f64>,
    pub(super) verdict: Verdict,
}

/// What may be said of a row beside the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Better,
    Worse,
    /// The corrected p-value is not below 5 %.
    Undecided,
}

/// How a row came to its figures.
#[derive(Debug, Serialize)]
pub(super) struct RowSummary {
    pub(super) row: String,
    pub(super) position: String,
    /// Steps to the threshold; none if a run did not reach it.
    pub(super) steps_to_threshold: Option<Estimate>,
    /// Runs that reached it.
    pub(super) reached: usize,
    pub(super) params: u64,
    pub(super) position_params: usize,
    /// Milliseconds of a training step, with whatever else the machine did.
    pub(super) step_ms: Estimate,
    /// The commands that repeat the runs, and the mean curve.
    pub(super) commands: Vec<String>,
    pub(super) curve: Vec<(f64, f64)>,
}

impl Runs {
    /// Reads what the runs have logged.
    pub(super) fn new(
        row: String,
        position: String,
        outcomes: Vec<Outcome>,
        position_params: usize,
    ) -> Result<Self> {
        let curves = outcomes.iter().map(|outcome| curve(&outcome.folder, outcome.metric()));
        let curves = curves.collect::<Result<_>>()?;
        Ok(Self { row, position, outcomes, position_params, curves })
    }

    fn values(&self, figure: &Figure) -> Result<Vec<f64>> {
        let value = |outcome: &Outcome| {
            let value = outcome.scores.get(&figure.scoring).and_then(|score| figure.read(score));
            value.with_context(|| {
                format!("{}: {} is missing", outcome.folder.display(), figure.title)
            })
        };
        self.outcomes.iter().map(value).collect()
    }

    /// The mean over runs where all have a point.
    fn mean_curve(&self) -> Vec<(f64, f64)> {
        let Some((first, others)) = self.curves.split_first() else { return Vec::new() };
        let mean = |&(step, value): &(f64, f64)| {
            let of = |curve: &Vec<(f64, f64)>| curve.iter().find(|point| point.0 == step).copied();
            let others: Option<Vec<f64>> = others.iter().map(|curve| Some(of(curve)?.1)).collect();
            let others = others?;
            Some((step, (value + others.iter().sum::<f64>()) / (others.len() + 1) as f64))
        };
        first.iter().filter_map(mean).collect()
    }

    fn summary(&self, goal: Goal) -> Result<RowSummary> {
        let steps: Vec<f64> =
            self.curves.iter().filter_map(|curve| steps_to(curve, goal)).collect();
        let all = steps.len() == self.curves.len();
        let number = |outcome: &Outcome, key: &str| {
            outcome.number(key).with_context(|| format!("{}: no {key}", outcome.folder.display()))
        };
        let step_ms = |outcome: &Outcome| -> Result<f64> {
            Ok(1e3 * number(outcome, "seconds")? / number(outcome, "step")?)
        };
        let step_ms = self.outcomes.iter().map(step_ms).collect::<Result<Vec<_>>>()?;
        Ok(RowSummary {
            row: self.row.clone(),
            position: self.position.clone(),
            steps_to_threshold: (all && !steps.is_empty()).then(|| Estimate::of(&steps)),
            reached: steps.len(),
            params: number(&self.outcomes[0], "params")? as u64,
            position_params: self.position_params,
            step_ms: Estimate::of(&step_ms),
            commands: self.outcomes.iter().map(|outcome| outcome.command.clone()).collect(),
            curve: self.mean_curve(),
        })
    }
}

/// A metric of a run over steps.
fn curve(folder: &Path, metric: &str) -> Result<Vec<(f64, f64)>> {
    let path = folder.join("metrics.jsonl");
    let text = read_own(&path).with_context(|| path.display().to_string())?;
    let mut points: Vec<(f64, f64)> = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| path.display().to_string())?;
        let of = |key: &str| line.get(key).and_then(Value::as_f64);
        if let (Some(step), Some(value)) = (of("step"), of(metric))
            && points.last().is_none_or(|last| last.0 < step)
        {
            points.push((step, value));
        }
    }
    if points.is_empty() {
        bail!("{}: no {metric}", path.display());
    }
    Ok(points)
}

/// Compares all rows of a design.
pub(super) fn analyse(
    name: &str,
    figures: &[Figure],
    all: &[Runs],
    threshold: Option<f64>,
) -> Result<Analysis> {
    let outcome = all.iter().find_map(|runs| runs.outcomes.first()).context("no runs")?;
    let metric = outcome.metric().to_owned();
    let is_more_better = figures.first().is_none_or(|figure| figure.is_more_better);
    let placed = all.iter().filter(|runs| !runs.row.starts_with("none"));
    let ends = placed.flat_map(|runs| &runs.curves).filter_map(|curve| curve.last());
    let ends: Vec<f64> = ends.map(|point| point.1).collect();
    let threshold = threshold.unwrap_or_else(|| match is_more_better {
        true => ends.iter().copied().fold(f64::INFINITY, f64::min),
        false => ends.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    });
    let goal = if is_more_better { Goal::AtLeast(threshold) } else { Goal::AtMost(threshold) };
    let rows = all.iter().map(|runs| runs.summary(goal)).collect::<Result<_>>()?;
    let figures = figures.iter().map(|figure| measure(figure, all)).collect::<Result<_>>()?;
    Ok(Analysis { name: name.to_owned(), figures, threshold, rows, metric })
}

/// A figure of all rows, and their differences to the reference. The rows are those that Holm's correction is for.
fn measure(figure: &Figure, all: &[Runs]) -> Result<Measured> {
    let values = all.iter().map(|runs| runs.values(figure)).collect::<Result<Vec<_>>>()?;
    let reference = all.iter().position(|runs| is_reference(&runs.row));
    let compare = |(i, runs): (usize, &Runs)| Compared {
        row: runs.row.clone(),
        values: values[i].clone(),
        estimate: Estimate::of(&values[i]),
        difference: reference
            .filter(|&of| of != i)
            .map(|of| Difference::of(&values[i], &values[of])),
    };
    let mut rows: Vec<Compared> = all.iter().enumerate().map(compare).collect();
    let mut tested: Vec<&mut Difference> = rows
        .iter_mut()
        .filter_map(|row| row.difference.as_mut())
        .filter(|difference| difference.p.is_some())
        .collect();
    let p: Vec<f64> = tested.iter().filter_map(|difference| difference.p).collect();
    for (difference, adjusted) in tested.iter_mut().zip(holm(&p)) {
        difference.adjusted = Some(adjusted);
        difference.verdict = match (adjusted < 1.0 - LEVEL, difference.mean > 0.0) {
            (false, _) => Verdict::Undecided,
            (true, is_more) if is_more == figure.is_more_better => Verdict::Better,
            (true, _) => Verdict::Worse,
        };
    }
    Ok(Measured { figure: figure.clone(), rows })
}

/// Of captioners, the reference groups coordinates as the paper does.
fn is_reference(row: &str) -> bool {
    matches!(row.strip_prefix(REFERENCE), Some("" | " 2x2"))
}

impl Difference {
    fn of(values: &[f64], reference: &[f64]) -> Self {
        let differences = differences(values, reference);
        let means = resampled_means(&differences, RESAMPLES, 0);
        Self {
            mean: Estimate::of(&differences).mean,
            interval: t_interval(&differences, LEVEL),
            bootstrap: bca_interval(&differences, &means, LEVEL),
            p: t_test(&differences).map(|test| test.p),
            adjusted: None,
            verdict: Verdict::Undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Map, json};

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    /// Runs with these test scores, whose curves rise by 0.1 a step to 0.1 below them.
    fn runs(root: &Path, row: &str, values: &[f64]) -> Runs {
        let outcome = |(seed, value): (usize, &f64)| {
            let folder = root.join(row).join(seed.to_string());
            std::fs::create_dir_all(&folder).expect("made");
            let points = (1..=5)
                .map(|i| json!({"step": i, "validation_accuracy": value - 0.1 * f64::from(6 - i)}));
            let lines: Vec<String> = points.map(|line| line.to_string()).collect();
            std::fs::write(folder.join("metrics.jsonl"), lines.join("\n")).expect("written");
            let report =
                json!({"metric": "validation_accuracy", "seconds": 2.0, "step": 100, "params": 9});
            Outcome {
                group: row.to_owned(),
                seed: seed as u64,
                command: format!("wavetape train --seed {seed}"),
                folder,
                report: object(report),
                scores: BTreeMap::from([("test".to_owned(), object(json!({"value": value})))]),
            }
        };
        let outcomes = values.iter().enumerate().map(outcome).collect();
        Runs::new(row.to_owned(), "{}".to_owned(), outcomes, 3).expect("read")
    }

    #[test]
    fn rows_are_compared_with_the_reference_seed_by_seed() {
        let root = tempfile::tempdir().expect("a folder");
        let figure = Figure::new("top-1", "test", "value", true);
        let of = |row: &str, values: &[f64]| runs(root.path(), row, values);
        let all = [
            of("lff-mlp", &[0.80, 0.82, 0.84, 0.81]),
            of("mlp", &[0.70, 0.721, 0.739, 0.71]),
            of("sine-2d", &[0.81, 0.80, 0.86, 0.80]),
            of("none", &[0.5, 0.51, 0.49, 0.5]),
        ];
        let found = analyse("classify", &[figure], &all, None).expect("analysed");
        let rows = &found.figures[0].rows;
        assert!(rows[0].difference.is_none());
        let verdict = |i: usize| rows[i].difference.expect("compared").verdict;
        assert_eq!([1, 2, 3].map(verdict), [Verdict::Worse, Verdict::Undecided, Verdict::Worse]);
        let mlp = rows[1].difference.expect("compared");
        assert!((mlp.mean + 0.1).abs() < 1e-12, "{mlp:?}");
        assert!(mlp.interval.expect("four").contains(-0.1) && mlp.bootstrap.contains(-0.1));
        // Three tests: the smallest p-values are multiplied by 3 and 2.
        let [p, adjusted] = [mlp.p, mlp.adjusted].map(|p| p.expect("four"));
        assert!(adjusted >= 2.0 * p && adjusted <= 3.0 * p + 1e-15, "{mlp:?}");
        // Where the worst run but those of `none` ended, which is one of `mlp`: 0.70 − 0.1.
        assert!((found.threshold - 0.6).abs() < 1e-9, "{}", found.threshold);
        let steps = found.rows[0].steps_to_threshold.expect("reached").mean;
        assert!((steps - 3.825).abs() < 1e-9, "{steps}");
        assert_eq!((found.rows[3].reached, found.rows[3].steps_to_threshold), (0, None));
        assert_eq!((found.rows[0].step_ms.mean, found.rows[0].position_params), (20.0, 3));
        assert_eq!(found.rows[0].curve.len(), 5);
    }

    #[test]
    fn one_seed_allows_no_test_and_the_sign_follows_what_is_better() {
        let root = tempfile::tempdir().expect("a folder");
        let bits = Figure::new("bits/dim", "test", "value", false);
        let of = |row: &str, values: &[f64]| runs(root.path(), row, values);
        let one = [of("lff-mlp 2x2", &[3.0]), of("mlp 2x2", &[3.5])];
        let found =
            analyse("generate", std::slice::from_ref(&bits), &one, Some(2.95)).expect("analysed");
        let difference = found.figures[0].rows[1].difference.expect("compared");
        assert_eq!((difference.p, difference.verdict), (None, Verdict::Undecided));
        assert_eq!(found.threshold, 2.95);
        let many = [of("lff-mlp", &[3.0, 3.1, 3.2]), of("mlp", &[2.5, 2.601, 2.699])];
        let found = analyse("generate", &[bits], &many, None).expect("analysed");
        assert_eq!(found.figures[0].rows[1].difference.expect("compared").verdict, Verdict::Better);
    }
}
