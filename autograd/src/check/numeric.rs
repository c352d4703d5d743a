//! Derivatives by differences: central differences at halved steps, extrapolated to step 0, with an error estimate
//! (Ridders 1982; the tableau is Richardson's).

use tensor::Tensor;

/// The largest step, in units of the inputs' scale; no power of 2, or it would meet the period of many a function.
const FIRST_STEP: f64 = 13.0 / 16.0 / 32.0;
/// How often the step is halved at most.
const HALVINGS: usize = 14;
/// Columns of the tableau. Few enough that a large step that went over a kink is soon forgotten.
const ORDERS: usize = 6;
/// Roundings that a value is granted: an output is a few sums and functions of its inputs, not one operation.
const ROUNDINGS: f64 = 32.0;

/// The step at which noise is measured, as a part of the first one; no power of 2, so that every digit of x changes.
const NOISE_STEP: f64 = 0.723 / 65536.0;

/// A derivative found by differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    /// How far neighbours in the tableau disagree, in the best row but one: in a single row they may agree by chance.
    pub(crate) error: f64,
    /// What rounding alone may have done to `value`.
    pub(crate) floor: f64,
}

/// u·f(x) along a line: `f` maps a step to the outputs at x + step·direction, `u` weighs them.
pub(crate) struct Line<'a> {
    pub(crate) f: &'a dyn Fn(f64) -> Tensor<f64>,
    pub(crate) u: &'a [f64],
    /// The largest element of x.
    pub(crate) scale: f64,
}

impl Line<'_> {
    pub(crate) fn first_step(&self) -> f64 {
        let scale = if self.scale > 0.0 && self.scale.is_finite() { self.scale } else { 1.0 };
        FIRST_STEP * scale.log2().round().exp2() // few digits, so that x ± h rounds little
    }

    /// The derivative at step 0.
    pub(crate) fn derivative(&self) -> Estimate {
        let mut best = Estimate { value: f64::NAN, error: f64::INFINITY, floor: 0.0 };
        let mut second = f64::INFINITY; // the error of the best row but one
        let mut coarse: Vec<f64> = Vec::new(); // the tableau's row before
        let mut step = self.first_step();
        let (mut moved, noise) = (vec![0.0; self.u.len()], self.noise());
        for _ in 0..HALVINGS {
            let (slope, mut floor) = self.slope(step, &mut moved);
            floor += noise / step;
            // T₀ = slope, Tₖ = Tₖ₋₁ + (Tₖ₋₁ − Tₖ₋₁ of the row before) / (4ᵏ − 1): cancels the error of order h²ᵏ.
            let mut fine = vec![slope];
            let mut of_row = Estimate { value: f64::NAN, error: f64::INFINITY, floor };
            for (k, &before) in coarse.iter().take(ORDERS - 1).enumerate() {
                let next = fine[k] + (fine[k] - before) / (4f64.powi(k as i32 + 1) - 1.0);
                let error = (next - fine[k]).abs().max((next - before).abs());
                if error < of_row.error {
                    of_row = Estimate { value: next, error, floor };
                }
                fine.push(next);
            }
            second = second.min(of_row.error.max(best.error));
            if of_row.error < best.error {
                best = of_row;
            }
            if second <= best.floor {
                break;
            }
            // A step that leaves the domain starts the tableau anew.
            coarse = if slope.is_finite() { fine } else { Vec::new() };
            step /= 2.0;
        }
        best.error = second;
        best
    }

    /// How far rounding moves u·f at steps so small that a smooth function is a straight line. An output that is what
    /// remains of larger numbers is known to fewer digits than its size tells: it shows in the fourth differences (Moré
    /// and Wild 2011), or in binary zeros at the end of every value.
    fn noise(&self) -> f64 {
        let step = self.first_step() * NOISE_STEP;
        let values: Vec<Vec<f64>> =
            (-4..=4).map(|i| (self.f)(f64::from(i) * step).to_vec()).collect();
        let fourth = |j: usize| {
            let differences = values
                .windows(5)
                .map(|f| (f[0][j] - 4.0 * f[1][j] + 6.0 * f[2][j] - 4.0 * f[3][j] + f[4][j]).abs());
            differences.fold(0.0, f64::max)
        };
        let far = [-1.0, 1.0].map(|sign| (self.f)(sign * self.first_step()).to_vec());
        let last_digit = |j: usize| {
            let all = || values.iter().chain(&far).map(|f| f[j]);
            let moves = all().any(|f| f != values[0][j]);
            let digits = all().filter(|f| *f != 0.0).map(last_digit);
            if moves { digits.fold(f64::INFINITY, f64::min) } else { 0.0 }
        };
        let weighed = self.u.iter().enumerate().filter(|(_, u)| **u != 0.0);
        weighed
            .map(|(j, u)| u.abs() * fourth(j).max(4.0 * last_digit(j)))
            .filter(|noise| noise.is_finite())
            .sum()
    }

    /// The central difference, and what rounding may have done to it. `moved` is how far each output moved last. Those that
    /// did at a larger step and do not now are stuck: the last move is what their digits amount to. Of those that never
    /// did, x itself may have lost the digits on the way, at the first step the least.
    fn slope(&self, step: f64, moved: &mut [f64]) -> (f64, f64) {
        let (above, below) = ((self.f)(step).to_vec(), (self.f)(-step).to_vec());
        let (mut difference, mut size, mut stuck) = (0.0, 0.0, 0.0);
        let unit = ROUNDINGS * f64::EPSILON * step / self.first_step();
        for (((u, above), below), moved) in self.u.iter().zip(above).zip(below).zip(moved) {
            if above == below {
                stuck += u.abs() * moved.max(unit * self.scale.max(above.abs()));
            } else if *u != 0.0 {
                difference += u * (above - below);
                size += u.abs() * above.abs().max(below.abs());
                *moved = (above - below).abs();
            }
        }
        let slope = difference / (2.0 * step);
        let rounding = ROUNDINGS * f64::EPSILON * (size + slope.abs() * self.scale);
        (slope, (rounding + stuck) / step)
    }

    /// Whether the function has a kink here. The second difference over the step, [f(h) − 2f(0) + f(−h)]/h, vanishes
    /// with h where the function is smooth, and stays where the slopes of both sides differ. Outputs are taken by their
    /// size, so that the kinks of one do not hide those of another.
    pub(crate) fn has_kink(&self) -> bool {
        let middle = (self.f)(0.0).to_vec();
        let bend = |step: f64| {
            let (above, below) = ((self.f)(step).to_vec(), (self.f)(-step).to_vec());
            let bends = above.iter().zip(&below).zip(&middle).zip(self.u);
            bends
                .map(|(((above, below), middle), u)| (u * (above - 2.0 * middle + below)).abs())
                .sum::<f64>()
                / step
        };
        let wide = self.first_step() / 8.0;
        let narrow = wide / 64.0;
        let (slope, floor) = self.slope(narrow, &mut vec![0.0; self.u.len()]);
        bend(narrow) > bend(wide) / 4.0 && bend(narrow) > 1e-3 * slope.abs() + 4.0 * floor
    }
}

/// The value of the last binary digit of `x` that is not 0.
fn last_digit(x: f64) -> f64 {
    let (exponent, zeros) = (x.to_bits() >> 52 & 0x7ff, (x.to_bits() | 1 << 52).trailing_zeros());
    2f64.powi(exponent as i32 - 1075 + zeros as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(f: &dyn Fn(f64) -> f64, at: f64) -> (Estimate, bool) {
        let f = |step: f64| Tensor::scalar(f(at + step));
        let line = Line { f: &f, u: &[1.0], scale: at.abs() };
        (line.derivative(), line.has_kink())
    }

    #[test]
    fn smooth_functions_are_differentiated_to_eleven_digits_with_an_honest_error() {
        type Case<'a> = (&'a dyn Fn(f64) -> f64, f64, f64);
        let cases: [Case<'_>; 5] = [
            (&|x| x.exp(), 1.5, 1.5f64.exp()),
            (&|x| x.ln(), 0.01, 100.0),
            (&|x| 1.0 / x, 0.5, -4.0),
            (&|x| x.powi(3) * 1e6, -2.0, 12e6),
            (&|x| 3.0 * x - 7.0, 0.0, 3.0),
        ];
        for (f, at, expected) in cases {
            let (found, kink) = line(f, at);
            let difference = (found.value - expected).abs();
            assert!(difference <= 4.0 * found.error + found.floor, "{found:?} {expected}");
            assert!(difference <= 1e-11 * expected.abs() && !kink, "{found:?} {expected}");
        }
    }

    #[test]
    fn the_last_digit_of_a_number() {
        assert_eq!([1.0, -6.0, 0.375, 1e16].map(last_digit), [1.0, 2.0, 0.125, 65536.0]);
        assert_eq!(last_digit(1.0 + f64::EPSILON), f64::EPSILON);
    }

    #[test]
    fn what_remains_of_larger_numbers_is_known_to_few_digits() {
        let (found, _) = line(&|x| (1e6 + 1e-5 * x) - 1e6, 1.0);
        assert!(found.floor > 1e-11, "{found:?}");
        assert!((found.value - 1e-5).abs() < found.floor + found.error, "{found:?}");
    }

    #[test]
    fn a_kink_is_noticed() {
        assert!(line(&|x| x.max(0.0), 0.0).1);
        assert!(line(&|x| (x - 1.0).abs() + x * x, 1.0).1);
        assert!(line(&|x| if x > 2.0 { 1.0 } else { 0.0 }, 2.0).1);
    }

    #[test]
    fn a_kink_that_only_the_large_steps_cross_does_no_harm() {
        let (found, kink) = line(&|x| (x - 0.99).abs(), 1.0);
        assert!((found.value - 1.0).abs() < 1e-12 && !kink, "{found:?}");
    }
}
