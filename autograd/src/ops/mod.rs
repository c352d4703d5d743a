//! The derivative table: each op's value and derivatives together, one family a file.
//!
//! In derivatives `g` is the output's gradient, of the output's shape; the engine sums it over broadcast axes.

mod arithmetic;
mod attention;
mod composed;
mod conv;
mod cross_entropy;
mod elementwise;
mod index;
mod layer_norm;
mod linear;
mod matmul;
mod reduce;
mod rotate;
mod shape;
mod softmax;

pub use attention::{Attention, attention, self_attention};
pub use composed::*;
pub use conv::{conv2d, max_pool2d};
pub use cross_entropy::{CrossEntropy, cross_entropy};
pub use layer_norm::{layer_norm, root_mean_square};
pub use linear::{linear, linear_add, linear_gelu};
pub use rotate::rotate;
pub use shape::concat;
