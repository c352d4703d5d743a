//! The element types: f32 for speed, f64 for truth.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::pool::Pool;
use crate::simd::{self, Product, Simd};
use crate::vecmath;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// An element of a tensor: `f32` or `f64`. Sealed.
///
/// The functions that take a [`Simd`] are written for loops inside [`vectorize`](crate::vectorize): for `f32` they are
/// branch-free polynomials that the compiler turns into vector code, for `f64` they are the exact functions of libm.
pub trait Float:
    sealed::Sealed
    + Product
    + Copy
    + Send
    + Sync
    + Default
    + Debug
    + Display
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The distance from 1 to the next larger number.
    const EPSILON: Self;
    /// +∞.
    const INFINITY: Self;
    /// Name of the type, as safetensors writes it: `F32` or `F64`.
    const NAME: &'static str;

    /// The nearest value of this type.
    fn from_f64(x: f64) -> Self;
    /// The same value in double precision.
    fn to_f64(self) -> f64;
    /// √x.
    fn sqrt(self) -> Self;
    /// |x|.
    fn abs(self) -> Self;
    /// Whether the value is neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// Whether the value is not a number.
    fn is_nan(self) -> bool;
    /// Whether this one, coming later, takes over from `best` as the largest: it is larger, or the first NaN.
    #[inline(always)]
    fn exceeds(self, best: Self) -> bool {
        self > best || (self.is_nan() && !best.is_nan())
    }
    /// The larger of two, this one in a tie; NaN if one is.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if other.exceeds(self) { other } else { self }
    }
    /// The smaller of two, this one in a tie; NaN if one is.
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if other < self || (other.is_nan() && !self.is_nan()) { other } else { self }
    }
    /// self·a + b, rounded once where the processor can ([`Simd::fma`]).
    fn mul_add(self, a: Self, b: Self, simd: Simd) -> Self;
    /// eˣ.
    fn exp(self, simd: Simd) -> Self;
    /// eˣ for x ≤ 0, or any x at which it does not overflow: a little cheaper.
    fn exp_nonpositive(self, simd: Simd) -> Self;
    /// ln x.
    fn ln(self, simd: Simd) -> Self;
    /// tanh x.
    fn tanh(self, simd: Simd) -> Self;
    /// erf x = 2/√π ∫₀ˣ e^(−t²) dt.
    fn erf(self, simd: Simd) -> Self;
    /// sin x.
    fn sin(self, simd: Simd) -> Self;
    /// cos x.
    fn cos(self, simd: Simd) -> Self;
    /// 1 / (1 + e^(−x)).
    fn sigmoid(self, simd: Simd) -> Self;

    /// x·Φ(x), where Φ is the standard normal distribution function.
    fn gelu(self, simd: Simd) -> Self;
    /// d/dx x·Φ(x) = Φ(x) + x·φ(x).
    fn gelu_derivative(self, simd: Simd) -> Self;
    /// sin of each element, for arguments of any size ([`Float::sin`] reduces small ones only).
    fn sin_slice(x: &mut [Self]);
    /// cos of each element, for arguments of any size.
    fn cos_slice(x: &mut [Self]);

    /// Runs a kernel compiled for this type's use: `f32` for the widest vector unit ([`vectorize`](crate::vectorize)),
    /// `f64` once, for the baseline.
    fn vectorize<R>(kernel: impl FnOnce(Simd) -> R) -> R;

    #[doc(hidden)]
    fn pool() -> &'static Pool<Self>;
}

impl Float for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const EPSILON: f32 = f32::EPSILON;
    const INFINITY: f32 = f32::INFINITY;
    const NAME: &'static str = "F32";

    #[inline(always)]
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn sqrt(self) -> f32 {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn abs(self) -> f32 {
        f32::abs(self)
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        f32::is_nan(self)
    }
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, simd: Simd) -> f32 {
        vecmath::mul_add(self, a, b, simd)
    }
    #[inline(always)]
    fn exp(self, simd: Simd) -> f32 {
        vecmath::exp(self, simd)
    }
    #[inline(always)]
    fn exp_nonpositive(self, simd: Simd) -> f32 {
        vecmath::exp_nonpositive(self, simd)
    }
    #[inline(always)]
    fn ln(self, simd: Simd) -> f32 {
        vecmath::ln(self, simd)
    }
    #[inline(always)]
    fn tanh(self, simd: Simd) -> f32 {
        vecmath::tanh(self, simd)
    }
    #[inline(always)]
    fn erf(self, simd: Simd) -> f32 {
        vecmath::erf(self, simd)
    }
    #[inline(always)]
    fn sin(self, simd: Simd) -> f32 {
        vecmath::sin(self, simd)
    }
    #[inline(always)]
    fn cos(self, simd: Simd) -> f32 {
        vecmath::cos(self, simd)
    }
    #[inline(always)]
    fn sigmoid(self, simd: Simd) -> f32 {
        vecmath::sigmoid(self, simd)
    }
    #[inline(always)]
    fn gelu(self, simd: Simd) -> f32 {
        vecmath::gelu(self, simd)
    }
    #[inline(always)]
    fn gelu_derivative(self, simd: Simd) -> f32 {
        vecmath::gelu_derivative(self, simd)
    }
    fn sin_slice(x: &mut [f32]) {
        vecmath::sin_slice(x);
    }
    fn cos_slice(x: &mut [f32]) {
        vecmath::cos_slice(x);
    }
    #[inline(always)]
    fn vectorize<R>(kernel: impl FnOnce(Simd) -> R) -> R {
        simd::vectorize(kernel)
    }
    fn pool() -> &'static Pool<f32> {
        static POOL: Pool<f32> = Pool::new();
        &POOL
    }
}

impl Float for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const EPSILON: f64 = f64::EPSILON;
    const INFINITY: f64 = f64::INFINITY;
    const NAME: &'static str = "F64";

    #[inline(always)]
    fn from_f64(x: f64) -> f64 {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn sqrt(self) -> f64 {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn abs(self) -> f64 {
        f64::abs(self)
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
    #[inline(always)]
    fn mul_add(self, a: f64, b: f64, simd: Simd) -> f64 {
        if simd.fma() { f64::mul_add(self, a, b) } else { self * a + b }
    }
    #[inline(always)]
    fn exp(self, _: Simd) -> f64 {
        f64::exp(self)
    }
    #[inline(always)]
    fn exp_nonpositive(self, _: Simd) -> f64 {
        f64::exp(self)
    }
    #[inline(always)]
    fn ln(self, _: Simd) -> f64 {
        f64::ln(self)
    }
    #[inline(always)]
    fn tanh(self, _: Simd) -> f64 {
        f64::tanh(self)
    }
    #[inline(always)]
    fn erf(self, _: Simd) -> f64 {
        libm::erf(self)
    }
    #[inline(always)]
    fn sin(self, _: Simd) -> f64 {
        f64::sin(self)
    }
    #[inline(always)]
    fn cos(self, _: Simd) -> f64 {
        f64::cos(self)
    }
    #[inline(always)]
    fn sigmoid(self, _: Simd) -> f64 {
        1.0 / (1.0 + f64::exp(-self))
    }
    #[inline(always)]
    fn gelu(self, _: Simd) -> f64 {
        // x·Φ(x) with Φ(x) = ½ erfc(−x/√2): no cancellation in the left tail. At −40 it is 0, and −∞·0 must not become
        // NaN.
        let x = if self < -40.0 { -40.0 } else { self };
        0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
    }
    #[inline(always)]
    fn gelu_derivative(self, _: Simd) -> f64 {
        let x = self.clamp(-40.0, 40.0); // the density is 0 there, and ∞·0 must not become NaN
        let density = f64::exp(-0.5 * x * x) / (2.0 * std::f64::consts::PI).sqrt();
        0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) + x * density
    }
    fn sin_slice(x: &mut [f64]) {
        x.iter_mut().for_each(|x| *x = f64::sin(*x));
    }
    fn cos_slice(x: &mut [f64]) {
        x.iter_mut().for_each(|x| *x = f64::cos(*x));
    }
    #[inline(always)]
    fn vectorize<R>(kernel: impl FnOnce(Simd) -> R) -> R {
        kernel(Simd::PORTABLE)
    }
    fn pool() -> &'static Pool<f64> {
        static POOL: Pool<f64> = Pool::new();
        &POOL
    }
}
