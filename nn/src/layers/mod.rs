//! Layers: plain numbers and places of parameters. What a layer takes is said by its own `forward`.

mod attention;
mod block;
mod cache;
mod conv2d;
mod dropout;
mod embedding;
mod image_norm;
mod layer_norm;
mod linear;
mod mlp;
mod norm;

pub use attention::{MultiHeadAttention, SelfAttention};
pub use block::{Block, BlockConfig, NormOrder};
pub use cache::KeyValues;
pub use conv2d::Conv2d;
pub use dropout::{DropPath, Dropout};
pub use embedding::Embedding;
pub use image_norm::{FrozenBatchNorm, GroupNorm};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use mlp::{Activation, Mlp};
pub use norm::{Norm, NormKind, RmsNorm};
