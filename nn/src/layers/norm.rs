//! The choice of a normalisation.

use autograd::{Var, root_mean_square};
use serde::{Deserialize, Serialize};
use tensor::Float;

use super::LayerNorm;
use crate::{Context, Fill, Init, ParamId};

/// Which normalisation a block has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    /// Layer norm: [`LayerNorm`].
    #[default]
    Layer,
    /// Without mean and bias: [`RmsNorm`].
    Rms,
}

/// y = x/√(mean(x²) + eps)·w over the last axis (Zhang and Sennrich 2019): layer norm without its mean and its bias.
/// Parameter: `weight`, `[n]`, at first 1.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: ParamId,
    eps: f64,
}

impl RmsNorm {
    /// A layer over `n` features.
    ///
    /// # Panics
    /// If eps is not a number from 0 on.
    #[track_caller]
    pub fn with_eps(init: &mut Init<'_>, n: usize, eps: f64) -> Self {
        assert!(eps >= 0.0 && eps.is_finite(), "rms norm: eps {eps}, at least 0 expected");
        Self { weight: init.param("weight", [n], Fill::Ones, false), eps }
    }

    /// x [… n] → [… n].
    ///
    /// # Panics
    /// If the last axis of x is not n.
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        cx.expect_features("rms norm", self.weight, x, cx.param(self.weight).dims()[0]);
        x.div(&root_mean_square(x, self.eps)).mul(&cx.param(self.weight))
    }
}

/// A normalisation of either kind.
#[derive(Clone, Debug)]
pub enum Norm {
    /// With mean and bias.
    Layer(LayerNorm),
    /// Without.
    Rms(RmsNorm),
}

impl Norm {
    /// A layer over `n` features.
    #[track_caller]
    pub fn new(init: &mut Init<'_>, kind: NormKind, n: usize, eps: f64) -> Self {
        match kind {
            NormKind::Layer => Norm::Layer(LayerNorm::with_eps(init, n, eps)),
            NormKind::Rms => Norm::Rms(RmsNorm::with_eps(init, n, eps)),
        }
    }

    /// x [… n] → [… n].
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        match self {
            Norm::Layer(norm) => norm.forward(cx, x),
            Norm::Rms(norm) => norm.forward(cx, x),
        }
    }
}
