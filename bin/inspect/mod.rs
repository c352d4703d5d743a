//! `wavetape inspect`: what a run has learnt.

pub(crate) mod positions;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use nn::{Context, Params, Position, PositionConfig};
use serde::Serialize;

use crate::run::Run;
use crate::task::Task;
use crate::trainer::Trainer;

/// Print a run's parameters, and draw what its position encoding has learnt.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape inspect runs/vit-sample-001
  wavetape inspect runs/vit-sample-001 --positions positions.png")]
pub(crate) struct InspectArgs {
    /// Folder of the run.
    run: PathBuf,
    /// Draw how alike the encoding finds places: a map for each place of a grid, and the frequencies of Fourier features.
    #[arg(long, value_name = "OUT.png")]
    positions: Option<PathBuf>,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    run: String,
    recipe: String,
    step: u64,
    params: usize,
    position: &'static str,
    parameters: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    shape: Vec<usize>,
    trainable: bool,
    mean: f64,
    std: f64,
}

/// Prints, and draws.
pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let (run, recipe) = Run::open(&args.run)?;
    let (task, mut state) = Trainer::untrained(&recipe)?;
    run.restore(&mut state)?;
    let params = state.evaluated();
    let (position, config, grid) = position(&task);
    if let Some(out) = &args.positions {
        let Some(grid) = grid else {
            bail!("--positions: a model of images expected; this run encodes boxes")
        };
        let cx = Context::eval(params);
        let title = format!(
            "{} after {} steps: positions `{}`",
            run.name(),
            state.counts.step,
            config.name()
        );
        positions::draw(out, &title, position, &cx, grid)?;
    }
    let report = Report {
        run: run.name(),
        recipe: recipe.name.clone(),
        step: state.counts.step,
        params: params.elements(),
        position: config.name(),
        parameters: rows(params),
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        return Ok(());
    }
    let width = report.parameters.iter().map(|row| row.name.len()).max().unwrap_or(0);
    writeln!(out, "{:<width$}  shape                    mean       std", "parameter")?;
    for Row { name, shape, trainable, mean, std } in &report.parameters {
        let frozen = if *trainable { "" } else { "  (not trained)" };
        let shape = format!("{shape:?}");
        writeln!(out, "{name:<width$}  {shape:<20} {mean:>9.4} {std:>9.4}{frozen}")?;
    }
    writeln!(
        out,
        "\n{} ({}), step {}: {} parameters, positions `{}`",
        report.run, report.recipe, report.step, report.params, report.position
    )?;
    if let Some(path) = &args.positions {
        writeln!(out, "positions → {}", path.display())?;
    }
    Ok(())
}

/// A model's position encoding, its config, and the side of the grid of places that it was trained on, if these are places of an
/// image.
pub(crate) fn position(task: &Task) -> (&Position, &PositionConfig, Option<usize>) {
    match task {
        Task::Classify(classifier) => {
            let vit = classifier.model();
            let side = vit.config().image_size / vit.config().patch_size;
            (vit.position(), &vit.config().position, Some(side))
        }
        Task::Generate(generator) => {
            let config = generator.model.config();
            (generator.model.position(), &config.position, Some(config.image_size))
        }
        Task::Detect(detector) => {
            let config = detector.model.config();
            (detector.model.position(), &config.position, Some(config.grid()[0]))
        }
        Task::Caption(captioner) => {
            (captioner.model.position(), &captioner.model.config().position, None)
        }
    }
}

fn rows(params: &Params) -> Vec<Row> {
    let row = |param: &nn::Param| {
        let values = param.value.cast::<f64>().to_vec();
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        Row {
            name: param.name.clone(),
            shape: param.value.dims().to_vec(),
            trainable: param.trainable,
            mean,
            std: variance.sqrt(),
        }
    };
    params.iter().map(row).collect()
}
