//! `wavetape eval`: scores a run.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;

use crate::run::Run;
use crate::system;
use crate::train::{Report, restore};

/// Score the checkpoint of a run on the set that its recipe names: repeats the accuracy that training reported.
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Folder of the run.
    run: PathBuf,
    /// Folder of the data, if it is not where it was in training.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

/// Scores, and prints the report.
pub(crate) fn run(args: &EvalArgs) -> Result<()> {
    let (run, mut recipe) = Run::open(&args.run)?;
    if let Some(data) = &args.data {
        recipe.data.dir = Some(data.clone());
    }
    let (recipe, classifier, state, loader) = restore(&run, recipe)?;
    let start = Instant::now();
    let score = classifier.score(state.evaluated(), &loader);
    let seconds = start.elapsed().as_secs_f64();
    let report = Report {
        run: run.name(),
        recipe: recipe.name,
        metric: "test_accuracy",
        value: score.accuracy,
        seconds,
        img_s: loader.images().len() as f64 / seconds,
        loss: score.loss,
        step: state.step,
        finished: true,
        params: state.params.elements(),
        threads: rayon::current_num_threads(),
        rss_mb: system::peak_memory_mb(),
    };
    report.print(args.json)
}
