//! Stochastic gradient descent with momentum.

use serde::{Deserialize, Serialize};
use tensor::{Float, Tensor};

use super::State;
use crate::{Grads, Params};

/// Constants of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// Momentum μ.
    pub momentum: f64,
    /// Weight decay λ, added to the gradient of parameters that decay.
    pub weight_decay: f64,
    /// Nesterov's form: the step looks ahead along the new velocity.
    pub nesterov: bool,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { momentum: 0.9, weight_decay: 0.0, nesterov: false }
    }
}

/// u ← μu + g + λθ, θ ← θ − η·u; with Nesterov θ ← θ − η·(g + λθ + μu). PyTorch's form (Sutskever et al. 2013).
#[derive(Clone, Debug)]
pub struct Sgd<E: Float = f32> {
    config: SgdConfig,
    velocities: State<E, 1>,
}

impl<E: Float> Sgd<E> {
    /// An optimizer of these parameters, with velocities 0.
    ///
    /// # Panics
    /// If the momentum is not in [0, 1], if λ is not a number from 0 on, or if Nesterov's form is asked for without momentum.
    #[track_caller]
    pub fn new(params: &Params<E>, config: SgdConfig) -> Self {
        let SgdConfig { momentum, weight_decay, nesterov } = config;
        assert!((0.0..=1.0).contains(&momentum), "sgd: momentum {momentum} outside of [0, 1]");
        let decays = weight_decay >= 0.0 && weight_decay.is_finite();
        assert!(decays, "sgd: weight_decay {weight_decay}, at least 0 expected");
        assert!(!nesterov || momentum > 0.0, "sgd: nesterov without momentum");
        Self { config, velocities: State::zeros(params) }
    }

    /// The velocity of each parameter, in the order of the arena.
    pub fn velocities(&self) -> &[[Tensor<E>; 1]] {
        self.velocities.tensors()
    }

    /// Puts back what [`Sgd::velocities`] gave.
    ///
    /// # Panics
    /// If they are not those of as many parameters of the same shapes.
    #[track_caller]
    pub fn restore(&mut self, velocities: Vec<[Tensor<E>; 1]>) {
        self.velocities.restore("sgd", velocities);
    }

    /// One step with learning rate η = `rate`; gradients count `scale` times. A parameter without gradient stays as it is.
    ///
    /// # Panics
    /// If parameters or gradients are not those that the optimizer was made for; nothing is changed then.
    #[track_caller]
    pub fn step(&mut self, params: &mut Params<E>, grads: &Grads<E>, rate: f64, scale: f64) {
        self.velocities.check("sgd", params, grads);
        let SgdConfig { momentum, weight_decay, nesterov } = self.config;
        let (mu, scale) = (E::from_f64(momentum), E::from_f64(scale));
        let states = self.velocities.tensors_mut().iter_mut();
        for ((param, [u]), g) in params.iter_mut().zip(states).zip(grads.iter()) {
            let Some(g) = g.filter(|_| param.trainable) else { continue };
            let rate = E::from_f64(rate * param.rate);
            let decay = E::from_f64(if param.decay { weight_decay } else { 0.0 });
            let slices = param.value.data_mut().iter_mut().zip(g.data()).zip(u.data_mut());
            for ((x, g), u) in slices {
                let g = scale * *g + decay * *x;
                *u = mu * *u + g;
                *x -= rate * if nesterov { g + mu * *u } else { *u };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Fill, Init};

    #[test]
    fn momentum_accumulates_as_its_formula_says() {
        let mut params = Params::new();
        let w = Init::new(&mut params, 0).param("w", [1], Fill::Ones, true);
        let mut params = params.cast::<f64>();
        let mut optimizer = Sgd::new(&params, SgdConfig { momentum: 0.5, ..SgdConfig::default() });
        for expected in [1.0 - 0.1, 1.0 - 0.1 - 0.15, 1.0 - 0.1 - 0.15 - 0.175] {
            let cx = Context::differentiate(&params);
            let grads = cx.backward(&cx.param(w).sum_all());
            optimizer.step(&mut params, &grads, 0.1, 1.0);
            assert!((params.get(w).value.item() - expected).abs() < 1e-12);
        }
    }
}
