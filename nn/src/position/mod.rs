//! Position encodings. Positions are [N, G, M]: N places, each of G groups of M coordinates, in units that each encoder
//! states.

mod config;
mod learnable_fourier;

pub use config::{Position, PositionConfig, grid};
pub use learnable_fourier::LearnableFourier;
