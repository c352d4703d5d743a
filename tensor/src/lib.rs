#![doc = include_str!("../README.md")]

mod conv;
mod elementwise;
mod float;
mod functions;
mod index;
mod matmul;
pub mod par;
mod pool;
pub mod profile;
mod random;
mod reduce;
mod shape;
mod simd;
mod tensor;
mod vecmath;
mod view;
mod walk;

pub use conv::Convolution;
pub use float::Float;
pub use pool::{clear_pool, set_pool_limit};
pub use random::standard_normal;
pub use reduce::{LANES, dot_row, fold_lanes, sum_row, sum_row_by};
pub use shape::{MAX_RANK, Shape, Strides};
pub use simd::{Level, MatMut, MatRef, Packed, Plus, Rhs, Simd, gemm, gemm_plus, vectorize};
pub use tensor::Tensor;
