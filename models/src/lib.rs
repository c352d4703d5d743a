#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod average_precision;
mod backbone;
mod boxes;
pub mod captioner;
pub mod captions;
pub mod check;
mod detr;
pub mod hugging_face;
mod image_gpt;
pub mod matching;
mod positions;
mod residual;
mod rollout;
mod sample;
mod set_criterion;
pub mod statistics;
mod vit;
pub mod weights;

pub use backbone::BackboneConfig;
pub use boxes::{CenterSize, Corners};
pub use captioner::{Captioner, CaptionerConfig, Decoding, Grouping, ScreenBatch};
pub use detr::{Detr, DetrConfig, Padding};
pub use image_gpt::{ImageGpt, ImageGptConfig};
pub use rollout::{attention_map, attention_rollout};
pub use sample::Sampler;
pub use set_criterion::{Detections, Losses, Normalizer, SetCriterion, Target};
pub use vit::{Pool, Vit, VitConfig};

/// A model that cannot be built: which number is wrong, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(crate) String);
