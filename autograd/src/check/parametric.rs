//! What can be checked: ops, and whatever has parameters of its own, as code that works in both precisions.

use tensor::{Float, Tensor};

use super::pick::Pick;
use crate::Var;

/// An op, as a function that works in both precisions: the code that trains in f32 is the code that is checked in f64.
///
/// [`check_op!`](crate::check_op) writes it for you.
pub trait CheckedOp: Send + Sync {
    /// Applies the op. `pick` draws whatever else it is called with.
    fn call<E: Float>(&self, inputs: &[Var<E>], pick: &mut Pick<'_>) -> Var<E>;
}

/// Something with parameters of its own, made anew for each case: a layer, or a model.
pub trait Parametric: Send + Sync {
    /// What is made.
    type Made;

    /// Makes it for a case; with it come its parameters, which are differentiated like inputs.
    fn build(&self, pick: &mut Pick<'_>) -> (Self::Made, Vec<(String, Tensor<f64>)>);

    /// Applies it, with these variables in place of its parameters.
    fn call<E: Float>(
        &self,
        made: &Self::Made,
        parameters: &[Var<E>],
        inputs: &[Var<E>],
        pick: &mut Pick<'_>,
    ) -> Var<E>;
}

impl<T: CheckedOp> Parametric for T {
    type Made = ();

    fn build(&self, _: &mut Pick<'_>) -> ((), Vec<(String, Tensor<f64>)>) {
        ((), Vec::new())
    }

    fn call<E: Float>(
        &self,
        (): &(),
        _: &[Var<E>],
        inputs: &[Var<E>],
        pick: &mut Pick<'_>,
    ) -> Var<E> {
        CheckedOp::call(self, inputs, pick)
    }
}

/// The [`Entry`](crate::check::Entry) of an op: its name, the [`Spec`](crate::check::Spec) of its inputs, and a call.
///
/// The call looks like a closure of the inputs, in brackets, and of a [`Pick`](crate::check::Pick) for all other
/// arguments. It is compiled in both precisions; in it, `E` is the type of the elements.
///
/// ```
/// use autograd::check_op;
///
/// check_op!("swish", "* -> *", |[x], _| x * &x.sigmoid()).assert();
/// check_op!("half", "* -> *", |[x], _| x.scale(E::from_f64(0.5))).assert();
/// check_op!("sum", "*", |[x], pick| x.sum(&pick.axes(x))).assert();
/// ```
///
/// Besides the gradients, each case tries two laws.
///
/// *NaN and infinities* are put into one element at a time, of each input and of the output's gradient. What depends on the
/// element, as moving it through finite numbers shows, becomes NaN with it. At ±∞ it takes its limit, or is not finite; where
/// there is no limit, it is not finite. What does not depend on it stays, or becomes NaN. A gradient that is a choice, as that of a
/// maximum, may stay one. Both precisions agree.
///
/// *Magnitudes*: the inputs are multiplied by powers of ten from 10⁻³⁰ to 10³⁰, moved far from 0, made equal, or drawn along a
/// row of 4,095 numbers. Single precision then has to agree with double precision to a few roundings beside the size of the
/// results, unless a rounding of the inputs alone changes them more, or they are beyond its range.
///
/// An op that takes less, or claims more, says so after `in`, for each input: `finite`, `moderate`, `stopped`, `hides`, `limits`,
/// `apart`, `accurate`; see [`Traits`](crate::check::Traits).
///
/// ```
/// # use autograd::check_op;
/// check_op!("gate", "x: * in moderate, gate: * in stopped moderate", |[x, gate], _| {
///     x.mul(&gate.detach().sigmoid())
/// })
/// .assert();
/// ```
#[macro_export]
macro_rules! check_op {
    ($name:expr, $spec:expr, |[$($input:ident),+ $(,)?], $pick:tt| $call:expr $(,)?) => {{
        #[derive(Clone)]
        struct Checked;
        impl $crate::check::CheckedOp for Checked {
            fn call<E: $crate::check::Float>(
                &self,
                inputs: &[$crate::Var<E>],
                $pick: &mut $crate::check::Pick<'_>,
            ) -> $crate::Var<E> {
                let [$($input),+] = inputs else { panic!("as many inputs as in the specification") };
                $call
            }
        }
        $crate::check::Entry::new($name, $spec, Checked).with_source(concat!(
            "autograd::check_op!(", stringify!($name), ", ", stringify!($spec), ", |[",
            stringify!($($input),+), "], ", stringify!($pick), "| ", stringify!($call), ")"
        ))
    }};
}
