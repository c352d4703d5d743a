//! A residual branch of a transformer's layer.

use autograd::Var;
use nn::{Context, Dropout, Init, LayerNorm, NormOrder};
use tensor::Float;

/// A residual branch with its norm, before or after.
#[derive(Clone, Debug)]
pub(crate) struct Residual {
    norm: LayerNorm,
    dropout: Dropout,
    order: NormOrder,
}

impl Residual {
    /// A branch whose norm is made in this scope.
    pub(crate) fn new(
        init: &mut Init<'_>,
        dim: usize,
        dropout: f64,
        order: NormOrder,
        eps: f64,
    ) -> Self {
        let norm = LayerNorm::with_eps(init, dim, eps);
        Self { norm, dropout: Dropout::new(dropout), order }
    }

    /// norm(x + branch(x)), or x + branch(norm(x)).
    pub(crate) fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        branch: impl FnOnce(&Var<E>) -> Var<E>,
    ) -> Var<E> {
        match self.order {
            NormOrder::Pre => self.dropout.forward(cx, branch(&self.norm.forward(cx, x))) + x,
            NormOrder::Post => self.norm.forward(cx, &(self.dropout.forward(cx, branch(x)) + x)),
        }
    }
}
