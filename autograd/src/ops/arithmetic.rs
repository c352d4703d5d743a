//! Functions of two elements, broadcast by NumPy's rule.

use std::ops::{Add, Div, Mul, Neg, Sub};

use tensor::{Float, Tensor};

use crate::{Op, Var};

impl<E: Float> Var<E> {
    /// a + b.
    #[track_caller]
    pub fn add(&self, rhs: &Self) -> Self {
        Op::new("add", self.value() + rhs.value()).wrt(self, |g| g).wrt(rhs, |g| g).record()
    }

    /// a − b.
    #[track_caller]
    pub fn sub(&self, rhs: &Self) -> Self {
        Op::new("sub", self.value() - rhs.value()).wrt(self, |g| g).wrt(rhs, |g| -g).record()
    }

    /// a·b.
    #[track_caller]
    pub fn mul(&self, rhs: &Self) -> Self {
        let (a, b) = (self.value().clone(), rhs.value().clone());
        Op::new("mul", &a * &b).wrt(self, move |g| g * &b).wrt(rhs, move |g| g * &a).record()
    }

    /// a/b, with derivatives 1/b and −a/b², as −(1/b)·(a/b): b² may be out of range where the derivative is not.
    #[track_caller]
    pub fn div(&self, rhs: &Self) -> Self {
        let (y, b, b_too) = (self.value() / rhs.value(), rhs.value().clone(), rhs.value().clone());
        let saved = y.clone();
        Op::new("div", y)
            .wrt(self, move |g| g / &b_too)
            .wrt(rhs, move |g| -(g / &b * &saved))
            .record()
    }

    /// The larger of two; the gradient goes there, to the left one in a tie.
    #[track_caller]
    pub fn maximum(&self, rhs: &Self) -> Self {
        let left = self.value().ge(rhs.value());
        let right = left.clone();
        Op::new("maximum", self.value().maximum(rhs.value()))
            .wrt(self, move |g| g * &left)
            .wrt(rhs, move |g| &g - &(&g * &right))
            .record()
    }

    /// The smaller of two; the gradient goes there, to the left one in a tie.
    #[track_caller]
    pub fn minimum(&self, rhs: &Self) -> Self {
        let left = self.value().le(rhs.value());
        let right = left.clone();
        Op::new("minimum", self.value().minimum(rhs.value()))
            .wrt(self, move |g| g * &left)
            .wrt(rhs, move |g| &g - &(&g * &right))
            .record()
    }

    /// `a` where the mask is not 0, `b` where it is; the gradient goes where the value came from.
    #[track_caller]
    pub fn where_(mask: &Tensor<E>, a: &Self, b: &Self) -> Self {
        let (mask_a, mask_b) = (mask.clone(), mask.clone());
        let zero = Tensor::scalar(E::ZERO);
        let zero_too = zero.clone();
        Op::new("where", Tensor::where_(mask, a.value(), b.value()))
            .wrt(a, move |g| Tensor::where_(&mask_a, &g, &zero))
            .wrt(b, move |g| Tensor::where_(&mask_b, &zero_too, &g))
            .record()
    }
}

/// The only macro of the crate: operators for references, and for an owned left side.
macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl<E: Float> $trait<&Var<E>> for &Var<E> {
            type Output = Var<E>;
            #[track_caller]
            fn $method(self, rhs: &Var<E>) -> Var<E> {
                Var::$method(self, rhs)
            }
        }
    };
}

operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

/// Addition that reuses the left side's buffer if nobody else holds it, as at a residual connection.
impl<E: Float> Add<&Var<E>> for Var<E> {
    type Output = Var<E>;
    #[track_caller]
    fn add(self, rhs: &Var<E>) -> Var<E> {
        let (value, source) = self.into_parts();
        Op::new("add", value + rhs.value()).wrt_source(&source, |g| g).wrt(rhs, |g| g).record()
    }
}

impl<E: Float> Neg for &Var<E> {
    type Output = Var<E>;
    #[track_caller]
    fn neg(self) -> Var<E> {
        Var::neg(self)
    }
}
