//! Right ops whose derivatives are hard to find by differences: kinks, ties, steps, plains, huge and tiny scales, bad
//! condition, fast oscillation, cancellation.

use autograd::Var;
use autograd::check::Entry;
use autograd::check_op;
use tensor::Float;

fn e<E: Float>(x: f64) -> E {
    E::from_f64(x)
}

// Those that are `moderate` square what may overflow, or add constants of a size of their own.

/// ⌊x⌉ as a function that no gradient passes: flat, with steps.
fn rounded<E: Float>(x: &Var<E>) -> Var<E> {
    Var::constant(x.value().map(|x, _| E::from_f64(x.to_f64().round()))).add(&x.scale(E::ZERO))
}

#[rustfmt::skip]
pub(crate) fn all() -> Vec<Entry> {
    vec![
        // kinks and ties, on values at and near them
        check_op!("relu at 0",            "* in at_halves -> *", |[x], _| x.relu()),
        check_op!("abs at 0",             "* in at_halves -> *", |[x], _| x.abs()),
        check_op!("clamp at its ends",    "* in at_halves -> *", |[x], _| x.clamp(-E::ONE, E::ONE)),
        check_op!("max with ties",        "* n>0 in at_halves",  |[x], _| x.max(-1)),
        check_op!("maximum with ties",    "* in at_halves, * in at_halves", |[a, b], _| a.maximum(b)),
        check_op!("huber",                "* -> *",              |[x], _| x.square().scale(e(0.5)).minimum(&x.abs().add_scalar(e(-0.5)))),
        check_op!("leaky relu",           "* -> *",              |[x], _| x.relu().add(&x.scale(e(0.01)))),
        check_op!("sawtooth",             "* in moderate -> *",              |[x], _| x.sub(&rounded(x))),
        // flat
        check_op!("constant",             "* -> *",              |[x], _| x.scale(E::ZERO)),
        check_op!("steps",                "* -> *",              |[x], _| rounded(x)),
        check_op!("saturated tanh",       "* -> *",              |[x], _| x.scale(e(200.0)).tanh()),
        check_op!("saturated sigmoid",    "* -> *",              |[x], _| x.scale(e(100.0)).sigmoid()),
        check_op!("high power",           "* -> *",              |[x], _| x.square().square().square().square()),
        check_op!("flat but for a point", "* -> *",              |[x], _| x.scale(e(10.0)).square().scale(-E::ONE).exp()),
        // scales
        check_op!("huge",                 "* -> *",              |[x], _| x.scale(e(1e15)).square().scale(e(1e5))),
        check_op!("tiny",                 "* in moderate -> *",              |[x], _| x.scale(e(1e-12)).square().scale(e(1e12))),
        check_op!("huge and tiny",        "*, * in nonzero moderate",     |[a, b], _| a.scale(e(1e9)).add(&b.scale(e(1e-6)).recip())),
        check_op!("exponential",          "* -> *",              |[x], _| x.scale(e(20.0)).exp()),
        check_op!("far from 0",           "* -> *",              |[x], _| x.add_scalar(e(1e3)).square()),
        // bad condition
        check_op!("root near 0",          "* in positive -> *",  |[x], _| x.add_scalar(e(-0.499)).sqrt()),
        check_op!("pole",                 "* in positive -> *",  |[x], _| x.add_scalar(e(-0.49)).recip()),
        check_op!("logarithm near 0",     "* in positive -> *",  |[x], _| x.add_scalar(e(-0.499)).ln()),
        check_op!("tangent",              "* -> *",              |[x], _| x.sin().div(&x.cos().square().add_scalar(e(1e-4)))),
        check_op!("softmax of logits apart", "* n>1",            |[x], _| x.scale(e(30.0)).softmax(-1)),
        check_op!("log-softmax of logits apart", "* n>1",        |[x], _| x.scale(e(30.0)).log_softmax(-1)),
        check_op!("norm",                 "* n>0 in moderate",               |[x], _| x.square().sum(&[-1]).add_scalar(e(1e-6)).sqrt()),
        check_op!("direction",            "* n>1 in nonzero moderate",    |[x], _| x.div(&x.square().sum_keep(&[-1]).sqrt())),
        check_op!("variance of all but equals", "* n>1 in moderate",         |[x], _| x.scale(e(1e-2)).add_scalar(E::ONE).variance(&[-1], 0)),
        // oscillation
        check_op!("fast sine",            "* -> *",              |[x], _| x.scale(e(60.0)).sin()),
        check_op!("chirp",                "* in moderate -> *",              |[x], _| x.square().scale(e(12.0)).sin()),
        check_op!("oscillation on a slope", "* -> *",            |[x], _| x.scale(e(40.0)).sin().scale(e(0.01)).add(&x.scale(e(5.0)))),
        // long sums and products
        check_op!("deep",                 "* -> *",              |[x], _| (0..12).fold(x.clone(), |x, _| x.sin().scale(e(1.5)))),
        check_op!("alternating sum",      "* n>0",               |[x], _| x.mul(&x.cos()).sub(&x.mul(&x.cos())).sum(&[-1])),
        check_op!("product",              "m k in moderate, k n in moderate",            |[a, b], _| a.matmul(b).tanh().scale(e(1e2))),
    ]
}
