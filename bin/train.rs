//! `wavetape train`: trains a model as a recipe says.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use models::average_precision::Summary;
use nn::{WarmupCosine, clip_scale};
use serde::Serialize;

use crate::baselines::Baselines;
use crate::caption_baselines;
use crate::captioner;
use crate::data::{self, Canvas, Names};
use crate::progress::Progress;
use crate::recipe::{Changes, RECIPES, Recipe};
use crate::run::{EpochSums, Lock, Run, State};
use crate::source::{Batch, Source};
use crate::system;
use crate::task::{Score, Task};

/// Train a model as a recipe says, and report its accuracy or bits per dimension on the test set.
///
/// Without a recipe: a small ViT with learnable Fourier positions, on the part of Fashion-MNIST inside the program.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape train
  wavetape train vit-fashion --data /usr/share/datasets/fashion-mnist
  wavetape train --epochs 5 --set model.position.gamma=0.1 --set train.ema=0.99
  wavetape train --resume runs/vit-sample-001")]
pub(crate) struct TrainArgs {
    /// Recipe inside the program: vit-sample, vit-fashion, igpt-sample, igpt-fashion, igpt-digits, igpt-emoji,
    /// detr-scenes, detr-bccd or caption-web.
    #[arg(default_value = RECIPES[0].0, conflicts_with_all = ["file", "resume"])]
    recipe: String,
    /// Recipe of one's own, a TOML file; the config.toml of a run is one.
    #[arg(long = "recipe", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Folder of the data.
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    data: Option<PathBuf>,
    /// Passes over the training set.
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    epochs: Option<usize>,
    /// Steps after which training ends, if before the last epoch.
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    steps: Option<u64>,
    /// Seed of everything random.
    #[arg(long, value_name = "S", conflicts_with = "resume")]
    seed: Option<u64>,
    /// Change a value of the recipe, for example train.batch_size=32.
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "resume")]
    set: Vec<String>,
    /// Folder of the run; the first free runs/RECIPE-NNN, unless given.
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Continue the run in this folder where its checkpoint ends.
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    resume: Option<PathBuf>,
    /// Stop after this step with a checkpoint, as Ctrl-C does.
    #[arg(long, value_name = "N")]
    stop_after: Option<u64>,
    /// Print the resolved recipe and do nothing.
    #[arg(long)]
    print_config: bool,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
    /// No progress on stderr.
    #[arg(long, short)]
    quiet: bool,
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
    value: f64,
    /// Standard error of the value over the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    standard_error: Option<f64>,
    seconds: f64,
    img_s: f64,
    loss: f64,
    step: u64,
    finished: bool,
    params: usize,
    threads: usize,
    rss_mb: Option<u64>,
    /// What models without a model reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baselines: Option<Baselines>,
    /// COCO's figures, of a detector.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
    /// All figures of captions.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    captions: Option<captioner::Summary>,
}

impl Report {
    pub(crate) fn print(&self, json: bool) -> Result<()> {
        let mut out = io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
            return Ok(());
        }
        writeln!(
            out,
            "{}{} (loss {:.3}) after {} steps, {:.1} s, {:.0} images/s; run {}",
            if self.finished { "" } else { "unfinished; " },
            self.words,
            self.loss,
            self.step,
            self.seconds,
            self.img_s,
            self.run
        )?;
        match &self.baselines {
            Some(Baselines::Bytes { histogram, png }) => writeln!(
                out,
                "a histogram for each place: {histogram:.3} bits/dim; PNG files: {png:.3} bits/dim"
            )?,
            Some(Baselines::Captions(caption_baselines::Baselines { frequent, nearest })) => {
                writeln!(
                    out,
                    "most frequent caption of the class: CIDEr-D {:.3}, BLEU-1 {:.3}, ROUGE-L {:.3}; of the nearest box: CIDEr-D {:.3}, BLEU-1 {:.3}, ROUGE-L {:.3}",
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
        Ok(())
    }
}

/// Everything that a run needs and that does not change while it trains.
pub(crate) struct Trainer {
    pub(crate) recipe: Recipe,
    pub(crate) task: Task,
    pub(crate) train: Source,
    pub(crate) eval: Source,
    names: Names,
    schedule: WarmupCosine,
}

impl Trainer {
    /// The run at its start, to be evaluated on another canvas if one is given; with the words of a run if it is not a new one.
    pub(crate) fn new(
        mut recipe: Recipe,
        canvas: Option<Canvas>,
        run: Option<&Run>,
    ) -> Result<(Self, State)> {
        let screens = data::screens(&mut recipe, run)?;
        let (task, mut params) = Task::new(&recipe)?;
        let (train, eval, names) = match screens {
            Some(_) if canvas.is_some() => bail!("another size of images: a detector expected"),
            Some(screens) => screens,
            None => data::load(&recipe, &task, &mut params, canvas)?,
        };
        if train.batches() == 0 {
            bail!(
                "train.batch_size = {}: at most the {} training images expected",
                recipe.train.batch_size,
                train.len()
            );
        }
        let all = recipe.train.epochs as u64 * train.batches() as u64;
        let total = if recipe.train.steps > 0 { all.min(recipe.train.steps) } else { all };
        let optimizer = &recipe.optimizer;
        let warmup = (optimizer.warmup * total as f64).round() as u64;
        let schedule = WarmupCosine { peak: optimizer.rate, floor: optimizer.floor, warmup, total };
        let state = State::new(params, &recipe);
        Ok((Self { recipe, task, train, eval, names, schedule }, state))
    }

    /// The model of a recipe with fresh parameters, without its data: room for a checkpoint.
    pub(crate) fn untrained(recipe: &Recipe) -> Result<(Task, State)> {
        let (task, params) = Task::new(recipe)?;
        let state = State::new(params, recipe);
        Ok((task, state))
    }

    /// One step on a batch; returns its loss.
    fn step(&self, state: &mut State, batch: &Batch) -> Result<f64> {
        let step = self.task.differentiate(&state.params, batch, state.step);
        let norm = step.grads.norm();
        if !(step.loss.is_finite() && norm.is_finite()) {
            bail!(
                "step {}: loss {}, gradient norm {norm}; the first bad number: {}; images {:?}",
                state.step + 1,
                step.loss,
                self.task.diagnose(&state.params, batch),
                batch.indices()
            );
        }
        let clip = self.recipe.train.clip_norm;
        let scale = if clip > 0.0 { clip_scale(norm, clip) } else { 1.0 };
        state.optimizer.step(&mut state.params, &step.grads, self.schedule.rate(state.step), scale);
        if let Some(ema) = &mut state.ema {
            ema.update(&state.params);
        }
        state.step += 1;
        state.images += batch.len() as u64;
        let sums = &mut state.epoch;
        sums.images += batch.len();
        sums.right += step.right;
        sums.counted += step.counted;
        sums.loss += step.loss * batch.len() as f64;
        sums.grad_norm = norm;
        sums.recent.0 += batch.len();
        sums.recent.1 += step.loss * batch.len() as f64;
        Ok(step.loss)
    }

    /// Trains to the end, or to a stop, and returns the last score.
    fn run(&self, run: &Run, state: &mut State, stop: &Stop, progress: &Progress) -> Result<Score> {
        let (batches, split) = (self.train.batches() as u64, self.split());
        let mut score = None;
        while state.step < self.schedule.total {
            let epoch = (state.step / batches) as usize;
            let first = state.step % batches;
            if first == 0 {
                state.epoch = EpochSums { recent: state.epoch.recent, ..EpochSums::default() };
            }
            let start = Instant::now();
            let (seconds, images) = (state.seconds, state.images);
            let speed =
                |state: &State| (state.images - images) as f64 / start.elapsed().as_secs_f64();
            for batch in self.train.epoch(epoch, first as usize) {
                let loss = self.step(state, &batch)?;
                let (name, value) = self.task.running(&state.epoch);
                let running =
                    format!("{} {value:.3}", name.replace("_per_", "/").replace('_', " "));
                progress.step(state.step, loss, &running, speed(state));
                let every = self.recipe.train.log_every;
                if every > 0 && state.step.is_multiple_of(every) {
                    let (images, sum) = std::mem::take(&mut state.epoch.recent);
                    run.log(&serde_json::json!({
                        "step": state.step,
                        "rate": self.schedule.rate(state.step - 1),
                        "loss": sum / images.max(1) as f64,
                        "grad_norm": state.epoch.grad_norm,
                        "seconds": seconds + start.elapsed().as_secs_f64(),
                        "img_s": speed(state),
                        "rss_mb": system::memory_mb(),
                    }))?;
                }
                if stop.now(state.step) || state.step >= self.schedule.total {
                    break;
                }
            }
            state.seconds = seconds + start.elapsed().as_secs_f64();
            if !state.step.is_multiple_of(batches) && state.step < self.schedule.total {
                run.save(state)?; // stopped inside of an epoch
                break;
            }
            let speed = speed(state);
            let is_due = (epoch + 1).is_multiple_of(self.recipe.train.eval_every);
            score = match is_due || self.is_finished(state) {
                true => Some(self.task.score(state.evaluated(), &self.eval)?),
                false => None,
            };
            let sums = state.epoch;
            let train_loss = sums.loss / sums.images as f64;
            let (name, running) = self.task.running(&sums);
            let mut line = serde_json::json!({
                "epoch": epoch + 1,
                "step": state.step,
                "rate": self.schedule.rate(state.step - 1),
                "train_loss": train_loss,
                format!("train_{name}"): running,
                "grad_norm": sums.grad_norm,
                "seconds": state.seconds,
                "img_s": speed,
                "rss_mb": system::memory_mb(),
            });
            let mut words = String::new();
            if let Some(score) = &score {
                line[format!("{split}_loss")] = score.loss.into();
                line[format!("{split}_{}", self.task.metric())] = score.value.into();
                if let Some(summary) = &score.summary {
                    line["summary"] = serde_json::to_value(summary)?;
                }
                if let Some(summary) = &score.captions {
                    line["summary"] = serde_json::to_value(summary)?;
                }
                let value = self.task.words(score);
                words = format!("  {split} loss {:.3}  {split} {value}", score.loss);
            }
            // The line goes first: a crash before the checkpoint leaves a line that resuming takes back, not a gap.
            run.log(&line)?;
            run.save(state)?;
            progress.epoch(&format!(
                "epoch {}/{}  loss {train_loss:.3}  {} {running:.3}{words}  {speed:.0} images/s  {:.0} s",
                epoch + 1,
                self.schedule.total.div_ceil(batches),
                name.replace("_per_", "/").replace('_', " "),
                state.seconds
            ));
            if stop.now(state.step) {
                break;
            }
        }
        progress.finish();
        score.map_or_else(|| self.task.score(state.evaluated(), &self.eval), Ok)
    }

    /// What the images are that are scored: `test`, or `validation` if they were held out of the training set.
    fn split(&self) -> &'static str {
        let data = &self.recipe.data;
        let dev = data.screens.is_some_and(|screens| screens.eval == datasets::screens::Part::Dev);
        if data.hold_out > 0 || dev { "validation" } else { "test" }
    }

    /// Whether all steps were taken.
    fn is_finished(&self, state: &State) -> bool {
        state.step >= self.schedule.total
    }

    /// The line for a score; `images` took `seconds`.
    pub(crate) fn report(
        &self,
        run: &Run,
        state: &State,
        score: Score,
        images: u64,
        seconds: f64,
    ) -> Report {
        Report {
            run: run.name(),
            recipe: self.recipe.name.clone(),
            metric: format!("{}_{}", self.split(), self.task.metric()),
            words: format!("{} {}", self.split(), self.task.words(&score)),
            value: score.value,
            standard_error: score.error,
            seconds,
            img_s: images as f64 / seconds.max(1e-9),
            loss: score.loss,
            step: state.step,
            finished: self.is_finished(state),
            params: state.params.elements(),
            threads: rayon::current_num_threads(),
            rss_mb: system::peak_memory_mb(),
            baselines: None,
            summary: score.summary,
            captions: score.captions,
        }
    }
}

/// When to stop early.
struct Stop {
    after: Option<u64>,
    interrupted: Arc<AtomicBool>,
}

impl Stop {
    fn now(&self, step: u64) -> bool {
        self.after.is_some_and(|after| step >= after) || self.interrupted.load(Ordering::Relaxed)
    }
}

/// Trains, and prints the report.
pub(crate) fn run(args: &TrainArgs) -> Result<()> {
    let resolve = |origin: &str, text: &str| {
        let TrainArgs { data, epochs, steps, seed, set, .. } = args;
        let data = data.as_deref();
        let changes = Changes { data, epochs: *epochs, steps: *steps, seed: *seed, set };
        Recipe::resolve(origin, text, &changes)
    };
    let (resumed, recipe) = match (&args.resume, &args.file) {
        (Some(folder), _) => {
            let (run, recipe) = Run::open(folder)?;
            (Some(run), recipe)
        }
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            (None, resolve(&file.display().to_string(), &text)?)
        }
        (None, None) => {
            (None, resolve(&format!("recipe `{}`", args.recipe), Recipe::text(&args.recipe)?)?)
        }
    };
    if args.print_config {
        print!("{}", toml::to_string(&recipe)?);
        return Ok(());
    }
    let (trainer, mut state) = Trainer::new(recipe, None, resumed.as_ref())?;
    let resuming = resumed.is_some();
    let run = match resumed {
        Some(run) => run,
        None => Run::create(args.out.as_deref(), &trainer.recipe)?,
    };
    let _lock = Lock::take(&run)?;
    trainer.names.write(&run)?;
    if resuming {
        run.restore(&mut state, true)?;
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    // The first Ctrl-C asks the loop to stop after its step; a second one ends the program at once.
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(1);
        }
    };
    ctrlc::set_handler(handler).context("Ctrl-C cannot be handled")?;
    let stop = Stop { after: args.stop_after, interrupted };
    let progress = Progress::new(trainer.schedule.total, state.step, args.quiet);
    progress.note(&format!(
        "{}: {} parameters, {} training images, {} steps, {} threads, {:?} → {}",
        trainer.recipe.name,
        state.params.elements(),
        trainer.train.len(),
        trainer.schedule.total,
        rayon::current_num_threads(),
        tensor::Level::current(),
        run.folder.display()
    ));
    let score = trainer.run(&run, &mut state, &stop, &progress)?;
    if !trainer.is_finished(&state) {
        progress.note(&format!(
            "stopped; continue with: wavetape train --resume {}",
            run.folder.display()
        ));
    }
    trainer.report(&run, &state, score, state.images, state.seconds).print(args.json)
}
