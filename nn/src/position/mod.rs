//! Position encodings. Positions are [N, G, M]: N places, each of G groups of M coordinates, in units that each encoder
//! states.

mod bias;
mod config;
mod encoder;
mod learnable_fourier;
mod mlp;
mod places;
mod reading;
mod rotary;
mod sine;
mod table;

pub use config::{PositionConfig, PositionShape};
pub use encoder::{Position, Sight};
pub use learnable_fourier::LearnableFourier;
pub use mlp::PositionMlp;
pub use places::{Places, grid};
pub use reading::Reading;
pub use table::{AxisTables, resample_table};
