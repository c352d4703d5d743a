use nn::{AdamW, AdamWConfig, NormOrder, Params, PositionConfig};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tensor::Tensor;

use super::*;

/// Words of a text.
const TEXT: usize = 3;

fn config(position: PositionConfig, grouping: Grouping) -> CaptionerConfig {
    CaptionerConfig {
        vocabulary: 12,
        dim: 32,
        heads: 2,
        mlp_dim: 32,
        dropout: 0.0,
        pixels: vec![4, 8],
        max_words: 4,
        grouping,
        position,
        ..CaptionerConfig::default()
    }
}

fn lff() -> PositionConfig {
    PositionConfig::LffMlp { gamma: 0.2, features: 16, hidden: 8 }
}

/// Screens of these numbers of nodes, with two widgets each; what stands for padding is the same whatever it is.
fn screens(counts: &[usize], seed: u64) -> ScreenBatch {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let nodes = counts.iter().copied().max().expect("a screen");
    let slots = nodes * counts.len();
    let mut text = || -> Vec<usize> {
        let words = |_| match rng.random_range(0..3) {
            0 => [PADDING; TEXT],
            1 => [rng.random_range(4..12), PADDING, PADDING],
            _ => [0; TEXT].map(|_| rng.random_range(2..12)),
        };
        (0..slots).flat_map(words).collect()
    };
    let (developer, resource) = (text(), text());
    let mut below =
        |n: usize| -> Vec<usize> { (0..slots).map(|_| rng.random_range(0..n)).collect() };
    let (class, clickable) = (below(CLASSES), below(2));
    let [depth, before, after] = [0; 3].map(|_| below(PLACES));
    let bounds = (0..slots).map(|_| [0.0; 4].map(|_| rng.random())).collect();
    let widgets: Vec<_> = (0..counts.len()).flat_map(|b| [(b, 0), (b, counts[b] - 1)]).collect();
    let pixels = Tensor::uniform([widgets.len(), 1, 16, 16], 0.0, 1.0, &mut rng);
    ScreenBatch {
        nodes,
        counts: counts.to_vec(),
        class,
        clickable,
        dom: (0..slots).map(|i| [depth[i], before[i], after[i]]).collect(),
        bounds,
        developer,
        resource,
        widgets,
        pixels,
    }
}

/// A model whose logits are not alike, as they are at first.
fn model(config: &CaptionerConfig, seed: u64) -> (Captioner, Params) {
    let mut params = Params::new();
    let model = Captioner::new(&mut Init::new(&mut params, seed), config).expect("valid");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for param in params.iter_mut() {
        param.value = &param.value + &Tensor::normal(param.value.shape(), 0.0, 0.1, &mut rng);
    }
    (model, params)
}

/// All kinds of positions in all groupings that a model of this size can have.
fn able() -> Vec<CaptionerConfig> {
    let all = Grouping::ALL.into_iter().flat_map(|grouping| {
        PositionConfig::all(0.2).into_iter().map(move |p| config(p, grouping))
    });
    all.filter(|config| config.validate().is_ok()).collect()
}

fn largest(difference: &Tensor<f64>) -> f64 {
    difference.to_vec().iter().fold(0.0, |most, x| x.abs().max(most))
}

#[test]
fn a_batch_is_overfitted_and_its_captions_are_written() {
    let config = config(lff(), Grouping::TwoByTwo);
    let mut params = Params::new();
    let model = Captioner::new(&mut Init::new(&mut params, 1), &config).expect("valid");
    let batch = screens(&[5, 8, 3], 2);
    let captions = [&[4, 5][..], &[6], &[7, 4, 8, 9], &[10, 11, 4], &[5], &[4, 4, 6]];
    let targets: Vec<usize> = captions.iter().flat_map(|words| ended(words)).collect();
    let count = Captioner::words(&targets);
    let mut optimizer = AdamW::new(&params, AdamWConfig::default());
    let (mut last, mut right) = (f32::INFINITY, 0);
    for _ in 0..80 {
        let cx = Context::differentiate(&params);
        let (loss, found) = model.loss(&cx, &batch, &targets, 0..3, count as f64);
        (last, right) = (loss.value().item(), found);
        let grads = cx.backward(&loss);
        drop((loss, cx));
        optimizer.step(&mut params, &grads, 3e-3, 1.0);
    }
    assert!(last < 0.1 && right == count && count == 20, "{last}, {right} of {count}");
    for decoding in [Decoding::greedy(4), Decoding { max_words: 4, ..Decoding::default() }] {
        assert_eq!(model.caption(&params, &batch, &decoding).unwrap(), captions);
    }
}

/// Words, their end and padding, five of them.
fn ended(words: &[usize]) -> Vec<usize> {
    let mut all = words.to_vec();
    all.push(END);
    all.resize(5, PADDING);
    all
}

#[test]
fn screens_of_different_sizes_give_in_a_batch_what_each_gives_alone() {
    let batch = screens(&[7, 2, 5], 3);
    for config in able() {
        let order =
            if config.grouping == Grouping::OneByFour { NormOrder::Post } else { NormOrder::Pre };
        let config = CaptionerConfig { order, ..config };
        let name = format!("{}, {}", config.position.name(), config.grouping.name());
        let (model, params) = model(&config, 1);
        let params = params.cast::<f64>();
        let encode =
            |batch: &ScreenBatch| model.encode(&Context::eval(&params), batch).into_value();
        let together = encode(&batch);
        assert_eq!(together.dims(), [6, 32]);
        for screen in 0..3 {
            let alone = batch.narrow(screen..screen + 1);
            assert_eq!((alone.nodes, alone.widgets.len()), (batch.counts[screen], 2));
            let error = largest(&(&together.narrow(0, 2 * screen, 2) - &encode(&alone)));
            assert!(error < 1e-12, "{name}, screen {screen}: {error:e}");
        }
    }
}

#[test]
fn every_kind_of_position_trains_or_is_refused_with_those_that_can() {
    let batch = screens(&[4, 6], 4);
    let targets = [ended(&[4, 5]), ended(&[6]), ended(&[7, 8, 9, 4]), ended(&[])].concat();
    let mut refused = Vec::new();
    for grouping in Grouping::ALL {
        for position in PositionConfig::all(0.2) {
            let name = position.name();
            let config = config(position, grouping);
            let mut params = Params::new();
            match Captioner::new(&mut Init::new(&mut params, 1), &config) {
                Ok(model) => {
                    let cx = Context::train(&params, ChaCha8Rng::seed_from_u64(1));
                    let loss = model.loss(&cx, &batch, &targets, 0..2, 12.0).0;
                    let grads = cx.backward(&loss);
                    let whole = params.iter().zip(grads.iter()).all(|(param, g)| {
                        let finite = |g: &Tensor| g.to_vec().iter().all(|g| g.is_finite());
                        g.map_or(!param.trainable, finite)
                    });
                    assert!(loss.value().item().is_finite() && whole, "{name}");
                    drop((loss, cx));
                    let before = params.clone();
                    AdamW::new(&params, AdamWConfig::default()).step(
                        &mut params,
                        &grads,
                        1e-3,
                        1.0,
                    );
                    let moved = params.iter().zip(before.iter()).any(|(a, b)| a.value != b.value);
                    assert!(moved, "{name}");
                }
                Err(why) => {
                    assert!(why.to_string().contains("these can: none, "), "{why}");
                    assert!(why.to_string().contains("lff-mlp"), "{why}");
                    refused.push(name);
                }
            }
        }
    }
    assert_eq!(refused, ["embed-1d", "sine-1d"].repeat(3));
}

#[test]
fn the_losses_and_gradients_of_parts_add_up() {
    let (model, params) = model(&config(lff(), Grouping::FourByOne), 2);
    let params = params.cast::<f64>();
    let batch = screens(&[4, 9, 6], 5);
    let captions = [&[4, 5][..], &[6], &[7, 4, 8, 9], &[], &[5], &[4, 4, 6]];
    let targets: Vec<usize> = captions.iter().flat_map(|words| ended(words)).collect();
    let count = Captioner::words(&targets) as f64;
    let part = |screens: Range<usize>| {
        let cx = Context::differentiate(&params);
        let (loss, right) = model.loss(&cx, &batch, &targets, screens, count);
        (loss.value().item(), right, cx.backward(&loss))
    };
    let (whole, (first, second)) = (part(0..3), (part(0..1), part(1..3)));
    let options = CrossEntropy { ignore_index: Some(PADDING), ..CrossEntropy::default() };
    let logits = model.forward(&Context::eval(&params), &batch, &targets);
    assert_eq!(logits.dims(), [6, 5, 12]);
    let mean = cross_entropy(&logits, &targets, &options).value().item();
    assert!((whole.0 - mean).abs() < 1e-12 && (whole.0 - first.0 - second.0).abs() < 1e-12);
    assert_eq!(whole.1, first.1 + second.1);
    let mut sum = first.2;
    sum.add(second.2);
    for (a, b) in whole.2.iter().zip(sum.iter()) {
        let (a, b) = (a.expect("all are used"), b.expect("all are used"));
        assert!(largest(&(a - b)) < 1e-12);
    }
}

#[test]
fn the_order_of_a_screens_nodes_does_not_matter() {
    let batch = screens(&[6], 6);
    let order = [3, 0, 5, 1, 4, 2];
    let at = |old: usize| order.iter().position(|&i| i == old).expect("a permutation");
    let words = |all: &[usize]| {
        order.iter().flat_map(|&i| all[i * TEXT..(i + 1) * TEXT].to_vec()).collect()
    };
    let moved = ScreenBatch {
        class: order.map(|i| batch.class[i]).to_vec(),
        clickable: order.map(|i| batch.clickable[i]).to_vec(),
        dom: order.map(|i| batch.dom[i]).to_vec(),
        bounds: order.map(|i| batch.bounds[i]).to_vec(),
        developer: words(&batch.developer),
        resource: words(&batch.resource),
        widgets: batch.widgets.iter().map(|&(b, node)| (b, at(node))).collect(),
        ..batch.clone()
    };
    for config in able() {
        let (model, params) = model(&config, 3);
        let params = params.cast::<f64>();
        let encode = |batch| model.encode(&Context::eval(&params), batch).into_value();
        let error = largest(&(&encode(&batch) - &encode(&moved)));
        assert!(error < 1e-12, "{}: {error:e}", config.position.name());
    }
}

#[test]
fn boxes_matter_unless_positions_are_none() {
    let batch = screens(&[5], 7);
    let mut moved = batch.clone();
    moved.bounds[2] = [0.25, 0.5, 0.75, 1.0]; // a neighbour of the widgets
    for config in able() {
        let (model, params) = model(&config, 3);
        let encode = |batch| model.encode(&Context::eval(&params), batch).into_value();
        let same = encode(&batch) == encode(&moved);
        assert_eq!(same, config.position.name() == "none", "{}", config.position.name());
    }
}

#[test]
fn an_empty_text_is_zeros_and_padding_is_no_word() {
    let (model, params) = model(&config(lff(), Grouping::TwoByTwo), 4);
    let mut batch = screens(&[3], 8);
    batch.developer = [[4, 5, PADDING], [PADDING; TEXT], [6, PADDING, PADDING]].concat();
    let wider = ScreenBatch {
        developer: [[4, 5, 4, 0], [0; 4], [6, 0, 0, 0]].concat(), // a word again changes nothing
        resource: batch.resource.chunks(TEXT).flat_map(|t| [t[0], t[1], t[2], 0]).collect(),
        ..batch.clone()
    };
    let encode = |batch| model.encode(&Context::eval(&params), batch).into_value();
    assert_eq!(encode(&batch), encode(&wider));
    let silent = |texts: &[usize]| vec![PADDING; texts.len()];
    let silent = ScreenBatch {
        developer: silent(&batch.developer),
        resource: silent(&batch.resource),
        ..batch.clone()
    };
    let mut without = params.clone();
    for param in without.iter_mut().filter(|param| param.name == "words.weight") {
        param.value = Tensor::zeros(param.value.shape());
    }
    let zeros = model.encode(&Context::eval(&without), &batch).into_value();
    assert_eq!(encode(&silent), zeros);
}

#[test]
fn groupings_share_the_parameters_of_an_encoding() {
    let sizes = |position: PositionConfig| {
        Grouping::ALL.map(|grouping| {
            let position = position.clone();
            let plain = CaptionerConfig { vocabulary: 10, ..CaptionerConfig::default() };
            let mut params = Params::new();
            let config = CaptionerConfig { grouping, position, ..plain };
            Captioner::new(&mut Init::new(&mut params, 1), &config).expect("valid");
            let encoder = params.iter().filter(|param| param.name.starts_with("pe."));
            encoder.map(|param| param.value.len()).sum::<usize>()
        })
    };
    // M|F|/2 + |F||H| + |H| + |H|D/G + D/G with |F| = D = 128, |H| = 32
    let lff_mlp = PositionConfig::LffMlp { gamma: 0.2, features: 0, hidden: 32 };
    assert_eq!(sizes(lff_mlp), [8608, 6368, 5248]);
    assert_eq!(
        sizes(PositionConfig::Embed2d { std: 0.02 }),
        [4 * 100 * 32, 2 * 100 * 32, 100 * 32]
    );
    assert_eq!(sizes(PositionConfig::Sine2d { temperature: 10_000.0 }), [0; 3]);
}

/// The most probable word each time, without keeping anything.
fn greedily(
    model: &Captioner,
    params: &Params,
    batch: &ScreenBatch,
    most: usize,
) -> Vec<Vec<usize>> {
    let caption = |widget: usize| {
        let mut words: Vec<usize> = Vec::new();
        while words.len() < most {
            let logits = next(model, params, batch, widget, &words);
            let word = (END..logits.len()).filter(|&w| w != UNKNOWN && w != START);
            let word = word.reduce(|best, w| if logits[w] > logits[best] { w } else { best });
            match word.expect("there are words") {
                END => break,
                word => words.push(word),
            }
        }
        words
    };
    (0..batch.widgets.len()).map(caption).collect()
}

/// Logits of the word behind these.
fn next(
    model: &Captioner,
    params: &Params,
    batch: &ScreenBatch,
    widget: usize,
    words: &[usize],
) -> Vec<f32> {
    let length = words.len() + 1;
    let mut targets = vec![PADDING; length * batch.widgets.len()];
    targets[widget * length..][..words.len()].copy_from_slice(words);
    let logits = model.forward(&Context::eval(params), batch, &targets).into_value();
    logits.narrow(0, widget, 1).narrow(1, words.len(), 1).to_vec()
}

#[test]
fn a_beam_of_one_takes_the_most_probable_word_each_time() {
    let batch = screens(&[4, 7], 9);
    for (seed, order) in [(5, NormOrder::Pre), (6, NormOrder::Post), (7, NormOrder::Pre)] {
        let tie = seed == 7;
        let config = CaptionerConfig { order, tie, ..config(lff(), Grouping::TwoByTwo) };
        let (model, params) = model(&config, seed);
        for length_penalty in [0.0, 0.6] {
            let decoding = Decoding { length_penalty, ..Decoding::greedy(6) };
            let captions = model.caption(&params, &batch, &decoding).unwrap();
            assert_eq!(captions, greedily(&model, &params, &batch, 6), "seed {seed}");
        }
    }
}

#[test]
fn a_beam_that_keeps_everything_finds_the_best_of_all_captions() {
    let batch = screens(&[4, 6], 10);
    let plain = config(lff(), Grouping::TwoByTwo);
    let config = CaptionerConfig { vocabulary: 7, ..plain }; // three words
    let mut batch = batch;
    [&mut batch.developer, &mut batch.resource].into_iter().flatten().for_each(|word| *word %= 7);
    for (seed, length_penalty) in [(8, 0.0), (9, 0.6), (10, 3.0)] {
        let (model, params) = model(&config, seed);
        let decoding = Decoding { beam: 27 * 4, length_penalty, max_words: 3 };
        let found = model.caption(&params, &batch, &decoding).unwrap();
        for (widget, found) in found.iter().enumerate() {
            let mut best = (f64::NEG_INFINITY, Vec::new());
            let mut waiting = vec![(Vec::new(), 0.0)];
            while let Some((words, before)) = waiting.pop() {
                let logits = next(&model, &params, &batch, widget, &words);
                let allowed = [END, 4, 5, 6].map(|word| f64::from(logits[word]));
                let sum = allowed.iter().map(|x| x.exp()).sum::<f64>().ln();
                for (word, logit) in [END, 4, 5, 6].into_iter().zip(allowed) {
                    let mut caption: Vec<usize> = words.clone();
                    let (log, length) = (before + logit - sum, caption.len() + 1);
                    caption.extend((word != END).then_some(word));
                    if word != END && length < 3 {
                        waiting.push((caption, log));
                        continue;
                    }
                    let score = log / ((5.0 + length as f64) / 6.0).powf(length_penalty);
                    if score > best.0 {
                        best = (score, caption);
                    }
                }
            }
            assert_eq!(*found, best.1, "seed {seed}, widget {widget}");
        }
    }
}

#[test]
fn a_model_whose_answers_are_not_finite_has_no_captions() {
    let batch = screens(&[4, 7], 11);
    for bad in [f32::NAN, f32::INFINITY, 1e38] {
        let (model, mut params) = model(&config(lff(), Grouping::OneByFour), 12);
        for param in params.iter_mut().filter(|param| param.name.starts_with("dec.")) {
            param.value = Tensor::full(param.value.shape(), bad);
        }
        for beam in [1, 3] {
            let decoding = Decoding { beam, ..Decoding::greedy(5) };
            assert_eq!(model.caption(&params, &batch, &decoding), None, "{bad}");
        }
    }
}

#[test]
fn captions_do_not_depend_on_what_else_is_in_the_batch() {
    let batch = screens(&[4, 7, 5], 11);
    let (model, params) = model(&config(lff(), Grouping::OneByFour), 12);
    let decoding = Decoding { beam: 3, length_penalty: 0.6, max_words: 5 };
    let together = model.caption(&params, &batch, &decoding).unwrap();
    for screen in 0..3 {
        let alone = model.caption(&params, &batch.narrow(screen..screen + 1), &decoding);
        assert_eq!(alone.unwrap(), together[2 * screen..2 * screen + 2]);
    }
    assert!(together.windows(2).any(|pair| pair[0] != pair[1]), "{together:?}");
}

#[test]
fn a_config_has_defaults_and_refuses_what_does_not_fit() {
    let good = CaptionerConfig { vocabulary: 100, ..CaptionerConfig::default() };
    assert_eq!(good.validate(), Ok(()));
    let refused =
        |config: CaptionerConfig| config.validate().expect_err("does not fit").to_string();
    assert_eq!(refused(CaptionerConfig::default()), "vocabulary = 0: 5 to 65536 expected");
    let pixels = CaptionerConfig { pixels: vec![8, 0], ..good.clone() };
    assert_eq!(refused(pixels), "pixels = 0: 1 to 65536 expected");
    let heads = CaptionerConfig { heads: 3, ..good.clone() };
    assert_eq!(refused(heads), "dim = 128 is not divisible by heads = 3");
    let decoding = Decoding { beam: 0, ..Decoding::default() };
    let why = decoding.validate().expect_err("no beam").to_string();
    assert_eq!(why, "beam = 0: 1 to 1024 expected");
}
