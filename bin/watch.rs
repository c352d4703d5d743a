//! Looks out for what training survives but should not pass over: parameters that get no gradient, and gradients that explode.

use std::collections::VecDeque;

use nn::{Grads, Params};
use serde::{Deserialize, Serialize};

/// Steps after which every parameter should have had a gradient, if the first epoch has not ended before.
const PATIENCE: u64 = 100;
/// Norms of which the median is taken.
const WINDOW: usize = 101;
/// Norms without which there is no median yet.
const FEWEST: usize = 20;
/// A norm explodes above this many medians.
const EXPLOSION: f64 = 100.0;

/// What was seen so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// Trainable parameters that had no gradient but 0 yet, by their place in the arena.
    silent: Vec<usize>,
    /// Norms of the last steps' gradients, before clipping.
    norms: VecDeque<f64>,
    /// Steps whose gradient exploded.
    exploded: u64,
}

/// Something that a person should know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Warning {
    /// In words, for stderr; nothing if it was said before.
    pub(crate) words: Option<String>,
    /// For the log, without the step.
    pub(crate) line: serde_json::Value,
}

impl Watch {
    /// Nothing seen of these parameters.
    pub(crate) fn new(params: &Params) -> Self {
        let trainable = params.iter().enumerate().filter(|(_, param)| param.trainable);
        Self { silent: trainable.map(|(place, _)| place).collect(), ..Self::default() }
    }

    /// Takes in the gradients of step `step`, from 1, of this norm; the first epoch ends with step `epoch`.
    pub(crate) fn see(
        &mut self,
        params: &Params,
        grads: &Grads,
        norm: f64,
        step: u64,
        epoch: u64,
    ) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let last = PATIENCE.min(epoch);
        if step <= last && !self.silent.is_empty() {
            let grads: Vec<_> = grads.iter().collect();
            let is_silent = |g: &tensor::Tensor| g.contiguous().data().iter().all(|x| *x == 0.0);
            self.silent.retain(|&place| grads.get(place).copied().flatten().is_none_or(is_silent));
            if step == last && !self.silent.is_empty() {
                warnings.push(self.dead(params, step));
            }
        }
        if let Some(median) = self.median().filter(|median| norm > EXPLOSION * median) {
            self.exploded += 1;
            let words = (self.exploded == 1).then(|| {
                format!(
                    "step {step}: the gradient's norm {norm:.3e} is {:.0} times the median {median:.3e} of the steps before \
                     (said once; metrics.jsonl has all of these steps)",
                    norm / median
                )
            });
            let line = serde_json::json!({
                "warning": "exploding gradient", "grad_norm": norm, "median": median, "exploded": self.exploded,
            });
            warnings.push(Warning { words, line });
        }
        self.norms.push_back(norm);
        if self.norms.len() > WINDOW {
            self.norms.pop_front();
        }
        warnings
    }

    fn dead(&self, params: &Params, step: u64) -> Warning {
        let name = |&place: &usize| params.iter().nth(place).map(|param| param.name.as_str());
        let names: Vec<&str> = self.silent.iter().filter_map(name).collect();
        let (count, shown) = (names.len(), names[..names.len().min(8)].join("`, `"));
        let more = if count > 8 { ", …" } else { "" };
        let words = format!(
            "after {step} steps {count} of {} parameters had no gradient but 0: `{shown}`{more}",
            params.len()
        );
        let line =
            serde_json::json!({ "warning": "parameters without gradient", "parameters": names });
        Warning { words: Some(words), line }
    }

    fn median(&self) -> Option<f64> {
        let mut norms: Vec<f64> = self.norms.iter().copied().collect();
        norms.sort_by(f64::total_cmp);
        (norms.len() >= FEWEST).then(|| norms[norms.len() / 2])
    }
}

#[cfg(test)]
mod tests {
    use autograd::Var;
    use nn::{Context, Fill, Init};
    use tensor::Tensor;

    use super::*;

    fn model() -> (Params, Grads) {
        let mut params = Params::new();
        let mut init = Init::new(&mut params, 0);
        let used = init.param("used", [2], Fill::Ones, true);
        let cut = init.param("cut", [2], Fill::Ones, true);
        init.param("forgotten", [2], Fill::Ones, true);
        let frozen = init.param("frozen", [2], Fill::Ones, true);
        init.freeze(frozen);
        let grads = {
            let cx = Context::differentiate(&params);
            let none = Var::constant(Tensor::zeros([2]));
            cx.backward(&cx.param(used).add(&cx.param(cut).mul(&none)).sum_all())
        };
        (params, grads)
    }

    #[test]
    fn parameters_without_gradient_are_named_once_when_the_first_epoch_or_100_steps_are_over() {
        let (params, grads) = model();
        for (epoch, expected) in [(7, 7), (1000, 100)] {
            let mut watch = Watch::new(&params);
            let warned: Vec<_> = (1..=300)
                .flat_map(|step| {
                    let warnings = watch.see(&params, &grads, 1.0, step, epoch);
                    warnings.into_iter().map(move |warning| (step, warning))
                })
                .collect();
            let [(step, warning)] = warned.as_slice() else { panic!("{warned:?}") };
            assert_eq!(*step, expected);
            assert_eq!(warning.line["parameters"], serde_json::json!(["cut", "forgotten"]));
            let words = warning.words.as_deref().expect("said");
            assert!(words.ends_with("2 of 4 parameters had no gradient but 0: `cut`, `forgotten`"));
        }
    }

    #[test]
    fn exploding_gradients_are_counted_and_said_once() {
        let (params, grads) = model();
        let mut watch = Watch { silent: Vec::new(), ..Watch::new(&params) };
        let mut warned = Vec::new();
        for step in 1..=60 {
            let norm = if step % 15 == 0 { 101.0 } else { 1.0 };
            for warning in watch.see(&params, &grads, norm, step, 1000) {
                warned.push((step, warning.words.is_some(), warning.line["exploded"].as_u64()));
            }
        }
        // Step 15 comes before there is a median.
        let expected = [(30, true, Some(1)), (45, false, Some(2)), (60, false, Some(3))];
        assert_eq!(warned, expected);
        let copy = serde_json::to_string(&watch).expect("JSON");
        assert_eq!(serde_json::from_str::<Watch>(&copy).expect("a watch"), watch);
    }
}
