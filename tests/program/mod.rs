//! The program from outside: its commands, what they print, what they leave.

#![allow(dead_code)] // each test file uses what it needs

use std::path::Path;
use std::process::{Command, Output};

use nn::checkpoint::TensorFile;
use serde_json::Value;
use tensor::Tensor;

/// Screens with captions, in Rico's format.
pub(crate) const SCREENS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/datasets/tests/fixtures/screens");

/// Changes that make `vit-sample` tiny.
pub(crate) const CLASSIFIER: [&str; 9] = [
    "model.dim=16",
    "model.depth=2",
    "model.heads=2",
    "model.mlp_dim=32",
    "model.patch_size=14",
    "model.position={ kind = \"lff-mlp\", features = 16 }",
    "train.batch_size=32",
    "train.log_every=4",
    "train.steps=12",
];

/// Changes that make `igpt-sample` tiny.
pub(crate) const GENERATOR: [&str; 7] = [
    "model.dim=16",
    "model.depth=1",
    "model.heads=2",
    "model.mlp_dim=16",
    "train.batch_size=2",
    "train.steps=2",
    "data.hold_out=3",
];

/// Changes that make `detr-scenes` tiny.
pub(crate) const DETECTOR: [&str; 10] = [
    "model.image_size=[32, 32]",
    "model.backbone={ kind = \"residual\", channels = [8, 8, 16], blocks = 1 }",
    "model.dim=16",
    "model.heads=2",
    "model.mlp_dim=16",
    "model.queries=6",
    "model.position={ kind = \"lff-mlp\", features = 8, hidden = 8 }",
    "data.scenes={ objects = \"sample\", train = 8, test = 6, max_objects = 3, sides = [8, 16] }",
    "train.batch_size=8",
    "train.steps=1",
];

/// Changes that make `caption-web` tiny.
pub(crate) const CAPTIONER: [&str; 9] = [
    "model.dim=16",
    "model.heads=2",
    "model.mlp_dim=16",
    "model.encoder_depth=1",
    "model.decoder_depth=1",
    "model.pixels=[4, 8]",
    "model.position={ kind = \"lff-mlp\", features = 8, hidden = 8 }",
    "data.screens={}",
    "train.batch_size=2",
];

/// Runs a command to its end.
pub(crate) fn wavetape(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wavetape")).args(args).output().expect("started")
}

/// What a command that succeeded has printed.
pub(crate) fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object on stdout and nothing else")
}

/// Trains a recipe with values changed and more options; returns the report.
pub(crate) fn train(recipe: &str, out: &Path, set: &[&str], more: &[&str]) -> Value {
    let mut args = vec!["train", recipe, "--json", "--out", text(out)];
    for (i, pair) in set.iter().enumerate() {
        let key = |pair: &str| pair.split('=').next().map(str::to_owned);
        // What is changed twice is changed once, as the later one says.
        if !set[i + 1..].iter().any(|later| key(later) == key(pair)) {
            args.extend(["--set", pair]);
        }
    }
    args.extend(more);
    json(&wavetape(&args))
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// All tensors of a checkpoint.
pub(crate) fn checkpoint(folder: &Path) -> Vec<(String, Tensor)> {
    let file = TensorFile::read(&folder.join("checkpoint.safetensors")).expect("written");
    let tensor = |name: String| (name.clone(), file.tensor(&name).expect("listed"));
    file.names().into_iter().map(tensor).collect()
}
