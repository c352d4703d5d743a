#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod check;
pub mod checkpoint;
mod context;
mod layers;
mod optim;
mod params;
mod position;
mod shards;

pub use context::{Context, Grads};
pub use layers::*;
pub use optim::*;
pub use params::{Fill, Init, Param, ParamId, Params};
pub use position::*;
pub use shards::{Shards, Step, micro_batch};
