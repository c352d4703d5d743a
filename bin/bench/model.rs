//! A model on a batch that is made up, and how much it computes.

use std::ops::Range;

use anyhow::Result;
use autograd::{CrossEntropy, Var, cross_entropy};
use models::{Captioner, CaptionerConfig, Detr, ImageGpt, ScreenBatch, Vit};
use nn::{Context, Init, Params};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tensor::Tensor;

use crate::recipe::ModelConfig;

/// A model with the loss of a part of a fixed batch.
pub(crate) enum Model {
    Vit {
        model: Vit,
        images: Tensor,
        labels: Vec<usize>,
    },
    ImageGpt {
        model: ImageGpt,
        tokens: Vec<usize>,
        classes: Vec<usize>,
    },
    /// Without matching: each query has a class, and boxes are drawn to 0.
    Detr {
        model: Detr,
        images: Tensor,
        labels: Vec<usize>,
    },
    Captioner {
        model: Captioner,
        screens: Box<ScreenBatch>,
        targets: Vec<usize>,
    },
}

/// Nodes of a screen of the captioner's workload.
const NODES: usize = 80;
/// Widgets of such a screen.
const WIDGETS: usize = 5;

/// Screens that are all full.
fn screens(batch: usize, config: &CaptionerConfig, rng: &mut ChaCha8Rng) -> ScreenBatch {
    let slots = batch * NODES;
    let mut below = |most: usize, count: usize| -> Vec<usize> {
        (0..count).map(|_| rng.random_range(1..most)).collect()
    };
    let (class, clickable) = (below(12, slots), below(2, slots));
    let dom = (0..slots).map(|i| [1 + i % 9, 1 + i % NODES, 1 + i % NODES]).collect();
    let words = |all: Vec<usize>| {
        all.into_iter().enumerate().map(|(i, word)| if i % 10 < 2 { word } else { 0 })
    };
    let developer = words(below(config.vocabulary, 10 * slots)).collect();
    let resource = words(below(config.vocabulary, 10 * slots)).collect();
    let widgets = (0..batch * WIDGETS).map(|i| (i / WIDGETS, 7 * (i % WIDGETS))).collect();
    let bounds = (0..slots)
        .map(|_| {
            let [left, top, width, height] = [0; 4].map(|_| 0.5 * rng.random::<f32>());
            [left, top, left + width, top + height]
        })
        .collect();
    let pixels = Tensor::normal([batch * WIDGETS, 1, 64, 64], 0.5, 0.2, rng);
    let counts = vec![NODES; batch];
    ScreenBatch {
        nodes: NODES,
        counts,
        class,
        clickable,
        dom,
        bounds,
        developer,
        resource,
        widgets,
        pixels,
    }
}

impl Model {
    pub(crate) fn new(params: &mut Params, config: &ModelConfig, batch: usize) -> Result<Self> {
        let (mut init, mut rng) = (Init::new(params, 0), ChaCha8Rng::seed_from_u64(0));
        Ok(match config {
            ModelConfig::Vit(config) => {
                let size = config.image_size;
                let shape = [batch, config.channels, size, size];
                let images = Tensor::normal(shape, 0.0, 1.0, &mut rng);
                let label = |_| rng.random_range(0..config.classes);
                let labels = (0..batch).map(label).collect();
                Model::Vit { model: Vit::new(&mut init, config)?, images, labels }
            }
            ModelConfig::ImageGpt(config) => {
                let token = |_| rng.random_range(0..config.vocab);
                let tokens = (0..batch * config.tokens()).map(token).collect();
                let classes = vec![0; if config.classes > 0 { batch } else { 0 }];
                Model::ImageGpt { model: ImageGpt::new(&mut init, config)?, tokens, classes }
            }
            ModelConfig::Detr(config) => {
                let [height, width] = config.image_size;
                let shape = [batch, config.channels, height, width];
                let images = Tensor::normal(shape, 0.0, 1.0, &mut rng);
                let label = |_| rng.random_range(0..=config.classes);
                let labels = (0..batch * config.queries).map(label).collect();
                Model::Detr { model: Detr::new(&mut init, config)?, images, labels }
            }
            ModelConfig::Captioner(config) => {
                let screens = Box::new(screens(batch, config, &mut rng));
                let word = |_| rng.random_range(4..config.vocabulary);
                let targets = (0..batch * WIDGETS * (config.max_words + 1)).map(word).collect();
                Model::Captioner { model: Captioner::new(&mut init, config)?, screens, targets }
            }
        })
    }

    pub(crate) fn loss(&self, cx: &Context<'_>, part: Range<usize>, batch: usize) -> Var {
        match self {
            Model::Vit { model, images, labels } => {
                let normalizer = Some(batch as f64);
                let options = CrossEntropy { normalizer, ..CrossEntropy::default() };
                let logits = model.forward(cx, &images.narrow(0, part.start, part.len()));
                cross_entropy(&logits, &labels[part], &options)
            }
            Model::ImageGpt { model, tokens, classes } => {
                let n = tokens.len() / batch;
                let classes = classes.get(part.clone()).unwrap_or_default();
                let tokens_of_part = &tokens[part.start * n..part.end * n];
                model.loss(cx, tokens_of_part, classes, model.places(), tokens.len() as f64)
            }
            Model::Detr { model, images, labels } => {
                let count = part.len();
                let images = images.narrow(0, part.start, count);
                let found = model.forward(cx, &images, &vec![model.config().image_size; count]);
                let queries = model.config().queries;
                let labels = &labels[part.start * queries..part.end * queries];
                let normalizer = (batch * queries) as f64;
                let options =
                    CrossEntropy { normalizer: Some(normalizer), ..CrossEntropy::default() };
                let losses = found.iter().map(|found| {
                    let class = cross_entropy(&found.logits, labels, &options);
                    class + &found.boxes.abs().sum_all().scale((0.25 / normalizer) as f32)
                });
                losses.reduce(|sum, loss| sum + &loss).expect("at least one layer")
            }
            Model::Captioner { model, screens, targets } => {
                model.loss(cx, screens, targets, part, targets.len() as f64).0
            }
        }
    }
}

/// Multiplications and additions of all matrix products of a training step: three times the forward pass's. Of a ViT's last
/// block's tokens, only the class token asks and passes through the MLP. Of a causal attention, half of the scores count.
pub(super) fn gemm_flop(config: &ModelConfig, batch: usize) -> f64 {
    let block = |n: f64, queries: f64, keys: f64, d: f64, m: f64| {
        n * 2.0 * d * d + queries * (2.0 * d * d + 2.0 * d * m) + 2.0 * queries * keys * d
    };
    let forward = match config {
        ModelConfig::Vit(config) => {
            let [n, d, m, depth] =
                [config.tokens(), config.dim, config.mlp_dim, config.depth].map(|x| x as f64);
            let patch = (config.channels * config.patch_size.pow(2)) as f64;
            let blocks = (depth - 1.0) * block(n, n, n, d, m) + block(n, 1.0, n, d, m);
            config.patches() as f64 * patch * d + blocks + d * config.classes as f64
        }
        ModelConfig::ImageGpt(config) => {
            let [n, d, m, depth, vocab] =
                [config.tokens(), config.dim, config.mlp_dim, config.depth, config.vocab]
                    .map(|x| x as f64);
            depth * block(n, n, (n + 1.0) / 2.0, d, m) + n * d * vocab
        }
        ModelConfig::Detr(config) => {
            let [q, d, m, encoder, decoder] = [
                config.queries,
                config.dim,
                config.mlp_dim,
                config.encoder_depth,
                config.decoder_depth,
            ]
            .map(|x| x as f64);
            let n = config.tokens() as f64 - q;
            let cross = 2.0 * n * d * d + 2.0 * q * d * d + 2.0 * q * n * d;
            let heads = q * (2.0 * d * d + 4.0 * d + (config.classes + 1) as f64 * d);
            let layer = block(q, q, q, d, m) + cross + heads;
            // Two convolutions, the only backbone that is measured.
            let stem = n * 4.0 * (config.channels * 9) as f64 * d / 2.0 + n * 9.0 * d / 2.0 * d;
            stem + encoder * block(n, n, n, d, m) + decoder * layer
        }
        ModelConfig::Captioner(config) => {
            let [d, m, encoder, decoder, words] = [
                config.dim,
                config.mlp_dim,
                config.encoder_depth,
                config.decoder_depth,
                config.max_words + 1,
            ]
            .map(|x| x as f64);
            let (n, w) = (NODES as f64, WIDGETS as f64);
            // Three products of 3×3 in the first stage, whose image is halved once; four and a narrow one in the others.
            let (mut pixels, mut area, mut inputs) = (0.0, 32.0 * 32.0, 1.0);
            for (stage, &width) in config.pixels.iter().enumerate() {
                let width = width as f64;
                area /= if stage == 0 { 1.0 } else { 4.0 };
                let convs = if stage == 0 {
                    9.0 * width + 18.0 * width * width
                } else {
                    9.0 * inputs * width + 9.0 * width * width + inputs * width
                };
                (pixels, inputs) = (pixels + area * convs, width);
            }
            let nodes = n * 6.0 * d * d + encoder * block(n, n, n, d, m);
            let cross = w * 2.0 * d * d;
            let caption = words * config.vocabulary as f64 * d;
            let decoder = decoder * (w * block(words, words, (words + 1.0) / 2.0, d, m) + cross);
            nodes + w * (pixels + (inputs + d) * d + caption) + decoder
        }
    };
    2.0 * 3.0 * batch as f64 * forward
}
