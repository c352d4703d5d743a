//! Faulty ops. Each has one mistake of a kind that people make; where a framework shipped it, its report is named.

use std::sync::atomic::{AtomicU32, Ordering};

use autograd::check::Entry;
use autograd::{Op, Var, check_op, layer_norm};
use tensor::{Float, Tensor};

/// A faulty op.
pub(crate) struct Mutant {
    pub(crate) kind: &'static str,
    /// What is wrong with it.
    pub(crate) fault: &'static str,
    /// Where it was shipped.
    pub(crate) seen: &'static str,
    pub(crate) entry: Entry,
}

/// An op of one input.
fn op<E: Float>(
    x: &Var<E>,
    value: Tensor<E>,
    vjp: impl FnOnce(Tensor<E>) -> Tensor<E> + Send + 'static,
) -> Var<E> {
    Op::new("mutant", value).wrt(x, vjp).record()
}

/// An op of two inputs.
fn op2<E: Float>(
    a: &Var<E>,
    b: &Var<E>,
    value: Tensor<E>,
    da: impl FnOnce(Tensor<E>) -> Tensor<E> + Send + 'static,
    db: impl FnOnce(Tensor<E>) -> Tensor<E> + Send + 'static,
) -> Var<E> {
    Op::new("mutant", value).wrt(a, da).wrt(b, db).record()
}

fn e<E: Float>(x: f64) -> E {
    E::from_f64(x)
}

fn last<E: Float>(x: &Var<E>) -> usize {
    x.value().dim(-1)
}

/// y of a softmax over the last axis.
fn softmax<E: Float>(x: &Var<E>) -> Tensor<E> {
    x.detach().softmax(-1).into_value()
}

/// x̂ of a layer norm over the last axis, and 1/σ.
fn normalized<E: Float>(x: &Tensor<E>, eps: f64) -> (Tensor<E>, Tensor<E>) {
    let n = E::from_f64(x.dim(-1) as f64).recip_();
    let mean = x.sum_keep(&[-1]).scale(n);
    let centred = x - &mean;
    let rstd = centred.square().sum_keep(&[-1]).scale(n).add_scalar(e(eps)).sqrt().recip();
    (&centred * &rstd, rstd)
}

/// 1/x of a number.
trait Reciprocal {
    fn recip_(self) -> Self;
}

impl<E: Float> Reciprocal for E {
    fn recip_(self) -> E {
        E::ONE / self
    }
}

/// The mask of x ≥ 0 on an axis of `n`, as a matrix: 1 where row − column ≥ `from`.
fn triangle<E: Float>(n: usize, from: isize) -> Tensor<E> {
    Tensor::from_fn([n, n], |i| {
        let (row, col) = ((i / n) as isize, (i % n) as isize);
        if row - col >= from { E::ONE } else { E::ZERO }
    })
}

/// Elements as they lie in the storage, whatever the strides say.
fn in_storage_order<E: Float>(x: &Tensor<E>) -> Tensor<E> {
    let storage = x.storage();
    Tensor::from_fn(x.shape(), |i| storage.get(i).copied().unwrap_or(E::ZERO))
}

/// x moved by one place along its last axis, around its end.
fn rolled<E: Float>(x: &Tensor<E>, forward: bool) -> Tensor<E> {
    let n = x.dim(-1);
    let cut = if forward { n - 1 } else { 1 };
    Tensor::concat(&[&x.narrow(-1, cut, n - cut), &x.narrow(-1, 0, cut)], -1)
}

/// Running sums along the last axis.
fn cumulated<E: Float>(x: &Tensor<E>) -> Tensor<E> {
    let n = x.dim(-1).max(1);
    let mut out = x.copy();
    for row in out.data_mut().chunks_mut(n) {
        (1..row.len()).for_each(|i| row[i] += row[i - 1]);
    }
    out
}

static CALLS: AtomicU32 = AtomicU32::new(1);

fn call_number<E: Float>() -> E {
    e(f64::from(CALLS.fetch_add(1, Ordering::Relaxed) % 1024))
}

/// `kind: fault, where it was seen => name, spec, call;`
macro_rules! mutants {
    ($($kind:literal: $fault:literal, $seen:literal => $name:literal, $spec:literal, |$inputs:tt, $pick:tt| $call:expr;)*) => {
        vec![$(Mutant {
            kind: $kind,
            fault: $fault,
            seen: $seen,
            entry: check_op!($name, $spec, |$inputs, $pick| $call),
        }),*]
    };
}

/// All of them.
#[rustfmt::skip]
pub(crate) fn all() -> Vec<Mutant> {
    mutants! {
        "factor": "the 2 of x² forgotten", "" =>
            "square", "* -> *", |[x], _| { let s = x.value().clone(); op(x, s.square(), move |g| g * &s) };
        "factor": "a mean that does not divide its gradient", "facebookresearch/shumai#79" =>
            "mean", "* n>1 -> *", |[x], _| { let s = x.shape(); op(x, x.value().mean(&[-1]), move |g| g.unsqueeze(-1).expand(s)) };
        "factor": "the scale of a scaled product forgotten for one side", "" =>
            "scaled product", "m k>0, k n -> m n", |[a, b], _| {
                let c: E = e(0.5 / last(a) as f64);
                let (x, y) = (a.value().clone(), b.value().clone());
                op2(a, b, x.matmul(&y).scale(c), move |g| g.matmul(&y.transpose(0, 1)).scale(c), move |g| x.transpose(0, 1).matmul(&g))
            };
        "factor": "a variance over n − 1 with the gradient of one over n", "" =>
            "variance", "* n>1 -> *", |[x], _| {
                let (v, n) = (x.value().clone(), last(x) as f64);
                op(x, v.variance(&[-1], 1), move |g| (&v - &v.sum_keep(&[-1]).scale(e(1.0 / n))).scale(e(2.0 / n)) * &g.unsqueeze(-1))
            };
        "factor": "exp(2x) without the 2", "" =>
            "exp", "* -> *", |[x], _| { let y = x.value().scale(e(2.0)).exp(); let s = y.clone(); op(x, y, move |g| g * &s) };

        "sign": "the right side of a difference", "" =>
            "sub", "*, *", |[a, b], _| op2(a, b, a.value() - b.value(), |g| g, |g| g);
        "sign": "cos with derivative sin", "" =>
            "cos", "* -> *", |[x], _| { let s = x.value().sin(); op(x, x.value().cos(), move |g| g * &s) };
        "sign": "1/x with derivative 1/x²", "" =>
            "recip", "* in nonzero -> *", |[x], _| { let y = x.value().recip(); let s = y.square(); op(x, y, move |g| g * &s) };
        "sign": "|x| with derivative 1", "" =>
            "abs", "* in off_halves -> *", |[x], _| op(x, x.value().abs(), |g| g);

        "dropped term": "softmax without the part that all outputs share", "" =>
            "softmax", "* n>1", |[x], _| { let y = softmax(x); let s = y.clone(); op(x, y, move |g| g * &s) };
        "dropped term": "log-softmax as if its normaliser were constant", "" =>
            "log_softmax", "* n>1", |[x], _| op(x, x.detach().log_softmax(-1).into_value(), |g| g);
        "dropped term": "x·tanh(x) with half of the product rule", "" =>
            "x tanh", "* -> *", |[x], _| { let t = x.value().tanh(); let s = t.clone(); op(x, x.value() * &t, move |g| g * &s) };
        "dropped term": "layer norm without the term of the variance", "" =>
            "layer norm", "* n>1", |[x], _| {
                let ((y, rstd), n) = (normalized(x.value(), 0.25), last(x) as f64);
                op(x, y, move |g| (&g - &g.sum_keep(&[-1]).scale(e(1.0 / n))) * &rstd)
            };
        "dropped term": "GELU without x·φ(x)", "" =>
            "gelu", "* -> *", |[x], _| {
                let cdf = x.value().scale(e(std::f64::consts::FRAC_1_SQRT_2)).erf().add_scalar(E::ONE).scale(e(0.5));
                op(x, x.value().gelu(), move |g| g * &cdf)
            };
        "dropped term": "renorm as if the norm were constant", "pytorch/pytorch#59615" =>
            "renorm", "* n>1", |[x], _| {
                let norm = x.value().square().sum_keep(&[-1]).add_scalar(e(0.1)).sqrt().recip();
                op(x, x.value() * &norm, move |g| g * &norm)
            };

        "broadcast": "a bias that gets the gradient of the first row", "pytorch/pytorch#13669" =>
            "bias", "m>1 n, bias: n -> m n", |[x, b], _| {
                let n = last(x);
                op2(x, b, x.value() + b.value(), |g| g, move |g| g.narrow(0, 0, 1).reshape([n]))
            };
        "broadcast": "a bias that gets the mean over the rows", "" =>
            "bias", "m>1 n, bias: n -> m n", |[x, b], _| op2(x, b, x.value() + b.value(), |g| g, |g| g.mean(&[0]));
        "broadcast": "an axis of size 1 that is not summed over", "tracel-ai/burn#181" =>
            "scale rows", "m n>1, weight: m 1 -> m n", |[x, w], _| {
                let (v, s) = (x.value().clone(), w.value().clone());
                op2(x, w, &v * &s, move |g| g * &s, move |g| (g * &v).narrow(1, 0, 1))
            };
        "broadcast": "an expanded axis that keeps its last place", "" =>
            "expand", "n -> 3 n", |[x], _| { let n = last(x); op(x, x.value().expand([3, n]), move |g| g.narrow(0, 2, 1).reshape([n])) };

        "accumulation": "rows taken twice keep the last gradient", "pytorch/pytorch#1528" =>
            "gather", "n>0 k>0", |[x], _| {
                let (n, k) = (x.dims()[0], last(x));
                op(x, x.value().gather(0, &[0, n - 1, 0]), move |g| {
                    let mut dx = Tensor::<E>::zeros([n, k]);
                    for (from, to) in [(0, 0), (1, n - 1), (2, 0)] {
                        let row = g.narrow(0, from, 1).to_vec();
                        dx.data_mut()[to * k..(to + 1) * k].copy_from_slice(&row);
                    }
                    dx
                })
            };
        "accumulation": "a·a as a product of two, of which one is told", "NervanaSystems/neon#169" =>
            "x times x", "* -> *", |[x], _| { let s = x.value().clone(); op(x, &s * &s, move |g| g * &s) };
        "accumulation": "overlapping windows that overwrite one another", "huggingface/candle#3507" =>
            "windows", "* n>2", |[x], _| {
                let n = last(x);
                let value = &x.value().narrow(-1, 0, n - 1) + &x.value().narrow(-1, 1, n - 1);
                op(x, value, move |g| Tensor::concat(&[&g.narrow(-1, 0, 1), &g], -1))
            };
        "accumulation": "a residual branch without its shortcut", "" =>
            "residual", "* -> *", |[x], _| { let t = x.value().tanh(); let s = t.clone(); op(x, x.value() + &t, move |g| &g - &(&g * &s.square())) };

        "axis": "softmax whose gradient sums over the other axis", "" =>
            "softmax", "n>1 n", |[x], _| {
                let y = softmax(x);
                let s = y.clone();
                op(x, y, move |g| { let weighted = g * &s; &weighted - &(&s * &weighted.sum_keep(&[0])) })
            };
        "axis": "a mean over rows whose gradient goes to columns", "" =>
            "mean", "n>1 n -> n", |[x], _| { let n = last(x); op(x, x.value().mean(&[1]), move |g| g.unsqueeze(0).expand([n, n]).scale(e(1.0 / n as f64))) };
        "axis": "two parts of a concatenation whose gradients change places", "" =>
            "concat", "n>0 k>0, n k -> 2*n k", |[a, b], _| {
                let n = a.dims()[0];
                op2(a, b, Tensor::concat(&[a.value(), b.value()], 0), move |g| g.narrow(0, n, n), move |g| g.narrow(0, 0, n))
            };
        "axis": "a sum of running sums that runs the same way back", "" =>
            "cumsum", "* n>1", |[x], _| op(x, cumulated(x.value()), |g| cumulated(&g));

        "transpose": "a product of square matrices, one gradient transposed", "" =>
            "matmul", "n>1 n, n n -> n n", |[a, b], _| {
                let (x, y) = (a.value().clone(), b.value().clone());
                op2(a, b, x.matmul(&y), move |g| y.matmul(&g.transpose(0, 1)), move |g| x.transpose(0, 1).matmul(&g))
            };
        "transpose": "a transposition whose gradient is reshaped", "" =>
            "transpose", "m>1 n>1 -> n m", |[x], _| { let s = x.shape(); op(x, x.value().transpose(0, 1), move |g| g.reshape(s)) };
        "transpose": "a permutation that is applied again, not undone", "" =>
            "permute", "n>1 n n -> n n n", |[x], _| op(x, x.value().permute(&[1, 2, 0]), |g| g.permute(&[1, 2, 0]));
        "transpose": "a trace whose diagonal runs on past the last row", "pytorch/pytorch#76783" =>
            "trace", "m>0 n>0 ->", |[x], _| {
                let (m, n) = (x.dims()[0], last(x));
                let trace = (0..m.min(n)).fold(E::ZERO, |sum, i| sum + x.value().get(&[i, i]));
                op(x, Tensor::scalar(trace), move |g| Tensor::from_fn([m, n], |i| if i % (n + 1) == 0 { g.item() } else { E::ZERO }))
            };

        "off by one": "a triangle whose gradient forgets the diagonal", "" =>
            "lower", "n>0 n", |[x], _| { let n = last(x); op(x, x.value() * &triangle(n, 0), move |g| g * &triangle(n, 1)) };
        "off by one": "causal attention that looks one place ahead on the way back", "" =>
            "causal", "n>1 n, n n", |[a, v], _| {
                let n = last(a);
                let (masked, w) = (a.value() * &triangle(n, 0), v.value().clone());
                let m = masked.clone();
                op2(a, v, masked.matmul(&w), move |g| g.matmul(&w.transpose(0, 1)) * &triangle(n, -1), move |g| m.transpose(0, 1).matmul(&g))
            };
        "off by one": "a cut whose gradient lands one place later", "" =>
            "narrow", "* n>2", |[x], _| {
                let (n, v) = (last(x), x.value().clone());
                op(x, v.narrow(-1, 0, n - 2), move |g| { let z = v.narrow(-1, 0, 1).scale(E::ZERO); Tensor::concat(&[&z, &g, &z], -1) })
            };
        "off by one": "a roll that rolls the same way back", "" =>
            "roll", "* n>2", |[x], _| op(x, rolled(x.value(), true), |g| rolled(&g, true));

        "saved value": "tanh′ of the input in place of the output", "" =>
            "tanh", "* -> *", |[x], _| { let s = x.value().clone(); op(x, x.value().tanh(), move |g| &g - &(&g * &s.square())) };
        "saved value": "√x divided by x, not by √x", "" =>
            "sqrt", "* in positive -> *", |[x], _| { let s = x.value().scale(e(2.0)); op(x, x.value().sqrt(), move |g| g / &s) };
        "saved value": "a quotient that forgets to divide once more", "" =>
            "div", "*, * in nonzero", |[a, b], _| {
                let y = a.value() / b.value();
                let (s, r) = (y.clone(), b.value().clone());
                op2(a, b, y, move |g| g / &r, move |g| -(g * &s))
            };
        "saved value": "dropout that draws another mask on the way back", "" =>
            "dropout", "* n>1", |[x], pick| {
                let (one, other): (Tensor<E>, Tensor<E>) = (pick.mask(x.shape()), pick.mask(x.shape()));
                op(x, x.value() * &one, move |g| g * &other)
            };
        "saved value": "a batch that saves the statistics of its first sample", "" =>
            "normalise", "b>1 n>1", |[x], _| {
                let norm = x.value().square().sum_keep(&[-1]).add_scalar(e(0.1));
                let (first, v) = (norm.narrow(0, 0, 1), x.value().clone());
                op(x, &v / &norm, move |g| { let y = &v / &first; &(&g / &first) - &(&y.scale(e(2.0)) * &(&g * &y).sum_keep(&[-1])) })
            };

        "epsilon": "ε outside of the root", "" =>
            "rsqrt", "* in positive -> *", |[x], _| {
                let s = x.value().sqrt().add_scalar(e(1e-3));
                op(x, x.value().add_scalar(e(1e-3)).sqrt().recip(), move |g| g / &(s.square() * &s) * e::<E>(-0.5))
            };
        "epsilon": "a layer norm whose gradient has no ε", "" =>
            "layer norm", "* n>1", |[x], _| {
                let (y, _) = normalized(x.value(), 1e-3);
                let ((h, rstd), n) = (normalized(x.value(), 0.0), last(x) as f64);
                op(x, y, move |g| {
                    let mean = |t: &Tensor<E>| t.sum_keep(&[-1]).scale(e(1.0 / n));
                    (&g - &mean(&g) - &(&h * &mean(&(&g * &h)))) * &rstd
                })
            };
        "epsilon": "ln(x + ε) with derivative 1/x", "" =>
            "ln", "* in positive -> *", |[x], _| { let s = x.value().clone(); op(x, x.value().add_scalar(e(1e-4)).ln(), move |g| g / &s) };

        "severed": "a fused layer norm without a backward pass", "huggingface/candle, candle-nn/src/ops.rs" =>
            "layer norm", "x: * n>1, weight: n, bias: n", |[x, w, b], _| layer_norm(&x.detach(), w, b, 0.25);
        "severed": "a gate that is detached", "" =>
            "gate", "* -> *", |[x], _| x.mul(&x.detach().sigmoid());
        "severed": "a product that tells one side only", "" =>
            "mul", "*, *", |[a, b], _| { let s = b.value().clone(); op(a, a.value() * b.value(), move |g| g * &s) };

        "wrong region": "a gradient of zeros", "" =>
            "exp", "* -> *", |[x], _| op(x, x.value().exp(), |g| g * E::ZERO);
        "wrong region": "a clamp that lets everything through", "" =>
            "clamp", "* in off_halves -> *", |[x], _| op(x, x.value().clamp(e(-0.5), e(0.5)), |g| g);
        "wrong region": "a relu with derivative 1", "" =>
            "relu", "* in off_halves -> *", |[x], _| op(x, x.value().relu(), |g| g);
        "wrong region": "a maximum that rewards all", "" =>
            "max", "* n>1 in distinct", |[x], _| { let s = x.shape(); op(x, x.value().max(-1), move |g| g.unsqueeze(-1).expand(s)) };
        "wrong region": "a maximum that rewards the first", "" =>
            "max", "* n>1 in distinct", |[x], _| {
                let (v, n) = (x.value().clone(), last(x));
                op(x, v.max(-1), move |g| { let rest = v.narrow(-1, 1, n - 1).scale(E::ZERO); Tensor::concat(&[&g.unsqueeze(-1), &rest], -1) })
            };

        "layout": "a value read in storage order", "" =>
            "copy", "* n>0", |[x], _| op(x, in_storage_order(x.value()), |g| g);
        "layout": "a saved value read in storage order", "pytorch/pytorch#425" =>
            "square", "* n>0", |[x], _| { let s = in_storage_order(x.value()).scale(e(2.0)); op(x, x.value().square(), move |g| g * &s) };
        "layout": "a gradient read in storage order", "Dao-AILab/flash-attention#355" =>
            "double", "m>1 n>1", |[x], _| op(x, x.value().scale(e(2.0)), |g| in_storage_order(&g).scale(e(2.0)));

        "precision": "a constant added and taken away", "" =>
            "identity", "* n>0", |[x], _| x.add_scalar(e(4096.0)).add_scalar(e(-4096.0));
        "precision": "a variance as E[x²] − E[x]²", "" =>
            "variance", "* n>1", |[x], _| {
                let x = x.add_scalar(e(64.0));
                x.square().mean(&[-1]).sub(&x.mean(&[-1]).square())
            };
        "precision": "a softmax that does not subtract its maximum", "" =>
            "softmax", "* n>1", |[x], _| { let p = x.scale(e(100.0)).exp(); p.div(&p.sum_keep(&[-1])) };
        "precision": "a kernel of one precision that approximates", "" =>
            "gelu", "* n>0", |[x], _| {
                if size_of::<E>() == 8 { x.gelu() } else { x.mul(&x.scale(e(1.702)).sigmoid()) }
            };

        "nan": "a relu that maps NaN to 0", "" =>
            "relu", "* in off_halves -> *", |[x], _| {
                let v = x.value().clone();
                op(x, v.map(|x, _| if x > E::ZERO { x } else { E::ZERO }), move |g| g * &v.gt(&Tensor::scalar(E::ZERO)))
            };
        "nan": "a maximum that drops NaN", "numpy's fmax" =>
            "max", "* n>1 in distinct", |[x], _| {
                let v = x.value().map(|x, _| if x.is_nan() { -E::INFINITY } else { x });
                let (shape, best) = (x.shape(), v.max(-1).unsqueeze(-1));
                let places = v.eq(&best);
                op(x, best.squeeze(-1), move |g| g.unsqueeze(-1).expand(shape) * &places)
            };
        "nan": "a softmax of NaN that is all zeros", "" =>
            "softmax", "* n>1", |[x], _| {
                let p = x.softmax(-1);
                let lost = Tensor::from_fn(p.shape(), |i| E::ONE - if p.value().contiguous().data()[i].is_nan() { E::ONE } else { E::ZERO });
                Var::where_(&lost, &p, &Var::constant(Tensor::scalar(E::ZERO)))
            };
        "nan": "a GELU that is 0 at infinity", "" =>
            "gelu", "* -> *", |[x], _| {
                let (v, y) = (x.value().clone(), x.detach().gelu().into_value());
                let y = y.map(|y, _| if y.is_finite() || y.is_nan() { y } else { E::ZERO });
                op(x, y, move |g| g.into_zip(&v, "gelu", |g, x, simd| g * x.gelu_derivative(simd)))
            };
        "nan": "a tanh whose kernel of one precision loses infinity", "" =>
            "tanh", "* -> *", |[x], _| {
                let double = size_of::<E>() == 8;
                let bounded = x.value().map(|x, _| if double || x.is_finite() || x.is_nan() { x } else { E::ZERO });
                let y = bounded.tanh();
                let s = y.square();
                op(x, y, move |g| &g - &(&g * &s))
            };
        "nan": "a gradient of NaN that is dropped", "" =>
            "square", "* -> *", |[x], _| {
                let s = x.value().clone();
                op(x, s.square(), move |g| g.into_zip(&s, "square", |g, x, _| { let d = g * x; if d.is_nan() { E::ZERO } else { d + d } }))
            };

        "magnitude": "a softmax that does not subtract its maximum, at usual logits", "" =>
            "softmax", "* n>1", |[x], _| { let p = x.exp(); p.div(&p.sum_keep(&[-1])) };
        "magnitude": "a layer norm whose squares overflow", "" =>
            "layer norm", "* n>1", |[x], _| {
                let x = x.sub(&x.mean(&[-1]).unsqueeze(-1));
                x.div(&x.square().sum_keep(&[-1]).scale(e(1.0 / last(&x) as f64)).add_scalar(e(0.25)).sqrt())
            };
        "magnitude": "a quotient that squares its divisor", "" =>
            "div", "*, * in nonzero", |[a, b], _| {
                let (x, y, z) = (a.value().clone(), b.value().clone(), b.value().clone());
                op2(a, b, &x / &y, move |g| g / &z, move |g| -(g * &x / &y.square()))
            };
        "magnitude": "a sum in one chain", "" =>
            "sum", "n>0 ->", |[x], _| {
                let (shape, chain) = (x.shape(), x.value().to_vec().into_iter().fold(E::ZERO, |sum, x| sum + x));
                op(x, Tensor::scalar(chain), move |g| g.expand(shape))
            };
        "magnitude": "a logarithm of softmax, its maximum added before it is taken away", "" =>
            "log-softmax", "* n>1 in accurate", |[x], _| {
                let max = Var::constant(x.value().max(-1).unsqueeze(-1));
                x.sub(&x.sub(&max).exp().sum_keep(&[-1]).ln().add(&max))
            };
        "magnitude": "a factor of 2 on values of 1e-15", "" =>
            "double", "* -> *", |[x], _| {
                let double = size_of::<E>() == 8;
                x.scale(e(1e-15)).scale(e(if double { 1.0 } else { 2.0 }))
            };
        "magnitude": "a norm of numbers whose squares vanish", "" =>
            "norm", "* n>0 in nonzero -> * 1", |[x], _| x.square().sum_keep(&[-1]).sqrt();

        "scale": "a tanh that is wrong from 3 on", "" =>
            "tanh", "* -> *", |[x], _| {
                let (v, y) = (x.value().clone(), x.value().tanh());
                op(x, y, move |g| g.into_zip(&v, "tanh", |g, x, simd| if x.abs() > e(3.0) { E::ZERO } else { let t = x.tanh(simd); g * (E::ONE - t * t) }).scale(E::ONE))
            };
        "scale": "a factor of 2 on a gradient of 1e-15", "" =>
            "scaled square", "* -> *", |[x], _| { let s = x.value().scale(e(1e-15)); op(x, &s * x.value(), move |g| g * &s) };

        "state": "a value that counts its calls", "" =>
            "counter", "* n>0", |[x], _| x.scale(call_number());
        "state": "a gradient that counts its calls", "" =>
            "counter", "* n>0", |[x], _| op(x, x.value().clone(), |g| g * call_number::<E>());

        "shape": "a gradient of the output's shape", "" =>
            "transpose", "m n", |[x], _| op(x, x.value().transpose(0, 1), |g| g);
        "shape": "an axis kept that was declared to go", "" =>
            "sum", "m n -> m", |[x], _| x.sum_keep(&[-1]);
        "shape": "an empty tensor that panics", "pytorch/pytorch#31515" =>
            "cumsum", "* n", |[x], _| { let n = last(x); op(x, cumulated(x.value()), move |g| { let _first = g.narrow(-1, 0, 1 + n.min(1) - 1 + usize::from(n == 0)); let total = g.sum_keep(&[-1]); &total - &cumulated(&g) + &g }) };

        "domain": "a root of negative numbers", "" =>
            "sqrt", "* n>0", |[x], _| x.sqrt();
        "domain": "a branch not taken whose gradient is not a number", "pytorch/pytorch#187297" =>
            "where", "* n>0", |[x], _| {
                let negative = x.value().lt(&Tensor::scalar(E::ZERO));
                let (v, s) = (x.value().clone(), negative.clone());
                let root = v.map(|x, _| if x < E::ZERO { E::ZERO } else { x.sqrt() });
                op(x, Tensor::where_(&negative, &v, &root), move |g| {
                    let taken = s.map(|s, _| E::ONE - s);
                    &(&g * &s) + &(&(&g * &taken) / &v.sqrt().scale(e(2.0)))
                })
            };
        "domain": "a product differentiated as a quotient, 0 ÷ 0 where a factor is 0", "" =>
            "prod", "m -> m", |[x], _| {
                let zeroed = x.value().map(|x, _| if x < E::ZERO { E::ZERO } else { x });
                let s = zeroed.clone();
                op(x, zeroed.square(), move |g| { let y = s.square(); g * &(&y / &s) * e::<E>(2.0) })
            };

        "cotangent": "a sum that returns ones", "" =>
            "sum_all", "* n>0 ->", |[x], _| { let s = x.shape(); op(x, x.value().sum_all(), move |_| Tensor::ones(s)) };
        "cotangent": "a gradient that is clipped", "" =>
            "identity", "* n>0", |[x], _| op(x, x.value().clone(), |g| g.clamp(-E::ONE, E::ONE));
        "cotangent": "a gradient averaged over its row", "" =>
            "identity", "* n>1", |[x], _| op(x, x.value().clone(), |g| { let s = g.shape(); let n = g.dim(-1) as f64; g.sum_keep(&[-1]).scale(e(1.0 / n)).expand(s) });

        "size": "the elements past the last whole register", "" =>
            "tail", "* n>0", |[x], _| op(x, x.value().clone(), |g| {
                let whole = g.len() - g.len() % 8;
                let (all, g) = (g.len(), g.contiguous());
                Tensor::from_fn(g.shape(), |i| if all > 8 && i >= whole { E::ZERO } else { g.data()[i] })
            });
        "size": "a block of a sum that is dropped", "" =>
            "sum", "* n>0", |[x], _| {
                let (s, n) = (x.shape(), last(x));
                op(x, x.value().sum(&[-1]), move |g| {
                    let g = g.unsqueeze(-1).expand(s).contiguous();
                    Tensor::from_fn(s, |i| if i % n >= 32 { E::ZERO } else { g.data()[i] })
                })
            };
    }
}
