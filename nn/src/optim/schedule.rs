//! Learning-rate schedules: pure functions of the step.

use std::f64::consts::PI;

/// Linear warm-up, then a cosine down to a floor (Loshchilov and Hutter 2017).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmupCosine {
    /// The largest rate.
    pub peak: f64,
    /// The rate at the end, as a fraction of the peak.
    pub floor: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// All steps.
    pub total: u64,
}

impl WarmupCosine {
    /// The rate of step `step`, counted from 0: peak·(step + 1)/warmup at first, then
    /// peak·(floor + (1 − floor)·½(1 + cos(π·progress))), with progress from 0 at the end of warm-up to 1 at `total`.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let span = self.total.saturating_sub(self.warmup).max(1) as f64;
        let progress = ((step - self.warmup) as f64 / span).min(1.0);
        self.peak * (self.floor + (1.0 - self.floor) * 0.5 * (1.0 + (PI * progress).cos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_the_peak_and_falls_to_the_floor() {
        let schedule = WarmupCosine { peak: 2.0, floor: 0.1, warmup: 4, total: 14 };
        assert_eq!((schedule.rate(0), schedule.rate(3), schedule.rate(4)), (0.5, 2.0, 2.0));
        assert!((schedule.rate(9) - 1.1).abs() < 1e-12);
        assert!((schedule.rate(14) - 0.2).abs() < 1e-12 && (schedule.rate(99) - 0.2).abs() < 1e-12);
    }
}
