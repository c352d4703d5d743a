#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod check;
mod ops;
pub mod profile;
mod tape;
mod var;

pub use ops::*;
pub use tape::{Anomaly, Gradients, NodeView, Tape};
pub use var::{Op, Var};
