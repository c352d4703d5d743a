//! The numbers of a run's `metrics.jsonl`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::written::read_own;

/// All numbers of a run's log by name; those inside of an object are `object.name`.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// Lines that were read.
    pub(super) lines: usize,
    /// Lines that are no JSON object with a `step`; they are passed over.
    pub(super) broken: usize,
    /// What training warned of, with its step.
    pub(super) warnings: Vec<(u64, String)>,
    /// The last epoch.
    pub(super) epoch: Option<u64>,
    series: BTreeMap<String, Vec<Point>>,
}

/// A number of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) step: u64,
    /// Seconds of training until then.
    pub(super) seconds: f64,
    pub(super) value: f64,
}

impl Metrics {
    /// Reads the log in this folder; a folder without one has no numbers.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        let mut metrics = Self::default();
        let text = match read_own(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(metrics),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        for line in text.lines().filter(|line| !line.trim_ascii().is_empty()) {
            metrics.push(line.as_bytes());
        }
        for points in metrics.series.values_mut() {
            // A run that was killed and went on may have taken some steps twice: the later line holds.
            points.sort_by_key(|point| point.step);
            points.reverse();
            points.dedup_by_key(|point| point.step);
            points.reverse();
        }
        Ok(metrics)
    }

    fn push(&mut self, line: &[u8]) {
        self.lines += 1;
        let parsed: Option<Value> = serde_json::from_slice(line).ok();
        let found = parsed.as_ref().and_then(Value::as_object);
        let step = found.and_then(|line| line.get("step")?.as_u64());
        let (Some(found), Some(step)) = (found, step) else {
            self.broken += 1;
            return;
        };
        if let Some(warning) = found.get("warning") {
            let words = warning.as_str().map_or_else(|| warning.to_string(), str::to_owned);
            self.warnings.push((step, words));
            return;
        }
        self.epoch = found.get("epoch").and_then(Value::as_u64).or(self.epoch);
        let seconds = found.get("seconds").and_then(Value::as_f64).unwrap_or(f64::NAN);
        let mut put = |name: String, value: f64| {
            // Older programs wrote COCO's −1 where there was nothing to score.
            let is_precision = name.starts_with("summary.") || name.ends_with("_ap");
            if is_precision && value < 0.0 {
                return;
            }
            self.series.entry(name).or_default().push(Point { step, seconds, value });
        };
        for (key, value) in found {
            match value {
                Value::Object(inner) => {
                    let numbers =
                        inner.iter().filter_map(|(of, value)| Some((of, value.as_f64()?)));
                    numbers.for_each(|(of, value)| put(format!("{key}.{of}"), value));
                }
                value if !matches!(key.as_str(), "step" | "epoch") => {
                    value.as_f64().into_iter().for_each(|value| put(key.clone(), value));
                }
                _ => {}
            }
        }
    }

    /// The names of all numbers.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }

    /// A number as it changed.
    pub(super) fn points(&self, name: &str) -> &[Point] {
        self.series.get(name).map_or(&[], Vec::as_slice)
    }

    /// A number as it was last.
    pub(super) fn last(&self, name: &str) -> Option<Point> {
        self.points(name).last().copied()
    }

    /// The name of the number that the run is about: what was measured on images that were not learnt from.
    pub(super) fn metric(&self) -> Option<&str> {
        let scored = |name: &&str| {
            let of = name.strip_prefix("test_").or_else(|| name.strip_prefix("validation_"));
            of.is_some_and(|of| of != "loss")
        };
        self.names().find(scored)
    }

    /// The best value of a number.
    pub(super) fn best(&self, name: &str) -> Option<Point> {
        let sign = if is_better_when_lower(name) { -1.0 } else { 1.0 };
        let better = |a: &&Point, b: &&Point| (sign * a.value).total_cmp(&(sign * b.value));
        // The first of equal ones.
        self.points(name).iter().rev().max_by(better).copied()
    }
}

/// Whether a number is to fall: losses and bits.
pub(super) fn is_better_when_lower(name: &str) -> bool {
    ["loss", "bits", "perplexity"].iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_lines_are_counted_and_steps_taken_twice_are_those_of_the_later_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = b"{\"step\":1,\"loss\":3,\"seconds\":0.5}\n{\"step\":2,\"loss\":2}\n\n{\"step\":3,\"loss\":null}\n\
            {\"step\":2,\"loss\":1.5}\n[1]\n{\"loss\":1}\n\xff\xfe\n{\"step\":-1}\n{\"step\":3,\"warning\":\"<b>\"}\n\
            {\"step\":3,\"epoch\":1,\"test_accuracy\":0.5,\"summary\":{\"ap\":0.25,\"name\":\"x\"}}\n{\"st";
        std::fs::write(folder.path().join("metrics.jsonl"), text).expect("written");
        let metrics = Metrics::read(folder.path()).expect("read");
        assert_eq!((metrics.lines, metrics.broken), (11, 5));
        let values: Vec<_> = metrics.points("loss").iter().map(|p| (p.step, p.value)).collect();
        assert_eq!(values, [(1, 3.0), (2, 1.5)]);
        assert_eq!(metrics.warnings, [(3, "<b>".to_owned())]);
        assert_eq!((metrics.metric(), metrics.epoch), (Some("test_accuracy"), Some(1)));
        assert_eq!(metrics.last("summary.ap").map(|point| point.value), Some(0.25));
        assert_eq!(metrics.best("loss").map(|point| point.step), Some(2));
        assert_eq!(Metrics::read(&folder.path().join("none")).expect("no numbers").lines, 0);
    }
}
