//! Random tensors from an explicit generator.

use rand::{Rng, RngExt};

use crate::{Float, Shape, Tensor};

/// A standard normal number by the polar method of Marsaglia: the same stream of numbers for f32 and f64.
pub fn standard_normal<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    loop {
        let (u, v) = (rng.random_range(-1.0f64..1.0), rng.random_range(-1.0f64..1.0));
        let s = u * u + v * v;
        if s > 0.0 && s < 1.0 {
            return u * (-2.0 * s.ln() / s).sqrt();
        }
    }
}

impl<E: Float> Tensor<E> {
    /// Numbers uniform in [low, high).
    ///
    /// # Panics
    /// If the interval is empty or infinite.
    #[track_caller]
    pub fn uniform<R: Rng + ?Sized>(
        shape: impl Into<Shape>,
        low: f64,
        high: f64,
        rng: &mut R,
    ) -> Self {
        let fits = low < high && (high - low).is_finite();
        assert!(fits, "uniform: the interval [{low}, {high}) is empty or infinite");
        Self::from_fn(shape, |_| E::from_f64(rng.random_range(low..high)))
    }

    /// Normal numbers.
    #[track_caller]
    pub fn normal<R: Rng + ?Sized>(
        shape: impl Into<Shape>,
        mean: f64,
        std: f64,
        rng: &mut R,
    ) -> Self {
        Self::from_fn(shape, |_| E::from_f64(mean + std * standard_normal(rng)))
    }

    /// Normal numbers of mean 0, drawn again while outside ±2 standard deviations. `std` is that of the normal
    /// distribution before it is cut (the truncated one has 0.880 times that).
    #[track_caller]
    pub fn truncated_normal<R: Rng + ?Sized>(
        shape: impl Into<Shape>,
        std: f64,
        rng: &mut R,
    ) -> Self {
        let mut draw = || loop {
            let x = standard_normal(rng);
            if x.abs() <= 2.0 {
                return x;
            }
        };
        Self::from_fn(shape, |_| E::from_f64(std * draw()))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    use super::*;

    /// Mean, standard deviation and fourth moment of 100,000 numbers.
    fn moments(x: &Tensor<f64>) -> [f64; 3] {
        let mean = x.mean_all().item();
        let fourth = x.square().square().mean_all().item();
        [mean, x.variance(&[0], 0).item().sqrt(), fourth]
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let close = |found: [f64; 3], expected: [f64; 3]| {
            let all =
                found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.05);
            assert!(all, "{found:?} instead of {expected:?}");
        };
        close(moments(&Tensor::normal([100_000], 0.0, 1.0, &mut rng)), [0.0, 1.0, 3.0]);
        close(moments(&Tensor::uniform([100_000], -1.0, 1.0, &mut rng)), [0.0, 0.57735, 0.2]);
        close(
            moments(&Tensor::truncated_normal([100_000], 1.0, &mut rng)),
            [0.0, 0.87963, 1.41616],
        );
    }

    #[test]
    fn both_precisions_draw_the_same_numbers() {
        let x: Tensor = Tensor::normal([8], 0.0, 1.0, &mut ChaCha8Rng::seed_from_u64(7));
        let y: Tensor<f64> = Tensor::normal([8], 0.0, 1.0, &mut ChaCha8Rng::seed_from_u64(7));
        assert_eq!(x, y.cast());
    }
}
