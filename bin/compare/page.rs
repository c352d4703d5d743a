//! A study as a page: the tables, curves of the means, and maps of positions.

use anyhow::Result;

use super::analysis::RowSummary;
use super::tables::{all, caption};
use super::{Found, Study};
use crate::report::curves::{Chart, Line, title};
use crate::report::html::Html;
use crate::report::{data_uri, page};
use crate::table::Table;

/// The page.
pub(super) fn write(study: &Study) -> Result<String> {
    let mut rows: Vec<&str> = Vec::new();
    let names = study.tasks.iter().flat_map(|found| &found.analysis.rows);
    for row in names {
        if !rows.contains(&row.row.as_str()) {
            rows.push(&row.row);
        }
    }
    let charts: Vec<Chart> = study.tasks.iter().map(|found| chart(found, &rows)).collect();
    let mut body = Html::default();
    body.leaf("h2", &[], format!("Position encodings, budget {}", study.budget));
    let about = format!("{} seeds of each row; {}.", study.seeds, study.about);
    body.leaf("p", &[("class", "notice")], about);
    page::curves(&mut body, !charts.is_empty());
    for found in &study.tasks {
        body.leaf("h2", &[], &found.analysis.name);
        for why in &found.unfit {
            body.leaf("p", &[], format!("Left out: {why}."));
        }
        for (name, rows) in all(found) {
            match name {
                "tuning" => body.element("details", &[], |html| {
                    html.leaf("summary", &[], "What was tried");
                    table(html, &caption(name, found), &rows);
                }),
                _ => table(&mut body, &caption(name, found), &rows),
            }
        }
        commands(&mut body, found);
        maps(&mut body, found)?;
    }
    Ok(page::fill("Position encodings", &body, &page::data(&rows, &charts)?))
}

/// The mean over seeds of the metric on held-out data, a line for each row.
fn chart(found: &Found, rows: &[&str]) -> Chart {
    let analysis = &found.analysis;
    let line = |row: &RowSummary| {
        let place = rows.iter().position(|name| *name == row.row).unwrap_or_default();
        let seconds = row.step_ms.mean / 1e3;
        // Eight colours; what comes after them is dashed, and then dotted.
        Line::of_mean(place, place / 8, &row.curve, seconds)
    };
    let lines = analysis.rows.iter().map(line).collect();
    let metric = analysis.metric.split_once('_').map_or(&*analysis.metric, |(_, of)| of);
    Chart { title: format!("{}: {}, held-out data", analysis.name, title(metric)), lines }
}

fn table(html: &mut Html, caption: &str, table: &Table) {
    if let Some((head, rows)) = table.shown().split_first() {
        html.table(caption, head, rows);
    }
}

/// What repeats each run, to the same bits.
fn commands(html: &mut Html, found: &Found) {
    html.element("details", &[], |html| {
        html.leaf("summary", &[], "Commands that repeat the runs, to the same bits");
        let commands: Vec<&str> = found
            .analysis
            .rows
            .iter()
            .flat_map(|row| row.commands.iter().map(String::as_str))
            .collect();
        html.leaf("pre", &[], commands.join("\n"));
    });
}

fn maps(html: &mut Html, found: &Found) -> Result<()> {
    if found.maps.is_empty() {
        return Ok(());
    }
    html.leaf("h3", &[], "How alike each encoding finds places, before and after training");
    for maps in &found.maps {
        let (before, after) = (data_uri::png(&maps.before)?, data_uri::png(&maps.after)?);
        html.element("details", &[], |html| {
            html.leaf("summary", &[], &maps.row);
            for (address, when) in [(before, "before"), (after, "after")] {
                html.element("figure", &[("class", "picture wide")], |html| {
                    html.image(&address, &format!("{}, {when} training", maps.row));
                    html.leaf("figcaption", &[], format!("{when} training, seed 0"));
                });
            }
        });
    }
    Ok(())
}
