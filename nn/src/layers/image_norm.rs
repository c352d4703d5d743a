//! Normalisation of the channels of images.

use autograd::{Var, layer_norm};
use tensor::{Float, Tensor};

use super::conv2d::per_channel;
use crate::{Context, Fill, Init, ParamId};

/// y = (x − mean)/√(var + eps)·w + b for x [B, C, H, W], with mean and variance of each image and each of `groups` parts of the
/// channels (Wu and He 2018). It looks at one image at a time, so batches can be cut anywhere. Parameters: `weight` and `bias`,
/// `[C]`, at first 1 and 0.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    weight: ParamId,
    bias: ParamId,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// A layer over `channels` in `groups`; PyTorch's eps is 1e-5.
    ///
    /// # Panics
    /// If the channels are not divisible by the groups.
    #[track_caller]
    pub fn new(init: &mut Init<'_>, channels: usize, groups: usize, eps: f64) -> Self {
        let divides = groups > 0 && channels.is_multiple_of(groups);
        assert!(divides, "group norm: {channels} channels in {groups} groups");
        assert!(eps >= 0.0 && eps.is_finite(), "group norm: eps {eps}, at least 0 expected");
        let weight = init.param("weight", [channels], Fill::Ones, false);
        let bias = init.param("bias", [channels], Fill::Zeros, false);
        Self { weight, bias, groups, eps }
    }

    /// x [B, C, H, W] → [B, C, H, W].
    ///
    /// # Panics
    /// If x has other axes or channels.
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        cx.expect_channels("group norm", self.weight, x, cx.param(self.weight).dims()[0]);
        let &[batch, channels, height, width] = x.dims() else { unreachable!("[B, C, H, W]") };
        let n = channels / self.groups * height * width;
        let [ones, zeros] = [Tensor::ones([n]), Tensor::zeros([n])].map(Var::constant);
        let rows = x.reshape([batch, self.groups, n]);
        let y = layer_norm(&rows, &ones, &zeros, self.eps).reshape(x.shape());
        let [weight, bias] = [self.weight, self.bias].map(|id| per_channel(&cx.param(id)));
        y.mul(&weight).add(&bias)
    }
}

/// Batch normalisation with the statistics and weights that somebody else has trained (Ioffe and Szegedy 2015), as DETR uses it:
/// y = (x − mean)/√(var + 10⁻⁵)·w + b for each channel of x [B, C, H, W].
///
/// Parameters, none of them trained: `weight`, `bias`, `running_mean`, `running_var`, `[C]`, at first such that y = x.
#[derive(Clone, Debug)]
pub struct FrozenBatchNorm {
    weight: ParamId,
    bias: ParamId,
    mean: ParamId,
    variance: ParamId,
}

impl FrozenBatchNorm {
    /// A layer over `channels`.
    #[track_caller]
    pub fn new(init: &mut Init<'_>, channels: usize) -> Self {
        #[track_caller]
        fn frozen(init: &mut Init<'_>, name: &str, channels: usize, fill: Fill) -> ParamId {
            let id = init.param(name, [channels], fill, false);
            init.freeze(id);
            id
        }
        Self {
            weight: frozen(init, "weight", channels, Fill::Ones),
            bias: frozen(init, "bias", channels, Fill::Zeros),
            mean: frozen(init, "running_mean", channels, Fill::Zeros),
            variance: frozen(init, "running_var", channels, Fill::Ones),
        }
    }

    /// x [B, C, H, W] → [B, C, H, W].
    ///
    /// # Panics
    /// If x has other axes or channels.
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        cx.expect_channels("batch norm", self.weight, x, cx.param(self.weight).dims()[0]);
        let [weight, bias, mean, variance] =
            [self.weight, self.bias, self.mean, self.variance].map(|id| cx.param(id));
        let scale = weight.div(&variance.add_scalar(E::from_f64(1e-5)).sqrt());
        let shift = bias.sub(&mean.mul(&scale));
        x.mul(&per_channel(&scale)).add(&per_channel(&shift))
    }
}
