//! Functions of the elements, and operators.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::par::{self, CHUNK};
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
        par::for_chunks(out.data_mut(), CHUNK, |_, chunk| E::sin_slice(chunk));
        out
    }

    /// cos x, in radians.
    pub fn cos(&self) -> Self {
        let mut out = self.copy();
        par::for_chunks(out.data_mut(), CHUNK, |_, chunk| E::cos_slice(chunk));
        out
    }

    /// 1 / (1 + e^(−x)).
    pub fn sigmoid(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, simd| x.sigmoid(simd),
        )
    }

    /// max(x, 0).
    pub fn relu(&self) -> Self {
        self.map(
            #[inline(always)]
            |x, _| if x > E::ZERO { x } else { E::ZERO },
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

    /// x limited to [low, high].
    pub fn clamp(&self, low: E, high: E) -> Self {
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

    /// The larger of two elements; the left one in a tie.
    #[track_caller]
    pub fn maximum(&self, rhs: &Self) -> Self {
        self.zip(
            rhs,
            "maximum",
            #[inline(always)]
            |a, b, _| if b > a { b } else { a },
        )
    }

    /// The smaller of two elements; the left one in a tie.
    #[track_caller]
    pub fn minimum(&self, rhs: &Self) -> Self {
        self.zip(
            rhs,
            "minimum",
            #[inline(always)]
            |a, b, _| if b < a { b } else { a },
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
        rhs.lt(self)
    }

    /// 1 where a ≥ b, else 0.
    #[track_caller]
    pub fn ge(&self, rhs: &Self) -> Self {
        rhs.le(self)
    }

    /// `a` where the mask is not 0, `b` where it is; all three broadcast to one shape.
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
                *out = if *mask != E::ZERO { *a } else { *b };
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
