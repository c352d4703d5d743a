#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod check;
mod detr;
pub mod hugging_face;
mod image_gpt;
mod sample;
mod vit;

pub use detr::{BackboneConfig, Detr, DetrConfig, Padding};
pub use image_gpt::{ImageGpt, ImageGptConfig};
pub use sample::Sampler;
pub use vit::{Pool, Vit, VitConfig};

/// A model that cannot be built: which number is wrong, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(crate) String);

/// What a decoder layer finds.
#[derive(Clone, Debug)]
pub struct Detections<E: tensor::Float = f32> {
    /// [B, Q, classes + 1], the last class is that of no object.
    pub logits: autograd::Var<E>,
    /// [B, Q, 4]: centre (x, y), width and height, as fractions of the image.
    pub boxes: autograd::Var<E>,
}
