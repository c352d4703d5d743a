//! `wavetape parity`: runs a model on given tensors, to be compared with another framework.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use autograd::{CrossEntropy, Var, cross_entropy};
use clap::Args;
use models::{ImageGpt, ImageGptConfig, Vit, VitConfig, hugging_face};
use nn::checkpoint::{TensorFile, write};
use nn::{Context, Init, Params};
use serde::Deserialize;
use tensor::Tensor;

use crate::recipe::ModelConfig;

/// Run a model on given tensors and write what it computes, to be compared with another framework.
///
/// Of a `vit`, INPUT holds `images` f32 [B, C, H, W] and, if the loss is asked for, `labels` i64, one each; OUTPUT gets
/// `logits` [B, classes], with labels `loss` (mean cross-entropy, nats), and with --grads `grad.PARAMETER` for each parameter.
///
/// Of an `image-gpt`, INPUT holds `tokens` i64 [B, N], and `classes` i64, one each, if the model has classes; OUTPUT gets
/// `logits` [B, N, vocab], each for the token at its place, `loss`, and the gradients. Weights may have Hugging Face's names and layouts;
/// the gradients have them then, too.
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
    let text = std::fs::read_to_string(&args.config).with_context(|| name(&args.config))?;
    let File { model } = toml::from_str(&text).with_context(|| name(&args.config))?;
    match model {
        ModelConfig::Vit(config) => vit(args, &config),
        ModelConfig::ImageGpt(config) => image_gpt(args, &config),
        ModelConfig::Detr(_) => todo!(),
    }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

fn vit(args: &ParityArgs, config: &VitConfig) -> Result<()> {
    let mut params = Params::new();
    let model =
        Vit::new(&mut Init::new(&mut params, 0), config).with_context(|| name(&args.config))?;
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
    let labels = labels
        .map(|labels| indices(args, "labels", labels, &[batch], config.classes))
        .transpose()?;

    let cx = if args.grads { Context::differentiate(&params) } else { Context::eval(&params) };
    let logits = model.forward(&cx, &images);
    let loss = |labels: &Vec<usize>| cross_entropy(&logits, labels, &CrossEntropy::default());
    let loss = labels.as_ref().map(loss);
    outputs(args, &params, &cx, &logits, loss.as_ref(), |name, x| (name.to_owned(), x.clone()))
}

fn image_gpt(args: &ParityArgs, config: &ImageGptConfig) -> Result<()> {
    let mut params = Params::new();
    let model = ImageGpt::new(&mut Init::new(&mut params, 0), config)
        .with_context(|| name(&args.config))?;
    let weights = TensorFile::read(&args.weights)?;
    let is_theirs = weights.names().iter().any(|name| name.starts_with("transformer."));
    if is_theirs {
        load_theirs(args, &weights, &mut params)?;
    } else {
        weights.load("", &mut params)?;
    }

    let input = TensorFile::read(&args.input)?;
    let (shape, tokens) = input.indices("tokens")?;
    let [batch, n] = [shape.first().copied().unwrap_or(0), config.tokens()];
    let tokens = indices(args, "tokens", (shape, tokens), &[batch, n], config.vocab)?;
    let classes = match config.classes {
        0 => Vec::new(),
        count => indices(args, "classes", input.indices("classes")?, &[batch], count)?,
    };
    let cx = if args.grads { Context::differentiate(&params) } else { Context::eval(&params) };
    let logits = model.forward(&cx, &tokens, &classes);
    let rows = logits.reshape([tokens.len(), config.vocab]);
    let loss = cross_entropy(&rows, &tokens, &CrossEntropy::default());
    outputs(args, &params, &cx, &logits, Some(&loss), |name, x| {
        let theirs = is_theirs.then(|| hugging_face::to_theirs(name, x)).flatten();
        theirs.unwrap_or_else(|| (name.to_owned(), x.clone()))
    })
}

/// Parameters under Hugging Face's names and layouts.
fn load_theirs(args: &ParityArgs, weights: &TensorFile, params: &mut Params) -> Result<()> {
    for param in params.iter_mut() {
        let no_name = || {
            format!(
                "{}: these weights are Hugging Face's, which has no `{}`: norm = \"rms\", head_bias = false, tie = false and position = {{ kind = \"embed-1d\" }} expected",
                name(&args.config),
                param.name
            )
        };
        let theirs = hugging_face::name(&param.name).with_context(no_name)?;
        let value: Tensor = weights.tensor(&theirs)?;
        let value = hugging_face::to_ours(&param.name, &value).with_context(no_name)?;
        if value.shape() != param.value.shape() {
            bail!(
                "{}: tensor `{theirs}` is {} as `{}`, {} expected",
                name(&args.weights),
                value.shape(),
                param.name,
                param.value.shape()
            );
        }
        param.value = value;
    }
    Ok(())
}

/// Indices of this shape, all below `below`.
fn indices(
    args: &ParityArgs,
    what: &str,
    (shape, values): (Vec<usize>, Vec<usize>),
    expected: &[usize],
    below: usize,
) -> Result<Vec<usize>> {
    let file = name(&args.input);
    if shape != expected {
        bail!("{file}: `{what}` {expected:?} expected, found {shape:?}");
    }
    if let Some(value) = values.iter().find(|&&value| value >= below) {
        bail!("{file}: `{what}`: fewer than {below} expected, found {value}");
    }
    Ok(values)
}

/// Writes what was computed, gradients under the names and layouts that `named` gives them.
fn outputs(
    args: &ParityArgs,
    params: &Params,
    cx: &Context<'_>,
    logits: &Var,
    loss: Option<&Var>,
    named: impl Fn(&str, &Tensor) -> (String, Tensor),
) -> Result<()> {
    let mut outputs: Vec<(String, Tensor)> = vec![("logits".to_owned(), logits.value().clone())];
    if let Some(loss) = loss {
        outputs.push(("loss".to_owned(), loss.value().clone()));
        if args.grads {
            let grads = cx.backward(loss);
            for (param, grad) in params.iter().zip(grads.iter()) {
                let grad = grad.cloned().unwrap_or_else(|| Tensor::zeros(param.value.shape()));
                let (name, grad) = named(&param.name, &grad);
                outputs.push((format!("grad.{name}"), grad));
            }
        }
    }
    Ok(write(&args.output, outputs, HashMap::new())?)
}
