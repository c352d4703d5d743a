#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod check;
pub mod hugging_face;
mod image_gpt;
mod sample;
mod vit;

pub use image_gpt::{ImageGpt, ImageGptConfig};
pub use sample::Sampler;
pub use vit::{Pool, Vit, VitConfig};

/// A model that cannot be built: which number is wrong, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(crate) String);
