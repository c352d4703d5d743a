//! Everything that changes while training, and the checkpoint that holds it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nn::checkpoint::{TensorFile, write};
use nn::{AdamW, Ema, Param, Params};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tensor::Tensor;
use toml::Value;

use crate::recipe::{Recipe, flat};
use crate::task::Tally;
use crate::watch::Watch;

/// The version of the checkpoint's format. 1 had no `watch`, `best`, `stale` and `identity`; it is read as if nothing had been seen.
const FORMAT: u64 = 2;

/// Values of a recipe that may change in the middle of a run, for no result depends on them.
const FREE: [&str; 5] =
    ["data.dir", "train.save_every", "train.save_minutes", "train.keep", "train.samples"];

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
    training_images: usize,
}

impl State {
    /// The start of a run.
    pub(crate) fn new(params: Params, recipe: &Recipe) -> Self {
        let ema = (recipe.train.ema > 0.0).then(|| Ema::new(&params, recipe.train.ema));
        let optimizer = AdamW::new(&params, recipe.optimizer.adamw);
        let counts = Counts { watch: Watch::new(&params), ..Counts::default() };
        Self { params, optimizer, ema, counts }
    }

    /// The parameters to evaluate: their average, if there is one.
    pub(crate) fn evaluated(&self) -> &Params {
        self.ema.as_ref().map_or(&self.params, Ema::params)
    }

    /// Writes a checkpoint, replacing the old one in one step.
    pub(crate) fn write(&self, path: &Path, identity: &Identity) -> Result<()> {
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
        // One key only: the format does not fix the order of several.
        let metadata = HashMap::from([("progress".to_owned(), progress.to_string())]);
        Ok(write(path, tensors, metadata)?)
    }

    /// Reads a checkpoint into a fresh state of the same recipe; the run that goes on must be the one that it belongs to.
    pub(crate) fn read(&mut self, path: &Path, going_on: Option<&Identity>) -> Result<()> {
        let at = || format!("{}: metadata `progress`", path.display());
        let file = TensorFile::read(path)?;
        let text = file.metadata().get("progress").map(String::as_str).unwrap_or_default();
        let progress: serde_json::Value =
            serde_json::from_str(text).with_context(|| format!("{}: JSON expected", at()))?;
        let format = progress.get("format").map_or(Some(1), serde_json::Value::as_u64);
        if !format.is_some_and(|format| (1..=FORMAT).contains(&format)) {
            let by = progress.get("version").and_then(serde_json::Value::as_str).unwrap_or("?");
            bail!(
                "{}: a checkpoint of format 1 to {FORMAT} expected, found {}, written by wavetape {by}",
                path.display(),
                progress["format"]
            );
        }
        if let (Some(ours), Some(theirs)) = (going_on, progress.get("identity")) {
            let theirs = Identity::deserialize(theirs).with_context(at)?;
            theirs.check(ours, path)?;
        }
        file.load("model.", &mut self.params)?;
        let counts = Counts::deserialize(&progress).with_context(at)?;
        let mut moments = Vec::new();
        for param in self.params.iter() {
            let moment = |which| file.like(&format!("adamw.{which}.{}", param.name), &param.value);
            moments.push([moment("m")?, moment("v")?]);
        }
        let fewer = progress.get("adamw_steps").cloned().unwrap_or_else(|| json!({}));
        let fewer = HashMap::<String, u64>::deserialize(fewer).with_context(at)?;
        let steps = |param: &Param| fewer.get(&param.name).copied().unwrap_or(counts.step);
        self.optimizer.restore(self.params.iter().map(steps).collect(), moments);
        if let Some(ema) = &mut self.ema {
            let mut average = self.params.clone();
            file.load("ema.", &mut average)?;
            let steps = progress.get("ema_steps").and_then(serde_json::Value::as_u64);
            let steps =
                steps.with_context(|| format!("{}: a number `ema_steps` expected", at()))?;
            ema.restore(steps, average);
        }
        file.expect_only(|name| match name.strip_prefix("adamw.") {
            Some(name) => {
                let name = name.strip_prefix("m.").or_else(|| name.strip_prefix("v."));
                name.is_some_and(|name| self.params.by_name(name).is_some())
            }
            None => name.starts_with("model.") || self.ema.is_some() && name.starts_with("ema."),
        })?;
        self.counts = counts;
        Ok(())
    }

    /// Writes the parameters to evaluate, under their own names, with what they score.
    pub(crate) fn write_best(&self, path: &Path, metric: &str, best: Best) -> Result<()> {
        let score = serde_json::json!({ "metric": metric, "value": best.value, "step": best.step });
        let metadata = HashMap::from([("score".to_owned(), score.to_string())]);
        Ok(write(path, named("", self.evaluated()), metadata)?)
    }

    /// Reads them.
    pub(crate) fn read_best(&mut self, path: &Path) -> Result<()> {
        let file = TensorFile::read(path)?;
        file.load("", &mut self.params)?;
        let score = file.metadata().get("score").map(String::as_str).unwrap_or_default();
        let best: Best = serde_json::from_str(score)
            .with_context(|| format!("{}: metadata `score`", path.display()))?;
        (self.ema, self.counts.step) = (None, best.step);
        Ok(())
    }
}

fn named(prefix: &str, params: &Params) -> Vec<(String, Tensor)> {
    params.iter().map(|param| (format!("{prefix}{}", param.name), param.value.clone())).collect()
}

impl Identity {
    /// That of a run of this recipe.
    pub(crate) fn new(recipe: &Recipe, training_images: usize) -> Result<Self> {
        Ok(Self { config: toml::to_string(recipe)?, training_images })
    }

    /// Refuses to go on with `run`, unless it is the run of this checkpoint.
    fn check(&self, run: &Self, path: &Path) -> Result<()> {
        let origin = format!("{}: the recipe that it was made with", path.display());
        // Both with the defaults of this program.
        let theirs = Recipe::of_run(&origin, &self.config)?;
        let theirs = flat(toml::from_str(&toml::to_string(&theirs)?)?);
        let ours = flat(toml::from_str(&run.config)?);
        let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        let show = |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
        let differs =
            |key: &&String| !FREE.contains(&key.as_str()) && ours.get(*key) != theirs.get(*key);
        let told = |key: &String| {
            format!("{key}: {} expected, found {}", show(theirs.get(key)), show(ours.get(key)))
        };
        let told: Vec<String> = keys.into_iter().filter(differs).map(told).collect();
        if !told.is_empty() {
            bail!(
                "config.toml is not that of {}, and only that run can go on: {}",
                path.display(),
                told.join("; ")
            );
        }
        if self.training_images != run.training_images {
            bail!(
                "{} was made with {} training images, and there are {}: a run goes on with the data that it began with",
                path.display(),
                self.training_images,
                run.training_images
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
        let identity = Identity { config: String::new(), training_images: 1 };
        let (mut state, ids) = start();
        (0..3).for_each(|_| step(&mut state, &ids[..1]));
        step(&mut state, &ids);
        state.write(&path, &identity).expect("written");
        // Identities are those of an arena, so a resumed run has handles of its own.
        let (mut resumed, theirs) = start();
        resumed.read(&path, None).expect("whole");
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
        let error = resumed.read(&path, None).expect_err("one more").to_string();
        assert!(error.ends_with("tensor `more` does not belong here"), "{error}");
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
