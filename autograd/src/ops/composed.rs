//! The fused ops once more, composed of primitive ones: the reference that property tests hold them equal to.

use tensor::{Float, Tensor};

use super::{Attention, CrossEntropy};
use crate::Var;

/// [`Var::softmax`], composed.
#[track_caller]
pub fn softmax_composed<E: Float>(x: &Var<E>, axis: isize) -> Var<E> {
    let max = x.value().max(axis).unsqueeze(axis_after_removal(x, axis)).into();
    let e = x.sub(&max).exp();
    e.div(&e.sum_keep(&[axis]))
}

/// [`Var::log_softmax`], composed.
#[track_caller]
pub fn log_softmax_composed<E: Float>(x: &Var<E>, axis: isize) -> Var<E> {
    let max = x.value().max(axis).unsqueeze(axis_after_removal(x, axis)).into();
    let shifted = x.sub(&max);
    shifted.sub(&shifted.exp().sum_keep(&[axis]).ln())
}

fn axis_after_removal<E: Float>(x: &Var<E>, axis: isize) -> isize {
    x.shape().axis(axis) as isize
}

/// [`Var::gelu`], composed: x·½(1 + erf(x/√2)).
#[track_caller]
pub fn gelu_composed<E: Float>(x: &Var<E>) -> Var<E> {
    let phi = x.scale(E::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf().add_scalar(E::ONE);
    x.mul(&phi.scale(E::from_f64(0.5)))
}

/// [`layer_norm`](crate::layer_norm), composed.
#[track_caller]
pub fn layer_norm_composed<E: Float>(
    x: &Var<E>,
    weight: &Var<E>,
    bias: &Var<E>,
    eps: f64,
) -> Var<E> {
    let scale = E::from_f64(1.0 / x.value().dim(-1) as f64);
    let centred = x.sub(&x.sum_keep(&[-1]).scale(scale));
    let variance = centred.square().sum_keep(&[-1]).scale(scale);
    centred.div(&variance.add_scalar(E::from_f64(eps)).sqrt()).mul(weight).add(bias)
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

/// Where each query of [`attention`](crate::attention) looks: softmax(q·kᵀ/√D + mask) for q [B, H, Nq, D] and k [B, H, Nk, D]; the
/// result is [B, H, Nq, Nk], of which the fused op never holds more than a tile. For pictures of a model, and for its twin.
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
    let mut scores = q.matmul(&k.transpose(-2, -1)).scale(E::from_f64(1.0 / (d as f64).sqrt()));
    if let Some(mask) = &options.mask {
        scores = scores.add(mask);
    }
    if options.causal {
        let hidden =
            Tensor::from_fn([nq, nq], |i| if i % nq > i / nq { -E::INFINITY } else { E::ZERO });
        scores = scores.add(&hidden.into());
    }
    softmax_composed(&scores, -1)
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
    log_p.mask(mass).sum_all().scale(E::from_f64(-1.0 / normalizer))
}
