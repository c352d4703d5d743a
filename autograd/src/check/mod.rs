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
//! [`check_op!`](crate::check_op) describes an op of your own so that cases can be generated for it. [`table`] lists every
//! op of this crate with the inputs that it takes; [`Entry::run`] draws cases from a seed (shapes, layouts, values, other
//! arguments, repeated use), checks them, and makes a failing one as simple as it can.
//!
//! The rule: a gradient is right if it differs from the derivative found by differences by no more than a multiple of
//! the estimated error of the latter, plus rounding. Where that is too much to tell anything, or the function has a
//! kink, the place counts as inconclusive, apart from right and wrong.

mod case;
mod diagnosis;
mod entry;
mod gradient;
mod layout;
mod magnitudes;
mod numeric;
mod parametric;
mod pick;
mod precision;
mod report;
mod run;
mod spec;
mod special;
#[cfg(any(test, feature = "proptest"))]
mod strategy;
mod table;

#[doc(hidden)]
pub use crate::Var;
pub use case::Case;
pub use diagnosis::Diagnosis;
pub use entry::{Entry, Summary};
pub use layout::Layout;
pub use parametric::{CheckedOp, Parametric};
pub use pick::Pick;
pub use report::{Argument, Example, Place, Report, Verdict};
#[doc(hidden)]
pub use run::catching;
pub use run::{Run, cotangent};
pub use spec::{Domain, Spec, Traits};
#[cfg(any(test, feature = "proptest"))]
pub use strategy::{CaseTree, Cases, cases};
pub use table::table;
#[doc(hidden)]
pub use tensor::Float;

use gradient::{Effort, Subject};
use tensor::Tensor;

/// Checks the gradients of `f` at these inputs: at each element of a small input; of a larger one (more than 64
/// elements) at a sample of elements and along random directions. The whole Jacobian is compared if it is small.
pub fn op<const N: usize>(
    name: &str,
    f: impl Fn([&Var<f64>; N]) -> Var<f64>,
    inputs: [Tensor<f64>; N],
) -> Report {
    let named = inputs
        .into_iter()
        .enumerate()
        .map(|(i, input)| (if N == 1 { "x".to_owned() } else { format!("x{i}") }, input));
    function(name, &|x| f(std::array::from_fn(|i| &x[i])), named.collect())
}

/// Checks the gradients of a function of any number of named inputs, as [`op`] does.
pub fn function(
    name: &str,
    call: &dyn Fn(&[Var<f64>]) -> Var<f64>,
    inputs: Vec<(String, Tensor<f64>)>,
) -> Report {
    let argument =
        |(name, input): &(String, Tensor<f64>)| Argument::new(name, input, Layout::of(input));
    let arguments = inputs.iter().map(argument).collect();
    let inputs = inputs.into_iter().map(|(_, input)| input).collect();
    let (output, effort, stopped) = (None, Effort::default(), Vec::new());
    let (example, coarse) = (None, false);
    Subject { name, arguments, call, inputs, stopped, output, seed: 0, effort, coarse, example }
        .check()
}
