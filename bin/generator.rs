//! Image generation: the loss of a step and the score of a data set.

use std::ops::Range;

use anyhow::{Result, bail};
use autograd::{Anomaly, Var};
use datasets::{Batch, Images, Loader};
use models::statistics::Estimate;
use models::{ImageGpt, ImageGptConfig};
use nn::{Context, Init, Params, Places, Reading, Shards, micro_batch};
use rayon::prelude::*;
use tensor::Tensor;

use crate::recipe::TrainConfig;
use crate::task::{self, Score, StepResult, Tally};

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
    ///
    /// # Errors
    /// If the images have fewer colours.
    pub(crate) fn fit(&self, params: &mut Params, images: &Images, seed: u64) -> Result<()> {
        let Some(id) = self.model.palette() else { return Ok(()) };
        let &ImageGptConfig { vocab, palette, .. } = self.model.config();
        let colours = datasets::palette(images, vocab, seed)?;
        let found = colours.len() / palette;
        if found < vocab {
            bail!(
                "model.vocab = {vocab}: a palette of so many colours cannot be made, the training images have {found}; set model.vocab = {found}"
            );
        }
        let param = params.get_mut(id);
        param.value = Tensor::from_vec(param.value.shape(), colours);
        Ok(())
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

    /// The pixels of tokens, red, green and blue, one after another: what [`tokens`](Self::tokens) makes tokens of.
    pub(crate) fn pixels(&self, params: &Params, tokens: &[usize]) -> Vec<[u8; 3]> {
        let of = |numbers: &[u8]| {
            [0, 1, 2].map(|channel: usize| numbers[channel.min(numbers.len() - 1)])
        };
        match self.model.palette() {
            None => {
                let bytes: Vec<u8> = tokens.iter().map(|&token| token as u8).collect();
                bytes.chunks_exact(self.model.config().channels).map(of).collect()
            }
            Some(id) => {
                let colours = params.get(id).value.to_vec();
                let colours: Vec<u8> = colours.into_iter().map(|x| x.round() as u8).collect();
                let width = self.model.config().palette;
                tokens.iter().map(|&token| of(&colours[token * width..][..width])).collect()
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
    pub(crate) fn score(&self, params: &Params, loader: &Loader) -> Result<Score> {
        let mut losses: Vec<f64> = Vec::new();
        for batch in loader.epoch(0, 0) {
            let batch = batch?;
            let one = |i: usize| {
                let loss = self.loss(&Context::eval(params), &batch, i..i + 1, 1.0);
                f64::from(loss.value().item())
            };
            let of_batch: Vec<f64> = (0..batch.labels.len()).into_par_iter().map(one).collect();
            task::check_loss(of_batch.iter().sum(), &batch.indices)?;
            losses.extend(of_batch);
        }
        let Estimate { mean, standard_error, .. } = Estimate::of(&losses);
        let bits = |nats: f64| nats / std::f64::consts::LN_2;
        let (value, error) = (Some(bits(mean)), standard_error.map(bits));
        Ok(Score { value, error, loss: mean, ..Score::default() })
    }
}

/// Refuses a model that has not a token for each byte, unless it has a palette.
///
/// # Errors
/// What to do instead.
pub(crate) fn check(config: &ImageGptConfig) -> Result<()> {
    if config.palette == 0 && config.vocab != BYTES {
        bail!(
            "model.vocab = {}: must be {BYTES} without a palette, a token for each value of a byte; with model.palette = {} it is a number of colours",
            config.vocab,
            config.channels
        );
    }
    Ok(())
}

/// Values of a byte.
const BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use nn::PositionConfig;

    use super::*;

    fn generator(config: &ImageGptConfig) -> (Generator, Params) {
        let text = "epochs = 1\nbatch_size = 1";
        Generator::new(config, &toml::from_str(text).expect("a loop"), 0).expect("valid")
    }

    fn plain(side: usize) -> ImageGptConfig {
        ImageGptConfig::new(side, [4, 1, 1, 4], PositionConfig::None {})
    }

    #[test]
    fn every_byte_of_a_picture_comes_back_from_its_token() {
        for channels in [1, 3] {
            let config = ImageGptConfig { channels, ..plain(16) };
            let (generator, params) = generator(&config);
            let byte = |i: usize| ((i * 7 + i / 256 * 31) % 256) as f32;
            let images = Tensor::from_fn([1, channels, 16, 16], byte);
            let tokens = generator.tokens(&params, &images);
            let pixels = generator.pixels(&params, &tokens);
            assert_eq!(pixels.len(), 256);
            let planes = images.to_vec();
            for (i, pixel) in pixels.into_iter().enumerate() {
                let expected = [0, 1, 2].map(|c| planes[c.min(channels - 1) * 256 + i] as u8);
                assert_eq!(pixel, expected);
            }
        }
    }

    #[test]
    fn every_colour_of_a_palette_comes_back_from_its_token() {
        let config = ImageGptConfig { palette: 3, vocab: 4, ..plain(2) };
        let (generator, mut params) = generator(&config);
        let images = |count: usize| {
            let bytes = (0..12).map(|i| ((i % 4 % count * 60 + i / 4 * 3) % 256) as u8).collect();
            Images::new([3, 2, 2], bytes, vec![0], vec!["a".into()])
        };
        let error = generator.fit(&mut params, &images(3), 0).expect_err("three colours");
        assert!(error.to_string().contains("set model.vocab = 3"), "{error}");
        generator.fit(&mut params, &images(4), 0).expect("four colours");
        let picture = images(4);
        let bytes: Vec<f32> =
            picture.image(0).expect("in memory").iter().map(|&byte| f32::from(byte)).collect();
        let tokens = generator.tokens(&params, &Tensor::from_vec([1, 3, 2, 2], bytes));
        let pixels = generator.pixels(&params, &tokens);
        for (i, pixel) in pixels.into_iter().enumerate() {
            assert_eq!(
                pixel,
                [0, 4, 8].map(|plane| picture.image(0).expect("in memory")[plane + i])
            );
        }
    }

    #[test]
    fn other_numbers_of_tokens_than_bytes_need_a_palette() {
        assert!(check(&plain(2)).is_ok());
        let error = check(&ImageGptConfig { vocab: 16, ..plain(2) }).expect_err("16 values");
        assert!(
            error.to_string().starts_with("model.vocab = 16: must be 256 without a palette"),
            "{error}"
        );
        assert!(check(&ImageGptConfig { vocab: 16, palette: 1, ..plain(2) }).is_ok());
    }
}
