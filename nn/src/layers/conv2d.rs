//! Two-dimensional convolution.

use autograd::{Var, conv2d};
use tensor::Float;

use crate::{Context, Fill, Init, ParamId};

/// Convolution with bias. Parameters: `weight` [out, in/groups, k, k], `bias` `[out]`.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: ParamId,
    bias: ParamId,
    stride: usize,
    padding: usize,
    groups: usize,
}

impl Conv2d {
    /// A layer with a square kernel, filled uniformly within ±1/√fan-in as PyTorch does.
    ///
    /// # Panics
    /// If the channels are not divisible by the groups.
    #[track_caller]
    pub fn new(
        init: &mut Init<'_>,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        groups: usize,
    ) -> Self {
        let divides = groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups);
        assert!(divides, "conv2d: {inputs} → {outputs} channels in {groups} groups");
        let shape = [outputs, inputs / groups, kernel, kernel];
        let bound = 1.0 / ((inputs / groups * kernel * kernel) as f64).sqrt();
        let weight = init.param("weight", shape, Fill::Uniform(bound), true);
        let bias = init.param("bias", [outputs], Fill::Uniform(bound), false);
        Self { weight, bias, stride, padding, groups }
    }

    /// x [B, in, H, W] → [B, out, oh, ow].
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        let bias = cx.param(self.bias);
        let bias = bias.reshape([bias.dims()[0], 1, 1]);
        conv2d(x, &cx.param(self.weight), self.stride, self.padding, self.groups) + &bias
    }
}
