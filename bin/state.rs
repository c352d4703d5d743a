//! Everything that changes while training, and the checkpoint that holds it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nn::checkpoint::{TensorFile, write};
use nn::{AdamW, Ema, Param, Params};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tensor::Tensor;
use toml::Value;

use crate::data::Derived;
use crate::from::Taken;
use crate::recipe::{Recipe, flat};
use crate::source::Source;
use crate::system;
use crate::task::Tally;
use crate::watch::Watch;

/// The version of the checkpoint's format. 1 had no `watch`, `best`, `stale` and `identity`; it is read as if nothing had been seen.
const FORMAT: u64 = 2;

/// Values of a recipe that may change in the middle of a run, for no result depends on them.
const RESUMABLE: [&str; 6] = [
    "data.dir",
    "train.extra_epochs",
    "train.save_every",
    "train.save_minutes",
    "train.keep",
    "train.samples",
];

/// Everything that changes while training.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) params: Params,
    pub(crate) optimizer: AdamW,
    pub(crate) ema: Option<Ema>,
    pub(crate) counts: Counts,
}

/// All of a state but its tensors. What is random is a function of the seed and of these; the place in the data is that of the step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Steps taken.
    pub(crate) step: u64,
    /// Seconds of training so far.
    pub(crate) seconds: f64,
    /// Images seen so far.
    pub(crate) images: u64,
    /// Sums over the epoch that is under way, or that has ended and is still to be scored.
    pub(crate) epoch: EpochSums,
    /// What was seen of gradients.
    #[serde(default)]
    pub(crate) watch: Watch,
    /// The step of the last score inside of an epoch; none in checkpoints of older programs, which wrote none before it was taken.
    #[serde(default)]
    pub(crate) scored: Option<u64>,
    /// The best score so far.
    #[serde(default)]
    pub(crate) best: Option<Best>,
    /// Scores since the best one.
    #[serde(default)]
    pub(crate) stale: u64,
}

/// Running sums of an epoch, so that one that was stopped and resumed is logged as one that was not.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct EpochSums {
    pub(crate) images: usize,
    pub(crate) right: usize,
    /// Of how many; see [`StepResult`](crate::task::StepResult).
    #[serde(default)]
    pub(crate) counted: usize,
    /// Losses of its steps.
    #[serde(default)]
    pub(crate) losses: Tally,
    /// Norm of the last step's gradient.
    pub(crate) grad_norm: f64,
    /// Seconds that it took.
    #[serde(default)]
    pub(crate) seconds: f64,
    /// Losses since the last line of the log that stands inside of an epoch.
    #[serde(default)]
    pub(crate) recent_losses: Tally,
}

/// A score in the task's metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) value: f64,
    pub(crate) step: u64,
}

/// Which run a checkpoint belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The resolved recipe, as TOML.
    config: String,
    /// Images to train on.
    pub(crate) training_images: usize,
    /// A hash of all that is trained on. Checkpoints of older programs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<String>,
    /// What computes; other processors may round otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<String>,
}

/// What a checkpoint says of its run and of the data that it was made with. Both are missing in those of older programs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    pub(crate) identity: Option<Identity>,
    pub(crate) derived: Option<Derived>,
}

/// A file of parameters of a run: `checkpoint.safetensors`, or `best.safetensors`.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    file: TensorFile,
    which: Which,
    /// Its metadata.
    about: serde_json::Value,
    pub(crate) past: Past,
}

/// Which parameters of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those of the last checkpoint, with all that a run needs to go on.
    Last,
    /// Those of the best score.
    Best,
}

impl Which {
    /// Under which key the file tells of itself. One key only: the format does not fix the order of several.
    fn key(self) -> &'static str {
        match self {
            Which::Last => "progress",
            Which::Best => "score",
        }
    }
}

impl State {
    /// The start of a run.
    pub(crate) fn new(mut params: Params, recipe: &Recipe, taken: Option<&Taken>) -> Self {
        for param in params.iter_mut() {
            if taken.is_some_and(|taken| taken.taken.contains(&param.name)) {
                param.rate = recipe.train.taken_rate;
            }
        }
        let ema = (recipe.train.ema > 0.0).then(|| Ema::new(&params, recipe.train.ema));
        let optimizer = AdamW::new(&params, recipe.optimizer.adamw);
        let counts = Counts { watch: Watch::new(&params), scored: Some(0), ..Counts::default() };
        Self { params, optimizer, ema, counts }
    }

    /// The parameters to evaluate: their average, if there is one.
    pub(crate) fn evaluated(&self) -> &Params {
        self.ema.as_ref().map_or(&self.params, Ema::params)
    }

    /// That all parameters and their averages are finite.
    ///
    /// # Errors
    /// The first one that is not.
    pub(crate) fn check_finite(&self) -> Result<()> {
        check_finite("parameter", &self.params)?;
        self.ema
            .as_ref()
            .map_or(Ok(()), |ema| check_finite("the average of parameter", ema.params()))
    }

    /// Writes a checkpoint, replacing the old one in one step. One with a number that is not finite never replaces a good one.
    pub(crate) fn write(&self, path: &Path, identity: &Identity, derived: &Derived) -> Result<()> {
        self.check_finite()?;
        let mut tensors = named("model.", &self.params);
        for (param, [m, v]) in self.params.iter().zip(self.optimizer.moments()) {
            tensors.push((format!("adamw.m.{}", param.name), m.clone()));
            tensors.push((format!("adamw.v.{}", param.name), v.clone()));
        }
        if let Some(ema) = &self.ema {
            tensors.extend(named("ema.", ema.params()));
        }
        let mut progress = serde_json::to_value(&self.counts)?;
        progress["format"] = FORMAT.into();
        progress["version"] = env!("CARGO_PKG_VERSION").into();
        let steps = self.params.iter().zip(self.optimizer.steps());
        let fewer: BTreeMap<&str, u64> = steps
            .filter(|(_, steps)| **steps != self.counts.step)
            .map(|(param, steps)| (param.name.as_str(), *steps))
            .collect();
        if !fewer.is_empty() {
            // Of parameters that had no gradient in some steps.
            progress["adamw_steps"] = serde_json::to_value(fewer)?;
        }
        progress["ema_steps"] = self.ema.as_ref().map_or(0, Ema::steps).into();
        progress["identity"] = serde_json::to_value(identity)?;
        progress["derived"] = serde_json::to_value(derived)?;
        let metadata = HashMap::from([(Which::Last.key().to_owned(), progress.to_string())]);
        Ok(write(path, tensors, metadata)?)
    }

    /// Writes the parameters to evaluate, under their own names, with what they score.
    pub(crate) fn write_best(
        &self,
        path: &Path,
        metric: &str,
        best: Best,
        identity: &Identity,
        derived: &Derived,
    ) -> Result<()> {
        check_finite("parameter", self.evaluated())?;
        let score = serde_json::json!({
            "metric": metric, "value": best.value, "step": best.step,
            "identity": identity, "derived": derived,
        });
        let metadata = HashMap::from([(Which::Best.key().to_owned(), score.to_string())]);
        Ok(write(path, named("", self.evaluated()), metadata)?)
    }
}

/// That all numbers of these parameters are finite.
///
/// # Errors
/// The first parameter of which one is not.
pub(crate) fn check_finite(what: &str, params: &Params) -> Result<()> {
    params.iter().try_for_each(|param| {
        let numbers = param.value.contiguous();
        match numbers.data().iter().find(|number| !number.is_finite()) {
            Some(number) => {
                bail!("{what} `{}` holds {number}: finite numbers expected", param.name)
            }
            None => Ok(()),
        }
    })
}

impl Checkpoint {
    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it is none of a run, or of a later program.
    pub(crate) fn read(path: &Path, which: Which) -> Result<Self> {
        let at = || format!("{}: metadata `{}`", path.display(), which.key());
        let file = TensorFile::read(path)?;
        let text = file.metadata().get(which.key()).map(String::as_str).unwrap_or_default();
        let about: serde_json::Value =
            serde_json::from_str(text).with_context(|| format!("{}: JSON expected", at()))?;
        let format = about.get("format").map_or(Some(1), serde_json::Value::as_u64);
        if !format.is_some_and(|format| (1..=FORMAT).contains(&format)) {
            let by = about.get("version").and_then(serde_json::Value::as_str).unwrap_or("?");
            bail!(
                "{}: a checkpoint of format 1 to {FORMAT} expected, found {}, written by wavetape {by}",
                path.display(),
                about["format"]
            );
        }
        let identity = about.get("identity").map(Identity::deserialize).transpose();
        let derived = about.get("derived").map(Derived::deserialize).transpose();
        let past =
            Past { identity: identity.with_context(at)?, derived: derived.with_context(at)? };
        Ok(Self { path: path.to_owned(), file, which, about, past })
    }

    /// Refuses a recipe that is not the one that the checkpoint was made with.
    pub(crate) fn check_recipe(&self, recipe: &Recipe) -> Result<()> {
        let identity = self.past.identity.as_ref();
        identity.map_or(Ok(()), |identity| identity.check_recipe(recipe, &self.path))
    }

    /// Refuses to go on with other data.
    pub(crate) fn check_data(&self, run: &Identity) -> Result<()> {
        let identity = self.past.identity.as_ref();
        identity.map_or(Ok(()), |identity| identity.check_data(run, &self.path))
    }

    /// Puts what it holds into a fresh state of the same recipe.
    ///
    /// # Errors
    /// If a tensor is missing, of another shape, not finite, or of no use.
    pub(crate) fn restore(&self, state: &mut State) -> Result<()> {
        match self.which {
            Which::Last => self.restore_last(state)?,
            Which::Best => self.restore_best(state)?,
        }
        state.check_finite().with_context(|| self.path.display().to_string())
    }

    fn restore_last(&self, state: &mut State) -> Result<()> {
        let Self { path, file, about: progress, .. } = self;
        let at = || format!("{}: metadata `progress`", path.display());
        file.load("model.", &mut state.params)?;
        let counts = Counts::deserialize(progress).with_context(at)?;
        let mut moments = Vec::new();
        for param in state.params.iter() {
            let moment = |which| file.like(&format!("adamw.{which}.{}", param.name), &param.value);
            moments.push([moment("m")?, moment("v")?]);
        }
        let fewer = progress.get("adamw_steps").cloned().unwrap_or_else(|| json!({}));
        let fewer = HashMap::<String, u64>::deserialize(fewer).with_context(at)?;
        let steps = |param: &Param| fewer.get(&param.name).copied().unwrap_or(counts.step);
        state.optimizer.restore(state.params.iter().map(steps).collect(), moments);
        if let Some(ema) = &mut state.ema {
            let mut average = state.params.clone();
            file.load("ema.", &mut average)?;
            let steps = progress.get("ema_steps").and_then(serde_json::Value::as_u64);
            let steps =
                steps.with_context(|| format!("{}: a number `ema_steps` expected", at()))?;
            ema.restore(steps, average);
        }
        file.expect_only(|name| match name.strip_prefix("adamw.") {
            Some(name) => {
                let name = name.strip_prefix("m.").or_else(|| name.strip_prefix("v."));
                name.is_some_and(|name| state.params.by_name(name).is_some())
            }
            None => name.starts_with("model.") || state.ema.is_some() && name.starts_with("ema."),
        })?;
        state.counts = counts;
        Ok(())
    }

    fn restore_best(&self, state: &mut State) -> Result<()> {
        self.file.load("", &mut state.params)?;
        let best = Best::deserialize(&self.about)
            .with_context(|| format!("{}: metadata `score`", self.path.display()))?;
        (state.ema, state.counts.step) = (None, best.step);
        Ok(())
    }
}

fn named(prefix: &str, params: &Params) -> Vec<(String, Tensor)> {
    params.iter().map(|param| (format!("{prefix}{}", param.name), param.value.clone())).collect()
}

impl Identity {
    /// That of a run of this recipe on these data.
    pub(crate) fn new(recipe: &Recipe, train: &Source) -> Result<Self> {
        Ok(Self {
            config: toml::to_string(recipe)?,
            training_images: train.len(),
            fingerprint: Some(train.fingerprint()),
            machine: Some(system::machine()),
        })
    }

    /// Refuses a recipe that is not that of the checkpoint in this file.
    fn check_recipe(&self, recipe: &Recipe, path: &Path) -> Result<()> {
        let origin = format!("{}: the recipe that it was made with", path.display());
        // Both with the defaults of this program.
        let theirs = Recipe::of_run(&origin, &self.config)?;
        let values = |recipe: &Recipe| {
            Ok::<_, anyhow::Error>(flat(toml::from_str(&toml::to_string(recipe)?)?))
        };
        let (theirs, ours) = (values(&theirs)?, values(recipe)?);
        let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        let show = |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
        let differs = |key: &&String| {
            !RESUMABLE.contains(&key.as_str()) && ours.get(*key) != theirs.get(*key)
        };
        let told = |key: &String| {
            format!("{key}: {} expected, found {}", show(theirs.get(key)), show(ours.get(key)))
        };
        let told: Vec<String> = keys.into_iter().filter(differs).map(told).collect();
        if !told.is_empty() {
            bail!(
                "config.toml is not the recipe that {} was made with: {}",
                path.display(),
                told.join("; ")
            );
        }
        Ok(())
    }

    /// Refuses to go on with other data than the checkpoint in this file.
    fn check_data(&self, run: &Self, path: &Path) -> Result<()> {
        if self.training_images != run.training_images {
            bail!(
                "{} was made with {} training images, and there are {}: a run resumes with the data that it began with",
                path.display(),
                self.training_images,
                run.training_images
            );
        }
        if self.fingerprint.is_some() && self.fingerprint != run.fingerprint {
            bail!(
                "{} was made with other training data (as many, but their contents differ): a run resumes with the data that it began with",
                path.display()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use autograd::Var;
    use nn::{AdamWConfig, Context, Fill, Init, ParamId};

    use super::*;

    fn start() -> (State, [ParamId; 2]) {
        let mut params = Params::new();
        let mut init = Init::new(&mut params, 0);
        let ids = ["often", "seldom"].map(|name| init.param(name, [2], Fill::Ones, true));
        let optimizer = AdamW::new(&params, AdamWConfig::default());
        (State { params, optimizer, ema: None, counts: Counts::default() }, ids)
    }

    fn step(state: &mut State, ids: &[ParamId]) {
        let cx = Context::differentiate(&state.params);
        let sum = ids.iter().map(|id| cx.param(*id).square().sum_all());
        let loss: Var = sum.reduce(|a, b| a.add(&b)).expect("some");
        let grads = cx.backward(&loss);
        drop(cx);
        state.optimizer.step(&mut state.params, &grads, 0.1, 1.0);
        state.counts.step += 1;
    }

    #[test]
    fn a_checkpoint_counts_the_steps_of_each_parameter_and_holds_nothing_else() {
        let folder = std::env::temp_dir().join(format!("wavetape-state-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("checkpoint.safetensors");
        let identity = Identity {
            config: String::new(),
            training_images: 1,
            fingerprint: None,
            machine: None,
        };
        let names = crate::data::Names::Classes(crate::data::Classes::default());
        let derived = Derived::new(None, names);
        let read = |state: &mut State| Checkpoint::read(&path, Which::Last)?.restore(state);
        let (mut state, ids) = start();
        (0..3).for_each(|_| step(&mut state, &ids[..1]));
        step(&mut state, &ids);
        state.write(&path, &identity, &derived).expect("written");
        // Identities are those of an arena, so a resumed run has handles of its own.
        let (mut resumed, theirs) = start();
        read(&mut resumed).expect("whole");
        assert_eq!(resumed.optimizer.steps(), [4, 1]);
        step(&mut state, &ids);
        step(&mut resumed, &theirs);
        for (ours, theirs) in state.params.iter().zip(resumed.params.iter()) {
            assert_eq!(ours.value, theirs.value, "{}", ours.name);
        }

        let file = TensorFile::read(&path).expect("whole");
        let named = |name: String| (name.clone(), file.tensor(&name).expect("listed"));
        let mut tensors: Vec<(String, Tensor)> = file.names().into_iter().map(named).collect();
        tensors.push(("more".to_owned(), Tensor::zeros([1])));
        write(&path, tensors, file.metadata().clone()).expect("written");
        let error = read(&mut resumed).expect_err("one more").to_string();
        assert!(error.ends_with("tensor `more` does not belong here"), "{error}");
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
