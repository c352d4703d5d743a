//! Where the time of a training step goes.

use anyhow::{Context as _, Result};
use autograd::profile::{finish, span, start};
use nn::clip_scale;

use super::html::Html;
use super::model::{Extent, Model};
use crate::bench::profile::{Row, table};

/// Steps before those that are measured.
const WARM_UP: usize = 2;
/// Steps that are measured.
const STEPS: usize = 5;
/// Ops in the table.
const ROWS: usize = 16;

/// Takes a few steps on a copy of the run in memory, and writes the table of ops; see `wavetape bench --profile`.
pub(super) fn write(html: &mut Html, model: &Model, extent: &Extent<'_>) -> Result<()> {
    let (true, Some(trainer)) = (extent.profile, &model.trainer) else { return Ok(()) };
    let batch = trainer.train()?.epoch(0, 0).next().context("no batch to train on")??;
    let (mut params, mut optimizer) = (model.state.params.clone(), model.state.optimizer.clone());
    let mut step = |number: usize| {
        let _span = span("step");
        let step = model.task.differentiate(&params, &batch, number as u64);
        let scale = clip_scale(step.grads.norm(), 1.0);
        let _span = span("AdamW");
        optimizer.step(&mut params, &step.grads, 1e-6, scale);
    };
    (0..WARM_UP).for_each(&mut step);
    start();
    (WARM_UP..WARM_UP + STEPS).for_each(&mut step);
    rows(html, &table(&finish(), STEPS), batch.len());
    Ok(())
}

fn rows(html: &mut Html, rows: &[Row], images: usize) {
    // The main thread waits in `[step]`; see the table of `bench`.
    let step = rows.iter().find(|row| row.name == "[step]").map_or(0.0, |row| row.total_ms);
    let all: f64 = rows.iter().filter(|row| row.name != "[step]").map(|row| row.self_ms).sum();
    let threads = rayon::current_num_threads();
    html.leaf(
        "p",
        &[],
        format!("A step on {images} images took {step:.1} ms here, on {threads} threads: the mean of {STEPS}. Shares are those of the time that threads worked; ∂ stands for an op's derivatives."),
    );
    html.element("table", &[("class", "numbers")], |html| {
        html.leaf("caption", &[], "Ops by the time that they take themselves, per step");
        html.element("thead", &[], |html| {
            html.element("tr", &[], |html| {
                for name in ["op", "calls", "ms", "%", "GFLOP/s"] {
                    html.leaf("th", &[("scope", "col")], name);
                }
            });
        });
        html.element("tbody", &[], |html| {
            for row in rows.iter().filter(|row| row.name != "[step]").take(ROWS) {
                html.element("tr", &[], |html| {
                    html.leaf("th", &[("scope", "row")], &row.name);
                    html.leaf("td", &[], format!("{:.0}", row.calls));
                    html.leaf("td", &[], format!("{:.2}", row.self_ms));
                    html.leaf("td", &[], format!("{:.1}", 100.0 * row.self_ms / all.max(1e-9)));
                    html.leaf("td", &[], format!("{:.1}", row.gflop_s));
                });
            }
        });
    });
}
