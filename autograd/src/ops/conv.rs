//! Two-dimensional convolution.

use tensor::{Float, Tensor, conv_window};

use crate::{Op, Var};

/// The cross-correlation that the field calls convolution, without bias: x [B, C, H, W], weight [O, C/groups, kh, kw],
/// result [B, O, oh, ow]; see [`Tensor::conv2d`].
///
/// As a product of each image's patches P [C·kh·kw, oh·ow]: y = W·P, so dW = Σ_b g·Pᵀ, dP = Wᵀ·g, and dx is dP added
/// back to where the patches came from. Patches are made again in the backward pass instead of being saved.
///
/// # Panics
/// If shapes, window and groups do not fit together.
#[track_caller]
pub fn conv2d<E: Float>(
    x: &Var<E>,
    weight: &Var<E>,
    stride: usize,
    padding: usize,
    groups: usize,
) -> Var<E> {
    let window = conv_window(x.value(), weight.value(), stride, padding, groups);
    let value = x.value().conv2d(weight.value(), stride, padding, groups);
    let (image, kernel, weight_shape) = (x.value().clone(), weight.value().clone(), weight.shape());
    let &[batch, channels, height, width] = x.dims() else {
        unreachable!("checked by conv_window")
    };
    let (outputs, area) = (weight.dims()[0], value.dims()[2] * value.dims()[3]);
    let k = weight_shape[1..].iter().product(); // not elements / outputs: there may be none
    Op::new("conv2d", value)
        .wrt(weight, move |g| {
            let g = g.reshape([batch, groups, outputs / groups, area]);
            let patches = image.im2col(window).reshape([batch, groups, k, area]);
            g.matmul(&patches.transpose(-2, -1)).sum(&[0]).reshape(weight_shape)
        })
        .wrt(x, move |g| {
            let g = g.reshape([batch, groups, outputs / groups, area]);
            let kernel = kernel.reshape([groups, outputs / groups, k]);
            let patches: Tensor<E> = kernel.transpose(-2, -1).matmul(&g);
            patches.reshape([batch, groups * k, area]).col2im(channels, height, width, window)
        })
        .record()
}
