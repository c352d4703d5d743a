//! Which numbers an encoding is compared with: tried on held-out training data, as many choices for each encoding.

use anyhow::{Result, bail};
use nn::PositionConfig;
use serde::{Serialize, Serializer};

use super::Column;
use super::row::inline;
use crate::study::{Base, Cell, Failure, Outcome};

/// Seed of these runs; none of those that are compared has it.
const SEED: u64 = 1000;

/// What was tried of a row.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Tuning {
    pub(super) row: String,
    pub(super) trials: Vec<Trial>,
    /// Which of them was best.
    pub(super) chosen: usize,
}

/// One choice of numbers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Trial {
    #[serde(serialize_with = "as_inline")]
    pub(super) position: PositionConfig,
    /// The metric on held-out data; none if there was only one choice.
    pub(super) value: Option<f64>,
    /// The loss there, which decides among equal values.
    pub(super) loss: Option<f64>,
    pub(super) command: Option<String>,
    /// Why the run came to no end, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<String>,
}

fn as_inline<S: Serializer>(position: &PositionConfig, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&inline(position).map_err(serde::ser::Error::custom)?)
}

impl Tuning {
    pub(super) fn best(&self) -> &PositionConfig {
        &self.trials[self.chosen].position
    }
}

/// The runs that find the numbers of each row with a choice.
pub(super) fn cells(column: &Column) -> Result<Vec<Cell>> {
    let design = &column.design;
    let base = Base { steps: Some(design.tuning_steps.min(design.steps)), ..column.base.clone() };
    let mut cells = Vec::new();
    for row in &column.rows {
        let candidates = row.candidates(design.trials);
        if candidates.len() == 1 {
            continue;
        }
        for (i, position) in candidates.iter().enumerate() {
            let group = format!("{}/tuning/{}/{i}", design.name, row.folder());
            let cell = Cell::new(&base, group, SEED, &row.settings(position)?)?;
            let cost = design.tuning_steps as f64 * design.step_seconds;
            cells.push(Cell { cost, ..cell });
        }
    }
    Ok(cells)
}

/// What these runs have found: of each row the numbers with the best last value.
///
/// # Errors
/// If no run of a row came to its end.
pub(super) fn choose(
    column: &Column,
    outcomes: Vec<Result<Outcome, Failure>>,
) -> Result<Vec<Tuning>> {
    let is_more_better = column.figures[0].is_more_better;
    let mut outcomes = outcomes.into_iter();
    let mut all = Vec::new();
    for row in &column.rows {
        let candidates = row.candidates(column.design.trials);
        let row = row.name.clone();
        if let [only] = &*candidates {
            let trial = Trial {
                position: only.clone(),
                value: None,
                loss: None,
                command: None,
                failed: None,
            };
            all.push(Tuning { row, trials: vec![trial], chosen: 0 });
            continue;
        }
        let mut trials = Vec::new();
        for (position, outcome) in candidates.into_iter().zip(outcomes.by_ref()) {
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(failure) => {
                    let failed = Some(failure.short().to_owned());
                    let (value, loss, command) = (None, None, None);
                    trials.push(Trial { position, value, loss, command, failed });
                    continue;
                }
            };
            if !outcome.metric().starts_with("validation") {
                bail!("{}: a metric of held-out data expected, found {}", row, outcome.metric());
            }
            let [value, loss] = ["value", "loss"].map(|key| outcome.number(key));
            let command = Some(outcome.command);
            trials.push(Trial { position, value, loss, command, failed: None });
        }
        let sign = if is_more_better { 1.0 } else { -1.0 };
        let worth = |trial: &Trial| {
            let value = trial.value.map_or(f64::NEG_INFINITY, |value| sign * value);
            (value, -trial.loss.unwrap_or(f64::INFINITY))
        };
        // Of equal ones the first, which is the more usual.
        let chosen = (1..trials.len())
            .fold(0, |best, i| if worth(&trials[i]) > worth(&trials[best]) { i } else { best });
        if let Some(why) = &trials[chosen].failed {
            bail!("{row}: all of its runs to tune it failed; the first: {why}");
        }
        all.push(Tuning { row, trials, chosen });
    }
    Ok(all)
}
