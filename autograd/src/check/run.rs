//! One forward and backward pass of whatever is checked.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tensor::{Float, Shape, Tensor};

use crate::{Tape, Var};

/// What is checked: a function of variables.
pub(crate) type Call<'a, E> = &'a dyn Fn(&[Var<E>]) -> Var<E>;

/// The value of an op, and the gradient of each input; `None` where nothing came back.
#[derive(Clone, Debug)]
pub struct Run<E: Float> {
    /// The value.
    pub value: Tensor<E>,
    /// The gradient of each input.
    pub gradients: Vec<Option<Tensor<E>>>,
}

/// Runs `call` on fresh leaves, with the cotangent that `cotangent` makes for the output's shape.
///
/// # Errors
/// The message of a panic.
pub(crate) fn run<E: Float>(
    call: Call<'_, E>,
    inputs: &[Tensor<E>],
    cotangent: impl FnOnce(Shape) -> Tensor<E>,
) -> Result<Run<E>, String> {
    catching(|| {
        let tape = Tape::new();
        let leaves: Vec<Var<E>> = inputs.iter().map(|input| tape.leaf(input.clone())).collect();
        let output = call(&leaves);
        // The gradient of a constant is refused by the tape; here it is a finding.
        let gradients =
            output.is_tracked().then(|| tape.backward_with(&output, cotangent(output.shape())));
        let of = |leaf| gradients.as_ref().and_then(|gradients| gradients.get(leaf).cloned());
        let gradients = leaves.iter().map(of).collect();
        Run { value: output.into_value(), gradients }
    })
}

/// The value alone, without a tape.
///
/// # Errors
/// The message of a panic.
pub(crate) fn evaluate(call: Call<'_, f64>, inputs: &[Tensor<f64>]) -> Result<Tensor<f64>, String> {
    let constants: Vec<Var<f64>> = inputs.iter().cloned().map(Var::constant).collect();
    catching(|| call(&constants).into_value())
}

thread_local! {
    /// How many calls of [`catching`] are under way on this thread.
    static CATCHING: Cell<usize> = const { Cell::new(0) };
}

/// The message of a panic, if there is one. It is part of the report, so it is not printed too.
///
/// # Errors
/// The message.
pub fn catching<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() == 0 {
                print(info);
            }
        }));
    });
    CATCHING.set(CATCHING.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(f));
    CATCHING.set(CATCHING.get() - 1);
    result.map_err(|payload| match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => {
            payload.downcast_ref::<&str>().copied().unwrap_or("a panic without a message").into()
        }
    })
}

/// The largest entry of a [`cotangent`].
pub(crate) const COTANGENT: f64 = 1.5;

/// A random cotangent, nowhere zero: a uniform one hides errors, since a summed softmax, for one, is constant. Its values
/// are representable in single precision.
pub fn cotangent(shape: Shape, seed: u64) -> Tensor<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0xc07a);
    Tensor::from_fn(shape, |_| {
        let sign = if rng.random() { 1.0 } else { -1.0 };
        f64::from(sign * rng.random_range(0.5..COTANGENT as f32))
    })
}
