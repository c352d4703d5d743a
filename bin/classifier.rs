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
        shards.differentiate(params, |cx, range| self.loss(cx, batch, range, count))
    }

    fn loss(
        &self,
        cx: &Context<'_>,
        batch: &Batch,
        range: Range<usize>,
        count: usize,
    ) -> (Var, usize) {
        let images = batch.images.narrow(0, range.start, range.len());
        let labels = &batch.labels[range];
        let logits = self.model.forward(cx, &images);
        let right = logits
            .value()
            .argmax(-1)
            .iter()
            .zip(labels)
            .filter(|(found, label)| found == label)
            .count();
        let options = CrossEntropy { normalizer: Some(count as f64), ..self.loss.clone() };
        (cross_entropy(&logits, labels, &options), right)
    }

    /// Where the first NaN or infinity of a step comes from: computes the step again, looking at every value.
    pub(crate) fn diagnose(&self, params: &Params, batch: &Batch) -> String {
        let cx = Context::differentiate(params).on(Tape::detecting_anomalies());
        let count = batch.labels.len();
        let (loss, _) = self.loss(&cx, batch, 0..count, count);
        cx.backward(&loss);
        match cx.anomaly() {
            Some((anomaly, Some(near))) => format!("{anomaly}, after parameter `{near}` was used"),
            Some((anomaly, None)) => anomaly.to_string(),
            None => "not found without dropout".to_owned(),
        }
    }

    /// Scores all images of a loader. The result does not depend on the number of threads.
    pub(crate) fn score(&self, params: &Params, loader: &Loader) -> Score {
        let (mut right, mut losses, mut count) = (0, 0.0, 0);
        for batch in loader.epoch(0, 0) {
            let size = self.micro_batch.max(1);
            let parts = batch.labels.len().div_ceil(size);
            let part = |part: usize| {
                let range = part * size..batch.labels.len().min((part + 1) * size);
                let cx = Context::eval(params);
                let images = batch.images.narrow(0, range.start, range.len());
                let logits = self.model.forward(&cx, &images);
                let labels = &batch.labels[range];
                let places = logits.value().argmax(-1);
                let right =
                    places.iter().zip(labels).filter(|(found, label)| found == label).count();
                let sum = CrossEntropy { normalizer: Some(1.0), ..CrossEntropy::default() };
                (right, f64::from(cross_entropy(&logits, labels, &sum).value().item()))
            };
            let scores: Vec<_> = (0..parts).into_par_iter().map(part).collect();
            for (part_right, loss) in scores {
                right += part_right;
                losses += loss;
            }
            count += batch.labels.len();
        }
        let count = count.max(1) as f64;
        Score { accuracy: right as f64 / count, loss: losses / count }
    }
}
