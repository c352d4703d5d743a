//! The affine map of the last axis, product and bias in one op.

use tensor::{Float, MatMut, MatRef, Tensor, gemm_bias, par};

use crate::{Op, Var};

/// y = x·Wᵀ + b for x [… in], W [out, in] and b `[out]` (PyTorch's layout); y is [… out].
///
/// dx = g·W, dW = gᵀ·x, db = Σ g over all leading axes. The composed twin is
/// [`linear_composed`](crate::linear_composed).
///
/// # Panics
/// If the sizes disagree.
#[track_caller]
pub fn linear<E: Float>(x: &Var<E>, weight: &Var<E>, bias: Option<&Var<E>>) -> Var<E> {
    let &[outputs, inputs] = weight.dims() else {
        panic!("linear: weight [out, in] expected, found {}", weight.shape())
    };
    let fits = x.shape().rank() >= 1
        && x.value().dim(-1) == inputs
        && bias.is_none_or(|bias| bias.dims() == [outputs]);
    assert!(
        fits,
        "linear: x {}, weight {}, bias {:?}",
        x.shape(),
        weight.shape(),
        bias.map(|bias| bias.shape())
    );
    let shape = x.shape().with(x.shape().rank() - 1, outputs);
    let rows = shape[..shape.rank() - 1].iter().product();
    let flat = x.value().reshape([rows, inputs]);
    let w = weight.value().clone();
    let value = affine(&flat, &w, bias.map(|bias| bias.value()));

    let (own, kept) = (x.shape(), flat.clone());
    let mut op = Op::new("linear", value.reshape(shape)).wrt(weight, move |g| {
        let g = g.reshape([rows, outputs]);
        g.transpose(0, 1).matmul(&kept)
    });
    if let Some(bias) = bias {
        op = op.wrt(bias, move |g| g.reshape([rows, outputs]).sum(&[0]));
    }
    op.wrt(x, move |g| g.reshape([rows, outputs]).matmul(&w).reshape(own)).record()
}

/// x·Wᵀ + b for x [rows, in]: the bias is added to sums that are still in registers.
fn affine<E: Float>(x: &Tensor<E>, weight: &Tensor<E>, bias: Option<&Tensor<E>>) -> Tensor<E> {
    let Some(bias) = bias else { return x.matmul(&weight.transpose(0, 1)) };
    let (&[rows, inputs], outputs) = (x.dims(), weight.dims()[0]) else { unreachable!("two axes") };
    let (x, weight, bias) = (x.contiguous(), weight.contiguous(), bias.contiguous());
    let (x, weight, bias) = (x.data(), weight.data(), bias.data());
    const ROWS: usize = 192;
    Tensor::build([rows, outputs], |out| {
        par::for_chunks(out, ROWS * outputs, |start, out| {
            let (first, count) = (start / outputs.max(1), out.len() / outputs.max(1));
            let x = MatRef::new(&x[first * inputs..], count, inputs, inputs, 1);
            let weight = MatRef::new(weight, inputs, outputs, 1, inputs);
            gemm_bias(x, weight, bias, MatMut::new(out, count, outputs, outputs, 1));
        });
    })
}
