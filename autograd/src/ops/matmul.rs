//! The batched matrix product.

use tensor::Float;

use crate::{Op, Var};

impl<E: Float> Var<E> {
    /// C = A·B over the last two axes, leading axes broadcast; dA = g·Bᵀ, dB = Aᵀ·g.
    #[track_caller]
    pub fn matmul(&self, rhs: &Self) -> Self {
        let (a, b) = (self.value().clone(), rhs.value().clone());
        Op::new("matmul", a.matmul(&b))
            .wrt(self, move |g| g.matmul(&b.transpose(-2, -1)))
            .wrt(rhs, move |g| a.transpose(-2, -1).matmul(&g))
            .record()
    }
}
