//! What is known of a run without computing anything: its config, its numbers, its checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use nn::checkpoint::TensorFile;
use serde_json::Value;
use toml::Table;

use super::metrics::Metrics;
use crate::recipe::{Recipe, flat};
use crate::run::Run;
use crate::written::read_own;

/// A run that is reported on.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) run: Run,
    pub(super) name: String,
    /// `config.toml`, by dotted keys.
    pub(super) config: BTreeMap<String, String>,
    /// The same as this version understands it.
    pub(super) recipe: Option<Recipe>,
    pub(super) metrics: Metrics,
    pub(super) checkpoint: Option<Checkpoint>,
    /// The line that the run ended with, if it was kept as `result.json`; studies do that.
    pub(super) result: Value,
    /// What could not be told, and why.
    pub(super) notes: Vec<String>,
}

/// What a checkpoint says of itself.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// Elements of all parameters.
    pub(super) params: usize,
    /// What was counted in training, and by which version.
    progress: Value,
}

impl Subject {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// If it holds no `config.toml` in TOML, or if its log cannot be read.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let text = Run::config(folder)?;
        let at = || folder.join("config.toml").display().to_string();
        let table: Table = toml::from_str(&text).with_context(at)?;
        let mut notes = Vec::new();
        let recipe = match Run::open(folder) {
            Ok((_, recipe)) => Some(recipe),
            Err(error) => {
                notes.push(format!("nothing is computed with this run's model: {error:#}"));
                None
            }
        };
        let run = Run { folder: folder.canonicalize().unwrap_or_else(|_| folder.to_owned()) };
        let checkpoint = match Checkpoint::read(&run) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                notes.push(format!("{error:#}"));
                None
            }
        };
        let (name, metrics) = (run.name(), Metrics::read(folder)?);
        if metrics.lines == 0 {
            notes.push("no metrics yet".to_owned());
        }
        if metrics.broken > 0 {
            let (broken, lines) = (metrics.broken, metrics.lines);
            notes.push(format!(
                "{broken} of {lines} lines of metrics.jsonl are broken and were passed over"
            ));
        }
        if checkpoint.is_none() {
            notes.push("no checkpoint that can be read: nothing that needs parameters".to_owned());
        }
        let values = flat(table).into_iter();
        let result = read_own(&folder.join("result.json")).ok();
        let result = result.and_then(|text| serde_json::from_str(&text).ok());
        let (result, config) = (
            result.unwrap_or_default(),
            values.map(|(key, value)| (key, value.to_string())).collect(),
        );
        Ok(Self { run, name, config, recipe, metrics, checkpoint, result, notes })
    }

    /// Steps that were taken, as far as is known.
    pub(super) fn step(&self) -> Option<u64> {
        let logged = self.metrics.names().filter_map(|name| Some(self.metrics.last(name)?.step));
        let of_checkpoint = self.checkpoint.as_ref().and_then(|c| c.number("step"));
        logged.max().max(of_checkpoint.map(|step| step as u64))
    }

    /// Seconds of training, as far as is known.
    pub(super) fn seconds(&self) -> Option<f64> {
        let logged = self.metrics.last("seconds").map(|point| point.value);
        logged.or_else(|| self.checkpoint.as_ref()?.number("seconds"))
    }
}

/// Names runs of one name by as much of their paths as tells them apart.
pub(super) fn tell_apart(subjects: &mut [Subject]) {
    let parts: Vec<Vec<String>> = subjects
        .iter()
        .map(|subject| {
            let parts = subject.run.folder.components().rev();
            parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
        })
        .collect();
    for (i, subject) in subjects.iter_mut().enumerate() {
        let is_told = |&depth: &usize| {
            let of = |parts: &Vec<String>| parts.iter().take(depth).cloned().collect::<Vec<_>>();
            (0..parts.len()).all(|j| j == i || of(&parts[j]) != of(&parts[i]))
        };
        let depth = (1..=parts[i].len()).find(is_told).unwrap_or(1);
        let name: Vec<&str> = parts[i][..depth].iter().rev().map(String::as_str).collect();
        subject.name = name.join("/");
    }
}

impl Checkpoint {
    fn read(run: &Run) -> Result<Option<Self>> {
        let path = run.folder.join("checkpoint.safetensors");
        if !path.exists() {
            return Ok(None);
        }
        let file = TensorFile::read(&path)?;
        let mut params = 0;
        for name in file.names().iter().filter(|name| name.starts_with("model.")) {
            params += file.tensor::<f32>(name)?.len();
        }
        let progress = file.metadata().get("progress").map(String::as_str).unwrap_or_default();
        Ok(Some(Self { params, progress: serde_json::from_str(progress).unwrap_or_default() }))
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.progress.get(key)?.as_f64()
    }

    /// The version of the program that wrote it.
    pub(super) fn version(&self) -> Option<&str> {
        self.progress.get("version")?.as_str()
    }
}
