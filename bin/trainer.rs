//! The training loop: steps, scores, checkpoints, and when to stop.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use datasets::image_folder::Part;
use nn::{WarmupCosine, clip_scale};

use crate::asked::Asked;
use crate::data::{self, Data, Derived, Parts};
use crate::from;
use crate::interrupt::Interrupt;
use crate::log::Log;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::run::Run;
use crate::samples::Samples;
use crate::source::{Batch, Source};
use crate::state::{Best, EpochSums, Identity, Past, State, check_finite};
use crate::system;
use crate::task::{Score, StepResult, Task, images_of};

/// Everything that a run needs and that does not change while it trains.
pub(crate) struct Trainer {
    pub(crate) recipe: Recipe,
    pub(crate) task: Task,
    /// None where a run is only scored.
    train: Option<Source>,
    pub(crate) eval: Source,
    pub(crate) derived: Derived,
    pub(crate) schedule: WarmupCosine,
    split: Part,
    /// Steps of an epoch.
    steps: u64,
    /// Steps of the run: those of the schedule, and of the epochs after it.
    pub(crate) total: u64,
}

/// Where a run leaves what it does.
pub(crate) struct Sinks<'a> {
    pub(crate) run: &'a Run,
    pub(crate) identity: &'a Identity,
    pub(crate) log: Log,
    pub(crate) progress: Progress,
    /// Samples of what the model does after each score.
    pub(crate) samples: usize,
    /// What is told where a run stops that is not at its end.
    pub(crate) parting: &'a Parting<'a>,
}

/// See [`Sinks::parting`].
pub(crate) type Parting<'a> = dyn Fn(&Progress, &State) -> Result<()> + 'a;

impl Sinks<'_> {
    /// A line of the log, which is shown as well.
    pub(crate) fn line(&mut self, line: &serde_json::Value) -> Result<()> {
        self.progress.log(line);
        self.log.line(line)
    }
}

/// When to stop early.
pub(crate) struct Stop {
    pub(crate) after: Option<u64>,
    pub(crate) interrupt: Interrupt,
}

impl Stop {
    fn now(&self, step: u64) -> bool {
        self.after.is_some_and(|after| step >= after) || self.interrupt.asked()
    }
}

impl Trainer {
    /// The run at its start, to be evaluated as it is asked for. What a run of the past has derived from its data is taken from there.
    pub(crate) fn new(
        mut recipe: Recipe,
        asked: Asked,
        past: &Past,
        parts: Parts,
    ) -> Result<(Self, State)> {
        asked.check(&recipe)?;
        // A checkpoint of old does not tell how long an epoch is.
        let parts = if past.identity.is_none() { Parts::All } else { parts };
        let screens = data::screens(&mut recipe, asked, past, parts)?;
        let (mut task, mut params) = Task::new(&recipe)?;
        task.ask(asked);
        let is_new = past.derived.is_none() && past.identity.is_none();
        let from = recipe.train.from.as_deref().filter(|_| is_new);
        let from = from.map(from::Source::open).transpose()?;
        let given = from.as_ref().and_then(|from| from.normalize.as_ref());
        let Data { train, eval, mut derived, split } = match screens {
            Some(screens) => screens,
            None => data::load(&recipe, &task, &mut params, asked, past, parts, given)?,
        };
        if let Some(from) = from {
            derived.taken = Some(from.take(&recipe, &derived, &mut params)?);
        }
        from::freeze(&mut params, &recipe.train.freeze)?;
        let images = match (&past.identity, &train) {
            (Some(identity), None) => identity.training_images,
            (_, train) => train.as_ref().map_or(0, Source::len),
        };
        let steps = (images / recipe.train.step_size()) as u64;
        if steps == 0 {
            let of = if recipe.train.accumulate > 1 { " · train.accumulate" } else { "" };
            let found = recipe.train.step_size();
            bail!("train.batch_size{of} = {found}: at most the {images} training images expected");
        }
        let all = (recipe.train.epochs as u64).saturating_mul(steps);
        let total = if recipe.train.steps > 0 { all.min(recipe.train.steps) } else { all };
        let optimizer = &recipe.optimizer;
        let warmup = (optimizer.warmup * total as f64).round() as u64;
        let schedule = WarmupCosine { peak: optimizer.rate, floor: optimizer.floor, warmup, total };
        let extra = (recipe.train.extra_epochs as u64).saturating_mul(steps);
        let total = total.saturating_add(extra);
        let state = State::new(params, &recipe, derived.taken.as_ref());
        let trainer = Self { recipe, task, train, eval, derived, split, schedule, steps, total };
        Ok((trainer, state))
    }

    /// The rate of a step, from 0; after the schedule its last one.
    fn rate(&self, step: u64) -> f64 {
        self.schedule.rate(step.min(self.schedule.total - 1))
    }

    /// What is trained on.
    ///
    /// # Errors
    /// If it was not read.
    pub(crate) fn train(&self) -> Result<&Source> {
        self.train.as_ref().context("the training data were not read")
    }

    /// That a step has left numbers to go on with.
    fn check(&self, state: &State) -> Result<()> {
        state.check_finite().map_err(|error| {
            anyhow!(
                "diverged at step {}: {error}; the last checkpoint stays as it was; {}",
                state.counts.step,
                self.advice()
            )
        })
    }

    /// What may help against numbers that are not finite.
    fn advice(&self) -> String {
        let rate = self.recipe.optimizer.rate;
        let clip = if self.recipe.train.clip_norm > 0.0 { "" } else { ", or train.clip_norm = 1" };
        format!("a lower optimizer.rate than {rate:e} may help{clip}")
    }

    /// Scores a state on what the run is scored on.
    ///
    /// # Errors
    /// If the model is not finite.
    pub(crate) fn score(&self, state: &State) -> Result<Score> {
        check_finite("parameter", state.evaluated()).context("this model cannot be scored")?;
        let score = self.task.score(state.evaluated(), &self.eval);
        score.context("this model cannot be scored")
    }

    /// The same. Whoever interrupts it need not wait until it is done: it is taken again when the run goes on.
    ///
    /// # Errors
    /// If the model is not finite.
    pub(crate) fn watched(&self, sinks: &Sinks<'_>, state: &State, stop: &Stop) -> Result<Score> {
        let parting = || (sinks.parting)(&sinks.progress, state);
        stop.interrupt.watched(|| self.score(state), parting)?
    }

    /// One step on the next batch; returns its loss. An error leaves the state as it was before.
    fn step(
        &self,
        state: &mut State,
        batches: &mut dyn Iterator<Item = Result<Batch>>,
        sinks: &mut Sinks<'_>,
    ) -> Result<f64> {
        let number = state.counts.step;
        let batch = batches.next().context("the data end before their epoch does")??;
        let StepResult { loss, tally, grads, right, counted } =
            self.task.differentiate(&state.params, &batch, number);
        let norm = grads.norm();
        if !(loss.is_finite() && norm.is_finite()) {
            // It may be the step before that has done it.
            self.check(state)?;
            bail!(NotFinite(format!(
                "diverged at step {}: loss {loss}, gradient norm {norm}; the first bad number: {}; {}",
                number + 1,
                self.task.diagnose(&state.params, &batch, number),
                images_of(batch.indices())
            )));
        }
        let clip = self.recipe.train.clip_norm;
        let scale = if clip > 0.0 { clip_scale(norm, clip) } else { 1.0 };
        let rate = self.rate(number);
        state.optimizer.step(&mut state.params, &grads, rate, scale);
        if let Some(ema) = &mut state.ema {
            ema.update(&state.params);
        }
        let counts = &mut state.counts;
        counts.step += 1;
        counts.images += batch.len() as u64;
        let sums = &mut counts.epoch;
        sums.images += batch.len();
        sums.right += right;
        sums.counted += counted;
        sums.losses += tally;
        sums.recent_losses += tally;
        sums.grad_norm = norm;
        let first_epoch = self.steps.min(self.total);
        for warning in counts.watch.see(&state.params, &grads, norm, counts.step, first_epoch) {
            let mut line = warning.line;
            line["step"] = counts.step.into();
            sinks.line(&line)?;
            if let Some(words) = warning.words {
                sinks.progress.warn(&format!("warning: {words}"));
            }
        }
        Ok(loss)
    }

    /// Trains to the end, or to a stop, and returns the last score if that was on the last step.
    pub(crate) fn run(
        &self,
        sinks: &mut Sinks<'_>,
        state: &mut State,
        stop: &Stop,
    ) -> Result<Option<Score>> {
        let mut score = None;
        while !stop.now(state.counts.step) && (self.is_due(state) || !self.is_finished(state)) {
            if !self.is_due(state) {
                score = None;
                self.epoch(sinks, state, stop)?;
                if !self.is_due(state) || stop.interrupt.asked() {
                    self.save(sinks, state)?; // stopped or ended inside of an epoch, or before it is scored
                    break;
                }
            }
            score = self.end_epoch(sinks, state, stop)?;
            self.save(sinks, state)?;
        }
        if self.is_finished(state) && state.counts.step < self.total {
            let stale = state.counts.stale;
            sinks.progress.note(&format!("no better score {stale} times in a row: ended early"));
        }
        sinks.progress.finish();
        Ok(score)
    }

    /// Takes the steps that are left of an epoch, or those until a stop.
    fn epoch(&self, sinks: &mut Sinks<'_>, state: &mut State, stop: &Stop) -> Result<()> {
        let train = &self.recipe.train;
        let (epoch, first) = (state.counts.step / self.steps, state.counts.step % self.steps);
        let mut batches = self.train()?.epoch(epoch as usize, first as usize);
        let (mut mark, mut saved) = (Instant::now(), Instant::now());
        let interval = Duration::try_from_secs_f64(60.0 * train.save_minutes);
        let interval = interval.ok().filter(|interval| !interval.is_zero());
        if self.is_score_due(state) {
            self.score_between(sinks, state, stop)?;
            mark = Instant::now();
        }
        loop {
            let step = self.step(state, &mut batches, sinks);
            let seconds = mark.elapsed().as_secs_f64();
            mark = Instant::now();
            let loss = match step {
                Ok(loss) => loss,
                Err(error) => {
                    if state.check_finite().is_err() {
                        return Err(error); // there is nothing to go on with, and the last checkpoint stays
                    }
                    self.save(sinks, state)?;
                    let step = state.counts.step;
                    return Err(match error.downcast_ref::<NotFinite>() {
                        Some(found) => anyhow!(
                            "{found}; the checkpoint is that of step {step}; {}",
                            self.advice()
                        ),
                        None => error.context(format!("the checkpoint is that of step {step}")),
                    });
                }
            };
            let counts = &mut state.counts;
            counts.seconds += seconds;
            counts.epoch.seconds += seconds;
            let (name, value) = self.task.running(&counts.epoch);
            let running = format!("{} {value:.3}", name.replace("_per_", "/").replace('_', " "));
            sinks.progress.step(counts.step, loss, &running, speed(&counts.epoch));
            if train.log_every > 0 && counts.step.is_multiple_of(train.log_every) {
                let recent = std::mem::take(&mut counts.epoch.recent_losses);
                sinks.line(&serde_json::json!({
                    "step": counts.step,
                    "rate": self.rate(counts.step - 1),
                    "loss": recent.mean(),
                    "grad_norm": counts.epoch.grad_norm,
                    "seconds": counts.seconds,
                    "img_s": speed(&counts.epoch),
                    "rss_mb": system::memory_mb(),
                }))?;
            }
            let step = counts.step;
            if self.is_due(state) {
                return Ok(());
            }
            if self.is_score_due(state) {
                self.save(sinks, state)?; // scoring may take long
                self.score_between(sinks, state, stop)?;
                mark = Instant::now();
            }
            if stop.now(step) || self.is_finished(state) {
                return Ok(());
            }
            let by_steps = train.save_every > 0 && step.is_multiple_of(train.save_every);
            if by_steps || interval.is_some_and(|interval| saved.elapsed() >= interval) {
                self.save(sinks, state)?;
                saved = Instant::now();
            }
        }
    }

    /// Scores inside of an epoch.
    fn score_between(&self, sinks: &mut Sinks<'_>, state: &mut State, stop: &Stop) -> Result<()> {
        let score = self.watched(sinks, state, stop)?;
        let counts = &state.counts;
        let mut line = serde_json::json!({ "step": counts.step, "seconds": counts.seconds });
        self.note_score(&mut line, &score)?;
        state.counts.scored = Some(state.counts.step);
        self.keep(sinks, state, &score)?;
        sinks.line(&line)
    }

    /// Writes a score into a line of the log.
    fn note_score(&self, line: &mut serde_json::Value, score: &Score) -> Result<()> {
        let split = self.split();
        line[format!("{split}_loss")] = score.loss.into();
        line[format!("{split}_{}", self.task.metric())] = score.value.into();
        if let Some(summary) = &score.summary {
            line["summary"] = serde_json::to_value(summary)?;
        }
        Ok(())
    }

    /// Scores the epoch that has just ended, if it is its turn, and logs it.
    fn end_epoch(
        &self,
        sinks: &mut Sinks<'_>,
        state: &mut State,
        stop: &Stop,
    ) -> Result<Option<Score>> {
        let (step, sums, split) = (state.counts.step, state.counts.epoch, self.split());
        let epoch = step.div_ceil(self.steps);
        let train = &self.recipe.train;
        let is_its_turn = step >= self.total
            || epoch.is_multiple_of(train.eval_every as u64)
            || (train.eval_steps > 0 && step.is_multiple_of(train.eval_steps));
        let score = match is_its_turn {
            true => {
                self.save(sinks, state)?; // scoring may take long
                Some(self.watched(sinks, state, stop)?)
            }
            false => None,
        };
        let train_loss = sums.losses.mean();
        let (name, running) = self.task.running(&sums);
        let mut line = serde_json::json!({
            "epoch": epoch,
            "step": step,
            "rate": self.rate(step - 1),
            "train_loss": train_loss,
            format!("train_{name}"): running,
            "grad_norm": sums.grad_norm,
            "seconds": state.counts.seconds,
            "img_s": speed(&sums),
            "rss_mb": system::memory_mb(),
        });
        let mut scored = Vec::new();
        if let Some(score) = &score {
            self.note_score(&mut line, score)?;
            state.counts.scored = Some(step);
            let value = self.task.words(score);
            scored = vec![
                (3, format!("{split} loss {:.3}", score.loss)),
                (9, format!("{split} {value}")),
            ];
            self.keep(sinks, state, score)?;
        }
        sinks.line(&line)?;
        state.counts.epoch =
            EpochSums { recent_losses: sums.recent_losses, ..EpochSums::default() };
        let name = name.replace("_per_", "/").replace('_', " ");
        let mut parts = vec![
            (9, format!("epoch {epoch}/{}", self.total.div_ceil(self.steps))),
            (8, format!("loss {train_loss:.3}")),
            (4, format!("{name} {running:.3}")),
        ];
        parts.extend(scored);
        parts.push((1, format!("{:.0} images/s", speed(&sums))));
        parts.push((2, format!("{:.0} s", state.counts.seconds)));
        sinks.progress.epoch(&parts);
        Ok(score)
    }

    /// Keeps the parameters of the best score, and samples of what the model does by now.
    fn keep(&self, sinks: &Sinks<'_>, state: &mut State, score: &Score) -> Result<()> {
        self.compare(sinks, state, score)?;
        if score.loss.is_finite() { self.sample(sinks, state) } else { Ok(()) }
    }

    /// Keeps the parameters of the best score.
    fn compare(&self, sinks: &Sinks<'_>, state: &mut State, score: &Score) -> Result<()> {
        // No score is neither better nor worse.
        let Some(value) = score.value else { return Ok(()) };
        let is_better = match state.counts.best {
            Some(Best { value: best, .. }) if self.task.is_more_better() => value > best,
            Some(Best { value: best, .. }) => value < best,
            None => true,
        };
        if !is_better {
            state.counts.stale += 1;
            return Ok(());
        }
        let best = Best { value, step: state.counts.step };
        (state.counts.best, state.counts.stale) = (Some(best), 0);
        let metric = format!("{}_{}", self.split(), self.task.metric());
        sinks.run.save_best(state, &metric, best, sinks.identity, &self.derived)
    }

    /// Leaves samples of what the model does.
    fn sample(&self, sinks: &Sinks<'_>, state: &State) -> Result<()> {
        let Self { task, eval, derived, .. } = self;
        match Samples::of(task, state.evaluated(), eval, &derived.classes(), sinks.samples)? {
            Some(samples) => samples.write(sinks.run, state.counts.step),
            None => Ok(()),
        }
    }

    /// Writes a checkpoint; the log comes first, so that no line is missing that it does not write again.
    pub(crate) fn save(&self, sinks: &Sinks<'_>, state: &State) -> Result<()> {
        self.check(state)?;
        sinks.log.sync()?;
        sinks.run.save(state, sinks.identity, &self.derived, self.recipe.train.keep)
    }

    /// What the images are that are scored: `test`, or `validation` if the recipe keeps the test set for later.
    pub(crate) fn split(&self) -> &'static str {
        self.split.name()
    }

    /// Whether an epoch, or the last part of one, was taken but is not in the log yet.
    pub(crate) fn is_due(&self, state: &State) -> bool {
        let step = state.counts.step;
        let has_ended = step.is_multiple_of(self.steps) || step >= self.total;
        has_ended && state.counts.epoch.images > 0
    }

    /// Whether a score inside of an epoch is to be taken at this step, and was not.
    pub(crate) fn is_score_due(&self, state: &State) -> bool {
        let (every, step) = (self.recipe.train.eval_steps, state.counts.step);
        let is_its_turn = every > 0 && step.is_multiple_of(every) && !self.is_due(state);
        is_its_turn && state.counts.scored.is_some_and(|scored| scored < step)
    }

    /// Whether all steps were taken, or scores no longer get better.
    pub(crate) fn is_finished(&self, state: &State) -> bool {
        let patience = self.recipe.train.patience;
        state.counts.step >= self.total || (patience > 0 && state.counts.stale >= patience)
    }
}

/// A step whose loss or gradient is not finite.
#[derive(Debug)]
struct NotFinite(String);

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFinite {}

/// The places of some images, the first ones of many.
/// Images a second.
fn speed(sums: &EpochSums) -> f64 {
    sums.images as f64 / sums.seconds.max(1e-9)
}
