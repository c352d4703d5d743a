//! Sampling images from an [`ImageGpt`], token by token.

use autograd::Var;
use nn::{Context, Params};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::ImageGpt;

/// How the next token is drawn from its distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Logits are divided by this; 0 takes the most likely token.
    pub temperature: f64,
    /// Only so many of the most likely tokens are considered; 0 for all.
    pub top_k: usize,
    /// Only the most likely tokens that together have at least this probability are considered; 1 for all.
    pub top_p: f64,
    /// Image i draws from a generator of (seed, i), so that it does not depend on what is sampled beside it.
    pub seed: u64,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 0 }
    }
}

impl Sampler {
    /// Draws a token.
    ///
    /// # Panics
    /// If there is no finite logit.
    pub fn draw(&self, logits: &[f32], rng: &mut ChaCha8Rng) -> usize {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let u: f64 = rng.random(); // one number for each token, whatever the options are
        if self.temperature <= 0.0 {
            return order[0];
        }
        let largest = f64::from(logits[order[0]]);
        assert!(largest.is_finite(), "sampling: no finite logit");
        let weight = |&i: &usize| ((f64::from(logits[i]) - largest) / self.temperature).exp();
        let mut weights: Vec<f64> = order.iter().map(weight).collect();
        if self.top_k > 0 {
            weights.truncate(self.top_k);
        }
        let total: f64 = weights.iter().sum();
        let mut kept = 0.0;
        let enough = |weight: &f64| {
            let before = kept;
            kept += weight;
            before < self.top_p * total
        };
        weights = weights.into_iter().take_while(enough).collect();
        let mut left = u * weights.iter().sum::<f64>();
        let found = weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        order[found.unwrap_or(weights.len() - 1)]
    }
}

impl ImageGpt {
    /// Completes images: each starts with the tokens of its prompt (all prompts have one length, which may be 0) and has the
    /// class of its place in `classes`, if the model has classes. Images have `size` pixels (height, width), which may be other
    /// than trained on. Calls `progress` after each token with the number of tokens so far.
    ///
    /// Keys and values of the tokens so far are kept, so a token costs one row of each product.
    ///
    /// # Panics
    /// If the prompts differ in length or are longer than an image.
    #[track_caller]
    pub fn generate(
        &self,
        params: &Params,
        prompts: &[Vec<usize>],
        classes: &[usize],
        size: [usize; 2],
        sampler: &Sampler,
        mut progress: impl FnMut(usize),
    ) -> Vec<Vec<usize>> {
        let (config, batch) = (self.config(), prompts.len());
        let places = self.places_of(size);
        let given = prompts.first().map_or(0, Vec::len);
        let fits = prompts.iter().all(|prompt| prompt.len() == given) && given <= places.len();
        assert!(fits, "generate: prompts of one length up to {} expected", places.len());
        let cx = Context::eval(params);
        let (placed, sight) = (self.placed(&cx, &places), self.sight(&cx, &places));
        let cache = |block: &nn::Block| block.cache(batch, places.len(), config.dim);
        let mut caches: Vec<_> = self.blocks().iter().map(cache).collect();
        let generator = |image: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(sampler.seed);
            rng.set_stream(image as u64);
            rng
        };
        let mut rngs: Vec<_> = (0..batch).map(generator).collect();
        let mut images = vec![Vec::with_capacity(places.len()); batch];
        for at in 0..places.len() {
            let fed = |image: usize| images[image].last().copied();
            let fed =
                (0..batch).map(|image| fed(image).unwrap_or_else(|| self.start(classes, image)));
            let x = self.embedding().forward(&cx, &fed.collect::<Vec<_>>());
            let mut x: Var = x.unsqueeze(1);
            if let Some(placed) = &placed {
                x = &x + &placed.narrow(0, at, 1);
            }
            for (i, (block, cache)) in self.blocks().iter().zip(&mut caches).enumerate() {
                x = block.forward_next(&cx, &x, cache, sight.of(i));
            }
            if at < given {
                images.iter_mut().zip(prompts).for_each(|(image, prompt)| image.push(prompt[at]));
            } else {
                let logits = self.logits(&cx, &x).into_value().to_vec();
                let rows = logits.chunks(config.vocab).zip(&mut rngs);
                for (image, (row, rng)) in images.iter_mut().zip(rows) {
                    image.push(sampler.draw(row, rng));
                }
            }
            progress(at + 1);
        }
        images
    }
}

#[cfg(test)]
mod tests {
    use nn::{Init, PositionConfig};
    use tensor::Tensor;

    use super::*;
    use crate::ImageGptConfig;

    fn model(position: PositionConfig, channels: usize) -> (ImageGpt, Params) {
        let plain = ImageGptConfig::new(6, [16, 2, 2, 24], position);
        let config = ImageGptConfig { channels, vocab: 7, classes: 3, ..plain };
        let mut params = Params::new();
        let model = ImageGpt::new(&mut Init::new(&mut params, 1), &config).expect("valid");
        // At their first values the logits are nearly alike; these are not.
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for param in params.iter_mut() {
            param.value = &param.value + &Tensor::normal(param.value.shape(), 0.0, 0.3, &mut rng);
        }
        (model, params)
    }

    #[test]
    fn sampling_with_a_cache_is_sampling_without() {
        for position in PositionConfig::all(0.3) {
            let (name, channels) = (position.name(), 1 + usize::from(position.name() == "lff-mlp"));
            let (model, params) = model(position, channels);
            let (n, classes) = (36 * channels, [2, 0]);
            let sampler = Sampler { seed: 5, ..Sampler::default() };
            let prompts = [vec![1, 2, 3], vec![4, 5, 6]];
            let images = model.generate(&params, &prompts, &classes, [6, 6], &sampler, |_| {});
            let cx = Context::eval(&params);
            for (image, tokens) in images.iter().enumerate() {
                assert_eq!(tokens[..3], prompts[image], "{name}");
                let mut rng = ChaCha8Rng::seed_from_u64(5);
                rng.set_stream(image as u64);
                let mut again = prompts[image].clone();
                while again.len() < n {
                    let mut padded = again.clone();
                    padded.resize(n, 0);
                    let logits = model
                        .forward(&cx, &padded, &classes[image..=image], model.places())
                        .into_value();
                    let row = logits.narrow(1, again.len(), 1).to_vec();
                    again.push(sampler.draw(&row, &mut rng));
                }
                assert_eq!(*tokens, again, "{name}, image {image}");
            }
        }
    }

    #[test]
    fn a_sample_depends_on_its_seed_and_number_and_not_on_its_neighbours() {
        let (model, params) = model(PositionConfig::Embed1d { std: 0.02 }, 1);
        let generate = |count: usize, seed: u64| {
            let sampler = Sampler { seed, ..Sampler::default() };
            let prompts = vec![Vec::new(); count];
            model.generate(&params, &prompts, &[0, 1, 2][..count], [6, 6], &sampler, |_| {})
        };
        let (three, one) = (generate(3, 8), generate(1, 8));
        assert_eq!(three[0], one[0]);
        assert_ne!(three[0], three[1]);
        assert_ne!(generate(1, 9), one);
    }

    #[test]
    fn other_sizes_than_trained_on_are_sampled() {
        for position in PositionConfig::all(0.3) {
            let (model, params) = model(position, 1);
            let sampler = Sampler { top_k: 3, ..Sampler::default() };
            let images = model.generate(&params, &[Vec::new()], &[0], [8, 5], &sampler, |_| {});
            assert_eq!(images[0].len(), 40);
        }
    }

    #[test]
    fn tokens_are_drawn_as_often_as_their_probabilities_say() {
        let logits = [0.0f32, 1.0, 2.0, -1.0].map(|x| x * 2.0);
        let draws = |sampler: Sampler| {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let mut counts = [0usize; 4];
            (0..20_000).for_each(|_| counts[sampler.draw(&logits, &mut rng)] += 1);
            counts.map(|count| count as f64 / 20_000.0)
        };
        let plain = Sampler::default();
        let expected = |temperature: f64, kept: &[usize]| {
            let weight = |i: usize| (f64::from(logits[i]) / temperature).exp();
            let total: f64 = kept.iter().map(|&i| weight(i)).sum();
            [0, 1, 2, 3].map(|i| if kept.contains(&i) { weight(i) / total } else { 0.0 })
        };
        let close = |found: [f64; 4], expected: [f64; 4]| {
            let apart = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.015);
            assert!(apart, "{found:?} {expected:?}");
        };
        close(draws(plain), expected(1.0, &[0, 1, 2, 3]));
        close(draws(Sampler { temperature: 2.0, ..plain }), expected(2.0, &[0, 1, 2, 3]));
        close(draws(Sampler { top_k: 2, ..plain }), expected(1.0, &[1, 2]));
        close(draws(Sampler { top_p: 0.9, ..plain }), expected(1.0, &[1, 2])); // 0.866 + 0.117
        close(draws(Sampler { temperature: 0.0, ..plain }), [0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_token_depends_on_those_before_it_alone() {
        let (model, params) = model(PositionConfig::RopeAxial { temperature: 100.0 }, 1);
        let cx = Context::eval(&params);
        let logits =
            |tokens: &[usize]| model.forward(&cx, tokens, &[1], model.places()).into_value();
        let tokens: Vec<usize> = (0..36).map(|i| i * 5 % 7).collect();
        let mut changed = tokens.clone();
        changed[20..].iter_mut().for_each(|token| *token = (*token + 1) % 7);
        let (a, b) = (logits(&tokens), logits(&changed));
        assert_eq!(a.narrow(1, 0, 21), b.narrow(1, 0, 21));
        assert_ne!(a.narrow(1, 21, 15), b.narrow(1, 21, 15));
    }
}
