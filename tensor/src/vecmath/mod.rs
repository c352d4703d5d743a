//! stub
use crate::simd::Simd;
macro_rules! f { ($($n:ident),*) => { $( #[inline(always)] pub(crate) fn $n(x: f32, _: Simd) -> f32 { libm::$n(f64::from(x)) as f32 } )* } }
f!(exp, tanh, erf, sin, cos);
pub(crate) fn ln(x: f32, _: Simd) -> f32 {
    x.ln()
}
pub(crate) fn mul_add(a: f32, b: f32, c: f32, s: Simd) -> f32 {
    if s.fma() { a.mul_add(b, c) } else { a * b + c }
}
pub(crate) fn sigmoid(x: f32, _: Simd) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
pub(crate) fn gelu(x: f32, _: Simd) -> f32 {
    let x = x as f64;
    (0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)) as f32
}
pub(crate) fn gelu_derivative(x: f32, _: Simd) -> f32 {
    let x = x as f64;
    (0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
        + x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()) as f32
}
pub(crate) fn sin_slice(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = x.sin());
}
pub(crate) fn cos_slice(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = x.cos());
}
