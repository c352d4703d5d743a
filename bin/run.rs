//! Run folders: `config.toml`, `metrics.jsonl`, `checkpoint.safetensors`.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nn::checkpoint::{TensorFile, write, write_atomically};
use nn::{AdamW, Ema, Params};
use serde::{Deserialize, Serialize};
use tensor::Tensor;

use crate::recipe::{Changes, Recipe};

/// A folder that holds all of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) folder: PathBuf,
}

/// Everything that changes while training.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) params: Params,
    pub(crate) optimizer: AdamW,
    pub(crate) ema: Option<Ema>,
    /// Steps taken.
    pub(crate) step: u64,
    /// Seconds of training so far.
    pub(crate) seconds: f64,
    /// Images seen so far.
    pub(crate) images: u64,
    /// Sums over the epoch that is under way.
    pub(crate) epoch: EpochSums,
}

/// Running sums of an epoch, so that one that was stopped and resumed is logged as one that was not.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct EpochSums {
    pub(crate) images: usize,
    pub(crate) right: usize,
    /// Of how many; see [`StepResult`](crate::task::StepResult).
    #[serde(default)]
    pub(crate) counted: usize,
    /// Sum of the images' losses.
    pub(crate) loss: f64,
    /// Norm of the last step's gradient.
    pub(crate) grad_norm: f64,
    /// Images and sum of losses since the last line of the log that stands inside of an epoch.
    #[serde(default)]
    pub(crate) recent: (usize, f64),
}

impl State {
    /// The start of a run.
    pub(crate) fn new(params: Params, recipe: &Recipe) -> Self {
        let ema = (recipe.train.ema > 0.0).then(|| Ema::new(&params, recipe.train.ema));
        let optimizer = AdamW::new(&params, recipe.optimizer.adamw);
        let epoch = EpochSums::default();
        Self { params, optimizer, ema, step: 0, seconds: 0.0, images: 0, epoch }
    }

    /// The parameters to evaluate: their average, if there is one.
    pub(crate) fn evaluated(&self) -> &Params {
        self.ema.as_ref().map_or(&self.params, Ema::params)
    }
}

impl Run {
    /// Makes the folder of a new run: `out`, which must not hold a run yet, or the first free `runs/RECIPE-NNN`.
    pub(crate) fn create(out: Option<&Path>, recipe: &Recipe) -> Result<Self> {
        let folder = match out {
            Some(out) if out.join("config.toml").exists() => bail!(
                "{} holds a run already: continue it with --resume {0}, or name another folder with --out",
                out.display()
            ),
            Some(out) => {
                fs::create_dir_all(out).with_context(|| out.display().to_string())?;
                out.to_owned()
            }
            None => free_folder(&recipe.name)?,
        };
        let run = Self { folder };
        let config = format!(
            "# wavetape {}: this run, resolved. `wavetape train --recipe config.toml` repeats it.\n\n{}",
            env!("CARGO_PKG_VERSION"),
            toml::to_string(recipe)?
        );
        run.put("config.toml", config.as_bytes())?;
        Ok(run)
    }

    /// Opens the folder of a run.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Recipe)> {
        let config = folder.join("config.toml");
        let text = fs::read_to_string(&config)
            .with_context(|| format!("{}: the folder of a run expected", config.display()))?;
        let recipe = Recipe::resolve(&config.display().to_string(), &text, &Changes::default())?;
        Ok((Self { folder: folder.to_owned() }, recipe))
    }

    /// The run's name: that of its folder.
    pub(crate) fn name(&self) -> String {
        let name = self.folder.file_name().unwrap_or(self.folder.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Writes a file of the folder in one step.
    pub(crate) fn put(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(file);
        write_atomically(&path, bytes).with_context(|| path.display().to_string())
    }

    /// Appends a line to `metrics.jsonl`.
    pub(crate) fn log(&self, line: &impl Serialize) -> Result<()> {
        let path = self.folder.join("metrics.jsonl");
        let append = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            writeln!(file, "{}", serde_json::to_string(line)?)
        };
        append().with_context(|| path.display().to_string())
    }

    /// Drops the lines of `metrics.jsonl` that were written after step `step`: those steps are taken again.
    fn rewind_log(&self, step: u64) -> Result<()> {
        let Ok(text) = fs::read_to_string(self.folder.join("metrics.jsonl")) else { return Ok(()) };
        let before = |line: &&str| {
            let line: Option<serde_json::Value> = serde_json::from_str(line).ok();
            line.and_then(|line| line.get("step")?.as_u64()).is_some_and(|at| at <= step)
        };
        let kept: String = text.lines().filter(before).flat_map(|line| [line, "\n"]).collect();
        self.put("metrics.jsonl", kept.as_bytes())
    }

    /// Writes `checkpoint.safetensors`, replacing the old one in one step.
    pub(crate) fn save(&self, state: &State) -> Result<()> {
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        let params = |prefix: &'static str, params: &Params| {
            let named = params
                .iter()
                .map(move |param| (format!("{prefix}{}", param.name), param.value.clone()));
            named.collect::<Vec<_>>()
        };
        tensors.extend(params("model.", &state.params));
        for (param, [m, v]) in state.params.iter().zip(state.optimizer.moments()) {
            tensors.push((format!("adamw.m.{}", param.name), m.clone()));
            tensors.push((format!("adamw.v.{}", param.name), v.clone()));
        }
        if let Some(ema) = &state.ema {
            tensors.extend(params("ema.", ema.params()));
        }
        let progress = serde_json::json!({
            "step": state.step,
            "ema_steps": state.ema.as_ref().map_or(0, Ema::steps),
            "seconds": state.seconds,
            "images": state.images,
            "epoch": state.epoch,
            "version": env!("CARGO_PKG_VERSION"),
        });
        // One key only: the format does not fix the order of several.
        let metadata = HashMap::from([("progress".to_owned(), progress.to_string())]);
        Ok(write(&self.folder.join("checkpoint.safetensors"), tensors, metadata)?)
    }

    /// Reads `checkpoint.safetensors` into a fresh state of the same recipe. With `rewind`, the log goes back there too.
    pub(crate) fn restore(&self, state: &mut State, rewind: bool) -> Result<()> {
        let path = self.folder.join("checkpoint.safetensors");
        let file = TensorFile::read(&path)?;
        file.load("model.", &mut state.params)?;
        let progress = file.metadata().get("progress").map(String::as_str).unwrap_or_default();
        let progress: serde_json::Value = serde_json::from_str(progress)
            .with_context(|| format!("{}: metadata `progress`: JSON expected", path.display()))?;
        let number = |key: &str| {
            let missing =
                || format!("{}: metadata `progress`: a number `{key}` expected", path.display());
            progress.get(key).with_context(missing)
        };
        let count = |key: &str| Ok::<_, anyhow::Error>(number(key)?.as_u64().unwrap_or_default());
        state.step = count("step")?;
        state.images = count("images")?;
        state.seconds = number("seconds")?.as_f64().unwrap_or_default();
        state.epoch = EpochSums::deserialize(number("epoch")?)
            .with_context(|| format!("{}: metadata `progress`: `epoch`", path.display()))?;
        let mut moments = Vec::new();
        for param in state.params.iter() {
            let moment = |which: &str| {
                let name = format!("adamw.{which}.{}", param.name);
                let moment: Tensor = file.tensor(&name)?;
                if moment.shape() != param.value.shape() {
                    bail!(
                        "{}: tensor `{name}`: shape {} expected, found {}",
                        path.display(),
                        param.value.shape(),
                        moment.shape()
                    );
                }
                Ok(moment)
            };
            moments.push([moment("m")?, moment("v")?]);
        }
        state.optimizer.restore(state.step, moments);
        if let Some(ema) = &mut state.ema {
            let mut average = state.params.clone();
            file.load("ema.", &mut average)?;
            ema.restore(count("ema_steps")?, average);
        }
        if rewind {
            self.rewind_log(state.step)?;
        }
        Ok(())
    }
}

fn free_folder(name: &str) -> Result<PathBuf> {
    for number in 1.. {
        let folder = Path::new("runs").join(format!("{name}-{number:03}"));
        fs::create_dir_all("runs").context("runs")?;
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| folder.display().to_string()),
        }
    }
    unreachable!("some number is free")
}

/// Holds the folder against a second process: a lock that the system frees when the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(run: &Run) -> Result<Self> {
        let path = run.folder.join("lock");
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(fs::TryLockError::WouldBlock) => {
                bail!("{}: another process trains this run", run.folder.display())
            }
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| path.display().to_string())
            }
        }
    }
}
