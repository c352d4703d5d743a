//! The one module with `unsafe` code: choosing the processor's vector unit at run time, and the matrix product.
//!
//! Kernels are ordinary loops over slices, written as closures and handed to [`vectorize`], which compiles each of them
//! for AVX-512, for AVX2 with FMA and for the target's baseline, and runs the widest that this processor has. The
//! closure is told by a [`Simd`] value whether a fused multiply-add exists: `f32::mul_add` without one is a call into
//! libm per element.

#![allow(unsafe_code)]

mod gemm;
mod level;

pub(crate) use gemm::Product;
pub use gemm::{MatMut, MatRef, Packed, Plus, Rhs, gemm, gemm_plus};
pub use level::{Level, Simd, vectorize};
