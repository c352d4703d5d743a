//! AdamW (Loshchilov and Hutter 2019).

use serde::{Deserialize, Serialize};
use tensor::{Float, Tensor, par};

use super::State;
use crate::{Grads, Params};

/// Constants of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay β₁ of the mean of gradients.
    pub beta1: f64,
    /// Decay β₂ of the mean of squared gradients.
    pub beta2: f64,
    /// ε, added to √v̂.
    pub eps: f64,
    /// Weight decay λ, of parameters that decay.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.05 }
    }
}

/// With g the clipped gradient and t the number of steps in which the parameter had one:
///
/// m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← θ − η·λ·θ − η·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε),
///
/// in one pass over each parameter. Weight decay is decoupled, and applies to parameters that decay only. A parameter
/// without gradient stays as it is, and the step does not count for it, as in PyTorch.
#[derive(Clone, Debug)]
pub struct AdamW<E: Float = f32> {
    config: AdamWConfig,
    steps: Vec<u64>,
    moments: State<E, 2>,
}

/// Elements of a parameter that one task updates.
const CHUNK: usize = 1 << 15;

impl<E: Float> AdamW<E> {
    /// An optimizer of these parameters, with moments 0.
    ///
    /// # Panics
    /// If a decay β is not in [0, 1), or if ε or λ is not a number from 0 on.
    #[track_caller]
    pub fn new(params: &Params<E>, config: AdamWConfig) -> Self {
        for (name, beta) in [("beta1", config.beta1), ("beta2", config.beta2)] {
            assert!((0.0..1.0).contains(&beta), "adamw: {name} {beta} outside of [0, 1)");
        }
        for (name, x) in [("eps", config.eps), ("weight_decay", config.weight_decay)] {
            assert!(x >= 0.0 && x.is_finite(), "adamw: {name} {x}, at least 0 expected");
        }
        Self { config, steps: vec![0; params.len()], moments: State::zeros(params) }
    }

    /// The number of steps taken by each parameter, in the order of the arena.
    pub fn steps(&self) -> &[u64] {
        &self.steps
    }

    /// The moments m and v of each parameter, in the order of the arena.
    pub fn moments(&self) -> &[[Tensor<E>; 2]] {
        self.moments.tensors()
    }

    /// Puts back what [`AdamW::steps`] and [`AdamW::moments`] gave.
    ///
    /// # Panics
    /// If they are not those of as many parameters of the same shapes.
    #[track_caller]
    pub fn restore(&mut self, steps: Vec<u64>, moments: Vec<[Tensor<E>; 2]>) {
        let (expected, found) = (self.steps.len(), steps.len());
        assert!(expected == found, "adamw: counts of {found} parameters for {expected}");
        self.moments.restore("adamw", moments);
        self.steps = steps;
    }

    /// One step with learning rate η = `rate`; gradients count `scale` times (see [`clip_scale`](super::clip_scale)).
    ///
    /// # Panics
    /// If parameters or gradients are not those that the optimizer was made for; nothing is changed then.
    #[track_caller]
    pub fn step(&mut self, params: &mut Params<E>, grads: &Grads<E>, rate: f64, scale: f64) {
        self.moments.check("adamw", params, grads);
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        let (b1, b2, eps, scale) =
            (E::from_f64(beta1), E::from_f64(beta2), E::from_f64(eps), E::from_f64(scale));
        let (c1, c2) = (E::from_f64(1.0 - beta1), E::from_f64(1.0 - beta2));

        let mut tasks = Vec::new();
        let states = self.moments.tensors_mut().iter_mut().zip(&mut self.steps);
        for ((param, ([m, v], steps)), g) in params.iter_mut().zip(states).zip(grads.iter()) {
            let Some(g) = g.filter(|_| param.trainable) else { continue };
            *steps += 1;
            let correction = |beta: f64| 1.0 - beta.powi(i32::try_from(*steps).unwrap_or(i32::MAX));
            let rate = rate * param.rate;
            let factors = [
                if param.decay { 1.0 - rate * weight_decay } else { 1.0 },
                rate / correction(beta1),
                1.0 / correction(beta2).sqrt(),
            ];
            let factors = factors.map(E::from_f64);
            let slices = param.value.data_mut().chunks_mut(CHUNK).zip(g.data().chunks(CHUNK));
            let moments = m.data_mut().chunks_mut(CHUNK).zip(v.data_mut().chunks_mut(CHUNK));
            tasks.extend(slices.zip(moments).map(|slices| (factors, slices)));
        }
        let elements = tasks.iter().map(|(_, ((x, _), _))| x.len()).sum();
        let work = par::work(&[elements, par::ELEMENT]);
        par::for_chunks(&mut tasks, 1, work, |_, task| {
            let ([keep, step_size, v_scale], ((x, g), (m, v))) = &mut task[0];
            let (keep, step_size, v_scale) = (*keep, *step_size, *v_scale);
            E::vectorize(
                #[inline(always)]
                |_| {
                    for (((x, g), m), v) in
                        x.iter_mut().zip(g.iter()).zip(m.iter_mut()).zip(v.iter_mut())
                    {
                        let g = scale * *g;
                        *m = b1 * *m + c1 * g;
                        *v = b2 * *v + c2 * (g * g);
                        *x = keep * *x - step_size * *m / (v.sqrt() * v_scale + eps);
                    }
                },
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Fill, Init};

    #[test]
    fn the_first_step_moves_by_the_rate_against_the_gradients_sign() {
        let mut params = Params::new();
        let mut init = Init::new(&mut params, 0);
        let w = init.param("w", [2], Fill::Ones, true);
        let b = init.param("b", [2], Fill::Ones, false);
        let config = AdamWConfig { weight_decay: 0.5, ..AdamWConfig::default() };
        let mut params = params.cast::<f64>();
        let mut optimizer = AdamW::new(&params, config);
        let cx = Context::differentiate(&params);
        let slopes = autograd::Var::constant(Tensor::from_vec([2], vec![3.0, -0.1]));
        let loss = cx.param(w).mul(&slopes).add(&cx.param(b).mul(&slopes)).sum_all();
        let grads = cx.backward(&loss);
        optimizer.step(&mut params, &grads, 0.1, 1.0);
        let close = |id, expected: [f64; 2]| {
            let found = params.get(id).value.to_vec();
            assert!(
                found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-7),
                "{found:?} {expected:?}"
            );
        };
        close(w, [0.95 - 0.1, 0.95 + 0.1]);
        close(b, [1.0 - 0.1, 1.0 + 0.1]);
    }
}
