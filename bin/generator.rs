//! Image generation: the loss of a step and the score of a data set.

use std::ops::Range;

use anyhow::Result;
use autograd::{Anomaly, Var};
use datasets::{Batch, Images, Loader};
use models::{ImageGpt, ImageGptConfig};
use nn::{Context, Init, Params, Places, Reading, Shards, micro_batch};
use rayon::prelude::*;
use tensor::Tensor;

use crate::recipe::TrainConfig;
use crate::task::{Score, StepResult, Tally};

/// A model of images as tokens.
#[derive(Debug)]
pub(crate) struct Generator {
    pub(crate) model: ImageGpt,
    /// Those of the tokens of an image.
    places: Places,
    micro_batch: usize,
    seed: u64,
}

impl Generator {
    /// The model with its parameters, fresh from the seed.
    pub(crate) fn new(
        config: &ImageGptConfig,
        train: &TrainConfig,
        seed: u64,
    ) -> Result<(Self, Params)> {
        let mut params = Params::new();
        let model = ImageGpt::new(&mut Init::new(&mut params, seed), config)?;
        let micro_batch = match train.micro_batch {
            0 => micro_batch(train.batch_size, config.tokens()),
            given => given,
        };
        let places = model.places().clone();
        Ok((Self { model, places, micro_batch, seed }, params))
    }

    /// Makes the model read images of this height and width, if one is given, and their places in this way.
    pub(crate) fn ask(&mut self, size: Option<usize>, reading: Reading) {
        self.model.set_reading(reading);
        if let Some(size) = size {
            self.places = self.model.places_of([size; 2]);
        }
    }

    /// The palette of these images, if tokens are colours.
    pub(crate) fn fit(&self, params: &mut Params, images: &Images, seed: u64) {
        if let Some(id) = self.model.palette() {
            let colours = datasets::palette(images, self.model.config().vocab, seed);
            let param = params.get_mut(id);
            param.value = Tensor::from_vec(param.value.shape(), colours);
        }
    }

    /// The tokens of pixels [B, C, H, W] whose numbers are bytes: rows from the top, channels of a pixel together, or the nearest
    /// colour of the palette.
    pub(crate) fn tokens(&self, params: &Params, images: &Tensor) -> Vec<usize> {
        let bytes = images.permute(&[0, 2, 3, 1]).to_vec();
        match self.model.palette() {
            None => bytes.into_iter().map(|byte| byte.round() as usize).collect(),
            Some(id) => {
                let colours = params.get(id).value.contiguous();
                let pixels = bytes.chunks_exact(self.model.config().palette);
                pixels.map(|pixel| datasets::nearest(colours.data(), pixel).0).collect()
            }
        }
    }

    /// The mean loss of a token, in nats, summed over some images of a batch and divided by `images`.
    fn loss(&self, cx: &Context<'_>, batch: &Batch, part: Range<usize>, images: f64) -> Var {
        let tokens = self.tokens(cx.params(), &batch.images.narrow(0, part.start, part.len()));
        let normalizer = images * self.places.len() as f64;
        self.model.loss(cx, &tokens, &batch.labels[part], &self.places, normalizer)
    }

    /// How a step cuts a batch.
    fn shards(&self, batch: &Batch, step: u64) -> Shards {
        let count = batch.labels.len();
        Shards { batch: count, micro_batch: self.micro_batch, seed: self.seed, step }
    }

    /// Loss and gradients of a batch.
    pub(crate) fn differentiate(&self, params: &Params, batch: &Batch, step: u64) -> StepResult {
        let shards = self.shards(batch, step);
        let images = shards.batch as f64;
        let step =
            shards.differentiate(params, |cx, part| (self.loss(cx, batch, part, images), ()));
        let tally = Tally::of(step.loss * images, images);
        StepResult { loss: step.loss, tally, grads: step.grads, right: 0, counted: 0 }
    }

    /// The first NaN or infinity of a step, which is computed again; see [`Shards::diagnose`].
    pub(crate) fn diagnose<'p>(
        &self,
        params: &'p Params,
        batch: &Batch,
        step: u64,
    ) -> Option<(Anomaly, Option<&'p str>)> {
        let shards = self.shards(batch, step);
        let images = shards.batch as f64;
        shards.diagnose(params, |cx, part| self.loss(cx, batch, part, images))
    }

    /// Scores all images of a loader, each for itself. The result does not depend on the number of threads.
    pub(crate) fn score(&self, params: &Params, loader: &Loader) -> Score {
        let mut losses: Vec<f64> = Vec::new();
        for batch in loader.epoch(0, 0) {
            let one = |i: usize| {
                let loss = self.loss(&Context::eval(params), &batch, i..i + 1, 1.0);
                f64::from(loss.value().item())
            };
            losses.extend((0..batch.labels.len()).into_par_iter().map(one).collect::<Vec<_>>());
        }
        let count = losses.len().max(1) as f64;
        let mean = losses.iter().sum::<f64>() / count;
        let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / count;
        let nats = std::f64::consts::LN_2;
        let error = (variance / (count - 1.0).max(1.0)).sqrt() / nats;
        Score { value: mean / nats, error: Some(error), loss: mean, ..Score::default() }
    }
}
