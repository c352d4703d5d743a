//! The MLP that turns features of a position into its encoding.

use autograd::Var;
use tensor::Float;

use crate::layers::Linear;
use crate::{Context, Fill, Init};

/// GELU(f·W₁ + b₁)·W₂ + b₂ of features f [N, G, F], the groups side by side: [N, D]. All groups share all weights.
#[derive(Clone, Debug)]
pub struct PositionMlp {
    fc1: Linear,
    fc2: Linear,
}

impl PositionMlp {
    /// F `features`, |H| `hidden`, D/G `width`. Filled as PyTorch fills it: uniform within ±1/√fan-in.
    #[track_caller]
    pub fn new(init: &mut Init<'_>, features: usize, hidden: usize, width: usize) -> Self {
        let fill = |inputs: usize| Fill::Uniform(1.0 / (inputs as f64).sqrt());
        let fc1 = Linear::with(&mut init.scope("fc1"), features, hidden, fill(features), true);
        let fc2 = Linear::with(&mut init.scope("fc2"), hidden, width, fill(hidden), true);
        Self { fc1, fc2 }
    }

    /// Features [N, G, F] → [N, D].
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, features: &Var<E>) -> Var<E> {
        side_by_side(&self.fc2.forward(cx, &self.fc1.forward(cx, features).gelu()))
    }
}

/// [N, G, D/G] → [N, D].
#[track_caller]
pub(crate) fn side_by_side<E: Float>(y: &Var<E>) -> Var<E> {
    let &[n, groups, width] = y.dims() else { panic!("position: [N, G, M] expected") };
    y.reshape([n, groups * width])
}
