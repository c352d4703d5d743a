//! What a wrong gradient looks like.

use std::fmt;

use serde::Serialize;
use tensor::Tensor;

use super::report::short;

/// A pattern in a wrong gradient that names its cause.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Diagnosis {
    /// It is 0 everywhere.
    Zero,
    /// It is the right one, transposed over two axes: a mistake of layout.
    Transposed(usize, usize),
    /// It is the part of the right one that comes from one place along an axis of the output: a sum is missing.
    MissingSum(usize),
    /// It is the right one times this.
    Factor(f64),
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Diagnosis::Zero => f.write_str("it is 0 everywhere"),
            Diagnosis::Transposed(a, b) => {
                write!(f, "it is right when axes {a} and {b} change places")
            }
            Diagnosis::MissingSum(axis) => {
                write!(f, "the sum over axis {axis} of the output is missing")
            }
            Diagnosis::Factor(-1.0) => f.write_str("its sign is wrong everywhere"),
            Diagnosis::Factor(factor) => {
                write!(f, "it is {} times the right one everywhere", short(*factor))
            }
        }
    }
}

/// Looks for a pattern. `from_place(axis, last)` is the numeric gradient of the outputs at the first or last place of an
/// axis of the output, and `None` beyond the last axis or where that is all of the output.
pub(crate) fn diagnose(
    analytic: &Tensor<f64>,
    numeric: &Tensor<f64>,
    from_place: impl Fn(usize, bool) -> Option<Tensor<f64>>,
) -> Option<Diagnosis> {
    let size = numeric.to_vec().iter().fold(0.0f64, |max, x| max.max(x.abs()));
    let alike = |a: &Tensor<f64>, b: &Tensor<f64>| {
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * size;
        a.to_vec().iter().zip(&b.to_vec()).all(close)
    };
    if analytic.to_vec().iter().all(|x| *x == 0.0) {
        return Some(Diagnosis::Zero);
    }
    let rank = numeric.rank();
    for (a, b) in (0..rank).flat_map(|a| (a + 1..rank).map(move |b| (a, b))) {
        // In memory: a gradient of a non-square shape that was computed transposed was reshaped at some point.
        if alike(analytic, &numeric.transpose(a as isize, b as isize)) {
            return Some(Diagnosis::Transposed(a, b));
        }
    }
    for axis in 0..tensor::MAX_RANK {
        let parts = [false, true].map(|last| from_place(axis, last));
        if parts.into_iter().flatten().any(|part| alike(analytic, &part)) {
            return Some(Diagnosis::MissingSum(axis));
        }
    }
    let (a, n) = (analytic.to_vec(), numeric.to_vec());
    let factor =
        a.iter().zip(&n).map(|(a, n)| a * n).sum::<f64>() / n.iter().map(|n| n * n).sum::<f64>();
    let proportional = a.len() > 1 && alike(analytic, &(numeric * factor));
    proportional.then(|| Diagnosis::Factor((factor * 1e6).round() / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pattern_is_recognised() {
        let right: Tensor<f64> = Tensor::from_vec([2, 2], vec![1.0, 2.0, 3.0, 5.0]);
        let part: Tensor<f64> = Tensor::from_vec([2, 2], vec![1.0, 0.0, 2.0, 0.0]);
        let found = |wrong: &Tensor<f64>| {
            diagnose(wrong, &right, |axis, last| (axis == 1 && last).then(|| part.clone()))
        };
        assert_eq!(found(&(&right * 0.5)), Some(Diagnosis::Factor(0.5)));
        assert_eq!(found(&(&right * -1.0)), Some(Diagnosis::Factor(-1.0)));
        assert_eq!(found(&right.transpose(0, 1)), Some(Diagnosis::Transposed(0, 1)));
        assert_eq!(found(&Tensor::zeros([2, 2])), Some(Diagnosis::Zero));
        assert_eq!(found(&part), Some(Diagnosis::MissingSum(1)));
        assert_eq!(found(&Tensor::ones([2, 2])), None);
    }
}
