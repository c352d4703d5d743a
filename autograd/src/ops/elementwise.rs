//! Functions of one element.

use tensor::{Float, Simd, Tensor};

use crate::{Op, Var};

impl<E: Float> Var<E> {
    /// An op of one element: its value, and the vjp as a function of the cotangent and of what is kept of the same element.
    #[track_caller]
    #[inline]
    fn unary(
        &self,
        name: &'static str,
        value: Tensor<E>,
        kept: &Tensor<E>,
        vjp: impl Fn(E, E, Simd) -> E + Send + Sync + 'static,
    ) -> Self {
        let kept = kept.clone();
        let vjp = move |g: Tensor<E>| g.into_zip(&kept, name, &vjp);
        Op::new(name, value).wrt(self, vjp).record()
    }

    /// −x.
    #[track_caller]
    pub fn neg(&self) -> Self {
        Op::new("neg", -self.value()).wrt(self, |g| -g).record()
    }

    /// c·x.
    #[track_caller]
    pub fn scale(&self, c: E) -> Self {
        Op::new("scale", self.value().scale(c)).wrt(self, move |g| g * c).record()
    }

    /// x + c.
    #[track_caller]
    pub fn add_scalar(&self, c: E) -> Self {
        Op::new("add_scalar", self.value().add_scalar(c)).wrt(self, |g| g).record()
    }

    /// x², with derivative 2x.
    #[track_caller]
    pub fn square(&self) -> Self {
        let x = self.value().clone();
        Op::new("square", x.square()).wrt(self, move |g| g * &x * E::from_f64(2.0)).record()
    }

    /// 1/x, with derivative −1/x².
    #[track_caller]
    pub fn recip(&self) -> Self {
        let y = self.value().recip();
        Op::new("recip", y.clone()).wrt(self, move |g| -(g * &y * &y)).record()
    }

    /// √x, with derivative 1/(2√x): infinite at 0.
    #[track_caller]
    pub fn sqrt(&self) -> Self {
        let y = self.value().sqrt();
        Op::new("sqrt", y.clone()).wrt(self, move |g| g / &y * E::from_f64(0.5)).record()
    }

    /// eˣ, its own derivative.
    #[track_caller]
    pub fn exp(&self) -> Self {
        let y = self.value().exp();
        Op::new("exp", y.clone()).wrt(self, move |g| g * &y).record()
    }

    /// ln x, with derivative 1/x.
    #[track_caller]
    pub fn ln(&self) -> Self {
        let x = self.value().clone();
        Op::new("ln", x.ln()).wrt(self, move |g| g / &x).record()
    }

    /// tanh x, with derivative 1 − tanh² x = 4u/(1 + u)², u = e^(−2|x|), which keeps its digits where tanh is nearly ±1.
    #[track_caller]
    pub fn tanh(&self) -> Self {
        self.unary(
            "tanh",
            self.value().tanh(),
            self.value(),
            #[inline(always)]
            |g, x, simd| {
                let two = E::from_f64(2.0);
                g * (two * two * bell(two * x, simd))
            },
        )
    }

    /// erf x, with derivative 2/√π · e^(−x²).
    #[track_caller]
    pub fn erf(&self) -> Self {
        let slope = E::from_f64(std::f64::consts::FRAC_2_SQRT_PI);
        self.unary(
            "erf",
            self.value().erf(),
            self.value(),
            #[inline(always)]
            move |g, x, simd| g * slope * (-x * x).exp(simd),
        )
    }

    /// sin x, with derivative cos x.
    #[track_caller]
    pub fn sin(&self) -> Self {
        let x = self.value().clone();
        Op::new("sin", x.sin()).wrt(self, move |g| g * &x.cos()).record()
    }

    /// cos x, with derivative −sin x.
    #[track_caller]
    pub fn cos(&self) -> Self {
        let x = self.value().clone();
        Op::new("cos", x.cos()).wrt(self, move |g| -(g * &x.sin())).record()
    }

    /// σ(x) = 1/(1 + e^(−x)), with derivative σ(1 − σ) = u/(1 + u)², u = e^(−|x|), which keeps its digits where σ is nearly
    /// 1.
    #[track_caller]
    pub fn sigmoid(&self) -> Self {
        self.unary(
            "sigmoid",
            self.value().sigmoid(),
            self.value(),
            #[inline(always)]
            |g, x, simd| g * bell(x, simd),
        )
    }

    /// max(x, 0), with derivative 1 above 0 and 0 elsewhere, at 0 too; both NaN for NaN.
    #[track_caller]
    pub fn relu(&self) -> Self {
        let y = self.value().relu();
        self.unary(
            "relu",
            y.clone(),
            &y,
            #[inline(always)]
            |g, y, _| {
                if y > E::ZERO {
                    g
                } else if y <= E::ZERO {
                    E::ZERO
                } else {
                    y // NaN
                }
            },
        )
    }

    /// GELU(x) = x·Φ(x), with derivative Φ(x) + x·φ(x); exact, with Φ and φ of the standard normal distribution
    /// (Hendrycks and Gimpel 2016). The composed twin is [`gelu_composed`](crate::gelu_composed).
    #[track_caller]
    pub fn gelu(&self) -> Self {
        self.unary(
            "gelu",
            self.value().gelu(),
            self.value(),
            #[inline(always)]
            |g, x, simd| g * x.gelu_derivative(simd),
        )
    }

    /// |x|, with derivative the sign of x, 0 at 0; both NaN for NaN.
    #[track_caller]
    pub fn abs(&self) -> Self {
        self.unary(
            "abs",
            self.value().abs(),
            self.value(),
            #[inline(always)]
            |g, x, _| g * sign(x),
        )
    }

    /// x limited to [low, high], with derivative 1 inside, bounds included, and 0 outside; both NaN for NaN.
    ///
    /// # Panics
    /// Unless low ≤ high.
    #[track_caller]
    pub fn clamp(&self, low: E, high: E) -> Self {
        let y = self.value().clamp(low, high);
        self.unary(
            "clamp",
            y,
            self.value(),
            #[inline(always)]
            move |g, x, _| {
                if low <= x && x <= high {
                    g
                } else if x < low || x > high {
                    E::ZERO
                } else {
                    x // NaN
                }
            },
        )
    }

    /// The value, with the gradient stopped where `mask` is 0 and scaled by it elsewhere: mask·x for a constant mask
    /// that broadcasts to x, as dropout needs it.
    #[track_caller]
    pub fn mask(&self, mask: Tensor<E>) -> Self {
        Op::new("mask", self.value() * &mask).wrt(self, move |g| g * &mask).record()
    }
}

#[inline(always)]
fn sign<E: Float>(x: E) -> E {
    if x > E::ZERO {
        E::ONE
    } else if x < E::ZERO {
        -E::ONE
    } else {
        x // ±0 or NaN
    }
}

/// σ(x)·σ(−x) = u/(1 + u)² with u = e^(−|x|), the derivative of the logistic function.
#[inline(always)]
fn bell<E: Float>(x: E, simd: Simd) -> E {
    let u = (-x.abs()).exp_nonpositive(simd);
    let root = E::ONE + u;
    u / (root * root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;

    #[test]
    fn functions_with_kinks_keep_nan_in_value_and_gradient() {
        type Function = fn(&Var<f32>) -> Var<f32>;
        let functions: [Function; 3] = [Var::relu, Var::abs, |x| x.clamp(0.0, 1.0)];
        for f in functions {
            let tape = Tape::new();
            let x = tape.leaf(Tensor::from_vec([2], vec![f32::NAN, 0.5]));
            let y = f(&x);
            assert!(y.value().to_vec()[0].is_nan() && y.value().to_vec()[1] == 0.5);
            let g = tape.backward(&y.sum_all()).get(&x).expect("tracked").to_vec();
            assert!(g[0].is_nan() && g[1] == 1.0, "{g:?}");
        }
    }

    #[test]
    fn functions_take_their_limits() {
        let inf = f32::INFINITY;
        type Elementwise = fn(&Var<f32>) -> Var<f32>;
        let limits: [(Elementwise, [f32; 2]); 4] = [
            (Var::gelu, [0.0, inf]),
            (Var::tanh, [-1.0, 1.0]),
            (Var::sigmoid, [0.0, 1.0]),
            (Var::relu, [0.0, inf]),
        ];
        for (f, expected) in limits {
            let y = f(&Var::constant(Tensor::from_vec([2], vec![-inf, inf])));
            assert_eq!(y.value().to_vec(), expected);
        }
    }
}
