//! `wavetape lr-find`: a learning rate by a range test.

mod curve;
mod picture;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use nn::{AdamW, Params, clip_scale};
use serde::Serialize;

use self::curve::{Point, Suggestion, Watch};
use crate::args;
use crate::asked::Asked;
use crate::config::Bounds;
use crate::data::Parts;
use crate::output;
use crate::progress::Progress;
use crate::recipe::{Changes, RECIPES, Recipe};
use crate::source::Batch;
use crate::state::Past;
use crate::task::{StepResult, Task};
use crate::trainer::Trainer;
use crate::written::Target;

/// Find a learning rate for a recipe: train while the rate grows exponentially, until the loss explodes, and look where it fell.
///
/// The rate at which the loss falls fastest, and a tenth of that at which it was lowest, are usual choices for optimizer.rate. The
/// model is fresh, and is thrown away. Nothing depends on the number of threads. (L. N. Smith, "Cyclical learning rates for training
/// neural networks", 2017, §3.3.)
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape lr-find
  wavetape lr-find vit-fashion --data /usr/share/datasets/fashion-mnist --steps 200
  wavetape lr-find --recipe my.toml --from 1e-5 --to 1 --out rates.png
  wavetape lr-find --set train.batch_size=16 --json")]
pub(crate) struct LrFindArgs {
    /// Recipe inside the program; see `wavetape train --help`.
    #[arg(default_value = RECIPES[0].0, conflicts_with = "file")]
    recipe: String,
    /// Recipe of one's own, a TOML file.
    #[arg(long = "recipe", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Folder of the data.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Seed of everything random.
    #[arg(long, value_name = "S", value_parser = args::whole::<u64>(args::SEEDS))]
    seed: Option<u64>,
    /// Change a value of the recipe, for example train.batch_size=32.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Rate of the first step.
    #[arg(long, value_name = "RATE", default_value_t = 1e-6, value_parser = args::number(RATES))]
    from: f64,
    /// Rate of the last step, if the loss has not exploded before.
    #[arg(long, value_name = "RATE", default_value_t = 10.0, value_parser = args::number(RATES))]
    to: f64,
    /// Steps between them.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = args::whole::<u32>(10..=100_000))]
    steps: u32,
    /// Where the picture of loss by rate goes.
    #[arg(long, value_name = "FILE.png", default_value = "lr-find.png")]
    out: PathBuf,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
    /// No progress on stderr.
    #[arg(long, short)]
    quiet: bool,
}

/// Rates that can be tried.
const RATES: Bounds = Bounds::new(1e-30, 1e30);

#[derive(Serialize)]
struct Report {
    recipe: String,
    /// Steps taken.
    steps: usize,
    /// Whether the loss exploded before the last rate.
    exploded: bool,
    #[serde(flatten)]
    suggestion: Option<Suggestion>,
    /// Rate of the recipe.
    recipe_rate: f64,
    seconds: f64,
    picture: String,
    points: Vec<Point>,
}

/// Takes a step at each rate until the loss explodes; returns the losses of the steps.
fn sweep(
    task: &Task,
    params: &mut Params,
    optimizer: &mut AdamW,
    clip_norm: f64,
    rates: &[f64],
    batches: impl Iterator<Item = Result<Batch>>,
    mut seen: impl FnMut(usize, usize, f64),
) -> Result<Vec<f64>> {
    let (mut losses, mut watch) = (Vec::new(), Watch::default());
    for ((number, &rate), batch) in rates.iter().enumerate().zip(batches) {
        let batch = batch?;
        let StepResult { loss, grads, .. } = task.differentiate(params, &batch, number as u64);
        let norm = grads.norm();
        if !(loss.is_finite() && norm.is_finite()) {
            break;
        }
        losses.push(loss);
        seen(number, batch.len(), loss);
        if watch.has_exploded(loss) {
            break;
        }
        let scale = if clip_norm > 0.0 { clip_scale(norm, clip_norm) } else { 1.0 };
        optimizer.step(params, &grads, rate, scale);
    }
    Ok(losses)
}

/// Tests, draws, prints.
pub(crate) fn run(args: &LrFindArgs) -> Result<()> {
    let LrFindArgs { from, to, .. } = *args;
    if from >= to {
        bail!("--from {from} --to {to}: --to must be above --from");
    }
    let target = Target::new(&args.out)?;
    let changes = Changes {
        data: args.data.as_deref(),
        seed: args.seed,
        set: &args.set,
        ..Changes::default()
    };
    let (recipe, dropped) = match &args.file {
        Some(file) => {
            let text = datasets::read_text(file)?;
            Recipe::resolve_with_notes(&file.display().to_string(), &text, &changes)?
        }
        None => {
            let text = Recipe::text(&args.recipe)?;
            Recipe::resolve_with_notes(&format!("recipe `{}`", args.recipe), &text, &changes)?
        }
    };
    dropped.iter().for_each(|why| output::note(format_args!("dropped: {why}")));
    let (trainer, mut state) =
        Trainer::new(recipe, Asked::default(), &Past::default(), Parts::All)?;
    let train = trainer.train()?;
    let rates = curve::rates(from, to, args.steps as usize);
    let progress = Progress::new(rates.len() as u64, 0, args.quiet || args.json, None);
    let (start, mut images) = (Instant::now(), 0usize);
    let losses = sweep(
        &trainer.task,
        &mut state.params,
        &mut state.optimizer,
        trainer.recipe.train.clip_norm,
        &rates,
        (0..).flat_map(|epoch| train.epoch(epoch, 0)),
        |step, count, loss| {
            images += count;
            let speed = images as f64 / start.elapsed().as_secs_f64();
            progress.step(step as u64 + 1, loss, &format!("rate {:.1e}", rates[step]), speed);
        },
    )?;
    progress.finish();
    let points = curve::smooth(&rates, &losses);
    let suggestion = curve::suggest(&points);
    let name = &trainer.recipe.name;
    let title = format!("{name}: loss while the learning rate grows");
    picture::draw(&target, &title, &points, suggestion.as_ref())?;
    let report = Report {
        recipe: name.clone(),
        steps: points.len(),
        exploded: points.len() < rates.len(),
        suggestion,
        recipe_rate: trainer.recipe.optimizer.rate,
        seconds: start.elapsed().as_secs_f64(),
        picture: args.out.display().to_string(),
        points,
    };
    print(&report, args.json)
}

fn print(report: &Report, json: bool) -> Result<()> {
    let mut out = output::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
        return Ok(());
    }
    let Report { recipe, steps, exploded, recipe_rate, seconds, picture, .. } = report;
    let end = if *exploded { ", then the loss exploded" } else { "; the loss has not exploded" };
    writeln!(out, "{recipe}: {steps} steps in {seconds:.1} s{end}")?;
    match &report.suggestion {
        Some(Suggestion { steepest, minimum, tenth_of_minimum }) => {
            writeln!(out, "loss falls fastest at a rate of {steepest:.1e}")?;
            writeln!(
                out,
                "loss is lowest at {minimum:.1e}; a tenth of that is {tenth_of_minimum:.1e}"
            )?;
            writeln!(
                out,
                "the recipe has {recipe_rate:.1e}; another one: --set optimizer.rate={steepest:.1e}"
            )?;
        }
        None => writeln!(
            out,
            "the loss never fell: other rates (--from, --to) or more --steps may show where it does"
        )?,
    }
    writeln!(out, "picture → {picture}")?;
    Ok(())
}
