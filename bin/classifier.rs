//! Image classification: the loss of a step and the score of a data set.

use std::cmp::Ordering;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use autograd::{Anomaly, CrossEntropy, Var, cross_entropy};
use datasets::{Batch, Loader, Normalize, Options};
use models::{Vit, VitConfig};
use nn::{Context, Init, Params, Shards, micro_batch};
use rayon::prelude::*;
use serde::Serialize;
use tensor::Tensor;

use crate::data::Classes;
use crate::picture::planes;
use crate::recipe::{DataConfig, TrainConfig};
use crate::task::{self, Score, StepResult, Tally};

/// A model and how its loss is computed.
#[derive(Debug)]
pub(crate) struct Classifier {
    pub(crate) model: Vit,
    loss: CrossEntropy,
    micro_batch: usize,
    seed: u64,
}

/// What a classifier is scored by besides its accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Images whose label is among the five most probable classes, of all.
    pub(crate) top5: f64,
}

/// Some images, and what they are found to be.
pub(crate) struct Seen {
    /// Their places in the data set.
    pub(crate) indices: Vec<usize>,
    pub(crate) batch: Batch,
    /// Of each class, [B, K].
    probabilities: Tensor,
}

impl Seen {
    /// What each of the images is, and what it is found to be.
    pub(crate) fn words(&self, classes: &Classes) -> Vec<String> {
        let found = self.probabilities.argmax(-1).into_iter().zip(&self.batch.labels).enumerate();
        let words = |(i, (found, &label)): (usize, (usize, &usize))| {
            let probability = 100.0 * self.probabilities.get(&[i, found]);
            let (is, found) = (classes.name(label), classes.name(found));
            format!("{is}, found as {found} ({probability:.0} %)")
        };
        found.map(words).collect()
    }
}

impl Classifier {
    /// The model with its parameters, fresh from the seed.
    pub(crate) fn new(
        config: &VitConfig,
        train: &TrainConfig,
        seed: u64,
    ) -> Result<(Self, Params)> {
        let mut params = Params::new();
        let model = Vit::new(&mut Init::new(&mut params, seed), config)?;
        let micro_batch = match train.micro_batch {
            0 => micro_batch(train.batch_size, config.tokens()),
            given => given,
        };
        let loss =
            CrossEntropy { label_smoothing: train.label_smoothing, ..CrossEntropy::default() };
        Ok((Self { model, loss, micro_batch, seed }, params))
    }

    /// Loss and gradients of a batch, and how many images it got right.
    pub(crate) fn differentiate(&self, params: &Params, batch: &Batch, step: u64) -> StepResult {
        let (shards, loss) = self.parts(batch, step);
        let step = shards.differentiate(params, |cx, part| self.forward(cx, batch, part, &loss));
        let right = step.outputs.into_iter().flatten().filter(|&rank| rank == 0).count();
        let counted = batch.labels.len();
        let tally = Tally::of(step.loss * counted as f64, counted as f64);
        StepResult { loss: step.loss, tally, grads: step.grads, right, counted }
    }

    /// How a step cuts a batch, and the loss of a part.
    fn parts(&self, batch: &Batch, step: u64) -> (Shards, CrossEntropy) {
        let count = batch.labels.len();
        let shards = Shards { batch: count, micro_batch: self.micro_batch, seed: self.seed, step };
        let loss = CrossEntropy { normalizer: Some(count as f64), ..self.loss.clone() };
        (shards, loss)
    }

    /// The loss of a part of a batch, and how many classes each of its images has before its label.
    fn forward(
        &self,
        cx: &Context<'_>,
        batch: &Batch,
        part: Range<usize>,
        loss: &CrossEntropy,
    ) -> (Var, Vec<usize>) {
        let images = batch.images.narrow(0, part.start, part.len());
        let labels = &batch.labels[part];
        let logits = self.model.forward(cx, &images);
        let rows = logits.value().to_vec();
        let rows = rows.chunks(self.model.config().classes).zip(labels);
        let ranks = rows.map(|(row, &label)| rank(row, label)).collect();
        (cross_entropy(&logits, labels, loss), ranks)
    }

    /// The first NaN or infinity of a step, which is computed again; see [`Shards::diagnose`].
    pub(crate) fn diagnose<'p>(
        &self,
        params: &'p Params,
        batch: &Batch,
        step: u64,
    ) -> Option<(Anomaly, Option<&'p str>)> {
        let (shards, loss) = self.parts(batch, step);
        shards.diagnose(params, |cx, part| self.forward(cx, batch, part, &loss).0)
    }

    /// Looks at some images of a loader, from all of it, for images of a data set are often sorted by class.
    ///
    /// # Errors
    /// As [`Loader::new`], or probabilities that are none.
    pub(crate) fn look(&self, params: &Params, loader: &Loader, count: usize) -> Result<Seen> {
        let images = loader.images();
        let count = count.clamp(1, images.len());
        let indices: Vec<usize> = (0..count).map(|i| i * images.len() / count).collect();
        let options = Options::eval(count, loader.options().normalize.clone());
        let chosen = Loader::new(images.subset(&indices).into(), options)?;
        let batch = chosen.epoch(0, 0).next().context("a batch of them all")??;
        let probabilities = self.probabilities(params, &batch.images)?;
        Ok(Seen { indices, batch, probabilities })
    }

    /// A picture in a file, in the model's size and channels: bytes, channel after channel.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(&self, path: &Path, data: &DataConfig) -> Result<Vec<u8>> {
        let config = self.model.config();
        planes(path, config.channels, data.fitted([config.image_size; 2]))
    }

    /// Such bytes as the model's input [1, C, H, W].
    pub(crate) fn input(&self, bytes: &[u8], Normalize { mean, std }: &Normalize) -> Tensor {
        let (channels, side) = (self.model.config().channels, self.model.config().image_size);
        Tensor::from_fn([1, channels, side, side], |i| {
            let channel = i / (side * side);
            (f32::from(bytes[i]) / 255.0 - mean[channel]) / std[channel]
        })
    }

    /// The probability of each class of some inputs, [B, K].
    ///
    /// # Errors
    /// If one is not finite: there is no order of them then.
    pub(crate) fn probabilities(&self, params: &Params, inputs: &Tensor) -> Result<Tensor> {
        let logits = self.model.forward(&Context::eval(params), inputs);
        let probabilities = logits.softmax(-1).into_value();
        match probabilities.to_vec().iter().find(|p| !p.is_finite()) {
            Some(p) => bail!("a probability of {p}: finite numbers expected of the model"),
            None => Ok(probabilities),
        }
    }

    /// Scores all images of a loader. The result does not depend on the number of threads.
    pub(crate) fn score(&self, params: &Params, loader: &Loader) -> Result<Score> {
        let sum = CrossEntropy { normalizer: Some(1.0), ..CrossEntropy::default() };
        let (mut ranks, mut losses) = (Vec::new(), 0.0);
        for batch in loader.epoch(0, 0) {
            let batch = batch?;
            let (size, len) = (self.micro_batch.max(1), batch.labels.len());
            let part = |part: usize| {
                let range = part * size..len.min((part + 1) * size);
                let (loss, ranks) = self.forward(&Context::eval(params), &batch, range, &sum);
                (f64::from(loss.value().item()), ranks)
            };
            let parts: Vec<_> = (0..len.div_ceil(size)).into_par_iter().map(part).collect();
            let mut of_batch = 0.0;
            for (loss, part) in parts {
                of_batch += loss;
                ranks.extend(part);
            }
            task::check_loss(of_batch, &batch.indices)?;
            losses += of_batch;
        }
        let count = ranks.len() as f64;
        let share = |k: usize| ranks.iter().filter(|&&rank| rank < k).count() as f64 / count;
        let summary = Some(task::Summary::Classes(Summary { top5: share(5) }));
        Ok(Score { value: Some(share(1)), loss: losses / count, summary, ..Score::default() })
    }
}

/// How many classes come before the label: those of larger logits, and of equal ones the first. NaN comes before all numbers.
fn rank(logits: &[f32], label: usize) -> usize {
    let is_before = |(class, logit): (usize, &f32)| match logit.partial_cmp(&logits[label]) {
        Some(Ordering::Less) => false,
        Some(Ordering::Equal) => class < label,
        Some(Ordering::Greater) | None => true,
    };
    logits.iter().enumerate().filter(|&of| is_before(of)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_comes_after_larger_logits_and_the_first_of_equal_ones() {
        let logits = [0.5, 2.0, 0.5, -1.0];
        assert_eq!([0, 1, 2, 3].map(|label| rank(&logits, label)), [1, 0, 2, 3]);
        let broken = [f32::NAN, 1.0];
        assert_eq!([0, 1].map(|label| rank(&broken, label)), [2, 1]);
    }
}
