//! Functions of the elements, and operators.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::par::{self, CHUNK, FUNCTION};
use crate::{Float, Tensor};

impl<E: Float> Tensor<E> {
    /// eˣ.
    pub fn exp(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, simd| x.exp(simd),
        )
    }

    /// ln x; −∞ at 0 and NaN below.
    pub fn ln(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, simd| x.ln(simd),
        )
    }

    /// √x; NaN below 0.
    pub fn sqrt(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, _| x.sqrt(),
        )
    }

    /// tanh x.
    pub fn tanh(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, simd| x.tanh(simd),
        )
    }

    /// erf x = 2/√π ∫₀ˣ e^(−t²) dt.
    pub fn erf(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, simd| x.erf(simd),
        )
    }

    /// sin x, in radians.
    pub fn sin(&self) -> Self {
        let mut out = self.copy();
        let work = par::work(&[out.len(), FUNCTION]);
        par::for_chunks(out.data_mut(), CHUNK, work, |_, chunk| E::sin_slice(chunk));
        out
    }

    /// cos x, in radians.
    pub fn cos(&self) -> Self {
        let mut out = self.copy();
        let work = par::work(&[out.len(), FUNCTION]);
        par::for_chunks(out.data_mut(), CHUNK, work, |_, chunk| E::cos_slice(chunk));
        out
    }

    /// 1 / (1 + e^(−x)).
    pub fn sigmoid(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, simd| x.sigmoid(simd),
        )
    }

    /// max(x, 0); NaN for NaN.
    pub fn relu(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, _| if E::ZERO > x { E::ZERO } else { x },
        )
    }

    /// x·Φ(x), the Gaussian error linear unit, exact (not the tanh form).
    pub fn gelu(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, simd| x.gelu(simd),
        )
    }

    /// |x|.
    pub fn abs(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, _| x.abs(),
        )
    }

    /// x².
    pub fn square(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, _| x * x,
        )
    }

    /// 1 / x.
    pub fn recip(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, _| E::ONE / x,
        )
    }

    /// x limited to [low, high]; NaN stays NaN.
    ///
    /// # Panics
    /// If low > high, or if one of them is NaN.
    #[track_caller]
    pub fn clamp(&self, low: E, high: E) -> Self {
        assert!(low <= high, "clamp: the interval [{low}, {high}] is empty");
        self.map(
            #[inline(always)]
            move |x, _| {
                if x < low {
                    low
                } else if x > high {
                    high
                } else {
                    x
                }
            },
        )
    }

    /// The larger of two elements, the left one in a tie; NaN if one is.
    #[track_caller]
    pub fn maximum(&self, rhs: &Self) -> Self {
        self.zip(
            rhs,
            "maximum",
            #[inline(always)]
            |a, b, _| a.max(b),
        )
    }

    /// The smaller of two elements, the left one in a tie; NaN if one is.
    #[track_caller]
    pub fn minimum(&self, rhs: &Self) -> Self {
        self.zip(
            rhs,
            "minimum",
            #[inline(always)]
            |a, b, _| a.min(b),
        )
    }

    /// x + c.
    pub fn add_scalar(&self, c: E) -> Self {
        self.map(
            #[inline(always)]
            move |x, _| x + c,
        )
    }

    /// c·x.
    pub fn scale(&self, c: E) -> Self {
        self.map(
            #[inline(always)]
            move |x, _| c * x,
        )
    }

    /// 1 where a = b, else 0.
    #[track_caller]
    pub fn eq(&self, rhs: &Self) -> Self {
        self.zip(
            rhs,
            "eq",
            #[inline(always)]
            |a, b, _| indicator(a == b),
        )
    }

    /// 1 where a < b, else 0.
    #[track_caller]
    pub fn lt(&self, rhs: &Self) -> Self {
        self.zip(
            rhs,
            "lt",
            #[inline(always)]
            |a, b, _| indicator(a < b),
        )
    }

    /// 1 where a ≤ b, else 0.
    #[track_caller]
    pub fn le(&self, rhs: &Self) -> Self {
        self.zip(
            rhs,
            "le",
            #[inline(always)]
            |a, b, _| indicator(a <= b),
        )
    }

    /// 1 where a > b, else 0.
    #[track_caller]
    pub fn gt(&self, rhs: &Self) -> Self {
        self.zip(
            rhs,
            "gt",
            #[inline(always)]
            |a, b, _| indicator(a > b),
        )
    }

    /// 1 where a ≥ b, else 0.
    #[track_caller]
    pub fn ge(&self, rhs: &Self) -> Self {
        self.zip(
            rhs,
            "ge",
            #[inline(always)]
            |a, b, _| indicator(a >= b),
        )
    }

    /// `a` where the mask is not 0, `b` where it is, NaN where the mask is NaN; all three broadcast to one shape.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    pub fn where_(mask: &Self, a: &Self, b: &Self) -> Self {
        let shape = a.shape().broadcast(b.shape()).and_then(|shape| shape.broadcast(mask.shape()));
        let Some(shape) = shape else {
            panic!("where: shapes do not broadcast: {}, {}, {}", mask.shape(), a.shape(), b.shape())
        };
        let [mask, a, b] = [mask, a, b].map(|tensor| tensor.expand(shape).contiguous());
        let triples = mask.data().iter().zip(a.data()).zip(b.data());
        Self::build(shape, |out| {
            out.iter_mut().zip(triples).for_each(|(out, ((mask, a), b))| {
                *out = match *mask {
                    mask if mask == E::ZERO => *b,
                    mask if mask.is_nan() => mask,
                    _ => *a,
                };
            });
        })
    }
}

#[inline(always)]
fn indicator<E: Float>(holds: bool) -> E {
    if holds { E::ONE } else { E::ZERO }
}

/// The only macro of the crate: `a op b` for references and for an owned left side, whose buffer is reused.
macro_rules! operator {
    ($trait:ident, $method:ident, $name:literal, $op:tt) => {
        impl<E: Float> $trait<&Tensor<E>> for &Tensor<E> {
            type Output = Tensor<E>;
            #[track_caller]
            fn $method(self, rhs: &Tensor<E>) -> Tensor<E> {
                self.zip(rhs, $name, #[inline(always)] |a, b, _| a $op b)
            }
        }
        impl<E: Float> $trait<&Tensor<E>> for Tensor<E> {
            type Output = Tensor<E>;
            #[track_caller]
            fn $method(self, rhs: &Tensor<E>) -> Tensor<E> {
                self.into_zip(rhs, $name, #[inline(always)] |a, b, _| a $op b)
            }
        }
        impl<E: Float> $trait<E> for &Tensor<E> {
            type Output = Tensor<E>;
            fn $method(self, rhs: E) -> Tensor<E> {
                self.map(#[inline(always)] move |x, _| x $op rhs)
            }
        }
        impl<E: Float> $trait<E> for Tensor<E> {
            type Output = Tensor<E>;
            fn $method(self, rhs: E) -> Tensor<E> {
                self.into_map(#[inline(always)] move |x, _| x $op rhs)
            }
        }
    };
}

operator!(Add, add, "add", +);
operator!(Sub, sub, "sub", -);
operator!(Mul, mul, "mul", *);
operator!(Div, div, "div", /);

impl<E: Float> Neg for Tensor<E> {
    type Output = Tensor<E>;
    fn neg(self) -> Tensor<E> {
        self.into_map(
            #[inline(always)]
            |x, _| -x,
        )
    }
}

impl<E: Float> Neg for &Tensor<E> {
    type Output = Tensor<E>;
    fn neg(self) -> Tensor<E> {
        self.map(
            #[inline(always)]
            |x, _| -x,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_and_the_smaller_of_a_nan_is_nan_and_infinities_are_limits() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        // one register of each, so that the vector code is tried, too
        let pair = |a: f32, b: f32| [Tensor::full([37], a), Tensor::full([37], b)];
        for (a, b) in [(nan, 1.0), (1.0, nan), (nan, inf), (-inf, nan), (nan, nan)] {
            let [a, b] = pair(a, b);
            for x in [a.maximum(&b), a.minimum(&b)] {
                assert!(x.to_vec().iter().all(|x| x.is_nan()), "{a:?} {b:?}");
            }
        }
        for (a, b) in [(inf, 1.0), (-inf, 1.0), (inf, -inf), (2.0, 3.0), (-0.0, 0.0)] {
            for [a, b] in [pair(a, b), pair(b, a)] {
                let (x, y) = (a.get(&[0]), b.get(&[0]));
                let same =
                    |t: Tensor, x: f32| t.to_vec().iter().all(|t| t.to_bits() == x.to_bits());
                assert!(same(a.maximum(&b), if y > x { y } else { x }), "{x} {y}");
                assert!(same(a.minimum(&b), if y < x { y } else { x }), "{x} {y}");
            }
        }
    }

    #[test]
    fn clamping_keeps_nan_and_bounds_infinities() {
        let x: Tensor = Tensor::from_vec([4], vec![f32::NAN, f32::INFINITY, -f32::INFINITY, 0.5]);
        let y = x.clamp(0.0, 1.0).to_vec();
        assert!(y[0].is_nan());
        assert_eq!(y[1..], [1.0, 0.0, 0.5]);
    }

    #[test]
    #[should_panic(expected = "clamp: the interval [2, 0] is empty")]
    fn an_empty_interval_is_refused() {
        Tensor::<f32>::zeros([1]).clamp(2.0, 0.0);
    }

    #[test]
    fn a_mask_that_is_no_number_chooses_nothing() {
        let mask: Tensor = Tensor::from_vec([3], vec![f32::NAN, 0.0, f32::INFINITY]);
        let chosen = Tensor::where_(&mask, &Tensor::scalar(1.0), &Tensor::scalar(2.0)).to_vec();
        assert!(chosen[0].is_nan());
        assert_eq!(chosen[1..], [2.0, 1.0]);
    }
}
