//! Layer normalisation.

use autograd::{Var, layer_norm};
use tensor::Float;

use crate::{Context, Fill, Init, ParamId};

/// y = (x − mean)/√(var + eps)·w + b over the last axis (Ba, Kiros and Hinton 2016). Parameters: `weight` and `bias`,
/// both `[n]`, at first 1 and 0.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: ParamId,
    bias: ParamId,
    eps: f64,
}

impl LayerNorm {
    /// eps of timm's ViT; PyTorch's own default is 1e-5.
    pub const EPS: f64 = 1e-6;

    /// A layer over `n` features, with [`LayerNorm::EPS`].
    #[track_caller]
    pub fn new(init: &mut Init<'_>, n: usize) -> Self {
        Self::with_eps(init, n, Self::EPS)
    }

    /// A layer over `n` features.
    ///
    /// # Panics
    /// If eps is not a number from 0 on.
    #[track_caller]
    pub fn with_eps(init: &mut Init<'_>, n: usize, eps: f64) -> Self {
        assert!(eps >= 0.0 && eps.is_finite(), "layer norm: eps {eps}, at least 0 expected");
        let weight = init.param("weight", [n], Fill::Ones, false);
        let bias = init.param("bias", [n], Fill::Zeros, false);
        Self { weight, bias, eps }
    }

    /// x [… n] → [… n].
    ///
    /// # Panics
    /// If the last axis of x is not n.
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        let weight = cx.param(self.weight);
        cx.expect_features("layer norm", self.weight, x, weight.dims()[0]);
        layer_norm(x, &weight, &cx.param(self.bias), self.eps)
    }
}
