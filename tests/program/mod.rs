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
    set.iter().for_each(|pair| args.extend(["--set", pair]));
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
