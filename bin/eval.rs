//! `wavetape eval`: scores a run.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use nn::Reading;

use crate::args;
use crate::asked::Asked;
use crate::baselines::{self, Baselines};
use crate::caption_baselines;
use crate::coco;
use crate::confusion::Confusion;
use crate::data::Parts;
use crate::interrupt::when_input_ends;
use crate::recipe::DataKind;
use crate::run::Run;
use crate::source::Source;
use crate::state::Which;
use crate::task::Task;
use crate::train::Report;
use crate::trainer::Trainer;

/// Score the checkpoint of a run on the set that its recipe names: repeats the accuracy that training reported. Or score
/// detections in a file: prints COCO's twelve figures.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape eval runs/vit-sample-001
  wavetape eval runs/vit-sample-001 --test --best
  wavetape eval runs/vit-sample-001 --confusion
  wavetape eval runs/igpt-fashion-001 --baselines
  wavetape eval runs/vit-sample-001 --size 56 --reading dense
  wavetape eval runs/detr-scenes-001 --size 96 --zoom
  wavetape eval --coco instances.json --results results.json --json")]
pub(crate) struct EvalArgs {
    /// Folder of the run.
    #[arg(required_unless_present = "coco")]
    run: Option<PathBuf>,
    /// Folder of the data, if it is not where it was in training.
    #[arg(long, value_name = "DIR", requires = "run")]
    data: Option<PathBuf>,
    /// Score the parameters of best.safetensors, not those of the checkpoint.
    #[arg(long, requires = "run")]
    best: bool,
    /// Score on the test set, even where the recipe holds out a validation set or names a part of the data for it.
    #[arg(long, requires = "run")]
    test: bool,
    /// Score two baselines as well. Of a generator of bytes: a histogram for each place, and the sizes of PNG files. Of a captioner:
    /// the most frequent caption of the widget's class, and that of the training widget whose box is nearest.
    #[arg(long, requires = "run", conflicts_with = "size")]
    baselines: bool,
    /// Of a classifier: which class is taken for which, precision and recall of each, and the most probable mistakes.
    #[arg(long, requires = "run")]
    confusion: bool,
    /// Score the model on images of this height and width, instead of those that it was trained on: a detector on scenes or pictures
    /// of that size, a classifier or a generator on images that are resized to it.
    #[arg(long, value_name = "PIXELS", requires = "run", value_parser = args::whole::<usize>(args::SIDES))]
    size: Option<usize>,
    /// How places of another size are read: as the encoding does by itself, as a denser sampling of what was seen, or as places that
    /// go on beyond it.
    #[arg(long, value_name = "READING", requires = "run", value_parser = readings())]
    reading: Option<Reading>,
    /// With --size, of scenes: objects grow with the image, instead of keeping their size in pixels.
    #[arg(long, requires = "size")]
    zoom: bool,
    /// Instead of a run: what is on the pictures, a file of instances in COCO's format.
    #[arg(long, value_name = "GT.json", conflicts_with = "run", requires = "results")]
    coco: Option<PathBuf>,
    /// What a detector found there, a file of results in COCO's format.
    #[arg(long, value_name = "DT.json", requires = "coco")]
    results: Option<PathBuf>,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
    /// End when standard input does.
    #[arg(long, hide = true)]
    tied: bool,
}

fn readings() -> impl TypedValueParser<Value = Reading> {
    PossibleValuesParser::new(Reading::ALL.map(Reading::name))
        .map(|name| Reading::named(&name).unwrap_or_default())
}

/// Scores, and prints the report.
pub(crate) fn run(args: &EvalArgs) -> Result<()> {
    if args.tied {
        when_input_ends(|| std::process::exit(1));
    }
    if let (Some(truth), Some(results)) = (&args.coco, &args.results) {
        return coco::run(truth, results, args.json);
    }
    let Some(run) = &args.run else {
        bail!("a folder of a run, or --coco and --results, expected")
    };
    let (run, mut recipe) = Run::open(run)?;
    if let Some(data) = &args.data {
        if recipe.data.kind == DataKind::Sample {
            bail!(
                "--data {}: has no effect, since this run is scored on the sample inside the program",
                data.display()
            );
        }
        recipe.data.dir = Some(data.clone());
    }
    let checkpoint = run.checkpoint(if args.best { Which::Best } else { Which::Last }, &recipe)?;
    let asked = Asked { size: args.size, zoom: args.zoom, reading: args.reading, test: args.test };
    let parts = if args.baselines { Parts::All } else { Parts::Scored };
    let (trainer, mut state) = Trainer::new(recipe, asked, &checkpoint.past, parts)?;
    checkpoint.restore(&mut state)?;
    let start = Instant::now();
    let score = trainer.score(&state)?;
    let (images, seconds) = (trainer.eval.len() as u64, start.elapsed().as_secs_f64());
    let mut report = Report::of(&trainer, &run, &state, Some(score), images, seconds);
    (report.size, report.reading) = (args.size, args.reading);
    if args.baselines {
        report.baselines = Some(match (trainer.train()?, &trainer.eval) {
            (Source::Screens(train), Source::Screens(eval)) => {
                Baselines::Captions(caption_baselines::measure(train.screens(), eval))
            }
            _ if trainer.task.metric() == "bits_per_dim" => {
                baselines::measure(trainer.train()?.images()?, trainer.eval.images()?)?
            }
            _ => bail!(
                "--baselines: a captioner or a generator of bytes expected; this run is scored in {}",
                trainer.task.metric()
            ),
        });
    }
    if args.confusion {
        report.confusion = Some(match (&trainer.task, &trainer.eval) {
            (Task::Classify(task), Source::Images(loader)) => {
                Confusion::of(task, state.evaluated(), loader, &trainer.derived.classes())?
            }
            _ => bail!(
                "--confusion: the run of a classifier expected; `wavetape report` shows what a {} finds",
                trainer.task.noun()
            ),
        });
    }
    report.print(args.json)
}
