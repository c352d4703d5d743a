//! The models against PyTorch: logits, gradients and, of the ViT, ten AdamW losses of the committed fixtures.

use std::path::{Path, PathBuf};
use std::process::Command;

use autograd::{CrossEntropy, cross_entropy};
use models::{Vit, VitConfig};
use nn::checkpoint::TensorFile;
use nn::{AdamW, AdamWConfig, Context, Init, Params};
use tensor::Tensor;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// max |a|.
fn largest(t: &Tensor<f64>) -> f64 {
    t.to_vec().iter().fold(0.0f64, |max, x| max.max(x.abs()))
}

/// max |a − b|.
fn difference(found: &Tensor<f64>, expected: &Tensor<f64>) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    largest(&(found - expected))
}

#[derive(serde::Deserialize)]
struct Config {
    model: VitConfig,
}

/// Model, parameters, images and labels of a fixture, in double precision.
fn load(name: &str) -> (Vit, Params<f64>, Tensor<f64>, Vec<usize>) {
    let text = std::fs::read_to_string(fixture(&format!("{name}.toml"))).expect("committed");
    let text = text.replace("kind = \"vit\"\n", ""); // the program's tag of the model
    let config: Config = toml::from_str(&text).expect("a model");
    let mut params = Params::new();
    let model = Vit::new(&mut Init::new(&mut params, 0), &config.model).expect("valid");
    let mut params = params.cast::<f64>();
    let file = |part: &str| {
        TensorFile::read(&fixture(&format!("{name}.{part}.safetensors"))).expect("committed")
    };
    file("weights").load("", &mut params).expect("timm's names and shapes");
    let input = file("input");
    let (images, (_, labels)) =
        (input.tensor("images").expect("images"), input.indices("labels").expect("labels"));
    (model, params, images, labels)
}

#[test]
fn the_program_agrees_with_pytorch_in_logits_loss_and_every_gradient() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["vit", "vit-mean", "image-gpt", "detr", "detr-dilated"] {
        let output = folder.path().join("out.safetensors");
        let path = |part: &str| fixture(&format!("{name}.{part}"));
        let status = Command::new(env!("CARGO_BIN_EXE_wavetape"))
            .arg("parity")
            .args(["--config".as_ref(), path("toml").as_os_str()])
            .args(["--weights".as_ref(), path("weights.safetensors").as_os_str()])
            .args(["--input".as_ref(), path("input.safetensors").as_os_str()])
            .args(["--output".as_ref(), output.as_os_str()])
            .arg("--grads")
            .status()
            .expect("started");
        assert!(status.success());
        let expected = TensorFile::read(&path("expected.safetensors")).expect("committed");
        let found = TensorFile::read(&output).expect("written");
        let mut names = expected.names();
        names.retain(|name| name != "adamw_losses");
        assert_eq!(found.names(), names);
        for tensor in names {
            let bound = 1e-5; // single precision against double: PyTorch's own f32 differs by up to 7e-7
            let [found, expected]: [Tensor<f64>; 2] =
                [&found, &expected].map(|file| file.tensor(&tensor).expect("listed"));
            // Softmax does not see what keys have in common: of the gradients of DETR's projections to keys and queries, next to
            // nothing is left but rounding, so they are compared on the scale of the others.
            let is_detr = name.starts_with("detr") && tensor.starts_with("grad.");
            let least = if is_detr { 0.05 } else { 0.0 };
            let error = difference(&found, &expected) / largest(&expected).max(least);
            assert!(error < bound, "{name}: {tensor} differs by {error:e}");
        }
    }
}

#[test]
fn ten_steps_of_adamw_cost_what_they_cost_in_pytorch() {
    for name in ["vit", "vit-mean"] {
        let (model, mut params, images, labels) = load(name);
        let expected =
            TensorFile::read(&fixture(&format!("{name}.expected.safetensors"))).expect("committed");
        let expected: Tensor<f64> = expected.tensor("adamw_losses").expect("losses");
        let mut optimizer =
            AdamW::new(&params, AdamWConfig { weight_decay: 0.05, ..AdamWConfig::default() });
        for expected in expected.to_vec() {
            let cx = Context::differentiate(&params);
            let loss =
                cross_entropy(&model.forward(&cx, &images), &labels, &CrossEntropy::default());
            let (found, grads) = (loss.value().item(), cx.backward(&loss));
            // Decaying one parameter too many shows from 5e-6 on.
            assert!((found / expected - 1.0).abs() < 1e-6, "{name}: {found} instead of {expected}");
            optimizer.step(&mut params, &grads, 1e-3, 1.0);
        }
    }
}
