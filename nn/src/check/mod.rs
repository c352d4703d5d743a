//! Gradient checks of layers: derivatives with respect to inputs and to every parameter, against differences.
//!
//! One line checks a layer that exists, on inputs of your own:
//!
//! ```
//! use nn::{Init, Linear, Params, check};
//! use tensor::Tensor;
//!
//! let mut params = Params::new();
//! let linear = Linear::new(&mut Init::new(&mut params, 0), 3, 2);
//! check::layer("linear", &params, [Tensor::ones([4, 3])], |cx, [x]| linear.forward(cx, x)).assert();
//! ```
//!
//! [`check_layer!`](crate::check_layer) says how to make one, so that sizes, layouts and values can be generated for it.
//! [`table`] lists the layers of this crate.

mod table;

use autograd::check;
pub use autograd::check::*;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
pub use table::table;
use tensor::Tensor;

use crate::{Context, Init, Params};

/// By how much a parameter is moved from its initial value at most, since zeros and ones hide what depends on them.
const AROUND: f64 = 0.25;

/// A layer or model that is made anew for each case. [`check_layer!`](crate::check_layer) writes it for you.
pub trait CheckedLayer: Send + Sync {
    /// What is made.
    type Layer;

    /// Makes it. `pick` knows the sizes of the case, and draws whatever else it takes.
    fn build(&self, init: &mut Init<'_>, pick: &mut Pick<'_>) -> Self::Layer;

    /// Applies it.
    fn forward<E: Float>(
        &self,
        layer: &Self::Layer,
        cx: &Context<'_, E>,
        inputs: &[Var<E>],
        pick: &mut Pick<'_>,
    ) -> Var<E>;
}

/// A layer as the checks of autograd see it: a function of its inputs and parameters.
struct Opened<C>(C);

impl<C: CheckedLayer> Parametric for Opened<C> {
    type Made = (C::Layer, Params);

    fn build(&self, pick: &mut Pick<'_>) -> (Self::Made, Vec<(String, Tensor<f64>)>) {
        let mut params = Params::new();
        let layer = self.0.build(&mut Init::new(&mut params, pick.case().seed()), pick);
        for param in params.iter_mut() {
            let around = pick.values::<f32>(param.value.shape()) * AROUND as f32;
            param.value = &param.value + &around;
        }
        let trainable = params.iter().filter(|param| param.trainable);
        let parameters = trainable.map(|param| (param.name.clone(), param.value.cast())).collect();
        ((layer, params), parameters)
    }

    fn call<E: Float>(
        &self,
        (layer, params): &Self::Made,
        parameters: &[Var<E>],
        inputs: &[Var<E>],
        pick: &mut Pick<'_>,
    ) -> Var<E> {
        let params = params.cast();
        let rng = ChaCha8Rng::seed_from_u64(pick.case().seed());
        self.0.forward(layer, &Context::given(&params, parameters, rng), inputs, pick)
    }
}

/// The [`Entry`] of a layer.
///
/// # Panics
/// If the specification cannot be read.
#[track_caller]
pub fn entry(name: impl Into<String>, spec: &str, checked: impl CheckedLayer + 'static) -> Entry {
    Entry::new(name, spec, Opened(checked))
}

/// The [`Entry`](crate::check::Entry) of a layer: its name, the [`Spec`](crate::check::Spec) of its inputs, its type, how
/// it is made, and how it is applied.
///
/// Both look like closures. The first takes an [`Init`](crate::Init) and a [`Pick`](crate::check::Pick), which knows the
/// sizes of the case; the second takes the layer, a [`Context`](crate::Context) in training, the inputs in brackets, and
/// the `Pick` again. It is compiled in both precisions; in it, `E` is the type of the elements. Dropout is on, with one
/// seed for all calls of a case.
///
/// ```
/// use nn::{Linear, check_layer};
///
/// check_layer!(
///     "linear", "* i>0 -> * o>0",
///     |init, pick| -> Linear { Linear::new(init, pick.case().size("i"), pick.case().size("o")) },
///     |linear, cx, [x], _| linear.forward(cx, x)
/// )
/// .assert();
/// ```
#[macro_export]
macro_rules! check_layer {
    (
        $name:expr, $spec:expr,
        |$init:tt, $pick:tt| -> $layer:ty $build:block,
        |$this:tt, $cx:tt, [$($input:ident),* $(,)?], $pick_too:tt| $call:expr $(,)?
    ) => {{
        struct Checked;
        impl $crate::check::CheckedLayer for Checked {
            type Layer = $layer;

            fn build(
                &self,
                $init: &mut $crate::Init<'_>,
                $pick: &mut $crate::check::Pick<'_>,
            ) -> $layer {
                $build
            }

            fn forward<E: $crate::check::Float>(
                &self,
                $this: &$layer,
                $cx: &$crate::Context<'_, E>,
                inputs: &[$crate::check::Var<E>],
                $pick_too: &mut $crate::check::Pick<'_>,
            ) -> $crate::check::Var<E> {
                let [$($input),*] = inputs else { panic!("as many inputs as in the specification") };
                $call
            }
        }
        $crate::check::entry($name, $spec, Checked).with_source(concat!(
            "nn::check_layer!(", stringify!($name), ", ", stringify!($spec), ", |",
            stringify!($init), ", ", stringify!($pick), "| -> ", stringify!($layer), " ",
            stringify!($build), ", |", stringify!($this), ", ", stringify!($cx), ", [",
            stringify!($($input),*), "], ", stringify!($pick_too), "| ", stringify!($call), ")"
        ))
    }};
}

/// Checks an existing layer or model: the gradients of its inputs and of all its trainable parameters at the values that
/// they have, in double precision. `forward` runs in training, so dropout is on, with one seed for all calls.
pub fn layer<const N: usize, E: Float>(
    name: &str,
    params: &Params<E>,
    inputs: [Tensor<f64>; N],
    forward: impl Fn(&Context<'_, f64>, [&Var<f64>; N]) -> Var<f64>,
) -> Report {
    let params = params.cast::<f64>();
    let input =
        |(i, x): (usize, Tensor<f64>)| (if N == 1 { "x".to_owned() } else { format!("x{i}") }, x);
    let trainable = params.iter().filter(|param| param.trainable);
    let own = trainable.map(|param| (param.name.clone(), param.value.clone()));
    let all = inputs.into_iter().enumerate().map(input).chain(own).collect();
    let call = |all: &[Var<f64>]| {
        let (inputs, parameters) = all.split_at(N);
        let cx = Context::given(&params, parameters, ChaCha8Rng::seed_from_u64(0));
        forward(&cx, std::array::from_fn(|i| &inputs[i]))
    };
    check::function(name, &call, all)
}
