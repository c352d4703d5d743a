//! Batch shards: a batch is cut into micro-batches of a fixed size, each differentiated on a tape of its own.
//!
//! One synchronisation a step instead of one an op, activations that stay in the cache, memory of the micro-batches in
//! flight only. Gradients are summed in the order of the shards, so the sum does not depend on the number of threads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use autograd::profile::span;
use autograd::{Anomaly, Tape, Var};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tensor::Float;

use crate::{Context, Grads, Params};

/// Gradients of a batch.
#[derive(Clone, Debug)]
pub struct Step<T, E: Float = f32> {
    /// The sum of the shards' losses.
    pub loss: f64,
    /// The gradient of that sum.
    pub grads: Grads<E>,
    /// What each shard returned beside its loss, in order.
    pub outputs: Vec<T>,
}

/// How a batch is cut, and where the randomness of a step comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards {
    /// Samples of the batch.
    pub batch: usize,
    /// Samples of a shard; the last one may have fewer.
    pub micro_batch: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Number of the step: (seed, step, shard) determine what dropout draws.
    pub step: u64,
}

/// Tokens that a shard has at least.
const TOKENS: usize = 384;

/// The micro-batch that is used unless a config names one: the number of shards is the largest power of two that leaves
/// each at least 384 tokens.
///
/// With that many, products are tall enough to run at full speed, activations still stay in a core's cache, and adding a
/// shard's gradients (12 bytes moved for each parameter) costs little beside computing them (6·384 operations for each).
/// A power of two shares out evenly. The rule depends on model and batch, never on the machine.
pub fn micro_batch(batch: usize, tokens: usize) -> usize {
    let smallest = TOKENS.div_ceil(tokens.max(1)).max(1);
    let shards = 1 << (batch / smallest).max(1).ilog2();
    batch.div_ceil(shards).max(1)
}

impl Shards {
    #[track_caller]
    fn count(&self) -> usize {
        for (name, size) in [("batch", self.batch), ("micro_batch", self.micro_batch)] {
            assert!(size > 0, "shards: {name} must be at least 1");
        }
        self.batch.div_ceil(self.micro_batch)
    }

    fn range(&self, shard: usize) -> Range<usize> {
        let start = shard * self.micro_batch;
        start..start + self.micro_batch.min(self.batch - start)
    }

    /// The randomness of a shard. Steps below 2^48 of up to 2^16 shards are streams of one key; what is beyond has keys of its
    /// own, so that no two shards of a run ever draw the same numbers.
    fn rng(&self, shard: usize) -> ChaCha8Rng {
        let (step, shard) = (self.step, shard as u64);
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        if step >> 48 != 0 || shard >> 16 != 0 {
            let mut key = rng.get_seed();
            let beyond = [step >> 48, shard >> 16].map(u64::to_le_bytes).concat();
            key.iter_mut().zip(beyond).for_each(|(key, beyond)| *key ^= beyond);
            rng = ChaCha8Rng::from_seed(key);
        }
        rng.set_stream(step << 16 | shard & 0xffff);
        rng
    }

    /// Differentiates `loss` on each shard. The closure gets the shard's context and its range of the batch, and returns
    /// the shard's part of the loss, normalised by the whole batch, and anything else.
    ///
    /// Shards run on rayon's threads. If there are fewer shards than threads they run one after another on this thread,
    /// and the ops inside split instead.
    ///
    /// # Panics
    /// If the batch or the micro-batch is 0, or if the loss of a shard has not one element or depends on no parameter.
    #[track_caller]
    pub fn differentiate<T: Send, E: Float>(
        &self,
        params: &Params<E>,
        loss: impl Fn(&Context<'_, E>, Range<usize>) -> (Var<E>, T) + Sync,
    ) -> Step<T, E> {
        let (sum, refused, count) = (InOrder::default(), OnceLock::new(), self.count());
        let run = |shard: usize| {
            let _span = span("shard");
            let cx = Context::train(params, self.rng(shard));
            let (loss, output) = loss(&cx, self.range(shard));
            if loss.value().len() != 1 || !loss.is_tracked() {
                refused.get_or_init(|| match loss.is_tracked() {
                    true => format!("a scalar expected, found {}", loss.shape()),
                    false => format!("the output {} depends on no parameter", loss.shape()),
                });
                return;
            }
            let grads = cx.backward(&loss);
            let loss = loss.value().item().to_f64();
            sum.put(shard, Step { loss, grads, outputs: vec![output] });
        };
        let threads = rayon::current_num_threads().min(count);
        if threads < rayon::current_num_threads() || threads == 1 {
            (0..count).for_each(run);
        } else {
            let next = AtomicUsize::new(0);
            let work = || {
                loop {
                    let shard = next.fetch_add(1, Ordering::Relaxed);
                    if shard >= count {
                        break;
                    }
                    run(shard);
                }
            };
            rayon::scope(|scope| (0..threads).for_each(|_| scope.spawn(|_| work())));
        }
        if let Some(why) = refused.get() {
            panic!("shards: loss of a shard: {why}");
        }
        sum.finish()
    }

    /// The first NaN or infinity of what [`differentiate`](Self::differentiate) computes, and the parameter that was used last
    /// before it, as [`Context::anomaly`] tells them: differentiates shard after shard again, with the same randomness, looking at
    /// every value. `None` if all are finite; a sum of gradients over shards may still not be.
    ///
    /// # Panics
    /// As [`differentiate`](Self::differentiate).
    #[track_caller]
    pub fn diagnose<'p, E: Float>(
        &self,
        params: &'p Params<E>,
        loss: impl Fn(&Context<'_, E>, Range<usize>) -> Var<E>,
    ) -> Option<(Anomaly, Option<&'p str>)> {
        (0..self.count()).find_map(|shard| {
            let cx = Context::train(params, self.rng(shard)).on(Tape::detecting_anomalies());
            cx.backward(&loss(&cx, self.range(shard)));
            cx.anomaly()
        })
    }
}

/// Adds up results in the order of their numbers, whenever they come.
struct InOrder<T, E: Float> {
    waiting: Mutex<Waiting<T, E>>,
    total: Mutex<Step<T, E>>,
}

struct Waiting<T, E: Float> {
    next: usize,
    adding: bool,
    steps: BTreeMap<usize, Step<T, E>>,
}

impl<T, E: Float> Default for InOrder<T, E> {
    fn default() -> Self {
        Self {
            waiting: Mutex::new(Waiting { next: 0, adding: false, steps: BTreeMap::new() }),
            total: Mutex::new(Step { loss: 0.0, grads: Grads::default(), outputs: Vec::new() }),
        }
    }
}

impl<T, E: Float> InOrder<T, E> {
    /// Leaves a result. Whoever completes the order adds up; nobody waits for anybody.
    fn put(&self, number: usize, step: Step<T, E>) {
        let mut waiting = self.waiting.lock().expect("no holder panics");
        waiting.steps.insert(number, step);
        if waiting.adding {
            return;
        }
        waiting.adding = true;
        loop {
            let next = waiting.next;
            let Some(step) = waiting.steps.remove(&next) else { break };
            waiting.next += 1;
            drop(waiting);
            let _span = span("sum of gradients");
            let mut total = self.total.lock().expect("no holder panics");
            total.loss += step.loss;
            total.grads.add(step.grads);
            total.outputs.extend(step.outputs);
            drop(total);
            waiting = self.waiting.lock().expect("no holder panics");
        }
        waiting.adding = false;
    }

    fn finish(self) -> Step<T, E> {
        self.total.into_inner().expect("no holder panicked")
    }
}

#[cfg(test)]
mod tests {
    use autograd::check;
    use rand::Rng;
    use tensor::Tensor;

    use super::*;
    use crate::{Dropout, Fill, Init};

    #[test]
    fn a_number_that_only_dropout_makes_infinite_is_found_where_it_was() {
        let mut params = Params::new();
        let w = Init::new(&mut params, 0).param("w", [4], Fill::Ones, true);
        let shards = Shards { batch: 24, micro_batch: 3, seed: 1, step: 7 };
        let dropout = Dropout::new(0.1);
        // ln 0 is −∞, and nothing is 0 unless it is omitted.
        let loss = |cx: &Context<'_>| dropout.forward(cx, cx.param(w)).ln().sum_all();
        assert_eq!(loss(&Context::eval(&params)).value().item(), 0.0);

        let step = shards.differentiate(&params, |cx, part| {
            let loss = loss(cx);
            let is_finite = loss.value().item().is_finite();
            (loss, (part, is_finite))
        });
        let bad = step.outputs.into_iter().filter(|(_, is_finite)| !is_finite);
        let bad: Vec<Range<usize>> = bad.map(|(part, _)| part).collect();
        assert!(!bad.is_empty() && bad[0].start > 0 && !step.loss.is_finite(), "{bad:?}");
        let seen = std::cell::RefCell::new(Vec::new());
        let found = shards.diagnose(&params, |cx, part| {
            seen.borrow_mut().push(part);
            loss(cx)
        });
        let (anomaly, near) = found.expect("the same numbers");
        assert_eq!((anomaly.op, anomaly.backward, near), ("ln", false, Some("w")));
        assert_eq!(seen.borrow().last(), Some(&bad[0]), "it ends at the first of them");
        let (other, all) =
            (Shards { step: 8, ..shards }, |cx: &Context<'_>, _| cx.param(w).sum_all());
        assert_eq!(other.diagnose(&params, all), None);
    }

    #[test]
    fn the_sum_over_shards_is_the_same_bits_on_any_number_of_threads() {
        let mut params = Params::new();
        let w = Init::new(&mut params, 3).param("w", [7], Fill::Normal(1.0), true);
        let x: Tensor = Tensor::from_fn([33, 7], |i| (i as f32 * 0.37).sin());
        let shards = Shards { batch: 33, micro_batch: 4, seed: 0, step: 0 };
        let step = || {
            shards.differentiate(&params, |cx, range| {
                let x = Var::constant(x.narrow(0, range.start, range.len()));
                (x.mul(&cx.param(w)).tanh().sum_all().scale(1.0 / 33.0), range.len())
            })
        };
        let on = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a pool")
                .install(step)
        };
        let (one, two, many) = (on(1), on(2), on(5));
        assert_eq!(one.outputs, [4, 4, 4, 4, 4, 4, 4, 4, 1]);
        for other in [&two, &many] {
            assert_eq!((one.loss, &one.outputs), (other.loss, &other.outputs));
            assert_eq!(one.grads.get(w), other.grads.get(w));
        }
    }

    #[test]
    fn no_two_shards_draw_the_same_numbers_and_those_of_ordinary_steps_are_as_ever() {
        let draws = |step, shard| {
            let shards = Shards { batch: 1, micro_batch: 1, seed: 9, step };
            let mut rng = shards.rng(shard);
            (rng.next_u64(), rng.next_u64())
        };
        let cases = [
            (0, 0),
            (0, 65_535),
            (0, 65_536),
            (1, 0),
            (1, 65_536),
            (0, 1 << 17),
            (2, 0),
            (0, 1 << 40),
            (1 << 48, 0),
            (1 << 49, 0),
            (1 << 48, 1 << 16),
            (u64::MAX, 3),
            (u64::MAX, usize::MAX),
        ];
        let all: std::collections::BTreeSet<_> =
            cases.iter().map(|&(step, shard)| draws(step, shard)).collect();
        assert_eq!(all.len(), cases.len());
        let mut ordinary = ChaCha8Rng::seed_from_u64(9);
        ordinary.set_stream(7 << 16 | 5);
        assert_eq!(draws(7, 5), (ordinary.next_u64(), ordinary.next_u64()));
    }

    #[test]
    fn what_cannot_be_differentiated_is_refused_at_the_callers_line() {
        let mut params = Params::new();
        let w = Init::new(&mut params, 0).param("w", [2], Fill::Ones, true);
        let usual = Shards { batch: 4, micro_batch: 2, seed: 0, step: 0 };
        let refusal = |shards: Shards, loss: &(dyn Fn(&Context<'_>) -> Var + Sync)| {
            check::catching(|| shards.differentiate(&params, |cx, _| (loss(cx), ())))
                .expect_err("refused")
        };
        let sum = |cx: &Context<'_>| cx.param(w).sum_all();
        let none = Shards { batch: 0, ..usual };
        assert_eq!(refusal(none, &sum), "shards: batch must be at least 1");
        let none = Shards { micro_batch: 0, ..usual };
        assert_eq!(refusal(none, &sum), "shards: micro_batch must be at least 1");
        let found = refusal(usual, &|cx| cx.param(w));
        assert_eq!(found, "shards: loss of a shard: a scalar expected, found [2]");
        let found = refusal(usual, &|cx| sum(cx).detach());
        assert_eq!(found, "shards: loss of a shard: the output [] depends on no parameter");
    }

    #[test]
    fn a_shard_has_at_least_384_tokens_and_the_number_of_shards_is_a_power_of_two() {
        assert_eq!(micro_batch(128, 50), 8);
        assert_eq!(micro_batch(64, 65), 8);
        assert_eq!(micro_batch(1, 4096), 1);
        assert_eq!(micro_batch(10, 1), 10);
        assert_eq!(micro_batch(100, 400), 2);
    }
}
