//! Convolution.

use autograd::{Var, conv2d};
use tensor::{Convolution, Float};

use crate::{Context, Fill, Init, ParamId};

/// Convolution with or without bias. Parameters: `weight` [out, in/groups, k, k], `bias` `[out]`.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: ParamId,
    bias: Option<ParamId>,
    options: Convolution,
}

impl Conv2d {
    /// A layer with a square kernel and a bias, filled uniformly within ±1/√fan-in as PyTorch does.
    ///
    /// # Panics
    /// If the channels are not divisible by the groups, or if the kernel has no side.
    #[track_caller]
    pub fn new(
        init: &mut Init<'_>,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        options: Convolution,
    ) -> Self {
        let fan_in = (inputs / options.groups.max(1)) as f64 * (kernel as f64).powi(2);
        let bound = 1.0 / fan_in.max(1.0).sqrt();
        let plain = Self::with(init, inputs, outputs, kernel, options, Fill::Uniform(bound));
        let bias = init.param("bias", [outputs], Fill::Uniform(bound), false);
        Self { bias: Some(bias), ..plain }
    }

    /// A layer without bias, in front of a normalisation: weights are normal with standard deviation √(2/fan-out), which keeps
    /// the variance of gradients through ReLU (He et al. 2015), as in ResNet.
    ///
    /// # Panics
    /// If the channels are not divisible by the groups, or if the kernel has no side.
    #[track_caller]
    pub fn without_bias(
        init: &mut Init<'_>,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        options: Convolution,
    ) -> Self {
        let fan_out = outputs as f64 * (kernel as f64).powi(2);
        let std = (2.0 / fan_out.max(1.0)).sqrt();
        Self::with(init, inputs, outputs, kernel, options, Fill::Normal(std))
    }

    #[track_caller]
    fn with(
        init: &mut Init<'_>,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        options: Convolution,
        fill: Fill,
    ) -> Self {
        let groups = options.groups;
        let divides = groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups);
        assert!(divides, "conv2d: {inputs} → {outputs} channels in {groups} groups");
        assert!(kernel > 0, "conv2d: a kernel must have a side of at least 1");
        let shape = [outputs, inputs / groups, kernel, kernel];
        Self { weight: init.param("weight", shape, fill, true), bias: None, options }
    }

    /// x [B, in, H, W] → [B, out, oh, ow].
    ///
    /// # Panics
    /// If x has other channels, or is smaller than the kernel.
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        let weight = cx.param(self.weight);
        cx.expect_channels("conv2d", self.weight, x, weight.dims()[1] * self.options.groups);
        let y = conv2d(x, &weight, self.options);
        match self.bias {
            Some(bias) => y + &per_channel(&cx.param(bias)),
            None => y,
        }
    }
}

/// A number for each channel, `[C]`, as [C, 1, 1].
pub(super) fn per_channel<E: Float>(x: &Var<E>) -> Var<E> {
    x.reshape([x.dims()[0], 1, 1])
}
