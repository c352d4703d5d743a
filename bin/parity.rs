//! `wavetape parity`: runs a model on given tensors, to be compared with another framework.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use autograd::{CrossEntropy, Var, cross_entropy};
use clap::Args;
use models::{
    CenterSize, Detr, DetrConfig, ImageGpt, ImageGptConfig, Normalizer, SetCriterion, Target, Vit,
    VitConfig,
    weights::{Heads, Weights},
};
use nn::checkpoint::{TensorFile, write};
use nn::{Context, Init, Params};
use tensor::Tensor;

use crate::output;
use crate::recipe::ModelConfig;

/// Run a model on given tensors and write what it computes, to be compared with another framework.
///
/// Weights may be those of timm or Hugging Face. If a `config.json` lies beside them, the model must be the one that it tells of.
///
/// Of a `vit`, INPUT holds `images` f32 [B, C, H, W] and, if the loss is asked for, `labels` i64, one each; OUTPUT gets
/// `logits` [B, classes], with labels `loss` (mean cross-entropy, nats), and with --grads `grad.PARAMETER` for each parameter.
///
/// Of an `image-gpt`, INPUT holds `tokens` i64 [B, N], and `classes` i64, one each, if the model has classes; OUTPUT gets
/// `logits` [B, N, vocab], each for the token at its place, `loss`, and the gradients, under the names and in
/// the layouts of the weights.
///
/// Of a `detr`, INPUT holds `images` f32 [B, C, H, W], and `sizes` i64 [B, 2], height and width of each, if they are padded; OUTPUT
/// gets the last layer's `logits` [B, Q, classes + 1] and `boxes` [B, Q, 4]. With the objects of the images, `object_images` i64 `[N]`,
/// `object_classes` i64 `[N]` and `object_boxes` f32 [N, 4] (centre, size; fractions), it gets the `loss` of all layers, and the
/// gradients of what is trained. Weights may have Hugging Face's names; the gradients have them then, too.
#[derive(Debug, Args)]
#[command(
    override_usage = "wavetape parity --config MODEL.toml --weights W --input IN --output OUT",
    after_help = "\
Examples:
  wavetape parity --config vit.toml --weights w.safetensors --input in.safetensors --output out.safetensors
  wavetape parity --config vit.toml --weights w.safetensors --input in.safetensors --output out.safetensors --grads

MODEL.toml is for example:
  [model]
  kind = \"vit\"
  image_size = 28
  patch_size = 4
  channels = 1
  dim = 64
  depth = 4
  heads = 4
  mlp_dim = 128
  classes = 10
  position = { kind = \"lff-mlp\" }"
)]
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

/// Runs the model.
pub(crate) fn run(args: &ParityArgs) -> Result<()> {
    output::check_file(&args.output)?;
    let text = datasets::read_text(&args.config)?;
    match ModelConfig::of_file(&name(&args.config), &text)? {
        ModelConfig::Vit(config) => vit(args, &config),
        ModelConfig::ImageGpt(config) => image_gpt(args, &config),
        ModelConfig::Detr(config) => detr(args, &config),
        ModelConfig::Captioner(_) => {
            bail!("{}: a vit, image-gpt or detr expected, not a captioner", name(&args.config))
        }
    }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

fn vit(args: &ParityArgs, config: &VitConfig) -> Result<()> {
    let mut params = Params::new();
    let model =
        Vit::new(&mut Init::new(&mut params, 0), config).with_context(|| name(&args.config))?;
    let weights = Weights::of_vit(&args.weights, config, Heads::Same)?;
    load(args, &weights, &mut params)?;

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
    let outs = vec![("logits".to_owned(), logits.value().clone())];
    outputs(args, &params, &cx, outs, loss.as_ref(), &weights)
}

fn image_gpt(args: &ParityArgs, config: &ImageGptConfig) -> Result<()> {
    let mut params = Params::new();
    let model = ImageGpt::new(&mut Init::new(&mut params, 0), config)
        .with_context(|| name(&args.config))?;
    let weights = Weights::of_image_gpt(&args.weights, config, Heads::Same)?;
    load(args, &weights, &mut params)?;

    let input = TensorFile::read(&args.input)?;
    let (shape, tokens) = input.indices("tokens")?;
    let [batch, n] = [shape.first().copied().unwrap_or(0), config.tokens()];
    let tokens = indices(args, "tokens", (shape, tokens), &[batch, n], config.vocab)?;
    let classes = match config.classes {
        0 => Vec::new(),
        count => indices(args, "classes", input.indices("classes")?, &[batch], count)?,
    };
    let cx = if args.grads { Context::differentiate(&params) } else { Context::eval(&params) };
    let logits = model.forward(&cx, &tokens, &classes, model.places());
    let rows = logits.reshape([tokens.len(), config.vocab]);
    let loss = cross_entropy(&rows, &tokens, &CrossEntropy::default());
    let outs = vec![("logits".to_owned(), logits.value().clone())];
    outputs(args, &params, &cx, outs, Some(&loss), &weights)
}

fn detr(args: &ParityArgs, config: &DetrConfig) -> Result<()> {
    let mut params = Params::new();
    let model =
        Detr::new(&mut Init::new(&mut params, 0), config).with_context(|| name(&args.config))?;
    let weights = Weights::of_detr(&args.weights, config, Heads::Same)?;
    load(args, &weights, &mut params)?;

    let input = TensorFile::read(&args.input)?;
    let file = name(&args.input);
    let images: Tensor = input.tensor("images")?;
    let &[batch, channels, height, width] = images.dims() else {
        bail!("{file}: `images` [B, C, H, W] expected, found {}", images.shape())
    };
    if channels != config.channels || images.is_empty() {
        bail!("{file}: `images` [B, {}, H, W] expected, found {}", config.channels, images.shape());
    }
    let has = |what: &str| input.names().iter().any(|name| name == what);
    let sizes = match has("sizes") {
        false => vec![[height, width]; batch],
        true => {
            let below = height.max(width) + 1;
            let sizes = indices(args, "sizes", input.indices("sizes")?, &[batch, 2], below)?;
            sizes.chunks(2).map(|size| [size[0], size[1]]).collect()
        }
    };
    if let Some(size) = sizes.iter().find(|&&[h, w]| h == 0 || w == 0 || h > height || w > width) {
        bail!("{file}: `sizes`: 1 to {height} and 1 to {width} expected, found {size:?}");
    }
    let targets = match has("object_images") {
        true => Some(objects(args, &input, batch, config.classes)?),
        false if args.grads => bail!("{file}: --grads needs `object_images`"),
        false => None,
    };

    let cx = if args.grads { Context::differentiate(&params) } else { Context::eval(&params) };
    let layers = model.forward(&cx, &images, &sizes);
    let last = layers.last().expect("a decoder has a layer");
    let criterion = SetCriterion::default();
    let loss = targets.map(|targets| {
        let normalizer = Normalizer::of(&targets, config.queries, criterion.no_object);
        criterion.loss(&layers, &targets, normalizer).0
    });
    let outs = vec![
        ("logits".to_owned(), last.logits.value().clone()),
        ("boxes".to_owned(), last.boxes.value().clone()),
    ];
    outputs(args, &params, &cx, outs, loss.as_ref(), &weights)
}

/// The objects of each image.
fn objects(
    args: &ParityArgs,
    input: &TensorFile,
    batch: usize,
    classes: usize,
) -> Result<Vec<Vec<Target>>> {
    let (shape, images) = input.indices("object_images")?;
    let count = images.len();
    let images = indices(args, "object_images", (shape, images), &[count], batch)?;
    let given = input.indices("object_classes")?;
    let classes = indices(args, "object_classes", given, &[count], classes)?;
    let boxes: Tensor = input.tensor("object_boxes")?;
    if boxes.dims() != [count, 4] {
        bail!(
            "{}: `object_boxes` [{count}, 4] expected, found {}",
            name(&args.input),
            boxes.shape()
        );
    }
    let mut targets = vec![Vec::new(); batch];
    for ((image, class), bounds) in images.into_iter().zip(classes).zip(boxes.to_vec().chunks(4)) {
        let bounds = [0, 1, 2, 3].map(|i| f64::from(bounds[i]));
        targets[image].push(Target { class, bounds: CenterSize::from_array(bounds) });
    }
    Ok(targets)
}

/// Copies weights into the parameters, and tells what is to be told of it.
fn load(args: &ParityArgs, weights: &Weights<'_>, params: &mut Params) -> Result<()> {
    for told in weights.load(params)? {
        output::note(format_args!("{}: {told}", name(&args.weights)));
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

/// Writes what was computed, gradients under the names and layouts of the weights.
fn outputs(
    args: &ParityArgs,
    params: &Params,
    cx: &Context<'_>,
    mut outputs: Vec<(String, Tensor)>,
    loss: Option<&Var>,
    weights: &Weights<'_>,
) -> Result<()> {
    if let Some(loss) = loss {
        outputs.push(("loss".to_owned(), loss.value().clone()));
        if args.grads {
            let grads = cx.backward(loss);
            for (param, grad) in params.iter().zip(grads.iter()).filter(|(p, _)| p.trainable) {
                let grad = grad.cloned().unwrap_or_else(|| Tensor::zeros(param.value.shape()));
                let theirs = weights.gradients(&param.name, &grad).into_iter();
                outputs.extend(theirs.map(|(name, grad)| (format!("grad.{name}"), grad)));
            }
        }
    }
    Ok(write(&args.output, outputs, HashMap::new())?)
}
