//! A study as tables.

use std::fmt::Write as _;

use models::statistics::{Estimate, Interval};

use super::analysis::{Analysis, Compared, LEVEL, Measured, REFERENCE, Verdict};
use super::row::inline;
use super::tuning::Tuning;
use super::{Column, Found, Study};
use crate::study::{Cell, Table};

/// The tables of a design, with what their files are called.
pub(super) fn all(found: &Found) -> Vec<(&'static str, Table)> {
    vec![
        ("figures", figures(&found.analysis)),
        ("differences", differences(&found.analysis)),
        ("cost", cost(&found.analysis)),
        ("tuning", tuning(&found.tuning)),
    ]
}

/// What a table of [`all`] tells.
pub(super) fn caption(name: &str, found: &Found) -> String {
    let Analysis { threshold, metric, .. } = &found.analysis;
    match name {
        "figures" => "On the test set, mean ± standard error over seeds".to_owned(),
        "differences" => format!(
            "Less {REFERENCE}, seed by seed: mean, {:.0} % intervals (Student's, and the bootstrap's, which is too narrow for few seeds), p of Student's paired test, and the same corrected for the number of rows (Holm)",
            100.0 * LEVEL
        ),
        "cost" => format!(
            "Steps until {} was {}, and what an encoding costs; milliseconds are of a busy machine",
            metric.replace('_', " "),
            number(*threshold)
        ),
        _ => "Numbers that were tried on held-out training data; * was taken".to_owned(),
    }
}

/// All of a study in Markdown.
pub(super) fn markdown(study: &Study) -> String {
    let mut text = format!("Budget `{}`, {} seeds; {}.\n", study.budget, study.seeds, study.about);
    for found in &study.tasks {
        let _ = writeln!(text, "\n## {}", found.analysis.name);
        for why in &found.unfit {
            let _ = writeln!(text, "\nLeft out: {why}.");
        }
        for (name, table) in all(found) {
            let _ =
                writeln!(text, "\n{}:\n\n{}", caption(name, found), table.markdown().trim_end());
        }
    }
    text
}

/// What a study would run, and how long that takes on two cores.
pub(super) fn plan(columns: &[Column], trials: &[Vec<Cell>], seeds: u64) -> Table {
    let head = ["", "rows", "runs to tune", "runs to compare", "steps", "hours on two cores"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    let mut all = [0.0; 3];
    for (column, trials) in columns.iter().zip(trials) {
        let rows = column.rows.len();
        let tuning: f64 = trials.iter().map(|cell| cell.cost).sum();
        let hours = (tuning + column.cost() * seeds as f64) / 3600.0;
        let counts = [trials.len() as f64, (rows as u64 * seeds) as f64, hours];
        all.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
        table.push(vec![
            column.design.name.clone(),
            rows.to_string(),
            trials.len().to_string(),
            (rows as u64 * seeds).to_string(),
            format!("{} to tune, {}", column.design.tuning_steps, column.design.steps),
            format!("{hours:.2}"),
        ]);
    }
    let [tuned, compared, hours] = all;
    let sums = [String::new(), format!("{tuned}"), format!("{compared}"), String::new()];
    table.push([vec!["all".to_owned()], sums.to_vec(), vec![format!("{hours:.2}")]].concat());
    Table(table)
}

fn figures(analysis: &Analysis) -> Table {
    let titles = analysis.figures.iter().map(|measured| measured.figure.title.clone());
    let mut table = vec![["positions".to_owned()].into_iter().chain(titles).collect()];
    for (i, row) in analysis.rows.iter().enumerate() {
        let cell = |measured: &Measured| estimate(&measured.rows[i].estimate);
        let cells = analysis.figures.iter().map(cell);
        table.push([row.row.clone()].into_iter().chain(cells).collect());
    }
    Table(table)
}

fn differences(analysis: &Analysis) -> Table {
    let head = [
        "figure",
        "positions",
        "difference",
        "Student's",
        "bootstrap",
        "p",
        "corrected",
        "verdict",
    ];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for measured in &analysis.figures {
        for Compared { row, difference, .. } in &measured.rows {
            let Some(difference) = difference else { continue };
            let verdict = match difference.verdict {
                Verdict::Better => "better",
                Verdict::Worse => "worse",
                Verdict::Undecided => "undecided",
            };
            let p = |p: Option<f64>| p.map_or("—".to_owned(), |p| format!("{p:.3}"));
            table.push(vec![
                measured.figure.title.clone(),
                row.clone(),
                format!("{:+.4}", difference.mean),
                difference.interval.map_or("—".to_owned(), interval),
                interval(difference.bootstrap),
                p(difference.p),
                p(difference.adjusted),
                verdict.to_owned(),
            ]);
        }
    }
    Table(table)
}

fn cost(analysis: &Analysis) -> Table {
    let head =
        ["positions", "numbers", "steps to threshold", "parameters", "of positions", "ms a step"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for row in &analysis.rows {
        let steps = match &row.steps_to_threshold {
            Some(Estimate { mean, standard_error: Some(error), .. }) => {
                format!("{mean:.0} ± {error:.0}")
            }
            Some(Estimate { mean, .. }) => format!("{mean:.0}"),
            None => format!("reached by {} of {}", row.reached, row.commands.len()),
        };
        table.push(vec![
            row.row.clone(),
            row.position.clone(),
            steps,
            row.params.to_string(),
            row.position_params.to_string(),
            format!("{:.1}", row.step_ms.mean),
        ]);
    }
    Table(table)
}

fn tuning(all: &[Tuning]) -> Table {
    let mut table = vec![["positions", "numbers", "held-out", ""].map(str::to_owned).to_vec()];
    for tuning in all {
        for (i, trial) in tuning.trials.iter().enumerate() {
            table.push(vec![
                tuning.row.clone(),
                inline(&trial.position).unwrap_or_default(),
                trial.value.map_or("not tried".to_owned(), number),
                if i == tuning.chosen { "*" } else { "" }.to_owned(),
            ]);
        }
    }
    Table(table)
}

fn estimate(Estimate { mean, standard_error, .. }: &Estimate) -> String {
    match standard_error {
        Some(error) => format!("{mean:.4} ± {error:.4}"),
        None => number(*mean),
    }
}

fn interval(Interval { low, high }: Interval) -> String {
    format!("{low:+.4} to {high:+.4}")
}

fn number(x: f64) -> String {
    format!("{x:.4}")
}
