//! Every op of this crate, and what it is checked with. A public op that is missing here fails a test.

use tensor::{Convolution, Float, Shape, Tensor};

use super::entry::Entry;
use super::pick::Pick;
use crate::{Attention, CrossEntropy, Var, check_op, ops::*};

macro_rules! ops {
    ($($name:literal, $spec:literal, |$inputs:tt, $pick:tt| $call:expr;)*) => {
        vec![$(check_op!($name, $spec, |$inputs, $pick| $call)),*]
    };
}

/// ε of layer norm, large: on a row of equal elements 1/√ε magnifies the rounding of their mean, in single precision to
/// more than any bound on the op would allow.
const EPS: f64 = 0.25;

/// All ops of this crate, fused ones and their composed twins, in the order of the sources.
#[rustfmt::skip]
pub fn table() -> Vec<Entry> {
    ops! {
        // arithmetic
        "add",       "~* in limits apart, ~* in limits apart",                       |[a, b], _| a.add(b);
        "sub",       "~* in limits apart, ~* in limits apart",                       |[a, b], _| a.sub(b);
        "mul",       "~* in limits apart, ~* in limits apart",                       |[a, b], _| a.mul(b);
        "div",       "~* in limits apart, ~* in nonzero limits apart",            |[a, b], _| a.div(b);
        "maximum",   "~* in distinct limits apart, ~* in distinct limits apart", |[a, b], _| a.maximum(b);
        "minimum",   "~* in distinct limits apart, ~* in distinct limits apart", |[a, b], _| a.minimum(b);
        "where_",    "~* in limits apart, ~* in limits apart",                       |[a, b], pick| Var::where_(&pick.mask(broadcast(a, b)), a, b);
        "Add",       "~* in limits apart, ~* in limits apart",                       |[a, b], _| a + b;
        "Sub",       "~* in limits apart, ~* in limits apart",                       |[a, b], _| a - b;
        "Mul",       "~* in limits apart, ~* in limits apart",                       |[a, b], _| a * b;
        "Div",       "~* in limits apart, ~* in nonzero limits apart",            |[a, b], _| a / b;
        "Add owned", "~* in limits apart, ~* in limits apart",                       |[a, b], _| a.scale(E::ONE) + b;
        "Neg",       "* in limits apart -> *",                       |[x], _| -x;

        // elementwise
        "neg",        "* in limits apart -> *",                      |[x], _| x.neg();
        "scale",      "* in limits apart -> *",                      |[x], _| x.scale(E::from_f64(-1.5));
        "add_scalar", "* in limits apart -> *",                      |[x], _| x.add_scalar(E::from_f64(0.75));
        "square",     "* in limits apart -> *",                      |[x], _| x.square();
        "recip",      "* in nonzero limits apart -> *",           |[x], _| x.recip();
        "sqrt",       "* in positive limits apart -> *",          |[x], _| x.sqrt();
        "exp",        "* in limits apart -> *",                      |[x], _| x.exp();
        "ln",         "* in positive limits apart -> *",          |[x], _| x.ln();
        "tanh",       "* in limits apart -> *",                      |[x], _| x.tanh();
        "erf",        "* in limits apart -> *",                      |[x], _| x.erf();
        "sin",        "* -> *",                      |[x], _| x.sin();
        "cos",        "* -> *",                      |[x], _| x.cos();
        "sigmoid",    "* in limits apart -> *",                      |[x], _| x.sigmoid();
        "relu",       "* in off_halves limits apart -> *",        |[x], _| x.relu();
        "gelu",       "* in limits apart -> *",                      |[x], _| x.gelu();
        "abs",        "* in off_halves limits apart -> *",        |[x], _| x.abs();
        "clamp",      "* in off_halves limits apart -> *",        |[x], _| x.clamp(-E::from_f64(0.5), E::ONE);
        "mask",       "~*",                          |[x], pick| x.mask(pick.mask(pick.case().run()));

        // shape
        "reshape",   "* in limits apart",                            |[x], _| x.reshape(reversed(x));
        "permute",   "* in limits apart",                            |[x], pick| x.permute(&pick.order(x.dims().len()));
        "transpose", "n * in limits apart",                          |[x], pick| x.transpose(pick.axis(x), pick.axis(x));
        "narrow",    "n * in limits apart",                          |[x], pick| narrow_somewhere(x, pick);
        "split",     "n * in limits apart",                          |[x], pick| split_and_swap(x, pick);
        "expand",    "~* in limits apart -> *",                      |[x], pick| x.expand(pick.case().run());
        "unsqueeze", "* n in limits apart",                          |[x], pick| x.unsqueeze(pick.axis(x));
        "squeeze",   "* 1 n in limits apart -> * n",                 |[x], _| x.squeeze(-2);
        "concat",    "n a k in limits apart, n b k in limits apart, n c k in limits apart -> n a+b+c k", |[x, y, z], _| concat(&[x, y, z], -2);

        // reduce
        "sum",       "* in limits apart",                            |[x], pick| x.sum(&pick.axes(x));
        "sum_keep",  "* in limits apart",                            |[x], pick| x.sum_keep(&pick.axes(x));
        "sum_all",   "* in limits apart ->",                         |[x], _| x.sum_all();
        "mean",      "*>0 in limits apart",                          |[x], pick| x.mean(&pick.axes(x));
        "mean_all",  "*>0 in limits apart ->",                       |[x], _| x.mean_all();
        "variance",  "* n>1 -> *",                   |[x], pick| x.variance(&[-1], pick.below(2));
        "max",       "*>0 n>0 in distinct limits apart",          |[x], pick| x.max(pick.axis(x));

        // index
        "gather",          "n>0 * in limits apart",                  |[x], pick| gather_somewhere(x, pick);
        "scatter_add", "m n>0 k in limits apart, updates: m i k in limits apart -> m n k", |[x, u], pick| x.scatter_add(1, &picked(u, x, pick), u);

        // products
        "matmul", "b m k, b k n -> b m n",           |[a, b], _| a.matmul(b);
        "matmul broadcast", "~* m k, ~* k n",        |[a, b], _| a.matmul(b);
        "conv2d", "x: b g>0*c 2*k+r 2*l+s, weight: g*o c k>0 l>0", |[x, w], pick| conv2d(x, w, convolution(pick));
        "max_pool2d", "x: b c k>0<4+r l<4+k in distinct limits apart",  |[x], pick| max_pool2d(x, pick.case().size("k"), 1 + pick.below(2), pick.below(1 + pick.case().size("k") / 2));
        "linear",          "x: * i, weight: o i, bias: o -> * o", |[x, w, b], pick| linear(x, w, pick.coin().then_some(b));
        "linear_composed", "x: * i, weight: o i, bias: o -> * o", |[x, w, b], pick| linear_composed(x, w, pick.coin().then_some(b));
        "linear_add",          "x: * i, weight: o i, bias: o, residual: * o -> * o", |[x, w, b, r], pick| linear_add(x, w, pick.coin().then_some(b), r);
        "linear_add_composed", "x: * i, weight: o i, bias: o, residual: * o -> * o", |[x, w, b, r], pick| linear_add_composed(x, w, pick.coin().then_some(b), r);
        "linear_gelu",          "x: * i, weight: o i, bias: o -> * o", |[x, w, b], pick| linear_gelu(x, &eighth(w), pick.coin().then_some(b));
        "linear_gelu_composed", "x: * i in moderate, weight: o i in moderate, bias: o in moderate -> * o", |[x, w, b], pick| linear_gelu_composed(x, &eighth(w), pick.coin().then_some(b));

        "rotate", "x: b *>0 2*h, angles: *>0 h -> b *>0 2*h", |[x, angles], _| rotate(x, angles);

        // softmax and normalisation
        "softmax",              "n>0 *>0 in hides limits accurate",           |[x], pick| x.softmax(pick.axis(x));
        "softmax_composed",     "n>0 *>0 in hides limits accurate",           |[x], pick| softmax_composed(x, pick.axis(x));
        "log_softmax",          "n>0 *>0 in hides limits accurate",           |[x], pick| x.log_softmax(pick.axis(x));
        "log_softmax_composed", "n>0 *>0 in hides limits accurate",           |[x], pick| log_softmax_composed(x, pick.axis(x));
        "gelu_composed",        "* in moderate -> *",            |[x], _| gelu_composed(x);
        "layer_norm",           "x: * n>0 in accurate, weight: n, bias: n -> * n", |[x, w, b], _| layer_norm(x, w, b, EPS);
        "layer_norm_composed",  "x: * n>0 in accurate, weight: n, bias: n -> * n", |[x, w, b], _| layer_norm_composed(x, w, b, EPS);
        "root_mean_square",     "* n>0 -> * 1",      |[x], _| root_mean_square(x, EPS);
        "cross_entropy",          "logits: * c>0 in accurate ->", |[x], pick| { let (t, o) = targets(x, pick); cross_entropy(x, &t, &o) };
        "cross_entropy_composed", "logits: * c>0 in accurate ->", |[x], pick| { let (t, o) = targets(x, pick); cross_entropy_composed(x, &t, &o) };

        // attention
        "attention", "q: b h n d>0 in moderate, k: b h m>0 d in moderate, v: b h m d -> b n h*d",
            |[q, k, v], pick| attention(q, k, v, &looking(q, k, pick));
        "attention_composed", "q: b h n d>0 in moderate, k: b h m>0 d in moderate, v: b h m d -> b n h*d",
            |[q, k, v], pick| attention_composed(q, k, v, &looking(q, k, pick));
        "attention_weights", "q: b h n d>0 in moderate, k: b h m>0 d in moderate -> b h n m",
            |[q, k], pick| attention_weights(q, k, &looking(q, k, pick));
        "attention with a bias", "q: b h n d>0 in moderate, k: b h m>0 d in moderate, v: b h m d, bias: h n m in moderate hides -> b n h*d",
            |[q, k, v, bias], pick| attention(q, k, v, &biased(bias, pick));
        "attention_composed with a bias", "q: b h n d>0 in moderate, k: b h m>0 d in moderate, v: b h m d, bias: h n m in moderate hides -> b n h*d",
            |[q, k, v, bias], pick| attention_composed(q, k, v, &biased(bias, pick));
        "self_attention with a bias", "qkv: b n>0 3*h*d in moderate, bias: h n n in moderate hides -> b n h>0*d>0",
            |[x, bias], pick| self_attention(x, pick.case().size("h"), &biased(bias, pick));
        "self_attention_composed with a bias", "qkv: b n>0 3*h*d in moderate, bias: h n n in moderate hides -> b n h>0*d>0",
            |[x, bias], pick| self_attention_composed(x, pick.case().size("h"), &biased(bias, pick));
        "self_attention", "qkv: b n>0 3*h*d in moderate -> b n h>0*d>0",
            |[x], pick| self_attention(x, pick.case().size("h"), &looking_at_itself(x, pick));
        "self_attention_composed", "qkv: b n>0 3*h*d in moderate -> b n h>0*d>0",
            |[x], pick| self_attention_composed(x, pick.case().size("h"), &looking_at_itself(x, pick));
    }
}

fn broadcast<E: Float>(a: &Var<E>, b: &Var<E>) -> Shape {
    a.shape().broadcast(b.shape()).expect("both are of one run")
}

/// Small weights: far from 0 the composed GELU, 1 + erf, has lost its digits.
fn eighth<E: Float>(weight: &Var<E>) -> Var<E> {
    weight.scale(E::from_f64(0.125))
}

fn reversed<E: Float>(x: &Var<E>) -> Shape {
    let dims: Vec<usize> = x.dims().iter().rev().copied().collect();
    Shape::new(&dims)
}

fn narrow_somewhere<E: Float>(x: &Var<E>, pick: &mut Pick<'_>) -> Var<E> {
    let axis = pick.axis(x);
    let start = pick.below(x.value().dim(axis) + 1);
    let len = pick.below(x.value().dim(axis) - start + 1);
    x.narrow(axis, start, len)
}

/// Cut in two, the parts weighed differently and exchanged.
fn split_and_swap<E: Float>(x: &Var<E>, pick: &mut Pick<'_>) -> Var<E> {
    let (axis, first) = (pick.axis(x), pick.below(3));
    let size = x.value().dim(axis);
    let first = first.min(size);
    let parts = x.split(axis, &[first, size - first]);
    concat(&[&parts[1], &parts[0].scale(E::from_f64(3.0))], axis)
}

fn gather_somewhere<E: Float>(x: &Var<E>, pick: &mut Pick<'_>) -> Var<E> {
    let count = 1 + pick.below(5);
    x.gather(0, &pick.indices(count, x.dims()[0]))
}

/// Any stride, padding and dilation of a kernel that a generated image holds.
fn convolution(pick: &mut Pick<'_>) -> Convolution {
    Convolution {
        stride: 1 + pick.below(2),
        padding: pick.below(2),
        dilation: 1 + pick.below(2),
        groups: pick.case().size("g"),
    }
}

/// An index into axis 1 of `x` for each place of axis 1 of `updates`.
fn picked<E: Float>(updates: &Var<E>, x: &Var<E>, pick: &mut Pick<'_>) -> Vec<usize> {
    pick.indices(updates.dims()[1], x.dims()[1])
}

fn targets<E: Float>(logits: &Var<E>, pick: &mut Pick<'_>) -> (Vec<usize>, CrossEntropy) {
    let classes = logits.value().dim(-1);
    let targets = pick.indices(logits.value().len() / classes, classes);
    let weights: Vec<f64> = (0..classes).map(|c| 0.5 + c as f64 / 4.0).collect();
    let options = CrossEntropy {
        label_smoothing: if pick.coin() { 0.125 } else { 0.0 },
        class_weights: pick.coin().then_some(weights),
        ignore_index: pick.coin().then_some(0),
        normalizer: pick.coin().then_some(8.0),
    };
    (targets, options)
}

/// Causal or masked, where the shapes allow it.
fn looking<E: Float>(q: &Var<E>, k: &Var<E>, pick: &mut Pick<'_>) -> Attention<E> {
    let (batch, heads, queries, keys) = (q.dims()[0], q.dims()[1], q.dims()[2], k.dims()[2]);
    let causal = pick.coin() && queries == keys;
    let lead = if pick.coin() { [batch, heads] } else { [1, 1] };
    let masked = pick.coin();
    let mask: Tensor<E> = pick.hiding_mask([lead[0], lead[1], queries, keys]);
    Attention { causal, mask: masked.then(|| Var::constant(mask)), angles: None }
}

/// A bias with a gradient; causal, where the shapes allow it.
fn biased<E: Float>(bias: &Var<E>, pick: &mut Pick<'_>) -> Attention<E> {
    Attention {
        causal: pick.coin() && bias.dims()[1] == bias.dims()[2],
        mask: Some(bias.clone()),
        angles: None,
    }
}

fn looking_at_itself<E: Float>(qkv: &Var<E>, pick: &mut Pick<'_>) -> Attention<E> {
    let (causal, masked, places) = (pick.coin(), pick.coin(), qkv.dims()[1]);
    let mask = pick.hiding_mask([places, places]);
    Attention { causal, mask: masked.then(|| Var::constant(mask)), angles: None }
}
