//! A study as tables.

use std::fmt::Write as _;

use models::statistics::Interval;

use super::analysis::{Analysis, Compared, LEVEL, Measured, REFERENCE, Verdict};
use super::row::inline;
use super::tuning::Tuning;
use super::{Column, Found, Study};
use crate::study::Cell;
use crate::table::{Entry, Table};

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
    let mut table = Table::new(head);
    let mut all = [0.0; 3];
    for (column, trials) in columns.iter().zip(trials) {
        let rows = column.rows.len();
        let tuning: f64 = trials.iter().map(|cell| cell.cost).sum();
        let hours = (tuning + column.cost() * seeds as f64) / 3600.0;
        let counts = [trials.len() as f64, (rows as u64 * seeds) as f64, hours];
        all.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
        table.push(vec![
            column.design.name.clone().into(),
            rows.to_string().into(),
            trials.len().to_string().into(),
            (rows as u64 * seeds).to_string().into(),
            format!("{} to tune, {}", column.design.tuning_steps, column.design.steps).into(),
            format!("{hours:.2}").into(),
        ]);
    }
    let [tuned, compared, hours] = all;
    let sums = ["all", "", &tuned.to_string(), &compared.to_string(), "", &format!("{hours:.2}")];
    table.push(sums.map(Entry::from).to_vec());
    table
}

fn figures(analysis: &Analysis) -> Table {
    let titles = analysis.figures.iter().map(|measured| Entry::estimated(&measured.figure.title));
    let mut table = Table::new(["positions".into()].into_iter().chain(titles));
    for (i, row) in analysis.rows.iter().enumerate() {
        let entry = |measured: &Measured| Entry::estimate(&measured.rows[i].estimate, 4);
        let entries = analysis.figures.iter().map(entry);
        table.push([row.row.clone().into()].into_iter().chain(entries).collect());
    }
    table
}

fn differences(analysis: &Analysis) -> Table {
    let bounds = |name: &str| {
        let [low, high] = ["low", "high"].map(|end| format!("{name} {end}"));
        Entry::head(name, [&low, &high])
    };
    let mut table = Table::new([
        "figure".into(),
        "positions".into(),
        "difference".into(),
        bounds("Student's"),
        bounds("bootstrap"),
        "p".into(),
        "corrected".into(),
        "verdict".into(),
    ]);
    for measured in &analysis.figures {
        for Compared { row, difference, .. } in &measured.rows {
            let Some(difference) = difference else { continue };
            let verdict = match difference.verdict {
                Verdict::Better => "better",
                Verdict::Worse => "worse",
                Verdict::Undecided => "undecided",
            };
            let p = |p: Option<f64>| p.map_or(NONE.into(), |p| format!("{p:.3}").into());
            table.push(vec![
                measured.figure.title.clone().into(),
                row.clone().into(),
                format!("{:+.4}", difference.mean).into(),
                difference.interval.map_or(NONE.into(), interval),
                interval(difference.bootstrap),
                p(difference.p),
                p(difference.adjusted),
                verdict.into(),
            ]);
        }
    }
    table
}

fn cost(analysis: &Analysis) -> Table {
    let mut table = Table::new([
        "positions".into(),
        "numbers".into(),
        Entry::estimated("steps to threshold"),
        "parameters".into(),
        "of positions".into(),
        "ms a step".into(),
    ]);
    for row in &analysis.rows {
        let steps = match &row.steps_to_threshold {
            Some(steps) => Entry::estimate(steps, 0),
            None => format!("reached by {} of {}", row.reached, row.commands.len()).into(),
        };
        table.push(vec![
            row.row.clone().into(),
            row.position.clone().into(),
            steps,
            row.params.to_string().into(),
            row.position_params.to_string().into(),
            format!("{:.1}", row.step_ms.mean).into(),
        ]);
    }
    table
}

fn tuning(all: &[Tuning]) -> Table {
    let mut table = Table::new(["positions", "numbers", "held-out", "taken"]);
    for tuning in all {
        for (i, trial) in tuning.trials.iter().enumerate() {
            table.push(vec![
                tuning.row.clone().into(),
                inline(&trial.position).unwrap_or_default().into(),
                match (trial.value, &trial.failed) {
                    (Some(value), _) => number(value).into(),
                    (None, Some(why)) => why.clone().into(),
                    (None, None) => "not tried".into(),
                },
                if i == tuning.chosen { "*" } else { "" }.into(),
            ]);
        }
    }
    table
}

/// What stands where there is no number.
const NONE: &str = "—";

fn interval(Interval { low, high }: Interval) -> Entry {
    Entry::interval(format!("{low:+.4}"), format!("{high:+.4}"))
}

fn number(x: f64) -> String {
    format!("{x:.4}")
}
