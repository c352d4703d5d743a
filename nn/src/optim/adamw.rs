//! AdamW (Loshchilov and Hutter 2019).

use serde::{Deserialize, Serialize};
use tensor::{Float, Tensor, par};

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

/// With g the clipped gradient and t the number of the step:
///
/// m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← θ − η·λ·θ − η·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε),
///
/// in one pass over each parameter. Weight decay is decoupled, and applies to parameters that decay only. A parameter
/// without gradient stays as it is.
#[derive(Clone, Debug)]
pub struct AdamW<E: Float = f32> {
    config: AdamWConfig,
    steps: u64,
    moments: Vec<[Tensor<E>; 2]>,
}

/// Elements of a parameter that one task updates.
const CHUNK: usize = 1 << 15;

impl<E: Float> AdamW<E> {
    /// An optimizer of these parameters, with moments 0.
    pub fn new(params: &Params<E>, config: AdamWConfig) -> Self {
        let zeros = |shape| [Tensor::zeros(shape), Tensor::zeros(shape)];
        Self {
            config,
            steps: 0,
            moments: params.iter().map(|param| zeros(param.value.shape())).collect(),
        }
    }

    /// The number of steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The moments m and v of each parameter, in the order of the arena.
    pub fn moments(&self) -> &[[Tensor<E>; 2]] {
        &self.moments
    }

    /// Puts back what [`AdamW::steps`] and [`AdamW::moments`] gave.
    ///
    /// # Panics
    /// If the moments are not those of the same parameters.
    #[track_caller]
    pub fn restore(&mut self, steps: u64, moments: Vec<[Tensor<E>; 2]>) {
        let shapes = |moments: &[[Tensor<E>; 2]]| -> Vec<_> {
            moments.iter().flatten().map(|moment| moment.shape()).collect()
        };
        assert_eq!(shapes(&moments), shapes(&self.moments), "adamw: shapes of the moments");
        (self.steps, self.moments) = (steps, moments);
    }

    /// One step with learning rate η = `rate`; gradients count `scale` times (see [`clip_scale`](super::clip_scale)).
    pub fn step(&mut self, params: &mut Params<E>, grads: &Grads<E>, rate: f64, scale: f64) {
        self.steps += 1;
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        let correction = |beta: f64| 1.0 - beta.powi(i32::try_from(self.steps).unwrap_or(i32::MAX));
        let step_size = E::from_f64(rate / correction(beta1));
        let v_scale = E::from_f64(1.0 / correction(beta2).sqrt());
        let (b1, b2, eps, scale) =
            (E::from_f64(beta1), E::from_f64(beta2), E::from_f64(eps), E::from_f64(scale));
        let (c1, c2) = (E::from_f64(1.0 - beta1), E::from_f64(1.0 - beta2));

        let mut tasks = Vec::new();
        for ((param, [m, v]), g) in
            params.as_mut_slice().iter_mut().zip(&mut self.moments).zip(&grads.by_param)
        {
            let Some(g) = g.as_ref().filter(|_| param.trainable) else { continue };
            let keep = E::from_f64(if param.decay { 1.0 - rate * weight_decay } else { 1.0 });
            let slices = param.value.data_mut().chunks_mut(CHUNK).zip(g.data().chunks(CHUNK));
            let moments = m.data_mut().chunks_mut(CHUNK).zip(v.data_mut().chunks_mut(CHUNK));
            tasks.extend(slices.zip(moments).map(|slices| (keep, slices)));
        }
        par::for_chunks(&mut tasks, 1, |_, task| {
            let (keep, ((x, g), (m, v))) = &mut task[0];
            let keep = *keep;
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
