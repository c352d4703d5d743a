//! Optimizers, schedules and averages: loops over the arena.

mod adamw;
mod ema;
mod schedule;
mod sgd;

pub use adamw::{AdamW, AdamWConfig};
pub use ema::Ema;
pub use schedule::WarmupCosine;
pub use sgd::{Sgd, SgdConfig};

use tensor::{Float, Tensor};

use crate::params::Owner;
use crate::{Grads, Params};

/// The factor that brings a gradient of norm `norm` to at most `max_norm`: min(1, max_norm / (norm + 1e-6)), as PyTorch's
/// `clip_grad_norm_` has it. Handed to an optimizer's step, so that clipping costs no pass of its own.
///
/// NaN for a norm that is NaN, and 0 for an infinite one, which makes NaN of the infinite gradients: a step that is not
/// finite is seen in the parameters.
///
/// # Panics
/// If `max_norm` is not positive.
#[track_caller]
pub fn clip_scale(norm: f64, max_norm: f64) -> f64 {
    assert!(max_norm > 0.0, "clip_scale: max_norm {max_norm}, positive number expected");
    let scale = max_norm / (norm + 1e-6);
    if scale > 1.0 { 1.0 } else { scale } // f64::min would take NaN for 1
}

/// What an optimizer remembers of each parameter: N tensors of its shape.
#[derive(Clone, Debug)]
struct State<E: Float, const N: usize> {
    owner: Owner,
    tensors: Vec<[Tensor<E>; N]>,
}

impl<E: Float, const N: usize> State<E, N> {
    fn zeros(params: &Params<E>) -> Self {
        let zeros = |shape| std::array::from_fn(|_| Tensor::zeros(shape));
        let tensors = params.iter().map(|param| zeros(param.value.shape())).collect();
        Self { owner: params.owner(), tensors }
    }

    fn tensors(&self) -> &[[Tensor<E>; N]] {
        &self.tensors
    }

    fn tensors_mut(&mut self) -> &mut [[Tensor<E>; N]] {
        &mut self.tensors
    }

    /// Refuses parameters and gradients that it is not the state of, before anything is changed.
    #[track_caller]
    fn check(&self, optimizer: &str, params: &Params<E>, grads: &Grads<E>) {
        self.owner.check(&format!("{optimizer}: an optimizer"), &params.owner());
        for (param, state) in params.iter().zip(&self.tensors) {
            let (expected, found) = (state[0].shape(), param.value.shape());
            let same = expected == found;
            assert!(same, "{optimizer}: `{}` is {found}, and was {expected}", param.name);
        }
        grads.check(optimizer, params);
    }

    #[track_caller]
    fn restore(&mut self, optimizer: &str, tensors: Vec<[Tensor<E>; N]>) {
        let (expected, found) = (self.tensors.len(), tensors.len());
        assert!(expected == found, "{optimizer}: a state of {found} parameters for {expected}");
        let pairs = self.tensors.iter().flatten().zip(tensors.iter().flatten());
        for (expected, found) in pairs.map(|(old, new)| (old.shape(), new.shape())) {
            assert!(expected == found, "{optimizer}: a state {found} for a parameter {expected}");
        }
        self.tensors = tensors;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_that_is_no_number_is_not_clipped_to_one() {
        assert!(clip_scale(f64::NAN, 1.0).is_nan());
        assert_eq!(clip_scale(f64::INFINITY, 1.0), 0.0);
        assert_eq!(clip_scale(0.5, 1.0), 1.0);
        assert!((clip_scale(4.0, 1.0) - 0.25).abs() < 1e-6);
    }
}
