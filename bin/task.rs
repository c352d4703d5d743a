//! What a recipe trains: a classifier or a generator.

use anyhow::Result;
use datasets::{Batch, Images, Loader, Normalize};
use nn::{Grads, Params};

use crate::classifier::Classifier;
use crate::generator::Generator;
use crate::recipe::{ModelConfig, TrainConfig};

/// A model, how its loss is computed, and how it is scored.
#[derive(Debug)]
pub(crate) enum Task {
    Classify(Box<Classifier>),
    Generate(Box<Generator>),
}

/// Loss and gradients of a batch.
#[derive(Debug)]
pub(crate) struct StepResult {
    pub(crate) loss: f64,
    pub(crate) grads: Grads,
    /// Images whose label was found; of classifiers only.
    pub(crate) right: usize,
}

/// Score of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Score {
    /// In the task's metric.
    pub(crate) value: f64,
    /// Standard error of the value over the images, where it is a mean of theirs that says something.
    pub(crate) error: Option<f64>,
    /// Mean loss, in nats, without label smoothing.
    pub(crate) loss: f64,
}

impl Task {
    /// The task with its parameters, fresh from the seed.
    pub(crate) fn new(
        model: &ModelConfig,
        train: &TrainConfig,
        seed: u64,
    ) -> Result<(Self, Params)> {
        Ok(match model {
            ModelConfig::Vit(config) => {
                let (classifier, params) = Classifier::new(config, train, seed)?;
                (Task::Classify(Box::new(classifier)), params)
            }
            ModelConfig::ImageGpt(config) => {
                let (generator, params) = Generator::new(config, train, seed)?;
                (Task::Generate(Box::new(generator)), params)
            }
            ModelConfig::Detr(_) => todo!(),
        })
    }

    /// What is learnt from the training images before training: a palette.
    pub(crate) fn fit(&self, params: &mut Params, images: &Images, seed: u64) {
        match self {
            Task::Classify(_) => {}
            Task::Generate(generator) => generator.fit(params, images, seed),
        }
    }

    /// What [`Score::value`] is. Bits per token of a palette are not those per byte.
    pub(crate) fn metric(&self) -> &'static str {
        match self {
            Task::Classify(_) => "accuracy",
            Task::Generate(generator) if generator.model.palette().is_some() => "bits_per_pixel",
            Task::Generate(_) => "bits_per_dim",
        }
    }

    /// A value of the metric, for people.
    pub(crate) fn words(&self, value: f64) -> String {
        match self {
            Task::Classify(_) => format!("accuracy {:.2} %", 100.0 * value),
            Task::Generate(_) => {
                format!("{value:.3} {}", self.metric().replace("_per_", "/"))
            }
        }
    }

    /// The metric on the training images of an epoch so far, from sums over them.
    pub(crate) fn running(&self, right: usize, loss: f64, images: usize) -> f64 {
        match self {
            Task::Classify(_) => right as f64 / images as f64,
            Task::Generate(_) => loss / images as f64 / std::f64::consts::LN_2,
        }
    }

    /// The map from bytes to what the model reads: of mean 0 and deviation 1 for a classifier, the bytes themselves for a
    /// generator.
    pub(crate) fn normalize(&self, of_images: Normalize) -> Normalize {
        match self {
            Task::Classify(_) => of_images,
            Task::Generate(_) => {
                let channels = of_images.mean.len();
                Normalize { mean: vec![0.0; channels], std: vec![1.0 / 255.0; channels] }
            }
        }
    }

    /// Loss and gradients of a batch.
    pub(crate) fn differentiate(&self, params: &Params, batch: &Batch, step: u64) -> StepResult {
        match self {
            Task::Classify(classifier) => classifier.differentiate(params, batch, step),
            Task::Generate(generator) => generator.differentiate(params, batch, step),
        }
    }

    /// Where the first NaN or infinity of a step comes from.
    pub(crate) fn diagnose(&self, params: &Params, batch: &Batch) -> String {
        let cx = match self {
            Task::Classify(classifier) => classifier.diagnose(params, batch),
            Task::Generate(generator) => generator.diagnose(params, batch),
        };
        match cx.anomaly() {
            Some((anomaly, Some(near))) => format!("{anomaly}, after parameter `{near}` was used"),
            Some((anomaly, None)) => anomaly.to_string(),
            None => "not found without dropout".to_owned(),
        }
    }

    /// Scores all images of a loader.
    pub(crate) fn score(&self, params: &Params, loader: &Loader) -> Score {
        match self {
            Task::Classify(classifier) => classifier.score(params, loader),
            Task::Generate(generator) => generator.score(params, loader),
        }
    }
}
