//! `wavetape train`: trains a model as a recipe says.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nn::Reading;
use serde::Serialize;

use crate::args;
use crate::asked::Asked;
use crate::baselines::Baselines;
use crate::caption_baselines;
use crate::confusion::Confusion;
use crate::data::Parts;
use crate::from;
use crate::interrupt::{Interrupt, when_input_ends};
use crate::log::Log;
use crate::output;
use crate::progress::{Progress, WIDTH};
use crate::recipe::{Changes, RECIPES, Recipe};
use crate::run::{Lock, Run};
use crate::shell;
use crate::state::{Best, Identity, State};
use crate::system;
use crate::task::{Score, Summary};
use crate::trainer::{Sinks, Stop, Trainer};
use crate::tui::{Dashboard, View};
use crate::written::read_own;

/// Train a model as a recipe says, and report its score on the test set.
///
/// Without a recipe: a small ViT with learnable Fourier positions, on the part of Fashion-MNIST inside the program.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape train
  wavetape train my-photos
  wavetape train other-photos --from runs/my-photos-001
  wavetape train vit-fashion --data /usr/share/datasets/fashion-mnist
  wavetape train --epochs 5 --set model.position.gamma=0.1 --set train.ema=0.99
  wavetape train --resume runs/vit-sample-001")]
pub(crate) struct TrainArgs {
    /// Recipe inside the program: vit-sample (unless another is given), vit-fashion, igpt-sample, igpt-fashion, igpt-digits,
    /// igpt-emoji, detr-scenes, detr-bccd or caption-web. Or a folder, table or COCO file of one's own data, for which a recipe is
    /// chosen and printed; `wavetape data` says what is in it.
    #[arg(value_name = "RECIPE|DATA", conflicts_with_all = ["file", "resume"])]
    recipe: Option<String>,
    /// Recipe of one's own, a TOML file; the config.toml of a run is one.
    #[arg(long = "recipe", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Folder of the data.
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// Start from the parameters of this run or safetensors file (of wavetape, timm or Hugging Face), as far as they fit. For data
    /// without a recipe, the model is that of the run.
    #[arg(long, value_name = "RUN|FILE", conflicts_with = "resume")]
    from: Option<PathBuf>,
    /// Passes over the training set. With --resume: more than the run has had; the schedule stays as it was, and what comes after it
    /// is trained at its last learning rate (train.extra_epochs).
    #[arg(long, value_name = "N", value_parser = args::whole::<usize>(args::COUNTS))]
    epochs: Option<usize>,
    /// Steps after which training ends, if before the last epoch.
    #[arg(long, value_name = "N", conflicts_with = "resume", value_parser = args::whole::<u64>(args::COUNTS))]
    steps: Option<u64>,
    /// Seed of everything random.
    #[arg(long, value_name = "S", conflicts_with = "resume", value_parser = args::whole::<u64>(args::SEEDS))]
    seed: Option<u64>,
    /// Change a value of the recipe, for example train.batch_size=32; `wavetape config` lists the keys.
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "resume")]
    set: Vec<String>,
    /// Folder of the run; the first free runs/RECIPE-NNN, unless given.
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Continue the run in this folder where its checkpoint ends.
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    resume: Option<PathBuf>,
    /// Stop after this step with a checkpoint, as Ctrl-C does.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64))]
    stop_after: Option<u64>,
    /// Leave no samples of what the model does in the folder of the run, whatever train.samples is.
    #[arg(long)]
    no_samples: bool,
    /// Print the resolved recipe and do nothing.
    #[arg(long, conflicts_with_all = ["json", "tui", "out", "stop_after", "no_samples"])]
    print_config: bool,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
    /// No progress on stderr.
    #[arg(long, short)]
    quiet: bool,
    /// Stop as at Ctrl-C when standard input ends.
    #[arg(long, hide = true, conflicts_with = "tui")]
    tied: bool,
    /// Curves of loss and score, speed, rate, gradient, memory and the time that is left, on all of the terminal.
    #[arg(long, conflicts_with = "quiet")]
    tui: bool,
}

/// The line that a run ends with.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    run: String,
    recipe: String,
    /// `test_accuracy` or `test_bits_per_dim`, or of `validation` on images held out of the training set.
    metric: String,
    #[serde(skip)]
    words: String,
    /// None of a run that was interrupted before it was scored.
    value: Option<f64>,
    /// Standard error of the value over the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    standard_error: Option<f64>,
    seconds: f64,
    img_s: f64,
    loss: Option<f64>,
    step: u64,
    /// The best value so far; its parameters are in best.safetensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<Best>,
    finished: bool,
    params: usize,
    threads: usize,
    rss_mb: Option<u64>,
    /// Height and width of the images, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<usize>,
    /// How places were read, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reading: Option<Reading>,
    /// What models without a model reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baselines: Option<Baselines>,
    /// Which class is taken for which, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) confusion: Option<Confusion>,
    /// All figures of the score, if there are more.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
}

impl Report {
    /// The line for a score; `images` took `seconds`.
    pub(crate) fn of(
        trainer: &Trainer,
        run: &Run,
        state: &State,
        score: Option<Score>,
        images: u64,
        seconds: f64,
    ) -> Self {
        Self {
            run: run.name(),
            recipe: trainer.recipe.name.clone(),
            metric: format!("{}_{}", trainer.split(), trainer.task.metric()),
            words: score.map_or("not scored".to_owned(), |score| {
                let words = trainer.task.words(&score);
                format!("{} {words} (loss {:.3})", trainer.split(), score.loss)
            }),
            value: score.and_then(|score| score.value),
            standard_error: score.and_then(|score| score.error),
            seconds,
            img_s: images as f64 / seconds.max(1e-9),
            loss: score.map(|score| score.loss),
            step: state.counts.step,
            best: state.counts.best,
            finished: trainer.is_finished(state) && !trainer.is_due(state),
            params: state.params.elements(),
            threads: rayon::current_num_threads(),
            rss_mb: system::peak_memory_mb(),
            size: None,
            reading: None,
            baselines: None,
            confusion: None,
            summary: score.and_then(|score| score.summary),
        }
    }

    pub(crate) fn print(&self, json: bool) -> Result<()> {
        let mut out = output::stdout();
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
            return Ok(());
        }
        let unfinished = if self.finished { "" } else { "unfinished; " };
        let after = format!(
            "after {} steps, {:.1} s, {:.0} images/s; run {}",
            self.step, self.seconds, self.img_s, self.run
        );
        let words = format!("{unfinished}{}", self.words);
        let fits = words.chars().count() + after.chars().count() < WIDTH;
        writeln!(out, "{words}{}{after}", if fits { ' ' } else { '\n' })?;
        match &self.baselines {
            Some(Baselines::Bytes { histogram, png }) => writeln!(
                out,
                "a histogram for each place: {histogram:.3} bits/dim; PNG files: {png:.3} bits/dim"
            )?,
            Some(Baselines::Captions(caption_baselines::Baselines { frequent, nearest })) => {
                writeln!(
                    out,
                    "most frequent caption of the class: CIDEr-D {:.3}, BLEU-1 {:.3}, ROUGE-L {:.3}\ncaption of the nearest box: CIDEr-D {:.3}, BLEU-1 {:.3}, ROUGE-L {:.3}",
                    frequent.cider,
                    frequent.bleu1,
                    frequent.rouge_l,
                    nearest.cider,
                    nearest.bleu1,
                    nearest.rouge_l
                )?;
            }
            None => {}
        }
        for line in self.confusion.iter().flat_map(Confusion::lines) {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

/// The screen of a run, with the curves of what it has logged so far.
fn dashboard(trainer: &Trainer, run: &Run, step: u64, stop: &Stop) -> Result<Dashboard> {
    let title = format!("{} → {}", trainer.recipe.name, run.folder.display());
    let view = View::new(title, trainer.total, step);
    let lines = read_own(&run.folder.join("metrics.jsonl")).unwrap_or_default();
    let past = lines.lines().filter_map(|line| serde_json::from_str(line).ok());
    let view = past.fold(view, |view, line| view.after(&line));
    Dashboard::open(view, stop.interrupt.clone())
}

/// Trains, and prints the report.
pub(crate) fn run(args: &TrainArgs) -> Result<()> {
    let resolve = |data: Option<&Path>, origin: &str, text: &str| {
        let TrainArgs { epochs, steps, seed, set, from, .. } = args;
        let from = from.as_deref();
        let changes = Changes { data, from, epochs: *epochs, steps: *steps, seed: *seed, set };
        Recipe::resolve_with_notes(origin, text, &changes)
    };
    let (resumed, (mut recipe, dropped)) = match (&args.resume, &args.file) {
        (Some(folder), _) => {
            let (run, recipe) = Run::open(folder)?;
            (Some(run), (recipe, Vec::new()))
        }
        (None, Some(file)) => {
            let text = datasets::read_text(file)?;
            (None, resolve(args.data.as_deref(), &file.display().to_string(), &text)?)
        }
        (None, None) => {
            let (name, data) = named(args)?;
            let mut text = Recipe::text(&name)?;
            let is_chosen = RECIPES.iter().all(|(known, _)| *known != name);
            if let Some(from) = args.from.as_deref().filter(|from| is_chosen && from.is_dir()) {
                text = from::like(&text, from)?.into();
                output::note(format_args!("the model is that of {}", from.display()));
            }
            (None, resolve(data, &format!("recipe `{name}`"), &text)?)
        }
    };
    dropped.iter().for_each(|why| output::note(format_args!("dropped: {why}")));
    let mut is_longer = false;
    if let (Some(run), Some(epochs)) = (&resumed, args.epochs) {
        let of_schedule = recipe.train.epochs;
        let so_far = of_schedule + recipe.train.extra_epochs;
        if epochs < so_far || recipe.train.steps > 0 {
            bail!(
                "--epochs {epochs}: {} has {so_far} epochs{}",
                run.folder.display(),
                if recipe.train.steps > 0 {
                    format!(" and ends after train.steps = {}", recipe.train.steps)
                } else {
                    "; the number must be larger".to_owned()
                }
            );
        }
        recipe.train.extra_epochs = epochs - of_schedule;
        is_longer = epochs > so_far;
    }
    if args.print_config {
        return Ok(write!(output::stdout(), "{}", toml::to_string(&recipe)?)?);
    }
    if args.tui && !io::stderr().is_terminal() {
        bail!("--tui: a terminal on stderr expected");
    }
    // Of a run that goes on, nothing may change any more while it is read.
    let mut lock = resumed.as_ref().map(locked).transpose()?;
    let checkpoint = match &resumed {
        Some(run) => run.last_checkpoint(&recipe)?,
        None => None,
    };
    let past = checkpoint.as_ref().map(|checkpoint| checkpoint.past.clone()).unwrap_or_default();
    let (trainer, mut state) = Trainer::new(recipe, Asked::default(), &past, Parts::All)?;
    let identity = Identity::new(&trainer.recipe, trainer.train()?)?;
    let run = match resumed {
        Some(run) => run,
        None => {
            let run = Run::create(args.out.as_deref(), &trainer.recipe.name)?;
            lock = Some(locked(&run)?);
            trainer.derived.names.write(&run)?;
            run.write_config(&trainer.recipe)?; // what makes it a run comes last
            run
        }
    };
    if let Some(checkpoint) = &checkpoint {
        checkpoint.check_data(&identity)?;
        checkpoint.restore(&mut state)?;
        if is_longer {
            run.write_config(&trainer.recipe)?;
        }
        // A crash may have come between the two.
        run.keep(state.counts.step, trainer.recipe.train.keep)?;
    }
    let interrupt = Interrupt::listen(
        "a checkpoint is written after this step; a second time ends the program at once",
    )?;
    if args.tied {
        let interrupt = interrupt.clone();
        when_input_ends(move || {
            interrupt.ask();
        });
    }
    let stop = Stop { after: args.stop_after, interrupt };
    let screen = match args.tui {
        true => Some(dashboard(&trainer, &run, state.counts.step, &stop)?),
        false => None,
    };
    let progress = Progress::new(trainer.total, state.counts.step, args.quiet, screen);
    progress.note(&system::resources());
    progress.note(&format!(
        "{}: {} parameters, {} training images, {} steps",
        trainer.recipe.name,
        state.params.elements(),
        trainer.train()?.len(),
        trainer.total,
    ));
    progress.note(&format!("run {}", run.folder.display()));
    if let Some(why) = trainer.eval.nothing_to_score() {
        progress.warn(&format!("warning: nothing to score: {why}; the run will have no score"));
    }
    if trainer.total > trainer.schedule.total {
        progress.note(&format!(
            "the schedule ends at step {}; the steps after it are taken at its last rate",
            trainer.schedule.total
        ));
    }
    let before = past.identity.as_ref().and_then(|identity| identity.machine.as_ref());
    let moved = before.filter(|before| Some(*before) != identity.machine.as_ref());
    let is_due = trainer.is_due(&state) || trainer.is_score_due(&state);
    let log = Log::open(&run.folder, state.counts.step, is_due)?;
    let samples = if args.no_samples { 0 } else { trainer.recipe.train.samples };
    let report = |state: &State, score| {
        let (images, seconds) = (state.counts.images, state.counts.seconds);
        Report::of(&trainer, &run, state, score, images, seconds).print(args.json)
    };
    let parting = |progress: &Progress, state: &State| {
        progress.finish();
        progress.warn(&format!("stopped; continue with: {}", command(&run.folder)));
        report(state, None)
    };
    let parting = &parting;
    let mut sinks = Sinks { run: &run, identity: &identity, log, progress, samples, parting };
    if let (Some(before), Some(now)) = (moved, &identity.machine) {
        sinks.progress.warn(&format!(
            "warning: resumed on another machine ({now}) than before ({before}): the numbers may be rounded otherwise"
        ));
        sinks.line(&serde_json::json!({
            "step": state.counts.step, "warning": "resumed on another machine",
            "before": before, "now": now,
        }))?;
    }
    let left_out = output::left_out();
    if checkpoint.is_none() {
        if !left_out.is_empty() {
            sinks.line(&serde_json::json!({ "step": 0, "left_out": left_out }))?;
        }
        if let Some(taken) = &trainer.derived.taken {
            for line in taken.lines(&state.params) {
                sinks.progress.note(&line);
            }
            sinks.line(&serde_json::json!({ "step": 0, "from": taken }))?;
        }
        trainer.save(&sinks, &state)?; // a full disk is noticed before the first step
    }
    let score = trainer.run(&mut sinks, &mut state, &stop)?;
    if !left_out.is_empty() {
        sinks.progress.note(&format!("left out or put right: {}", left_out.join("; ")));
    }
    let is_finished = trainer.is_finished(&state) && !trainer.is_due(&state);
    // Somebody waits for the program to end.
    if !is_finished && stop.interrupt.asked() {
        return parting(&sinks.progress, &state);
    }
    if !is_finished {
        sinks.progress.warn(&format!("stopped; continue with: {}", command(&run.folder)));
    }
    let score = match score {
        None => Some(trainer.watched(&sinks, &state, &stop)?),
        score => score,
    };
    drop(lock);
    report(&state, score)
}

/// The recipe that is meant, or the data for which one is to be chosen; and the folder of its data, if another than the recipe's.
fn named(args: &TrainArgs) -> Result<(String, Option<&Path>)> {
    let data = args.data.as_deref();
    match (&args.recipe, data) {
        (None, None) => Ok((RECIPES[0].0.to_owned(), None)),
        // The first recipe has no folder, unless it is given one.
        (None, Some(data)) if args.set.iter().any(|pair| pair.starts_with("data.kind")) => {
            Ok((RECIPES[0].0.to_owned(), Some(data)))
        }
        (None, Some(data)) => {
            let name = data
                .to_str()
                .with_context(|| format!("--data {}: must be UTF-8", data.display()))?;
            if !data.exists() {
                bail!("--data {name}: no such folder");
            }
            Ok((name.to_owned(), None))
        }
        (Some(name), Some(data))
            if RECIPES.iter().all(|(known, _)| known != name) && Path::new(name).exists() =>
        {
            bail!("{name} and --data {} are two folders of data: one expected", data.display())
        }
        (Some(name), data) => Ok((name.clone(), data)),
    }
}

/// The folder of a run, held against other processes.
fn locked(run: &Run) -> Result<Lock> {
    Lock::take(&run.folder, "trains this run")
}

/// The command that goes on with a run, as a shell reads it.
fn command(folder: &Path) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "wavetape".to_owned());
    shell::line([&*program, "train", "--resume", &folder.to_string_lossy()])
}
