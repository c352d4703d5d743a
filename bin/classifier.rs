//! Image classification: the loss of a step and the score of a data set.

use std::ops::Range;

use anyhow::Result;
use autograd::{CrossEntropy, Tape, Var, cross_entropy};
use datasets::{Batch, Loader};
use models::Vit;
use nn::{Context, Init, Params, Shards, Step, micro_batch};
use rayon::prelude::*;

use crate::recipe::{ModelConfig, TrainConfig};

/// A model and how its loss is computed.
#[derive(Debug)]
pub(crate) struct Classifier {
    model: Vit,
    loss: CrossEntropy,
    micro_batch: usize,
    seed: u64,
}

/// Score of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Score {
    /// Fraction of images whose class has the largest logit.
    pub(crate) accuracy: f64,
    /// Mean cross-entropy, in nats, without label smoothing.
    pub(crate) loss: f64,
}

impl Classifier {
    /// The model with its parameters, fresh from the seed.
    pub(crate) fn new(
        model: &ModelConfig,
        train: &TrainConfig,
        seed: u64,
    ) -> Result<(Self, Params)> {
        let ModelConfig::Vit(config) = model;
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

    /// Loss and gradients of a batch, and how many images each shard got right.
    pub(crate) fn differentiate(&self, params: &Params, batch: &Batch, step: u64) -> Step<usize> {
        let count = batch.labels.len();
        let shards = Shards { batch: count, micro_batch: self.micro_batch, seed: self.seed, step };
        let options = CrossEntropy { normalizer: Some(count as f64), ..self.loss.clone() };
        shards.differentiate(params, |cx, range| self.forward(cx, batch, range, &options))
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
    pub(crate) fn diagnose(&self, params: &Params, batch: &Batch) -> String {
        let cx = Context::differentiate(params).on(Tape::detecting_anomalies());
        let (loss, _) = self.forward(&cx, batch, 0..batch.labels.len(), &self.loss);
        cx.backward(&loss);
        match cx.anomaly() {
            Some((anomaly, Some(near))) => format!("{anomaly}, after parameter `{near}` was used"),
            Some((anomaly, None)) => anomaly.to_string(),
            None => "not found without dropout".to_owned(),
        }
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
        Score { accuracy: right as f64 / count, loss: losses / count }
    }
}
