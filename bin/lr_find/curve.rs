//! What a range test has measured, and the rates that it suggests.

use serde::Serialize;

/// A step of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Point {
    pub(super) rate: f64,
    /// Loss of the step's batch, before the parameters moved.
    pub(super) loss: f64,
    /// The loss without the noise of single batches.
    pub(super) smoothed: f64,
}

/// Where the curve falls and where it ends falling.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Suggestion {
    /// The rate at which the smoothed loss falls fastest by the logarithm of the rate.
    pub(super) steepest: f64,
    /// The rate at the least smoothed loss.
    pub(super) minimum: f64,
    /// A tenth of that.
    pub(super) tenth_of_minimum: f64,
}

/// Whether a loss has exploded: it is not finite, or more than four times the least so far. Both are averages of the latest losses,
/// as a single batch may be hard.
#[derive(Debug, Default)]
pub(super) struct Watch {
    average: f64,
    weight: f64,
    least: Option<f64>,
}

impl Watch {
    const DECAY: f64 = 0.8;
    const TIMES: f64 = 4.0;

    pub(super) fn has_exploded(&mut self, loss: f64) -> bool {
        self.average = Self::DECAY * self.average + (1.0 - Self::DECAY) * loss;
        self.weight = Self::DECAY * self.weight + (1.0 - Self::DECAY);
        let average = self.average / self.weight;
        let least = self.least.map_or(average, |least| least.min(average));
        self.least = Some(least);
        !average.is_finite() || average > Self::TIMES * least
    }
}

/// `steps` rates that grow by the same factor from `from` to `to`.
pub(super) fn rates(from: f64, to: f64, steps: usize) -> Vec<f64> {
    let last = steps.saturating_sub(1).max(1) as f64;
    (0..steps).map(|i| from * (to / from).powf(i as f64 / last)).collect()
}

/// Smooths by a Gaussian of as many steps on both sides, so that nothing moves along the axis of rates, as it would by an average
/// of the past.
pub(super) fn smooth(rates: &[f64], losses: &[f64]) -> Vec<Point> {
    let width = (0.03 * losses.len() as f64).max(1.0);
    let point = |(i, (&rate, &loss)): (usize, (&f64, &f64))| {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (j, &other) in losses.iter().enumerate() {
            let weight = (-0.5 * ((j as f64 - i as f64) / width).powi(2)).exp();
            sum += weight * other;
            weights += weight;
        }
        Point { rate, loss, smoothed: sum / weights }
    };
    rates.iter().zip(losses).enumerate().map(point).collect()
}

/// The suggestions of a curve; `None` if its loss never falls.
pub(super) fn suggest(points: &[Point]) -> Option<Suggestion> {
    let least =
        (0..points.len()).min_by(|&a, &b| points[a].smoothed.total_cmp(&points[b].smoothed))?;
    let slope = |i: usize| {
        let (before, after) = (&points[i - 1], &points[i + 1]);
        (after.smoothed - before.smoothed) / (after.rate / before.rate).ln()
    };
    let falling = (1..least).filter(|&i| i + 1 < points.len());
    let steepest = falling.min_by(|&a, &b| slope(a).total_cmp(&slope(b)))?;
    let minimum = points[least].rate;
    (slope(steepest) < 0.0).then(|| Suggestion {
        steepest: points[steepest].rate,
        minimum,
        tenth_of_minimum: minimum / 10.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_grow_by_one_factor_from_first_to_last() {
        let rates = rates(1e-4, 1.0, 5);
        let expected = [1e-4, 1e-3, 1e-2, 1e-1, 1.0];
        assert!(rates.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-12), "{rates:?}");
    }

    #[test]
    fn a_curve_that_falls_and_rises_is_read_at_its_steepest_and_its_lowest_place() {
        let rates = rates(1e-6, 1.0, 121); // 20 steps a decade
        // A step down around 1e-3, a rise behind 1e-1, and a bit of noise.
        let loss = |(i, &rate): (usize, &f64)| {
            let x = rate.log10();
            let noise = 0.02 * ((i * 7919 % 13) as f64 / 6.0 - 1.0);
            3.0 - 2.0 / (1.0 + (-4.0 * (x + 3.0)).exp()) + (x + 1.5).max(0.0).powi(2) + noise
        };
        let losses: Vec<f64> = rates.iter().enumerate().map(loss).collect();
        let Suggestion { steepest, minimum, tenth_of_minimum } =
            suggest(&smooth(&rates, &losses)).expect("it falls");
        assert!((steepest.log10() + 3.0).abs() < 0.16, "{steepest}");
        assert!((-2.2..-1.2).contains(&minimum.log10()), "{minimum}");
        assert!((tenth_of_minimum * 10.0 / minimum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_curve_that_never_falls_suggests_nothing() {
        let rates = rates(1e-3, 1.0, 30);
        let rising: Vec<f64> = (0..30).map(f64::from).collect();
        assert_eq!(suggest(&smooth(&rates, &rising)), None);
        assert_eq!(suggest(&smooth(&rates, &[1.0; 30])), None);
        assert_eq!(suggest(&[]), None);
        assert_eq!(suggest(&smooth(&[0.1], &[1.0])), None);
    }

    #[test]
    fn a_loss_has_exploded_when_its_average_is_four_times_the_least_or_no_number() {
        let mut watch = Watch::default();
        assert!(
            ![2.0, 1.5, 1.0, 4.5].iter().any(|&loss| watch.has_exploded(loss)),
            "one hard batch"
        );
        assert!(![1.0, 1.0, 1.0].iter().any(|&loss| watch.has_exploded(loss)));
        assert!([8.0, 10.0, 12.0].iter().any(|&loss| watch.has_exploded(loss)));
        assert!(Watch::default().has_exploded(f64::NAN));
    }
}
