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

    /// The larger of two; the gradient goes there, to the left one in a tie. Both are NaN if one of the two is.
    #[track_caller]
    pub fn maximum(&self, rhs: &Self) -> Self {
        let left = wins("maximum", self.value(), rhs.value(), |a, b| a >= b);
        let right = left.clone();
        Op::new("maximum", self.value().maximum(rhs.value()))
            .wrt(self, move |g| g * &left)
            .wrt(rhs, move |g| &g - &(&g * &right))
            .record()
    }

    /// The smaller of two; the gradient goes there, to the left one in a tie. Both are NaN if one of the two is.
    #[track_caller]
    pub fn minimum(&self, rhs: &Self) -> Self {
        let left = wins("minimum", self.value(), rhs.value(), |a, b| a <= b);
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

/// 1 where the left one is chosen, 0 where the right one is, NaN where one of them is.
#[track_caller]
fn wins<E: Float>(
    op: &str,
    a: &Tensor<E>,
    b: &Tensor<E>,
    left: impl Fn(E, E) -> bool + Sync + Send,
) -> Tensor<E> {
    a.zip(
        b,
        op,
        #[inline(always)]
        |a, b, _| match () {
            () if left(a, b) => E::ONE,
            () if a.is_nan() => a,
            () if b.is_nan() => b,
            () => E::ZERO,
        },
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;

    fn gradient_by_divisor<E: Float>(a: f64, b: f64) -> f64 {
        let tape = Tape::<E>::new();
        let [a, b] = [a, b].map(|x| tape.leaf(Tensor::scalar(E::from_f64(x))));
        tape.backward(&a.div(&b)).get(&b).expect("tracked").item().to_f64()
    }

    #[test]
    fn the_square_of_a_divisor_may_be_out_of_range() {
        assert_eq!(gradient_by_divisor::<f32>(0.0, 1e-23), 0.0);
        assert_eq!(gradient_by_divisor::<f64>(0.0, 1e-170), 0.0);
        let near = |found: f64, right: f64| {
            assert!((found / right - 1.0).abs() < 1e-6, "{found} {right}");
        };
        near(gradient_by_divisor::<f32>(1e30, 1e25), -1e-20);
        near(gradient_by_divisor::<f32>(1e-30, 1e-23), -1e16);
        near(gradient_by_divisor::<f64>(1e-300, 1e-170), -1e40);
    }

    #[test]
    fn value_and_gradients_of_the_larger_and_the_smaller_of_a_nan_are_nan() {
        for op in [Var::<f32>::maximum, Var::minimum] {
            for pair in [[f32::NAN, 1.0], [1.0, f32::NAN]] {
                let tape = Tape::new();
                let [a, b] = pair.map(|x| tape.leaf(Tensor::scalar(x)));
                let y = op(&a, &b);
                assert!(y.value().item().is_nan());
                let g = tape.backward(&y);
                assert!([&a, &b].into_iter().all(|x| g.get(x).expect("tracked").item().is_nan()));
            }
        }
    }
}
