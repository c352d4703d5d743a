//! Random omission, in training only.

use autograd::Var;
use rand::RngExt;
use tensor::{Float, Shape, Tensor};

use crate::Context;

/// Sets each element to 0 with probability p and scales the rest by 1/(1 − p) (Srivastava et al. 2014).
#[derive(Clone, Copy, Debug, Default)]
pub struct Dropout {
    p: f64,
}

/// Sets whole samples of a residual branch to 0 with probability p and scales the rest by 1/(1 − p): stochastic depth
/// (Huang et al. 2016), timm's `DropPath`.
#[derive(Clone, Copy, Debug, Default)]
pub struct DropPath {
    p: f64,
}

impl Dropout {
    /// # Panics
    /// If p is not in [0, 1).
    #[track_caller]
    pub fn new(p: f64) -> Self {
        assert!((0.0..1.0).contains(&p), "dropout: probability {p} outside of [0, 1)");
        Self { p }
    }

    /// Whether [`forward`](Self::forward) changes anything in this pass.
    pub(super) fn omits<E: Float>(&self, cx: &Context<'_, E>) -> bool {
        cx.is_training() && self.p > 0.0
    }

    /// x of any shape.
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, x: Var<E>) -> Var<E> {
        let shape = x.shape();
        omit(cx, x, self.p, shape)
    }
}

impl DropPath {
    /// # Panics
    /// If p is not in [0, 1).
    #[track_caller]
    pub fn new(p: f64) -> Self {
        assert!((0.0..1.0).contains(&p), "drop path: probability {p} outside of [0, 1)");
        Self { p }
    }

    /// Whether [`forward`](Self::forward) changes anything in this pass.
    pub(super) fn omits<E: Float>(&self, cx: &Context<'_, E>) -> bool {
        cx.is_training() && self.p > 0.0
    }

    /// x [B, …]: one decision for each of the B samples.
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, x: Var<E>) -> Var<E> {
        let one_each = (1..x.shape().rank()).fold(x.shape(), |shape, axis| shape.with(axis, 1));
        omit(cx, x, self.p, one_each)
    }
}

fn omit<E: Float>(cx: &Context<'_, E>, x: Var<E>, p: f64, decisions: Shape) -> Var<E> {
    let Some(rng) = cx.rng().filter(|_| p > 0.0) else { return x };
    let mut rng = rng.borrow_mut();
    let kept = E::from_f64(1.0 / (1.0 - p));
    let mask = Tensor::from_fn(decisions, |_| if rng.random::<f64>() < p { E::ZERO } else { kept });
    x.mask(mask)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    use super::*;
    use crate::Params;

    #[test]
    fn the_mean_stays_and_evaluation_omits_nothing() {
        let params = Params::new();
        let x = Var::constant(Tensor::<f32>::ones([100, 100]));
        let cx = Context::train(&params, ChaCha8Rng::seed_from_u64(1));
        let y = Dropout::new(0.25).forward(&cx, x.clone());
        assert!((y.value().mean_all().item() - 1.0).abs() < 0.02);
        assert!(y.value().data().iter().all(|y| *y == 0.0 || (*y - 4.0 / 3.0).abs() < 1e-6));
        let rows = DropPath::new(0.5).forward(&cx, x.clone()).value().sum(&[1]);
        assert!(rows.data().iter().all(|sum| *sum == 0.0 || *sum == 200.0));
        assert_eq!(
            Dropout::new(0.25).forward(&Context::eval(&params), x.clone()).value(),
            x.value()
        );
    }
}
