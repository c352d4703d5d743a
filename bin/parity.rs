//! `wavetape parity`: runs a model on given tensors, to be compared with another framework.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use autograd::{CrossEntropy, cross_entropy};
use clap::Args;
use models::Vit;
use nn::checkpoint::{TensorFile, write};
use nn::{Context, Init, Params};
use serde::Deserialize;
use tensor::Tensor;

use crate::recipe::ModelConfig;

/// Run a model on given tensors and write what it computes, to be compared with another framework.
///
/// INPUT holds `images` f32 [B, C, H, W] and, if the loss is asked for, `labels` i64, one each. OUTPUT gets `logits` [B, classes],
/// with labels `loss` (mean cross-entropy, nats), and with --grads `grad.PARAMETER` for each parameter.
#[derive(Debug, Args)]
pub(crate) struct ParityArgs {
    /// TOML file with a table `model`.
    #[arg(long, value_name = "MODEL.toml")]
    config: PathBuf,
    /// Parameters by name, safetensors.
    #[arg(long, value_name = "W.safetensors")]
    weights: PathBuf,
    /// Inputs, safetensors.
    #[arg(long, value_name = "IN.safetensors")]
    input: PathBuf,
    /// Where the outputs go.
    #[arg(long, value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Write the gradient of the loss with respect to each parameter too.
    #[arg(long)]
    grads: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: ModelConfig,
}

/// Runs the model.
pub(crate) fn run(args: &ParityArgs) -> Result<()> {
    let name = |path: &Path| path.display().to_string();
    let text = std::fs::read_to_string(&args.config).with_context(|| name(&args.config))?;
    let File { model } = toml::from_str(&text).with_context(|| name(&args.config))?;
    let ModelConfig::Vit(config) = model else {
        bail!("{}: a model of kind \"vit\" expected", name(&args.config))
    };
    let mut params = Params::new();
    let model =
        Vit::new(&mut Init::new(&mut params, 0), &config).with_context(|| name(&args.config))?;
    TensorFile::read(&args.weights)?.load("", &mut params)?;

    let input = TensorFile::read(&args.input)?;
    let images: Tensor = input.tensor("images")?;
    let (channels, size) = (config.channels, config.image_size);
    let batch = match *images.dims() {
        [batch, c, h, w] if [c, h, w] == [channels, size, size] => batch,
        _ => bail!(
            "{}: `images` [B, {channels}, {size}, {size}] expected, found {}",
            name(&args.input),
            images.shape()
        ),
    };
    let labels = match input.names().iter().any(|name| name == "labels") {
        true => Some(input.indices("labels")?),
        false if args.grads => bail!("{}: --grads needs `labels`", name(&args.input)),
        false => None,
    };
    if let Some((shape, labels)) = &labels {
        if *shape != [batch] {
            bail!("{}: `labels` [{batch}] expected, found {shape:?}", name(&args.input));
        }
        if let Some(label) = labels.iter().find(|&&label| label >= config.classes) {
            bail!(
                "{}: `labels`: fewer than {} expected, found {label}",
                name(&args.input),
                config.classes
            );
        }
    }

    let cx = if args.grads { Context::differentiate(&params) } else { Context::eval(&params) };
    let logits = model.forward(&cx, &images);
    let mut outputs: Vec<(String, Tensor)> = vec![("logits".to_owned(), logits.value().clone())];
    if let Some((_, labels)) = labels {
        let loss = cross_entropy(&logits, &labels, &CrossEntropy::default());
        outputs.push(("loss".to_owned(), loss.value().clone()));
        if args.grads {
            let grads = cx.backward(&loss);
            for (param, grad) in params.iter().zip(grads.iter()) {
                let grad = grad.cloned().unwrap_or_else(|| Tensor::zeros(param.value.shape()));
                outputs.push((format!("grad.{}", param.name), grad));
            }
        }
    }
    Ok(write(&args.output, outputs, HashMap::new())?)
}
