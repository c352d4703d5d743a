//! The tables of a recipe.

use std::path::PathBuf;

use datasets::{Augment, detection, image_folder, screens};
use models::{CaptionerConfig, DetrConfig, ImageGptConfig, VitConfig};
use nn::{AdamWConfig, PositionConfig};
use serde::{Deserialize, Serialize};

/// Where images come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataConfig {
    /// Format of the data.
    pub(crate) kind: DataKind,
    /// Folder of the data; not used by the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dir: Option<PathBuf>,
    /// Images held out of the training set; if not 0, evaluation uses them instead of the test set. Of scenes: images of objects, of
    /// which other scenes are made.
    #[serde(default)]
    pub(crate) hold_out: usize,
    /// Height and width to which pictures of an image folder are resized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resize: Option<usize>,
    /// What becomes of the sides of a picture whose ratio is not that of the size it is resized to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) fit: Fit,
    /// Share of the pictures that are the test set where a folder has neither that nor a validation set. A hash of a picture's file
    /// decides, so that it is always on the same side, with all its copies; a class with two pictures has one on each.
    #[serde(default = "fifth")]
    pub(crate) test_share: f64,
    /// MiB of pixels of pictures in files that are kept in memory; what is beyond is read again in each epoch. More than 10,000
    /// pictures are not decoded before training, but when they are needed.
    #[serde(default = "gib")]
    pub(crate) cache_mb: u64,
    /// Whether pictures that cannot be read are left out, counted and named, instead of being an error.
    #[serde(default)]
    pub(crate) skip_broken: bool,
    /// Parts of a data set with boxes: that to train on, and that to evaluate on. By default `train`, and `test` (VOC) or `val` (COCO,
    /// YOLO), or whichever of the two there is. `val`, `valid`, `validation` and `dev` are a validation set; `eval --test` scores on
    /// `test` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) splits: Option<[String; 2]>,
    /// What scenes are made of, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scenes: Option<ScenesConfig>,
    /// What is read of screens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) screens: Option<ScreensConfig>,
}

impl DataConfig {
    /// How pictures are made this height and width.
    pub(crate) fn fitted(&self, [height, width]: [usize; 2]) -> image_folder::Size {
        match self.fit {
            Fit::Stretch => image_folder::Size::Resized { height, width },
            Fit::Crop => image_folder::Size::Cropped { height, width },
        }
    }
}

/// How a picture gets another ratio of its sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fit {
    /// All of it is shown, stretched.
    #[default]
    Stretch,
    /// The largest part in the middle that has the ratio is shown.
    Crop,
}

fn fifth() -> f64 {
    0.2
}

fn gib() -> u64 {
    1024
}

/// Made-up scenes of garments or digits; see [`datasets::detection::Scenes`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScenesConfig {
    /// Images of which objects are cut: `sample`, `fashion-mnist` or `mnist`.
    pub(crate) objects: DataKind,
    /// Scenes of an epoch; each epoch has others.
    pub(crate) train: usize,
    /// Scenes to evaluate on, always the same.
    pub(crate) test: usize,
    /// Most objects of a scene.
    pub(crate) max_objects: usize,
    /// Least and greatest longer side of an object, in pixels.
    pub(crate) sides: [f32; 2],
}

/// Screens with captions; see [`datasets::screens`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ScreensConfig {
    /// Part to evaluate on.
    pub(crate) eval: screens::Part,
    /// Words of the vocabulary at most.
    pub(crate) words: usize,
    /// How often a word must be in the training captions to be known.
    pub(crate) min_count: usize,
    /// Nodes of a training screen at most.
    pub(crate) max_nodes: usize,
    /// Part of the screen that training does not see: leaves whose centre is there are left out. They are scored by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) band: Option<screens::Band>,
}

impl Default for ScreensConfig {
    fn default() -> Self {
        let eval = screens::Part::Test;
        Self { eval, words: 10_000, min_count: 1, max_nodes: 512, band: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DataKind {
    /// The part of Fashion-MNIST inside the program.
    Sample,
    /// IDX files of Fashion-MNIST.
    FashionMnist,
    /// IDX files of MNIST.
    Mnist,
    /// CIFAR-10's binary files.
    Cifar10,
    /// Labelled pictures, read in grey: in `train/CLASS`, and in `val/CLASS` (or `valid`, `validation`, `dev`), `test/CLASS` or both,
    /// of which `test` is for `eval --test`; in `CLASS` alone (see `data.test_share`); or in a CSV or JSON Lines file of files and labels.
    GreyFolder,
    /// The same in colour.
    ColourFolder,
    /// Made-up scenes with boxes; see `data.scenes`.
    Scenes,
    /// Pascal VOC: `Annotations`, `JPEGImages` and `ImageSets/Main/SPLIT.txt`.
    Voc,
    /// COCO: `annotations/instances_SPLIT.json`, and pictures in `SPLIT`; `SPLIT/_annotations.coco.json`; or one JSON file.
    Coco,
    /// YOLO: `images/SPLIT` and `labels/SPLIT`, or `SPLIT/images` and `SPLIT/labels`.
    Yolo,
    /// Rico with captions of widgets: `combined`, `split` and `widget_captions.csv`.
    Screens,
}

impl DataKind {
    /// Whether images come with boxes instead of a label.
    pub(crate) fn has_boxes(self) -> bool {
        matches!(self, DataKind::Scenes | DataKind::Voc | DataKind::Coco | DataKind::Yolo)
    }

    /// Whether images are pictures in files of any size.
    pub(crate) fn is_folder(self) -> bool {
        matches!(self, DataKind::GreyFolder | DataKind::ColourFolder)
    }

    pub(crate) fn channels(self) -> image_folder::Channels {
        if self == DataKind::GreyFolder {
            image_folder::Channels::Grey
        } else {
            image_folder::Channels::Rgb
        }
    }
}

/// A model and its sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum ModelConfig {
    /// A vision transformer.
    Vit(VitConfig),
    /// A causal transformer over pixels.
    ImageGpt(ImageGptConfig),
    /// A detector of boxes.
    Detr(DetrConfig),
    /// A captioner of widgets.
    Captioner(CaptionerConfig),
}

impl ModelConfig {
    /// The position encoding.
    pub(crate) fn position(&self) -> &PositionConfig {
        match self {
            ModelConfig::Vit(config) => &config.position,
            ModelConfig::ImageGpt(config) => &config.position,
            ModelConfig::Detr(config) => &config.position,
            ModelConfig::Captioner(config) => &config.position,
        }
    }

    /// Tokens of a sample.
    pub(crate) fn tokens(&self) -> usize {
        match self {
            ModelConfig::Vit(config) => config.tokens(),
            ModelConfig::ImageGpt(config) => config.tokens(),
            ModelConfig::Detr(config) => config.tokens(),
            ModelConfig::Captioner(config) => config.tokens(),
        }
    }

    pub(super) fn validate(&self) -> Result<(), models::ConfigError> {
        match self {
            ModelConfig::Vit(config) => config.validate(),
            ModelConfig::ImageGpt(config) => config.validate(),
            ModelConfig::Detr(config) => config.validate(),
            // The vocabulary comes with the data.
            ModelConfig::Captioner(config) => {
                CaptionerConfig { vocabulary: config.vocabulary.max(5), ..config.clone() }
                    .validate()
            }
        }
    }
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainConfig {
    /// Passes over the training set.
    pub(crate) epochs: usize,
    /// Passes after those of the schedule, at its last learning rate; `train --resume RUN --epochs N` sets it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) extra_epochs: usize,
    /// Steps after which training ends, if before the last epoch; 0 for no such limit.
    #[serde(default)]
    pub(crate) steps: u64,
    /// Steps between lines of the log inside of an epoch; 0 for none.
    #[serde(default)]
    pub(crate) log_every: u64,
    /// Epochs between scores; the last epoch is always scored.
    #[serde(default = "one")]
    pub(crate) eval_every: usize,
    /// Steps between scores inside of an epoch; 0 for none.
    #[serde(default)]
    pub(crate) eval_steps: u64,
    /// Images of a batch.
    pub(crate) batch_size: usize,
    /// Batches of a step, which are one batch but for the size of a shard. Those left over at the end of an epoch are left out.
    #[serde(default = "one")]
    pub(crate) accumulate: usize,
    /// Images of a shard; 0 for the rule of `nn::micro_batch`.
    #[serde(default)]
    pub(crate) micro_batch: usize,
    /// Run or safetensors file whose parameters it starts from, as far as they fit; `train --from` sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<PathBuf>,
    /// Parameters that stay as they are, by their names, in which `*` stands for any letters: `["blocks.0.*"]`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) freeze: Vec<String>,
    /// By what the learning rate is multiplied for the parameters that were taken from `train.from`.
    #[serde(default = "whole_rate", skip_serializing_if = "is_whole")]
    pub(crate) taken_rate: f64,
    /// Label smoothing ε.
    #[serde(default)]
    pub(crate) label_smoothing: f64,
    /// Largest norm of a step's gradient; 0 for no clipping.
    #[serde(default)]
    pub(crate) clip_norm: f64,
    /// Decay of the average of parameters that is evaluated in place of the parameters; 0 for none.
    #[serde(default)]
    pub(crate) ema: f64,
    /// Scores in a row that are no better than the best one, after which training ends; 0 for no such end.
    #[serde(default)]
    pub(crate) patience: u64,
    /// Steps between checkpoints; 0 for none by steps. There is always one at the start, before an epoch is scored, after it, and
    /// when training stops.
    #[serde(default)]
    pub(crate) save_every: u64,
    /// Minutes after which there is a checkpoint in any case; 0 for none by time.
    #[serde(default = "five")]
    pub(crate) save_minutes: f64,
    /// Checkpoints that are kept under a name with their step, the newest ones; 0 for none.
    #[serde(default)]
    pub(crate) keep: usize,
    /// Samples of what the model does, in the folder `samples` of the run after each score: images that it draws, or of what it is
    /// scored on images with their classes, pictures with boxes (at most 4) or widgets with captions; 0 for none.
    #[serde(default = "sixteen")]
    pub(crate) samples: usize,
}

impl TrainConfig {
    /// Images of a step.
    pub(crate) fn step_size(&self) -> usize {
        self.batch_size.saturating_mul(self.accumulate)
    }

    /// Steps whose images wait to be taken.
    pub(crate) fn prefetch(&self) -> usize {
        2 / self.accumulate.max(1) // those of a large step take memory
    }
}

fn whole_rate() -> f64 {
    1.0
}

fn is_whole(rate: &f64) -> bool {
    *rate == 1.0
}

fn one() -> usize {
    1
}

fn sixteen() -> usize {
    16
}

fn five() -> f64 {
    5.0
}

/// What is left to chance when an image is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AugmentConfig {
    /// Zero padding around the image before it is cropped at a random place, in pixels.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) crop_padding: usize,
    /// Probability of a horizontal flip.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) flip: f32,
    /// Probability that a rectangle is erased.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) erase: f32,
    /// Of images with boxes, in place of the others.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) boxes: detection::Augment,
}

impl From<AugmentConfig> for Augment {
    fn from(AugmentConfig { crop_padding, flip, erase, .. }: AugmentConfig) -> Self {
        Augment { crop_padding, flip, erase, ..Augment::default() }
    }
}

/// The optimizer and its schedule: linear warm-up, then a cosine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OptimizerConfig {
    /// Largest learning rate.
    pub(crate) rate: f64,
    /// Learning rate at the end, as a fraction of the largest.
    #[serde(default)]
    pub(crate) floor: f64,
    /// Warm-up, as a fraction of all steps.
    #[serde(default)]
    pub(crate) warmup: f64,
    /// Constants of AdamW.
    #[serde(default)]
    pub(crate) adamw: AdamWConfig,
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
