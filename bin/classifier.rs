//! Image classification: the loss of a step and the score of a data set.

use std::ops::Range;

use anyhow::Result;
use autograd::{CrossEntropy, Tape, Var, cross_entropy};
use datasets::{Batch, Loader};
use models::{Vit, VitConfig};
use nn::{Context, Init, Params, Shards, micro_batch};
use rayon::prelude::*;

use crate::recipe::TrainConfig;
use crate::task::{Score, StepResult};

/// A model and how its loss is computed.
#[derive(Debug)]
pub(crate) struct Classifier {
    pub(crate) model: Vit,
    loss: CrossEntropy,
    micro_batch: usize,
    seed: u64,
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
        let count = batch.labels.len();
        let shards = Shards { batch: count, micro_batch: self.micro_batch, seed: self.seed, step };
        let options = CrossEntropy { normalizer: Some(count as f64), ..self.loss.clone() };
        let step =
            shards.differentiate(params, |cx, range| self.forward(cx, batch, range, &options));
        let right = step.outputs.iter().sum();
        StepResult { loss: step.loss, grads: step.grads, right, counted: count }
    }

    /// The loss of a part of a batch, and how many of its images have the largest logit at their label.
    fn forward(
        &self,
        cx: &Context<'_>,
        batch: &Batch,
        part: Range<usize>,
        loss: &CrossEntropy,
    ) -> (Var, usize) {
        let images = batch.images.narrow(0, part.start, part.len());
        let labels = &batch.labels[part];
        let logits = self.model.forward(cx, &images);
        let found = logits.value().argmax(-1);
        let right = found.iter().zip(labels).filter(|(found, label)| found == label).count();
        (cross_entropy(&logits, labels, loss), right)
    }

    /// Where the first NaN or infinity of a step comes from: computes the step again, looking at every value.
    pub(crate) fn diagnose<'p>(&self, params: &'p Params, batch: &Batch) -> Context<'p> {
        let cx = Context::differentiate(params).on(Tape::detecting_anomalies());
        let (loss, _) = self.forward(&cx, batch, 0..batch.labels.len(), &self.loss);
        cx.backward(&loss);
        cx
    }

    /// Scores all images of a loader. The result does not depend on the number of threads.
    pub(crate) fn score(&self, params: &Params, loader: &Loader) -> Score {
        let sum = CrossEntropy { normalizer: Some(1.0), ..CrossEntropy::default() };
        let (mut right, mut losses, mut count) = (0, 0.0, 0);
        for batch in loader.epoch(0, 0) {
            let (size, len) = (self.micro_batch.max(1), batch.labels.len());
            let part = |part: usize| {
                let range = part * size..len.min((part + 1) * size);
                let (loss, right) = self.forward(&Context::eval(params), &batch, range, &sum);
                (f64::from(loss.value().item()), right)
            };
            let parts: Vec<_> = (0..len.div_ceil(size)).into_par_iter().map(part).collect();
            for (loss, part_right) in parts {
                losses += loss;
                right += part_right;
            }
            count += len;
        }
        let count = count.max(1) as f64;
        let (value, loss) = (right as f64 / count, losses / count);
        Score { value, loss, ..Score::default() }
    }
}
