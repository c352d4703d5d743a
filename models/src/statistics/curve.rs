//! How many steps a curve took to get somewhere.

use serde::{Deserialize, Serialize};

/// What a curve has to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// This or more, as an accuracy.
    AtLeast(f64),
    /// This or less, as a loss.
    AtMost(f64),
}

/// The step at which a curve of (step, value) first reaches the goal; none if it never does.
///
/// Between the last point before and the first one that reaches it the curve is taken for a straight line: s = s₀ + (s₁ −
/// s₀)·(goal − v₀)/(v₁ − v₀). If the first point reaches the goal already, or the one before is not finite, it is the step
/// of the point. Values that are not numbers reach nothing.
///
/// # Panics
/// If steps do not rise.
#[track_caller]
pub fn steps_to(curve: &[(f64, f64)], goal: Goal) -> Option<f64> {
    let rises = curve.windows(2).all(|pair| pair[0].0 < pair[1].0);
    assert!(rises, "steps_to: steps do not rise");
    let (bound, sign) = match goal {
        Goal::AtLeast(bound) => (bound, 1.0),
        Goal::AtMost(bound) => (bound, -1.0),
    };
    let first = curve.iter().position(|&(_, value)| sign * value >= sign * bound)?;
    let (step, value) = curve[first];
    let before = first.checked_sub(1).map(|i| curve[i]);
    let Some((from, old)) = before.filter(|(_, old)| old.is_finite() && value.is_finite()) else {
        return Some(step);
    };
    Some(from + (step - from) * ((bound - old) / (value - old)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_crossing_is_interpolated() {
        let curve = [(0.0, 0.25), (100.0, 0.75), (200.0, 0.5), (300.0, 1.0)];
        assert_eq!(steps_to(&curve, Goal::AtLeast(0.5)), Some(50.0));
        assert_eq!(steps_to(&curve, Goal::AtLeast(0.75)), Some(100.0));
        assert_eq!(steps_to(&curve, Goal::AtLeast(0.875)), Some(275.0));
        assert_eq!(steps_to(&curve, Goal::AtLeast(1.25)), None);
        let loss = [(10.0, 4.0), (20.0, 2.0), (30.0, 1.0)];
        assert_eq!(steps_to(&loss, Goal::AtMost(1.5)), Some(25.0));
        assert_eq!(steps_to(&loss, Goal::AtMost(0.5)), None);
    }

    #[test]
    fn a_curve_that_starts_there_took_its_first_step_and_nan_reaches_nothing() {
        assert_eq!(steps_to(&[(5.0, 1.0), (6.0, 2.0)], Goal::AtLeast(0.5)), Some(5.0));
        let broken = [(1.0, f64::NAN), (2.0, 3.0), (3.0, f64::NAN)];
        assert_eq!(steps_to(&broken, Goal::AtMost(3.0)), Some(2.0));
        assert_eq!(steps_to(&broken, Goal::AtMost(2.0)), None);
        assert_eq!(steps_to(&[(1.0, f64::INFINITY), (2.0, 1.0)], Goal::AtMost(1.0)), Some(2.0));
        assert_eq!(steps_to(&[], Goal::AtMost(1.0)), None);
    }

    #[test]
    #[should_panic(expected = "steps_to: steps do not rise")]
    fn steps_have_to_rise() {
        steps_to(&[(2.0, 1.0), (2.0, 0.5)], Goal::AtMost(1.0));
    }
}
