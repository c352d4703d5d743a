//! How much is spent on a study, and on what.

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::Deserialize;

/// A budget's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Budget {
    /// What its results are worth, in a sentence.
    pub(super) about: String,
    /// Runs of each row, with the seeds 0, 1, ….
    pub(super) seeds: u64,
    #[serde(default)]
    pub(super) classify: Vec<Design>,
    #[serde(default)]
    pub(super) generate: Vec<Design>,
    #[serde(default)]
    pub(super) detect: Vec<Design>,
    #[serde(default)]
    pub(super) caption: Vec<Design>,
}

/// What is done on one data set: the same for each row but for its positions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Design {
    /// Its folder in that of the study.
    pub(super) name: String,
    pub(super) recipe: String,
    /// What is changed in the recipe, `key=value`.
    pub(super) set: Vec<String>,
    /// Encodings; of captioners `ENCODING:GROUPING`.
    pub(super) rows: Vec<String>,
    /// Steps of a run that is compared.
    pub(super) steps: u64,
    /// Steps of a run that is to find the numbers of an encoding.
    pub(super) tuning_steps: u64,
    /// Such runs of an encoding at most.
    pub(super) trials: usize,
    /// Sides of images, in pixels, that training does not show.
    pub(super) sizes: Vec<usize>,
    /// Seconds of a step on two cores (AMD EPYC, Zen 4), from which the time of the first runs is guessed; then it is measured.
    pub(super) step_seconds: f64,
    /// Seconds of one scoring of a run.
    pub(super) score_seconds: f64,
}

/// The tasks of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Task {
    Classify,
    Generate,
    Detect,
    Caption,
    /// These four.
    All,
}

/// A budget inside the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Size {
    /// A demonstration of a few minutes, which shows nothing about encodings.
    Quick,
    /// Short runs with three seeds.
    Pilot,
    /// Runs with five seeds, for a day.
    Full,
}

impl Budget {
    pub(super) fn of(size: Size) -> Result<Self> {
        let text = match size {
            Size::Quick => include_str!("budgets/quick.toml"),
            Size::Pilot => include_str!("budgets/pilot.toml"),
            Size::Full => include_str!("budgets/full.toml"),
        };
        toml::from_str(text).with_context(|| format!("the budget {size:?}"))
    }

    /// What it plans for these tasks, in their order in the paper.
    pub(super) fn designs(&self, tasks: &[Task]) -> Vec<Design> {
        let all = [
            (Task::Classify, &self.classify),
            (Task::Generate, &self.generate),
            (Task::Detect, &self.detect),
            (Task::Caption, &self.caption),
        ];
        let asked = |task: Task| tasks.contains(&task) || tasks.contains(&Task::All);
        all.into_iter().filter(|(task, _)| asked(*task)).flat_map(|(_, of)| of.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::Row;
    use super::*;
    use crate::study::{Base, Cell};

    #[test]
    fn every_budget_plans_runs_whose_recipes_resolve_for_each_of_its_rows() {
        for size in [Size::Quick, Size::Pilot, Size::Full] {
            let budget = Budget::of(size).expect("TOML");
            assert!(budget.seeds > 1);
            let designs = budget.designs(&[Task::All]);
            assert!(designs.len() >= 4);
            for Design { name, recipe, set, rows, steps, tuning_steps, trials, .. } in designs {
                assert!(tuning_steps < steps && trials > 1 && rows.len() > 1, "{name}");
                let base = Base { name: recipe, set, steps: Some(steps), ..Base::default() };
                for row in rows {
                    let row = Row::parse(&row).expect("known");
                    for position in row.candidates(trials) {
                        let settings = row.settings(&position).expect("TOML");
                        let cell = Cell::new(&base, name.clone(), 0, &settings);
                        let recipe =
                            cell.unwrap_or_else(|error| panic!("{name}: {error:#}")).recipe;
                        assert_eq!(recipe.model.position(), &position, "{name}");
                    }
                }
            }
        }
    }
}
