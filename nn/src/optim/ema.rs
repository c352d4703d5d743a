//! Exponential moving average of parameters.

use tensor::Float;

use crate::Params;

/// θ̄ ← d·θ̄ + (1 − d)·θ after each step; evaluated in place of θ (Polyak and Juditsky 1992). Early on d is held at
/// (1 + t)/(10 + t), so that the average forgets the random start.
#[derive(Clone, Debug)]
pub struct Ema<E: Float = f32> {
    decay: f64,
    steps: u64,
    average: Params<E>,
}

impl<E: Float> Ema<E> {
    /// An average that starts at these parameters.
    ///
    /// # Panics
    /// If the decay is not in [0, 1).
    #[track_caller]
    pub fn new(params: &Params<E>, decay: f64) -> Self {
        assert!((0.0..1.0).contains(&decay), "ema: decay {decay} outside of [0, 1)");
        Self { decay, steps: 0, average: params.clone() }
    }

    /// Takes the parameters of one more step in.
    ///
    /// # Panics
    /// If they are not those that the average was made for; nothing is changed then.
    #[track_caller]
    pub fn update(&mut self, params: &Params<E>) {
        self.check(params);
        self.steps += 1;
        let steps = self.steps as f64;
        let decay = E::from_f64(self.decay.min((1.0 + steps) / (10.0 + steps)));
        for (average, param) in self.average.iter_mut().zip(params.iter()) {
            let value = param.value.contiguous();
            let pairs = average.value.data_mut().iter_mut().zip(value.data());
            pairs.for_each(|(average, x)| *average = decay * *average + (E::ONE - decay) * *x);
        }
    }

    /// The average.
    pub fn params(&self) -> &Params<E> {
        &self.average
    }

    /// The number of updates.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Puts back what [`Ema::steps`] and [`Ema::params`] gave.
    ///
    /// # Panics
    /// If they are other parameters.
    #[track_caller]
    pub fn restore(&mut self, steps: u64, average: Params<E>) {
        self.check(&average);
        (self.steps, self.average) = (steps, average);
    }

    #[track_caller]
    fn check(&self, params: &Params<E>) {
        self.average.owner().check("ema: an average", &params.owner());
        for (average, param) in self.average.iter().zip(params.iter()) {
            let (expected, found) = (average.value.shape(), param.value.shape());
            let same = expected == found;
            assert!(same, "ema: `{}` is {found}, its average {expected}", param.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fill, Init};

    #[test]
    fn the_average_of_a_constant_is_that_constant() {
        let mut params = Params::new();
        Init::new(&mut params, 0).param("w", [3], Fill::Zeros, true);
        let mut ema = Ema::new(&params, 0.9);
        params.iter_mut().for_each(|param| param.value.data_mut().fill(1.0));
        ema.update(&params);
        let first = ema.params().iter().next().expect("one").value.to_vec();
        assert!((first[0] - 9.0 / 11.0).abs() < 1e-6, "decay 2/11 at first: {first:?}");
        (0..200).for_each(|_| ema.update(&params));
        assert!((ema.params().iter().next().expect("one").value.to_vec()[2] - 1.0).abs() < 1e-6);
    }
}
