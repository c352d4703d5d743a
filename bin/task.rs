//! What a recipe trains: a classifier, a generator, a detector or a captioner.

#[cfg(test)]
mod tests;

use std::ops::{Add, AddAssign};

use anyhow::{Result, bail};
use datasets::Images;
use models::average_precision;
use nn::{Grads, Params};
use serde::{Deserialize, Serialize};

use crate::asked::Asked;
use crate::captioner::{self, Captioner};
use crate::classifier::{self, Classifier};
use crate::detector::Detector;
use crate::generator::Generator;
use crate::recipe::{ModelConfig, Recipe};
use crate::source::{Batch, Source};
use crate::state::EpochSums;

/// A model, how its loss is computed, and how it is scored.
#[derive(Debug)]
pub(crate) enum Task {
    Classify(Box<Classifier>),
    Generate(Box<Generator>),
    Detect(Box<Detector>),
    Caption(Box<Captioner>),
}

/// Why a task never meets another's batches.
const OWN: &str = "a recipe's data are checked to be those of its model";

/// A loss as what is added up and what that is divided by, so that the losses of parts of any size make that of the whole: the
/// quotients of up to two terms, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally([(f64, f64); 2]);

impl Tally {
    /// A sum over so many images, words or pixels.
    pub(crate) fn of(sum: f64, count: f64) -> Self {
        Self([(sum, count), (0.0, 0.0)])
    }

    /// Two sums with a count each.
    pub(crate) fn of_two(terms: [(f64, f64); 2]) -> Self {
        Self(terms)
    }

    /// The loss; not a number if nothing was counted.
    pub(crate) fn mean(&self) -> f64 {
        let counted = self.0.iter().filter(|&&(_, count)| count > 0.0);
        counted.map(|(sum, count)| sum / count).reduce(f64::add).unwrap_or(f64::NAN)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for ((sum, count), other) in self.0.iter_mut().zip(other.0) {
            *sum += other.0;
            *count += other.1;
        }
    }
}

/// Loss and gradients of a batch.
#[derive(Debug)]
pub(crate) struct StepResult {
    pub(crate) loss: f64,
    /// The same loss, to be added to those of other steps.
    pub(crate) tally: Tally,
    pub(crate) grads: Grads,
    /// Images whose label was found, matched objects whose class was, or words that were the most probable ones.
    pub(crate) right: usize,
    /// Of how many; 0 for a generator.
    pub(crate) counted: usize,
}

/// Score of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Score {
    /// In the task's metric; none where there is nothing to score.
    pub(crate) value: Option<f64>,
    /// Standard error of the value over the images, where it is a mean of theirs that says something.
    pub(crate) error: Option<f64>,
    /// Mean loss; of classifiers and generators in nats, without label smoothing.
    pub(crate) loss: f64,
    /// All figures, if there are more.
    pub(crate) summary: Option<Summary>,
}

/// All figures of a score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Summary {
    Classes(classifier::Summary),
    /// COCO's.
    Boxes(average_precision::Summary),
    Captions(captioner::Summary),
}

/// Classes of a model of which the five most probable ones say something.
const MANY_CLASSES: usize = 11;

impl Task {
    /// The task with its parameters, fresh from the seed.
    pub(crate) fn new(recipe: &Recipe) -> Result<(Self, Params)> {
        let Recipe { model, train, seed, .. } = recipe;
        Ok(match model {
            ModelConfig::Vit(config) => {
                let (classifier, params) = Classifier::new(config, train, *seed)?;
                (Task::Classify(Box::new(classifier)), params)
            }
            ModelConfig::ImageGpt(config) => {
                let (generator, params) = Generator::new(config, train, *seed)?;
                (Task::Generate(Box::new(generator)), params)
            }
            ModelConfig::Detr(config) => {
                let (detector, params) = Detector::new(config, train, recipe.criterion, *seed)?;
                (Task::Detect(Box::new(detector)), params)
            }
            ModelConfig::Captioner(config) => {
                let band = recipe.data.screens.and_then(|screens| screens.band);
                let search = (recipe.decoding, band);
                let (captioner, params) = Captioner::new(config, train, search, *seed)?;
                (Task::Caption(Box::new(captioner)), params)
            }
        })
    }

    /// What the model is.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Task::Classify(_) => "classifier",
            Task::Generate(_) => "generator",
            Task::Detect(_) => "detector",
            Task::Caption(_) => "captioner",
        }
    }

    /// Makes the model read images and places as it is asked to.
    pub(crate) fn ask(&mut self, asked: Asked) {
        let reading = asked.reading.unwrap_or_default();
        match self {
            Task::Classify(classifier) => classifier.model.set_reading(reading),
            Task::Generate(generator) => generator.ask(asked.size, reading),
            Task::Detect(detector) => detector.model.set_reading(reading),
            Task::Caption(_) => {}
        }
    }

    /// What is learnt from the training images before training: a palette.
    ///
    /// # Errors
    /// If the images have fewer colours.
    pub(crate) fn fit(&self, params: &mut Params, images: &Images, seed: u64) -> Result<()> {
        match self {
            Task::Classify(_) | Task::Detect(_) | Task::Caption(_) => Ok(()),
            Task::Generate(generator) => generator.fit(params, images, seed),
        }
    }

    /// What [`Score::value`] is. Bits per token of a palette are not those per byte.
    pub(crate) fn metric(&self) -> &'static str {
        match self {
            Task::Classify(_) => "accuracy",
            Task::Generate(generator) if generator.model.palette().is_some() => "bits_per_pixel",
            Task::Generate(_) => "bits_per_dim",
            Task::Detect(_) => "ap",
            Task::Caption(_) => "cider",
        }
    }

    /// Whether more of [`Task::metric`] is better.
    pub(crate) fn is_more_better(&self) -> bool {
        match self {
            Task::Classify(_) | Task::Detect(_) | Task::Caption(_) => true,
            Task::Generate(_) => false,
        }
    }

    /// A score, for people.
    pub(crate) fn words(&self, score: &Score) -> String {
        let Some(value) = score.value else { return "no score: nothing to score".to_owned() };
        match (self, &score.summary) {
            (Task::Classify(task), Some(Summary::Classes(classifier::Summary { top5 })))
                if task.model.config().classes >= MANY_CLASSES =>
            {
                let [first, five] = [value, *top5].map(|share| 100.0 * share);
                format!("accuracy {first:.2} %, top-5 {five:.2} %")
            }
            (Task::Classify(_), _) => format!("accuracy {:.2} %", 100.0 * value),
            (_, Some(Summary::Boxes(average_precision::Summary { ap, ap50, ap75, .. }))) => {
                let [ap, ap50, ap75] = [ap, ap50, ap75].map(|figure| figure.unwrap_or(f64::NAN));
                format!("AP {ap:.3}, AP50 {ap50:.3}, AP75 {ap75:.3}")
            }
            (_, Some(Summary::Captions(captioner::Summary { all, band, .. }))) => {
                let captioner::Figures { cider, bleu1, bleu4, rouge_l, .. } = all;
                let words = format!(
                    "CIDEr-D {cider:.3}, BLEU-1 {bleu1:.3}, BLEU-4 {bleu4:.3}, ROUGE-L {rouge_l:.3}"
                );
                let band = band.map(|band| format!(", CIDEr-D in the band {:.3}", band.cider));
                words + &band.unwrap_or_default()
            }
            _ => format!("{value:.3} {}", self.metric().replace("_per_", "/")),
        }
    }

    /// What is measured on the training images while they are learnt from: its name, and its value so far in an epoch.
    pub(crate) fn running(&self, sums: &EpochSums) -> (&'static str, f64) {
        let share = sums.right as f64 / sums.counted.max(1) as f64;
        match self {
            Task::Classify(_) => ("accuracy", share),
            Task::Generate(_) => (self.metric(), sums.losses.mean() / std::f64::consts::LN_2),
            Task::Detect(_) => ("class_accuracy", share),
            Task::Caption(_) => ("word_accuracy", share),
        }
    }

    /// Loss and gradients of a batch.
    pub(crate) fn differentiate(&self, params: &Params, batch: &Batch, step: u64) -> StepResult {
        match (self, batch) {
            (Task::Classify(task), Batch::Images(batch)) => task.differentiate(params, batch, step),
            (Task::Generate(task), Batch::Images(batch)) => task.differentiate(params, batch, step),
            (Task::Detect(task), Batch::Boxes(batch)) => task.differentiate(params, batch, step),
            (Task::Caption(task), Batch::Screens(batch)) => task.differentiate(params, batch, step),
            _ => unreachable!("{OWN}"),
        }
    }

    /// Where the first NaN or infinity of a step comes from.
    pub(crate) fn diagnose(&self, params: &Params, batch: &Batch, step: u64) -> String {
        let found = match (self, batch) {
            (Task::Classify(task), Batch::Images(batch)) => task.diagnose(params, batch, step),
            (Task::Generate(task), Batch::Images(batch)) => task.diagnose(params, batch, step),
            (Task::Detect(task), Batch::Boxes(batch)) => task.diagnose(params, batch, step),
            (Task::Caption(task), Batch::Screens(batch)) => task.diagnose(params, batch, step),
            _ => unreachable!("{OWN}"),
        };
        match found {
            Some((anomaly, Some(near))) => format!("{anomaly}, after parameter `{near}` was used"),
            Some((anomaly, None)) => anomaly.to_string(),
            None => "none but the sum of the gradients, or of their squares".to_owned(),
        }
    }

    /// Scores all images of a source.
    ///
    /// # Errors
    /// If a loss or a box is not a finite number.
    pub(crate) fn score(&self, params: &Params, source: &Source) -> Result<Score> {
        match (self, source) {
            (Task::Classify(task), Source::Images(loader)) => task.score(params, loader),
            (Task::Generate(task), Source::Images(loader)) => task.score(params, loader),
            (Task::Detect(task), Source::Boxes(loader)) => task.score(params, loader),
            (Task::Caption(task), Source::Screens(loader)) => task.score(params, loader),
            _ => unreachable!("{OWN}"),
        }
    }
}

/// Refuses to score a model whose loss of these images is none: what it says of them is not finite, and no order of NaN among
/// numbers means anything.
pub(crate) fn check_loss(loss: f64, indices: &[usize]) -> Result<()> {
    if !loss.is_finite() {
        bail!("the loss of {} is {loss}: a finite number expected", images_of(indices));
    }
    Ok(())
}

/// The places of some images, for people.
pub(crate) fn images_of(indices: &[usize]) -> String {
    const SHOWN: usize = 8;
    let shown = &indices[..indices.len().min(SHOWN)];
    match indices.len() - shown.len() {
        0 => format!("images {shown:?}"),
        more => format!("images {shown:?} and {more} more"),
    }
}
