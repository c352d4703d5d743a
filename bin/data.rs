//! The images that a recipe asks for.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use datasets::{Images, Normalize, Split, cifar10, idx, image_folder, sample};

use crate::recipe::{DataConfig, DataKind, ModelConfig};

/// Training images, the images to evaluate on, and the map from bytes to inputs, taken from the training images.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) train: Images,
    pub(crate) eval: Images,
    pub(crate) normalize: Normalize,
}

/// Reads what the recipe asks for and checks that it fits the model.
pub(crate) fn load(config: &DataConfig, model: &ModelConfig, seed: u64) -> Result<Data> {
    let whole = read(config, Split::Train)?;
    let normalize = Normalize::of(&whole);
    let (train, eval) = match config.hold_out {
        0 => (whole, read(config, Split::Test)?),
        count if count < whole.len() => whole.hold_out(count, seed),
        count => bail!(
            "data.hold_out = {count}: fewer than the {} training images expected",
            whole.len()
        ),
    };
    let (expected, classes) = match model {
        ModelConfig::Vit(vit) => ([vit.channels, vit.image_size, vit.image_size], vit.classes),
        ModelConfig::ImageGpt(gpt) => {
            let classes = if gpt.classes == 0 { usize::MAX } else { gpt.classes };
            let channels = if gpt.palette > 0 { gpt.palette } else { gpt.channels };
            ([channels, gpt.image_size, gpt.image_size], classes)
        }
        ModelConfig::Detr(_) => todo!(),
    };
    for images in [&train, &eval] {
        if images.shape() != expected {
            bail!(
                "images of shape {:?}; the model expects {expected:?} (channels, height, width)",
                images.shape()
            );
        }
        if images.classes().len() > classes {
            bail!("{} classes; the model has {classes} (model.classes)", images.classes().len());
        }
    }
    Ok(Data { train, eval, normalize })
}

fn read(config: &DataConfig, split: Split) -> Result<Images> {
    if config.kind == DataKind::Sample {
        return Ok(sample::fashion(split));
    }
    let dir =
        config.dir.as_deref().context("data.dir is not set: name the folder with --data DIR")?;
    let images = match config.kind {
        DataKind::Sample => unreachable!("returned above"),
        DataKind::FashionMnist => idx::folder(dir, split, &idx::FASHION),
        DataKind::Mnist => idx::folder(dir, split, &idx::DIGITS),
        DataKind::Cifar10 => cifar10::folder(dir, split),
        DataKind::GreyFolder | DataKind::ColourFolder => {
            let part = dir.join(if split == Split::Train { "train" } else { "test" });
            let size = config.resize.map_or(image_folder::Size::Equal, |size| {
                image_folder::Size::Resized { height: size, width: size }
            });
            image_folder::read(&part, size, config.kind.channels())
        }
    };
    images.with_context(|| advice(config.kind, dir))
}

fn advice(kind: DataKind, dir: &Path) -> String {
    match kind {
        DataKind::FashionMnist => format!(
            "reading Fashion-MNIST in {} (Debian's package dataset-fashion-mnist has it; --data DIR names another folder)",
            dir.display()
        ),
        _ => format!("reading {}", dir.display()),
    }
}
