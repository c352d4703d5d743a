//! The feed-forward half of a transformer block.

use autograd::Var;
use tensor::Float;

use super::{Dropout, Linear};
use crate::{Context, Init};

/// fc2(GELU(fc1(x))). Parameters: those of `fc1` and `fc2`.
#[derive(Clone, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
    dropout: Dropout,
}

impl Mlp {
    /// dim → hidden → dim, with dropout after both layers.
    pub fn new(init: &mut Init<'_>, dim: usize, hidden: usize, dropout: f64) -> Self {
        let fc1 = Linear::new(&mut init.scope("fc1"), dim, hidden);
        let fc2 = Linear::new(&mut init.scope("fc2"), hidden, dim);
        Self { fc1, fc2, dropout: Dropout::new(dropout) }
    }

    /// x [… dim] → [… dim].
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        let hidden = self.dropout.forward(cx, self.fc1.forward(cx, x).gelu());
        self.dropout.forward(cx, self.fc2.forward(cx, &hidden))
    }
}
