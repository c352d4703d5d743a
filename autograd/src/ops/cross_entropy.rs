//! Softmax cross-entropy with class indices.

use tensor::{Float, Simd, Tensor, par, sum_row};

use super::softmax::LogSum;
use crate::{Op, Var};

/// Options of [`cross_entropy`]; the default has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// Mass ε that is taken from the target and spread evenly over all classes (Szegedy et al. 2016, §7).
    pub label_smoothing: f64,
    /// A weight for each class.
    pub class_weights: Option<Vec<f64>>,
    /// Targets with this index do not count.
    pub ignore_index: Option<usize>,
    /// Divides the sum over rows; `None` divides by the sum of the targets' weights, which gives the (weighted) mean.
    pub normalizer: Option<f64>,
}

/// The mean cross-entropy of rows of logits [… C] with one target class each, in nats, as a scalar:
///
/// L = Σᵣ lᵣ / Σᵣ w(tᵣ), lᵣ = (1 − ε)·w(tᵣ)·(z − x_tᵣ) + ε/C · Σ_c w(c)·(z − x_c), z = ln Σ_c e^(x_c),
///
/// which is PyTorch's definition. With p = softmax(x), dx_c = g·(W·p_c − target mass of c) / normalizer, where W is the
/// row's total mass. Without any counted row the loss is 0. Ignored rows are not read; else infinite logits and NaN count
/// as in [`Var::log_softmax`], and a class without mass may be hidden by −∞. The composed twin is
/// [`cross_entropy_composed`](crate::cross_entropy_composed).
///
/// # Panics
/// If there is not one target per row, if a target is not a class, or if the label smoothing is not from 0 to 1.
#[track_caller]
pub fn cross_entropy<E: Float>(
    logits: &Var<E>,
    targets: &[usize],
    options: &CrossEntropy,
) -> Var<E> {
    assert!(logits.shape().rank() > 0, "cross_entropy: logits [… C] expected, found []");
    let classes = logits.value().dim(-1);
    let rows = logits.shape().elements() / classes.max(1);
    let masses = Masses::new(options, classes, rows, targets);
    let source = logits.value().contiguous();
    let work = par::work(&[source.len(), par::FUNCTION]);
    let none = LogSum { max: E::ZERO, rest: E::ZERO };
    let mut losses = vec![(E::ZERO, none); rows]; // loss and ln Σ e^x of each row
    {
        let x = source.data();
        par::for_chunks(&mut losses, 64, work, |first, losses| {
            E::vectorize(
                #[inline(always)]
                |simd| {
                    for (i, loss) in losses.iter_mut().enumerate() {
                        let row = first + i;
                        *loss =
                            masses.loss(targets[row], &x[row * classes..(row + 1) * classes], simd);
                    }
                },
            );
        });
    }
    let total: Vec<E> = losses.iter().map(|loss| loss.0).collect();
    let scale = E::from_f64(1.0 / masses.normalizer);
    let value = Tensor::scalar(sum_row(&total) * scale);
    let targets = targets.to_vec();
    let vjp = move |g: Tensor<E>| {
        let g = g.item() * scale;
        let x = source.data();
        Tensor::build(source.shape(), |out| {
            par::for_chunks(out, 64 * classes, work, |start, out| {
                E::vectorize(
                    #[inline(always)]
                    |simd| {
                        for (i, out) in out.chunks_mut(classes).enumerate() {
                            let row = start / classes + i;
                            let x = &x[row * classes..(row + 1) * classes];
                            masses.gradient(targets[row], x, losses[row].1, g, out, simd);
                        }
                    },
                );
            });
        })
    };
    Op::new("cross_entropy", value).wrt(logits, vjp).record()
}

/// How much probability mass each class of a row is to have.
struct Masses<E> {
    weights: Option<Vec<E>>,
    target: E,
    spread: E,
    ignored: Option<usize>,
    normalizer: f64,
}

impl<E: Float> Masses<E> {
    #[track_caller]
    fn new(options: &CrossEntropy, classes: usize, rows: usize, targets: &[usize]) -> Self {
        assert!(
            targets.len() == rows,
            "cross_entropy: {} targets for {rows} rows of logits",
            targets.len()
        );
        let smoothing = options.label_smoothing;
        let fits = (0.0..=1.0).contains(&smoothing);
        assert!(fits, "cross_entropy: label smoothing must be from 0 to 1, found {smoothing}");
        let weights = options.class_weights.as_deref();
        if let Some(weights) = weights {
            let found = weights.len();
            assert!(found == classes, "cross_entropy: {found} weights for {classes} classes");
        }
        let counted = targets.iter().filter(|&&t| Some(t) != options.ignore_index);
        let mut weight = 0.0;
        for &target in counted {
            assert!(target < classes, "cross_entropy: target {target} of {classes} classes");
            weight += weights.map_or(1.0, |w| w[target]);
        }
        let normalizer = options.normalizer.unwrap_or(if weight == 0.0 { 1.0 } else { weight });
        Self {
            weights: weights.map(|w| w.iter().map(|&w| E::from_f64(w)).collect()),
            target: E::from_f64(1.0 - options.label_smoothing),
            spread: E::from_f64(options.label_smoothing / classes as f64),
            ignored: options.ignore_index,
            normalizer,
        }
    }

    /// Loss and ln Σ eˣ of a row.
    #[inline(always)]
    fn loss(&self, target: usize, x: &[E], simd: Simd) -> (E, LogSum<E>) {
        if Some(target) == self.ignored {
            return (E::ZERO, LogSum { max: E::ZERO, rest: E::ZERO });
        }
        let z = LogSum::of(x, simd);
        let weight = |c: usize| self.weights.as_ref().map_or(E::ONE, |w| w[c]);
        let cost = |mass: E, c: usize| mass * weight(c) * -z.log_share(x[c]);
        let mut loss = if self.target == E::ZERO { E::ZERO } else { cost(self.target, target) };
        if self.spread != E::ZERO {
            loss += self.spread * (0..x.len()).map(|c| cost(E::ONE, c)).sum::<E>();
        }
        (loss, z)
    }

    /// g·dl/dx of a row.
    #[inline(always)]
    fn gradient(&self, target: usize, x: &[E], z: LogSum<E>, g: E, out: &mut [E], simd: Simd) {
        if Some(target) == self.ignored {
            return out.fill(E::ZERO);
        }
        match &self.weights {
            None => {
                // The masses sum to 1.
                let spread = self.spread;
                for (out, x) in out.iter_mut().zip(x) {
                    *out = g * (z.log_share(*x).exp(simd) - spread);
                }
                out[target] -= g * self.target;
            }
            Some(w) => {
                let mass = self.target * w[target] + self.spread * w.iter().copied().sum::<E>();
                for ((out, x), w) in out.iter_mut().zip(x).zip(w) {
                    *out = g * (mass * z.log_share(*x).exp(simd) - self.spread * *w);
                }
                out[target] -= g * self.target * w[target];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Tape;

    use super::*;

    #[test]
    fn uniform_logits_cost_the_logarithm_of_the_number_of_classes() {
        let tape: Tape<f64> = Tape::new();
        let x = tape.leaf(Tensor::zeros([2, 4]));
        let loss = cross_entropy(&x, &[0, 3], &CrossEntropy::default());
        assert!((loss.value().item() - 4f64.ln()).abs() < 1e-15);
        let g = tape.backward(&loss).get(&x).expect("tracked").to_vec();
        assert_eq!(g, [-0.375, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, -0.375]);
    }

    #[test]
    fn ignored_rows_and_weights_count_as_in_the_weighted_mean() {
        let x = Var::<f64>::constant(Tensor::from_vec(
            [3, 2],
            vec![0.0, 0.0, 0.0, 3f64.ln(), 9.0, -9.0],
        ));
        let weighted = CrossEntropy {
            class_weights: Some(vec![1.0, 3.0]),
            ignore_index: Some(7),
            ..CrossEntropy::default()
        };
        let loss = cross_entropy(&x, &[0, 1, 7], &weighted).value().item();
        let expected = (2f64.ln() + 3.0 * (4.0f64 / 3.0).ln()) / 4.0;
        assert!((loss - expected).abs() < 1e-15, "{loss} {expected}");
    }

    #[test]
    fn large_equal_logits_cost_what_small_ones_do() {
        for size in [1e4f32, 1e6, 1e7, 1e30] {
            let tape = Tape::new();
            let x = tape.leaf(Tensor::full([1, 2], size));
            let loss = cross_entropy(&x, &[0], &CrossEntropy::default());
            assert!((loss.value().item() - std::f32::consts::LN_2).abs() < 1e-7, "{loss:?}");
            let g = tape.backward(&loss).get(&x).expect("tracked").to_vec();
            assert!((g[0] + 0.5).abs() < 1e-6 && (g[1] - 0.5).abs() < 1e-6, "{g:?}");
        }
    }

    #[test]
    fn infinite_logits_cost_what_they_do_in_the_limit_and_a_nan_is_kept() {
        let top = f32::INFINITY;
        let ignoring = CrossEntropy { ignore_index: Some(1), ..CrossEntropy::default() };
        let cases = [
            ([top, 0.0], 0, 0.0),
            ([top, 0.0], 1, top),
            ([0.0, -top], 0, 0.0),
            ([0.0, -top], 1, top),
            ([top, top], 0, f32::NAN),
            ([-top, -top], 0, f32::NAN),
            ([f32::NAN, 0.0], 1, f32::NAN),
            ([0.0, f32::NAN], 0, f32::NAN),
        ];
        for (logits, target, expected) in cases {
            let x: Var = Var::constant(Tensor::from_vec([1, 2], logits.to_vec()));
            for twin in [cross_entropy, crate::cross_entropy_composed] {
                let loss = twin(&x, &[target], &CrossEntropy::default()).value().item();
                let same = loss == expected || (loss.is_nan() && expected.is_nan());
                assert!(same, "{logits:?} {target}: {loss}");
                if target == 1 {
                    assert_eq!(twin(&x, &[1], &ignoring).value().item(), 0.0);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "cross_entropy: label smoothing must be from 0 to 1, found 2")]
    fn more_smoothing_than_there_is_mass_is_refused() {
        let options = CrossEntropy { label_smoothing: 2.0, ..CrossEntropy::default() };
        cross_entropy(&Var::<f32>::constant(Tensor::zeros([1, 2])), &[0], &options);
    }

    #[test]
    #[should_panic(expected = "cross_entropy: target 2 of 2 classes")]
    fn a_target_that_is_no_class_is_refused() {
        cross_entropy(&Var::<f32>::constant(Tensor::zeros([1, 2])), &[2], &CrossEntropy::default());
    }
}
