//! Gradient checks: the derivatives that an op states against differences of its value.
//!
//! One line checks one op on inputs of your own:
//!
//! ```
//! use autograd::{Op, Var, check};
//! use tensor::Tensor;
//!
//! fn cube(x: &Var<f64>) -> Var<f64> {
//!     let saved = x.value().clone();
//!     let vjp = move |g: Tensor<f64>| g * &(saved.square() * 2.0); // should be 3
//!     Op::new("cube", &x.value().square() * x.value()).wrt(x, vjp).record()
//! }
//!
//! let report = check::op("cube", |[x]| cube(x), [Tensor::from_vec([2], vec![1.0, 2.0])]);
//! assert!(report.to_string().contains("it is 0.666667 times the right one everywhere"));
//! ```
//!
//! [`table`] lists every op of this crate with the inputs that it takes; [`Entry::run`] draws cases from a seed (shapes,
//! layouts, values, other arguments, repeated use), checks them, and makes a failing one as simple as it can.
//!
//! The rule: a gradient is right if it differs from the derivative found by differences by no more than a multiple of
//! the estimated error of the latter, plus rounding. Where that is too much to tell anything, or the function has a
//! kink, the place counts as inconclusive, apart from right and wrong.

mod case;
mod diagnosis;
mod entry;
mod gradient;
mod layout;
mod numeric;
mod pick;
mod precision;
mod report;
mod run;
mod spec;
#[cfg(any(test, feature = "proptest"))]
mod strategy;
mod table;

pub use case::Case;
pub use diagnosis::Diagnosis;
pub use entry::{CheckedOp, Entry, Summary};
pub use layout::Layout;
pub use pick::Pick;
pub use report::{Argument, Place, Report, Verdict};
pub use run::{Run, cotangent};
pub use spec::{Domain, Spec};
#[cfg(any(test, feature = "proptest"))]
pub use strategy::{CaseTree, Cases, cases};
pub use table::table;

use gradient::Subject;
use tensor::Tensor;

use crate::Var;

/// Checks the gradients of `f` at these inputs: at each element of a small input; of a larger one (more than 64
/// elements) at a sample of elements and along random directions.
pub fn op<const N: usize>(
    name: &str,
    f: impl Fn([&Var<f64>; N]) -> Var<f64>,
    inputs: [Tensor<f64>; N],
) -> Report {
    let argument = |(i, input): (usize, &Tensor<f64>)| {
        let name = if N == 1 { "x".to_string() } else { format!("input {i}") };
        Argument { name, shape: input.dims().to_vec(), layout: Layout::of(input) }
    };
    let arguments = inputs.iter().enumerate().map(argument).collect();
    let call = |x: &[Var<f64>]| f(std::array::from_fn(|i| &x[i]));
    let inputs = inputs.to_vec();
    Subject { op: name, arguments, call: &call, inputs, output: None, seed: 0 }.check()
}
