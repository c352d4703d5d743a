//! `wavetape bench`: seconds of a training step on fixed workloads, where they go, and what the machine could do.

pub(crate) mod profile;
mod roofline;

use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use autograd::profile::{finish as finish_record, span, start as start_record};
use autograd::{CrossEntropy, Var, cross_entropy};
use clap::{Args, ValueEnum};
use models::{
    BackboneConfig, Captioner, CaptionerConfig, Detr, DetrConfig, ImageGpt, ImageGptConfig,
    Padding, Pool, ScreenBatch, Vit, VitConfig,
};
use nn::{
    AdamW, AdamWConfig, Context, Init, NormOrder, Params, PositionConfig, Shards, clip_scale,
    micro_batch,
};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use tensor::Tensor;

use self::roofline::Roofline;
use crate::recipe::ModelConfig;
use crate::system;

/// Time training steps (forward, loss, backward, clipping, AdamW) on fixed workloads.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape bench
  wavetape bench --workload vit-m --seconds 4 --threads 1 --profile
  wavetape bench --workload vit-s --trace step.json      (then open it in ui.perfetto.dev)
  wavetape bench --roofline --products")]
pub(crate) struct BenchArgs {
    /// The workload; all of them, unless one is named.
    #[arg(long)]
    workload: Option<Workload>,
    /// Seconds to measure each for.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Samples of a shard; by rule, unless given.
    #[arg(long)]
    micro_batch: Option<usize>,
    /// Height and width of igpt-xl's images, instead of 64: how time and memory grow with the number of tokens.
    #[arg(long, value_name = "SIDE", value_parser = clap::value_parser!(u16).range(1..=256))]
    side: Option<u16>,
    /// Tokens of each of igpt-xl's pixels, instead of 1.
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u16).range(1..=4))]
    channels: Option<u16>,
    /// Print a table of ops: calls, time, speed, and memory kept for the backward pass, per step.
    #[arg(long)]
    profile: bool,
    /// Write one step's ops on all threads to this file, in Chrome's trace format (ui.perfetto.dev opens it).
    #[arg(long, value_name = "FILE", requires = "workload")]
    trace: Option<PathBuf>,
    /// Measure this machine's multiply-adds, matrix products and memory bandwidth, and print each workload's share.
    #[arg(long)]
    roofline: bool,
    /// With --roofline, measure these limits and a table of products only.
    #[arg(long, requires = "roofline", conflicts_with_all = ["workload", "profile"])]
    products: bool,
    /// Print JSON and nothing else: one object a workload, after one of the roofline.
    #[arg(long)]
    json: bool,
}

/// A model and a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// ViT 28×28×1, patch 4, dim 64, depth 4, heads 4, batch 128.
    VitS,
    /// ViT 32×32×3, patch 4, dim 192, depth 6, heads 3, batch 64.
    VitM,
    /// ViT-Ti/16, 224×224×3, dim 192, depth 12, heads 3, 1,000 classes, batch 8.
    VitTi,
    /// Image GPT of 28×28 tokens, dim 128, depth 6, heads 4, vocabulary 256, batch 8.
    Igpt,
    /// Image GPT of 64×64 tokens, dim 128, depth 4, heads 4, vocabulary 256, batch 1.
    IgptXl,
    /// DETR on 64×64×3, two convolutions of stride 2, 256 tokens, dim 128, 3 + 3 layers, heads 4, 16 queries, 10 classes, batch 16.
    Detr,
    /// Captioner of 80 nodes, 5 widgets of 64×64 pixels and 11 words a screen, dim 128, 2 + 2 layers, heads 4, 1,000 words, batch 8.
    Captioner,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    name: String,
    threads: usize,
    ms_med: f64,
    ms_min: f64,
    img_s: f64,
    params: usize,
    gflop: f64,
    gflop_s: f64,
    rss_mb: Option<u64>,
    /// Tokens of a sample.
    tokens: usize,
    steps: usize,
    micro_batch: usize,
    simd: String,
    /// gflop_s as a part of this machine's multiply-adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_fma: Option<f64>,
    /// gflop_s as a part of this machine's fastest large product.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_products: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Vec<profile::Row>>,
}

impl Workload {
    /// The model, and the samples of a batch.
    fn config(self, args: &BenchArgs) -> (ModelConfig, usize) {
        let (image_size, patch_size, channels, dim, depth, heads, classes, batch) = match self {
            Workload::VitS => (28, 4, 1, 64, 4, 4, 10, 128),
            Workload::VitM => (32, 4, 3, 192, 6, 3, 10, 64),
            Workload::VitTi => (224, 16, 3, 192, 12, 3, 1000, 8),
            Workload::Igpt => (28, 1, 1, 128, 6, 4, 256, 8),
            Workload::IgptXl => (64, 1, 1, 128, 4, 4, 256, 1),
            Workload::Detr => (64, 4, 3, 128, 3, 4, 10, 16),
            Workload::Captioner => (64, 1, 1, 128, 2, 4, 1000, 8),
        };
        let position = PositionConfig::LffMlp { gamma: 10.0, features: dim, hidden: dim / 2 };
        let (pool, class_token, mlp_dim) = (Pool::Cls, true, 4 * dim);
        let (dropout, drop_path) = (0.0, 0.0);
        if let Workload::Igpt | Workload::IgptXl = self {
            let is_xl = self == Workload::IgptXl;
            let given = |value: Option<u16>| value.filter(|_| is_xl).map(usize::from);
            let side = given(args.side).unwrap_or(image_size);
            let plain = ImageGptConfig::new(side, [dim, depth, heads, mlp_dim], position);
            let channels = given(args.channels).unwrap_or(channels);
            let config = ImageGptConfig { channels, ..plain };
            return (ModelConfig::ImageGpt(config), batch);
        }
        if self == Workload::Detr {
            let config = DetrConfig {
                image_size: [image_size; 2],
                channels,
                backbone: BackboneConfig::Stem { channels: vec![dim / 2, dim] },
                dim,
                heads,
                mlp_dim,
                encoder_depth: depth,
                decoder_depth: depth,
                queries: 16,
                classes,
                position: PositionConfig::LffMlp { gamma: 1.0, features: dim, hidden: dim / 2 },
                anchors: false,
                scale_positions: false,
                order: NormOrder::Post,
                dropout,
                padding: Padding::Features,
            };
            return (ModelConfig::Detr(config), batch);
        }
        if self == Workload::Captioner {
            let plain = CaptionerConfig::default();
            let config = CaptionerConfig { vocabulary: classes, dropout, ..plain };
            return (ModelConfig::Captioner(config), batch);
        }
        let config = VitConfig {
            image_size,
            patch_size,
            channels,
            dim,
            depth,
            heads,
            mlp_dim,
            classes,
            pool,
            class_token,
            position,
            dropout,
            drop_path,
        };
        (ModelConfig::Vit(config), batch)
    }
}

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
                model.loss(cx, tokens_of_part, classes, tokens.len() as f64)
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
fn gemm_flop(config: &ModelConfig, batch: usize) -> f64 {
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

fn measure(workload: Workload, args: &BenchArgs, limits: Option<&Roofline>) -> Result<Figures> {
    tensor::clear_pool();
    system::reset_peak_memory();
    let (config, batch) = workload.config(args);
    let mut params = Params::new();
    let model = Model::new(&mut params, &config, batch)?;
    let by_rule = micro_batch(batch, config.tokens());
    let micro_batch = args.micro_batch.unwrap_or(by_rule);
    let mut optimizer = AdamW::new(&params, AdamWConfig::default());
    let mut step = |number: u64| {
        let _span = span("step");
        let shards = Shards { batch, micro_batch, seed: 0, step: number };
        let step = shards.differentiate(&params, |cx, range| (model.loss(cx, range, batch), ()));
        let scale = {
            let _span = span("norm of gradients");
            clip_scale(step.grads.norm(), 1.0)
        };
        let _span = span("AdamW");
        optimizer.step(&mut params, &step.grads, 1e-4, scale);
    };
    (0..3).for_each(&mut step);
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < Duration::from_secs_f64(args.seconds) || times.len() < 5 {
        let start = Instant::now();
        step(3 + times.len() as u64);
        times.push(start.elapsed().as_secs_f64());
    }
    let rss_mb = system::peak_memory_mb();
    let mut next = 3 + times.len() as u64;
    let mut record = |steps: u64| {
        start_record();
        (next..next + steps).for_each(&mut step);
        next += steps;
        finish_record()
    };
    const PROFILED: usize = 10;
    let profile = args.profile.then(|| profile::table(&record(PROFILED as u64), PROFILED));
    if let Some(path) = &args.trace {
        profile::write_trace(path, &record(1))?;
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let gflop = gemm_flop(&config, batch) / 1e9;
    let name = workload.to_possible_value().expect("no variant is skipped").get_name().to_owned();
    Ok(Figures {
        name,
        threads: rayon::current_num_threads(),
        ms_med: 1e3 * median,
        ms_min: 1e3 * times[0],
        img_s: batch as f64 / median,
        params: params.elements(),
        gflop,
        gflop_s: gflop / median,
        rss_mb,
        tokens: config.tokens(),
        steps: times.len(),
        micro_batch,
        simd: format!("{:?}", tensor::Level::current()).to_lowercase(),
        of_fma: limits.map(|limits| gflop / median / limits.fma_gflop_s),
        of_products: limits.map(|limits| gflop / median / limits.product_gflop_s),
        profile,
    })
}

/// Runs the workloads one after another.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let is_sized = args.side.is_some() || args.channels.is_some();
    if is_sized && args.workload != Some(Workload::IgptXl) {
        bail!("--side and --channels: --workload igpt-xl expected");
    }
    let out = &mut io::stdout().lock();
    let all = Workload::value_variants();
    let chosen = args.workload.as_ref().map_or(all, std::slice::from_ref);
    let limits = args.roofline.then(|| roofline::measure(args.products));
    if let Some(limits) = &limits {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(limits)?)?;
        } else {
            limits.print(out)?;
        }
    }
    if args.products {
        return Ok(());
    }
    if !args.json {
        writeln!(out, "workload  threads   ms (median)   ms (min)     img/s   GFLOP/s  peak MB")?;
    }
    for &workload in chosen {
        let f = measure(workload, args, limits.as_ref())?;
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&f)?)?;
        } else {
            let memory = f.rss_mb.map_or("?".to_owned(), |mb| mb.to_string());
            writeln!(
                out,
                "{:<9} {:>7} {:>13.1} {:>10.1} {:>9.1} {:>9.1} {memory:>8}",
                f.name, f.threads, f.ms_med, f.ms_min, f.img_s, f.gflop_s
            )?;
            if let (Some(fma), Some(products)) = (f.of_fma, f.of_products) {
                let (fma, products) = (100.0 * fma, 100.0 * products);
                writeln!(out, "  {fma:.0} % of multiply-adds, {products:.0} % of products")?;
            }
            if let Some(rows) = &f.profile {
                profile::print(rows, out)?;
            }
        }
    }
    Ok(())
}
