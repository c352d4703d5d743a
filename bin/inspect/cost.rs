//! What a forward pass takes: measured, not estimated.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Result;
use autograd::NodeView;
use autograd::profile::{Event, Kind, finish as finish_record, span, start as start_record};
use models::CaptionerConfig;
use nn::{Context, Params};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use serde::Serialize;
use tensor::profile::counts;

use crate::bench::Model;
use crate::recipe::ModelConfig;

/// The span of the forward pass.
const FORWARD: &str = "forward pass";

/// Operations and memory of a forward pass with its loss.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    /// Images.
    pub(super) batch: usize,
    /// Tokens of an image.
    pub(super) tokens: usize,
    /// Multiplications and additions of the matrix products of a forward pass in evaluation.
    pub(super) forward_flop: i64,
    /// Those of the backward pass.
    pub(super) backward_flop: i64,
    /// Bytes of the tensors that a forward pass in training leaves alive: what its ops keep for the backward pass, parameters and
    /// inputs not counted.
    pub(super) kept_bytes: i64,
    /// Of each op in training, most bytes first.
    pub(super) ops: Vec<OpCost>,
}

/// All calls of an op.
#[derive(Debug, Serialize)]
pub(super) struct OpCost {
    pub(super) op: &'static str,
    pub(super) calls: usize,
    pub(super) flop: i64,
    pub(super) kept_bytes: i64,
}

/// Runs a fresh model on a made-up batch; returns its parameters, what it took, and its tape.
pub(super) fn measure(config: &ModelConfig, batch: usize) -> Result<(Params, Cost, Vec<NodeView>)> {
    let mut params = Params::new();
    let config = &with_vocabulary(config);
    let model = Model::new(&mut params, config, batch)?;
    let before = counts();
    drop(model.loss(&Context::eval(&params), 0..batch, batch));
    let forward_flop = (counts() - before).flop;

    let before = counts();
    start_record();
    let this_thread = span(FORWARD);
    let cx = Context::train(&params, ChaCha8Rng::seed_from_u64(0));
    let loss = model.loss(&cx, 0..batch, batch);
    drop(this_thread);
    let events = finish_record();
    let kept_bytes = (counts() - before).live;
    let nodes = cx.tape().map(|tape| tape.nodes()).unwrap_or_default();
    let before = counts();
    cx.backward(&loss);
    let backward_flop = (counts() - before).flop;
    drop((cx, loss));

    let mut by_op: BTreeMap<&'static str, OpCost> = BTreeMap::new();
    // A record is of all threads: what another one computes meanwhile is none of ours.
    let ours = events.iter().find(|event| event.name == FORWARD).map(|event| event.thread);
    let is_ours = |event: &&Event| Some(event.thread) == ours && event.kind == Kind::Forward;
    for event in events.iter().filter(is_ours) {
        let none = OpCost { op: event.name, calls: 0, flop: 0, kept_bytes: 0 };
        let cost = by_op.entry(event.name).or_insert(none);
        cost.calls += 1;
        cost.flop += event.counts.flop;
        cost.kept_bytes += event.counts.live;
    }
    let mut ops: Vec<OpCost> = by_op.into_values().collect();
    ops.sort_by_key(|op| (-op.kept_bytes, op.op));
    let tokens = config.tokens();
    let cost = Cost { batch, tokens, forward_flop, backward_flop, kept_bytes, ops };
    Ok((params, cost, nodes))
}

/// A captioner's vocabulary comes with its data; where there are none, 1,000 words stand for it.
fn with_vocabulary(config: &ModelConfig) -> ModelConfig {
    match config {
        ModelConfig::Captioner(config) if config.vocabulary == 0 => {
            ModelConfig::Captioner(CaptionerConfig { vocabulary: 1000, ..config.clone() })
        }
        other => other.clone(),
    }
}

impl Cost {
    pub(super) fn print(&self, out: &mut impl Write) -> Result<()> {
        writeln!(out, "\n{:<20} calls     MFLOP   kept KiB", "op, forward")?;
        for OpCost { op, calls, flop, kept_bytes } in &self.ops {
            let (mflop, kib) = (*flop as f64 / 1e6, *kept_bytes as f64 / 1024.0);
            writeln!(out, "{op:<20} {calls:>5} {mflop:>9.2} {kib:>10.1}")?;
        }
        let Cost { batch, tokens, forward_flop, backward_flop, kept_bytes, .. } = self;
        let images = if *batch == 1 { "1 image".to_owned() } else { format!("{batch} images") };
        let mflop = |flop: i64| flop as f64 / 1e6;
        writeln!(
            out,
            "\n{images} of {tokens} tokens: MFLOP in products {:.2} forward, {:.2} backward;\n\
             {:.2} MiB kept for the backward pass (training keeps that of a shard a thread;\n\
             a negative number: the op frees a buffer of another one)",
            mflop(*forward_flop),
            mflop(*backward_flop),
            *kept_bytes as f64 / f64::from(1 << 20)
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    fn config(change: &str) -> ModelConfig {
        let text = Recipe::text("vit-sample").expect("inside").replace("drop_path = 0.1", change);
        ModelConfig::of_file("vit-sample", &text).expect("valid")
    }

    /// One test, as records of a profile are one at a time.
    #[test]
    fn products_are_counted_as_by_hand_and_memory_grows_with_the_batch() {
        let (params, one, nodes) = measure(&config(""), 1).expect("measured");
        let (n, d, m, depth) = (49, 64, 128, 4);
        let block = n * (4 * d * d + 2 * d * m) + 2 * n * n * d;
        let position = n * 64 * 32 + n * 32 * d; // hidden and output of its MLP; n × 2 by 2 × 32 frequencies below
        let expected = 2 * (n * 16 * d + depth * block + 10 * d + position + n * 2 * 32);
        let off = (one.forward_flop - expected).abs() as f64 / expected as f64;
        assert!(off < 0.02, "{} and {expected}", one.forward_flop);
        assert!(one.backward_flop > one.forward_flop * 3 / 2);
        assert_eq!((one.batch, one.tokens), (1, 49));
        let by_op: i64 = one.ops.iter().map(|op| op.kept_bytes).sum();
        assert!((by_op - one.kept_bytes).abs() < one.kept_bytes / 50, "{by_op} {}", one.kept_bytes);
        let leaves = nodes.iter().filter(|node| node.op == "leaf").count();
        assert_eq!(leaves, params.len());

        let (_, four, _) = measure(&config(""), 4).expect("measured");
        let ratio = four.kept_bytes as f64 / one.kept_bytes as f64;
        assert!((3.5..=4.0).contains(&ratio), "{ratio}: all but the positions grows");
        let (_, dropping, _) = measure(&config("dropout = 0.1"), 4).expect("measured");
        assert!(dropping.kept_bytes > four.kept_bytes, "masks are kept too");
    }
}
