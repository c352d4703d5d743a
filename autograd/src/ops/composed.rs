//! The fused ops once more, composed of primitive ones: the reference that property tests hold them equal to.

use tensor::{Float, Tensor};

use super::{Attention, CrossEntropy, root_mean_square};
use crate::{Op, Var};

/// [`Var::softmax`], composed.
#[track_caller]
pub fn softmax_composed<E: Float>(x: &Var<E>, axis: isize) -> Var<E> {
    let Some(max) = largest("softmax", x, axis) else { return x.clone() };
    let hidden = max.eq(&scalar(-E::INFINITY)); // rows of −∞ alone
    let e = shifted(&Var::where_(&hidden, &scalar(E::ZERO).into(), x), axis).exp();
    Var::where_(&hidden, &scalar(E::ZERO).into(), &e.div(&e.sum_keep(&[axis])))
}

/// [`Var::log_softmax`], composed.
#[track_caller]
pub fn log_softmax_composed<E: Float>(x: &Var<E>, axis: isize) -> Var<E> {
    if largest("log_softmax", x, axis).is_none() {
        return x.clone();
    }
    let shifted = shifted(x, axis);
    shifted.sub(&shifted.exp().sum_keep(&[axis]).ln())
}

fn scalar<E: Float>(x: E) -> Tensor<E> {
    Tensor::scalar(x)
}

/// The largest elements along `axis`, which stays with size 1; NaN where there is one. `None` if the axis is empty.
#[track_caller]
fn largest<E: Float>(op: &str, x: &Var<E>, axis: isize) -> Option<Tensor<E>> {
    let axis = x.shape().axis_for(op, axis) as isize;
    (x.value().dim(axis) > 0).then(|| x.value().max(axis).unsqueeze(axis))
}

/// x − max x along `axis`, and its limit where that is +∞: 0 there and −∞ elsewhere, NaN if there are several. The maximum
/// is a constant, so the derivative is 1.
#[track_caller]
fn shifted<E: Float>(x: &Var<E>, axis: isize) -> Var<E> {
    let Some(max) = largest("softmax", x, axis) else { return x.clone() };
    let top = x.value().eq(&scalar(E::INFINITY));
    let several = top.sum_keep(&[axis]).gt(&scalar(E::ONE));
    let limit = Tensor::where_(&several, &scalar(super::softmax::nan()), &scalar(E::ZERO));
    let shifted = Tensor::where_(&top, &limit, &(x.value() - &max));
    Op::new("shifted", shifted).wrt(x, |g| g).record()
}

/// [`Var::gelu`], composed: x·½(1 + erf(x/√2)), which is 0 from −40 down.
#[track_caller]
pub fn gelu_composed<E: Float>(x: &Var<E>) -> Var<E> {
    let phi = x.scale(E::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf().add_scalar(E::ONE);
    x.clamp(E::from_f64(-40.0), E::INFINITY).mul(&phi.scale(E::from_f64(0.5)))
}

/// [`layer_norm`](crate::layer_norm), composed.
#[track_caller]
pub fn layer_norm_composed<E: Float>(
    x: &Var<E>,
    weight: &Var<E>,
    bias: &Var<E>,
    eps: f64,
) -> Var<E> {
    let n = E::from_f64(x.value().dim(-1) as f64);
    let n = Var::constant(scalar(n));
    let centred = x.sub(&x.div(&n).sum_keep(&[-1])); // the sum may be out of range
    let centred = centred.sub(&centred.sum_keep(&[-1]).div(&n)); // what the rounding of the mean has left
    centred.div(&root_mean_square(&centred, eps)).mul(weight).add(bias)
}

/// [`linear`](crate::linear), composed.
#[track_caller]
pub fn linear_composed<E: Float>(x: &Var<E>, weight: &Var<E>, bias: Option<&Var<E>>) -> Var<E> {
    let rows = x.dims()[..x.dims().len() - 1].iter().product();
    let flat = x.reshape([rows, x.value().dim(-1)]).matmul(&weight.transpose(0, 1));
    let y = flat.reshape(x.shape().with(x.shape().rank() - 1, weight.dims()[0]));
    bias.map_or_else(|| y.clone(), |bias| y.add(bias))
}

/// [`linear_add`](crate::linear_add), composed.
#[track_caller]
pub fn linear_add_composed<E: Float>(
    x: &Var<E>,
    weight: &Var<E>,
    bias: Option<&Var<E>>,
    residual: &Var<E>,
) -> Var<E> {
    linear_composed(x, weight, bias).add(residual)
}

/// [`linear_gelu`](crate::linear_gelu), composed.
#[track_caller]
pub fn linear_gelu_composed<E: Float>(
    x: &Var<E>,
    weight: &Var<E>,
    bias: Option<&Var<E>>,
) -> Var<E> {
    gelu_composed(&linear_composed(x, weight, bias))
}

/// [`attention`](crate::attention), composed.
///
/// # Panics
/// If the shapes disagree.
#[track_caller]
pub fn attention_composed<E: Float>(
    q: &Var<E>,
    k: &Var<E>,
    v: &Var<E>,
    options: &Attention<E>,
) -> Var<E> {
    let &[batch, heads, nq, d] = q.dims() else {
        panic!("attention: [B, H, N, D] expected, found {}", q.shape())
    };
    let out = attention_weights(q, k, options).matmul(v);
    out.transpose(1, 2).reshape([batch, nq, heads * d])
}

/// The weights softmax(q·kᵀ/√D + mask) by which [`attention`](crate::attention) averages values, which it never holds:
/// q [B, H, Nq, D], k [B, H, Nk, D] → [B, H, Nq, Nk].
///
/// # Panics
/// If the shapes disagree.
#[track_caller]
pub fn attention_weights<E: Float>(q: &Var<E>, k: &Var<E>, options: &Attention<E>) -> Var<E> {
    let &[_, _, nq, d] = q.dims() else {
        panic!("attention: [B, H, N, D] expected, found {}", q.shape())
    };
    let turned = |x: &Var<E>, i: usize| match &options.angles {
        Some(angles) => super::rotate(x, &angles[i]),
        None => x.clone(),
    };
    let (q, k) = (turned(q, 0), turned(k, 1));
    let products = q.matmul(&k.transpose(-2, -1)).scale(E::from_f64(1.0 / (d as f64).sqrt()));
    let mut mask = options.mask.clone().unwrap_or_else(|| scalar(E::ZERO).into());
    if options.causal {
        let future =
            Tensor::from_fn([nq, nq], |i| if i % nq > i / nq { -E::INFINITY } else { E::ZERO });
        mask = mask.add(&future.into());
    }
    let scores = products.add(&mask);
    // A query whose keys are all hidden has no weights; one whose scores are all −∞ without that has no limit.
    let weights = softmax_composed(&scores, -1);
    let is_hidden =
        |x: &Var<E>| largest("attention", x, -1).map(|max| max.eq(&scalar(-E::INFINITY)));
    let given = is_hidden(&mask.expand(scores.shape()));
    let (Some(lost), Some(given)) = (is_hidden(&scores), given) else { return weights };
    Var::where_(&lost.gt(&given), &scalar(super::softmax::nan()).into(), &weights)
}

/// [`self_attention`](crate::self_attention), composed.
///
/// # Panics
/// If the last axis is not divisible by 3·heads.
#[track_caller]
pub fn self_attention_composed<E: Float>(
    qkv: &Var<E>,
    heads: usize,
    options: &Attention<E>,
) -> Var<E> {
    let &[batch, n, packed] = qkv.dims() else {
        panic!("self_attention: [B, N, 3·H·D] expected, found {}", qkv.shape())
    };
    let divides = heads > 0 && packed.is_multiple_of(3 * heads);
    assert!(divides, "self_attention: {packed} features are not 3 times {heads} heads");
    let parts = qkv.reshape([batch, n, 3, heads, packed / (3 * heads)]).permute(&[2, 0, 3, 1, 4]);
    let part = |i: usize| parts.narrow(0, i, 1).squeeze(0);
    attention_composed(&part(0), &part(1), &part(2), options)
}

/// [`cross_entropy`](crate::cross_entropy), composed.
#[track_caller]
pub fn cross_entropy_composed<E: Float>(
    logits: &Var<E>,
    targets: &[usize],
    options: &CrossEntropy,
) -> Var<E> {
    let classes = logits.value().dim(-1);
    let weight = |c: usize| options.class_weights.as_ref().map_or(1.0, |w| w[c]);
    let counts = |t: usize| Some(t) != options.ignore_index;
    let mass = Tensor::from_fn([targets.len(), classes], |i| {
        let (target, c) = (targets[i / classes], i % classes);
        let on_target = if c == target { 1.0 - options.label_smoothing } else { 0.0 };
        let mass = weight(c) * (on_target + options.label_smoothing / classes as f64);
        E::from_f64(if counts(target) { mass } else { 0.0 })
    });
    let total: f64 = targets.iter().filter(|&&t| counts(t)).map(|&t| weight(t)).sum();
    let normalizer = options.normalizer.unwrap_or(if total == 0.0 { 1.0 } else { total });
    let log_p = log_softmax_composed(&logits.reshape([targets.len(), classes]), -1);
    // A class without mass does not count, even if its logarithm is infinite.
    let counted = Var::where_(&mass, &log_p, &scalar(E::ZERO).into());
    counted.mask(mass).sum_all().scale(E::from_f64(-1.0 / normalizer))
}
