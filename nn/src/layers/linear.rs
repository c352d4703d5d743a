//! Affine map.

use std::ops::Range;

use autograd::{Var, linear, linear_add, linear_gelu};
use tensor::Float;

use crate::{Context, Fill, Init, ParamId};

/// y = x·Wᵀ + b. Parameters: `weight` [out, in], `bias` `[out]`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: ParamId,
    bias: Option<ParamId>,
}

impl Linear {
    /// A layer with bias; weights are uniform within ±√(6/(in + out)) (Glorot and Bengio 2010), biases 0, as in the first
    /// ViT. timm's fixed standard deviation of 0.02 is too small for narrow models.
    #[track_caller]
    pub fn new(init: &mut Init<'_>, inputs: usize, outputs: usize) -> Self {
        Self::with(init, inputs, outputs, Self::glorot(inputs, outputs), true)
    }

    /// How the weights of [`Linear::new`] are filled.
    pub(super) fn glorot(inputs: usize, outputs: usize) -> Fill {
        Fill::Uniform((6.0 / (inputs as f64 + outputs as f64).max(1.0)).sqrt())
    }

    /// A layer whose weights are filled as told, with or without bias.
    #[track_caller]
    pub fn with(
        init: &mut Init<'_>,
        inputs: usize,
        outputs: usize,
        fill: Fill,
        bias: bool,
    ) -> Self {
        let weight = init.param("weight", [outputs, inputs], fill, true);
        let bias = bias.then(|| init.param("bias", [outputs], Fill::Zeros, false));
        Self { weight, bias }
    }

    /// x [… in] → [… out].
    ///
    /// # Panics
    /// If the last axis of x is not `in`.
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        self.expect(cx, x);
        let bias = self.bias.map(|bias| cx.param(bias));
        linear(x, &cx.param(self.weight), bias.as_ref())
    }

    /// Refuses what has other features.
    #[track_caller]
    fn expect<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) {
        let inputs = cx.params().get(self.weight).value.dims()[1];
        cx.expect_features("linear", self.weight, x, inputs);
    }

    /// Refuses what is not tokens [B, N, in], for a layer that this one is part of; returns `in`.
    #[track_caller]
    pub(super) fn expect_tokens<E: Float>(
        &self,
        layer: &str,
        cx: &Context<'_, E>,
        x: &Var<E>,
    ) -> usize {
        let inputs = cx.params().get(self.weight).value.dims()[1];
        let fits = x.shape().rank() == 3 && x.dims().last() == Some(&inputs);
        if !fits {
            cx.refuse(layer, self.weight, &format!("[B, N, {inputs}]"), x.shape());
        }
        inputs
    }

    /// x [… in] → [… out], and the residual of that shape added if there is one.
    #[track_caller]
    pub(super) fn forward_add<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        residual: Option<&Var<E>>,
    ) -> Var<E> {
        let Some(residual) = residual else { return self.forward(cx, x) };
        self.expect(cx, x);
        let bias = self.bias.map(|bias| cx.param(bias));
        linear_add(x, &cx.param(self.weight), bias.as_ref(), residual)
    }

    /// GELU of the outputs: x [… in] → [… out].
    #[track_caller]
    pub(super) fn forward_gelu<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        self.expect(cx, x);
        let bias = self.bias.map(|bias| cx.param(bias));
        linear_gelu(x, &cx.param(self.weight), bias.as_ref())
    }

    /// Some of the outputs only: x [… in] → [… outputs.len()].
    #[track_caller]
    pub fn forward_part<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        outputs: Range<usize>,
    ) -> Var<E> {
        self.expect(cx, x);
        let part = |id| cx.param(id).narrow(0, outputs.start, outputs.len());
        linear(x, &part(self.weight), self.bias.map(part).as_ref())
    }
}
