//! What a run measures, for people and programs: lines of `metrics.jsonl`, and the same numbers as scalars for TensorBoard.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nn::checkpoint::write_atomically;
use serde_json::Value;

use crate::tensorboard::Events;
use crate::written::read_own;

/// Both files of a run that is under way.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    events: Events,
    /// The last step of each scalar: an epoch's line repeats numbers of the step's line.
    written: HashMap<String, u64>,
}

impl Log {
    const FILE: &str = "metrics.jsonl";

    /// The log of a run in this folder whose checkpoint is that of `step`. Later lines are dropped, for those steps are taken again;
    /// so is that of a score or of an epoch that ends there, if it is still due. TensorBoard is told to do the same.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub(crate) fn open(folder: &Path, step: u64, is_due: bool) -> Result<Self> {
        let path = folder.join(Self::FILE);
        let context = || path.display().to_string();
        let text = match read_own(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(context),
        };
        let kept: Vec<(&str, Value)> = text
            .lines()
            .filter_map(|text| Some((text, serde_json::from_str(text).ok()?)))
            .filter(|(_, line)| match step_of(line) {
                Some(at) if at == step => !(is_due && is_score(line)),
                at => at.is_some_and(|at| at < step),
            })
            .collect();
        let rewound: String = kept.iter().flat_map(|(text, _)| [text, "\n"]).collect();
        if rewound != text {
            write_atomically(&path, rewound.as_bytes()).with_context(context)?;
        }
        let events = Events::begin(folder, step).with_context(|| folder.display().to_string())?;
        let mut log = Self { path, events, written: HashMap::new() };
        // TensorBoard drops the checkpoint's step as well.
        for (_, line) in kept.iter().filter(|(_, line)| step_of(line) == Some(step)) {
            log.show(line)?;
        }
        Ok(log)
    }

    /// Appends a line, an object with a `step`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn line(&mut self, line: &Value) -> Result<()> {
        // In one call: a crash leaves whole lines.
        let text = format!("{line}\n");
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        let append = file.and_then(|mut file| file.write_all(text.as_bytes()));
        append.with_context(|| self.path.display().to_string())?;
        self.show(line)
    }

    /// Puts the lines on the disk: a checkpoint must not be there without those that came before it.
    ///
    /// # Errors
    /// If the system cannot.
    pub(crate) fn sync(&self) -> Result<()> {
        let sync = match OpenOptions::new().append(true).open(&self.path) {
            Ok(file) => file.sync_data(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        sync.with_context(|| self.path.display().to_string())
    }

    fn show(&mut self, line: &Value) -> Result<()> {
        let Some(step) = step_of(line) else { return Ok(()) };
        let mut scalars = scalars(line);
        scalars.retain(|(tag, _)| self.written.insert(tag.clone(), step) != Some(step));
        self.events
            .scalars(step, &scalars)
            .with_context(|| self.events.path().display().to_string())
    }
}

/// Whether a line tells of an epoch, or of a score inside of one.
fn is_score(line: &Value) -> bool {
    let is_one = |key: &String| {
        key == "epoch" || ["test_", "validation_"].iter().any(|split| key.starts_with(split))
    };
    line.as_object().is_some_and(|line| line.keys().any(is_one))
}

fn step_of(line: &Value) -> Option<u64> {
    line.get("step")?.as_u64()
}

/// The numbers of a line under the names that TensorBoard groups by.
fn scalars(line: &Value) -> Vec<(String, f64)> {
    let Some(line) = line.as_object() else { return Vec::new() };
    let split =
        if line.keys().any(|key| key.starts_with("validation_")) { "validation" } else { "test" };
    let mut scalars = Vec::new();
    for (key, value) in line {
        let tag = match key.as_str() {
            "step" | "epoch" | "warning" | "median" => continue,
            "loss" => "train/loss".to_owned(),
            key => match key.split_once('_') {
                Some(("train", of)) => format!("train/epoch_{of}"),
                Some((split @ ("test" | "validation"), of)) => format!("{split}/{of}"),
                _ => key.to_owned(),
            },
        };
        match value {
            Value::Object(summary) if key == "summary" => {
                let figures = summary.iter().filter_map(|(of, value)| Some((of, value.as_f64()?)));
                scalars.extend(figures.map(|(of, value)| (format!("{split}/{of}"), value)));
            }
            value => scalars.extend(value.as_f64().map(|value| (tag, value))),
        }
    }
    scalars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_named_by_what_was_measured_on_what() {
        let line = serde_json::json!({
            "epoch": 2, "step": 20, "rate": 0.5, "train_loss": 1.5, "train_bits_per_dim": 2.0,
            "validation_loss": 3.0, "summary": { "ap": 0.25, "ar": null },
        });
        let mut scalars = scalars(&line);
        scalars.sort_by(|a, b| a.0.cmp(&b.0));
        let named: Vec<_> = scalars.iter().map(|(tag, value)| (tag.as_str(), *value)).collect();
        assert_eq!(
            named,
            [
                ("rate", 0.5),
                ("train/epoch_bits_per_dim", 2.0),
                ("train/epoch_loss", 1.5),
                ("validation/ap", 0.25),
                ("validation/loss", 3.0)
            ]
        );
    }

    #[test]
    fn a_log_goes_back_to_its_checkpoint_and_loses_half_a_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("metrics.jsonl");
        let text = "{\"step\":1,\"loss\":2.0}\n{\"step\":2,\"loss\":1.5}\n{\"step\":2,\"epoch\":1}\n{\"step\":3}\n{\"st";
        let rewound = |step, due| {
            std::fs::write(&path, text).expect("written");
            Log::open(folder.path(), step, due).expect("rewound");
            std::fs::read_to_string(&path).expect("there").lines().count()
        };
        assert_eq!([rewound(0, false), rewound(1, false), rewound(3, false)], [0, 1, 4]);
        assert_eq!([rewound(2, false), rewound(2, true)], [3, 2]);
    }
}
