//! Planes of bytes at another size.

use std::ops::Range;

/// The weights of a triangle filter along one axis, which interpolates linearly where it makes larger and averages where it
/// makes smaller:
///
/// ```text
/// target[i] = Σₖ w[i, k]·source[first[i] + k]
/// w[i, k] ∝ max(0, 1 − |first[i] + k + ½ − (i + ½)·s| / max(s, 1)),   s = source / target,   Σₖ w[i, k] = 1
/// ```
///
/// At the same size this is the identity, to the bit.
pub(crate) struct Taps {
    first: Vec<usize>,
    /// `count` of them for each place.
    weights: Vec<f32>,
    count: usize,
}

impl Taps {
    /// From `source` places to `target`, neither of them 0.
    pub(crate) fn new(source: usize, target: usize) -> Taps {
        let scale = source as f64 / target as f64;
        let support = scale.max(1.0);
        // An open interval of length 2·support covers at most this many centres.
        let count = ((2.0 * support).ceil() as usize + 1).min(source);
        let mut taps = Taps { first: Vec::new(), weights: Vec::new(), count };
        for i in 0..target {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).floor().max(0.0) as usize;
            let first = first.min(source - count);
            let weight = |k| {
                let distance = ((first + k) as f64 + 0.5 - centre).abs();
                (1.0 - distance / support).max(0.0)
            };
            let sum: f64 = (0..count).map(weight).sum();
            taps.first.push(first);
            taps.weights.extend((0..count).map(|k| (weight(k) / sum) as f32));
        }
        taps
    }

    /// Where the sources of each target begin, and their weights.
    fn iter(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.first.iter().copied().zip(self.weights.chunks_exact(self.count))
    }

    fn len(&self) -> usize {
        self.first.len()
    }
}

/// Makes from some rows and columns of a picture another one, plane by plane.
pub(crate) struct Resampler {
    rows: Taps,
    columns: Taps,
    crop: [Range<usize>; 2],
    /// One row of the crop.
    row: Vec<f32>,
}

impl Resampler {
    /// From the rows and columns of `crop` to a height and width. No length is 0.
    pub(crate) fn new(crop: [Range<usize>; 2], [height, width]: [usize; 2]) -> Resampler {
        let (rows, columns) = (Taps::new(crop[0].len(), height), Taps::new(crop[1].len(), width));
        let row = vec![0.0; crop[1].len()];
        Resampler { rows, columns, crop, row }
    }

    /// Writes the new plane to `target`, from a plane whose rows are `width` long. Units: those of the bytes.
    pub(crate) fn plane(&mut self, source: &[u8], width: usize, target: &mut [f32]) {
        let [rows, columns] = &self.crop;
        let unchanged = self.columns.len() == self.row.len();
        let targets = target.chunks_exact_mut(self.columns.len());
        for ((first, weights), target) in self.rows.iter().zip(targets) {
            // Down the columns first: there the loop runs along memory.
            self.row.fill(0.0);
            for (k, &weight) in weights.iter().enumerate().filter(|&(_, &weight)| weight != 0.0) {
                let source = &source[(rows.start + first + k) * width..][columns.clone()];
                for (sum, &byte) in self.row.iter_mut().zip(source) {
                    *sum += weight * f32::from(byte);
                }
            }
            if unchanged {
                target.copy_from_slice(&self.row);
                continue;
            }
            for ((first, weights), target) in self.columns.iter().zip(target) {
                let source = &self.row[first..][..weights.len()];
                *target = weights.iter().zip(source).map(|(weight, x)| weight * x).sum();
            }
        }
    }
}

/// A plane of bytes at another size, rounded to bytes.
pub(crate) fn resized(plane: &[u8], [height, width]: [usize; 2], target: [usize; 2]) -> Vec<u8> {
    let mut values = vec![0.0; target[0] * target[1]];
    Resampler::new([0..height, 0..width], target).plane(plane, width, &mut values);
    values.into_iter().map(|value| (value + 0.5) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_is_the_identity_to_the_bit() {
        for length in [1, 2, 7, 100] {
            let plane: Vec<u8> = (0..3 * length).map(|i| (i * 37 % 256) as u8).collect();
            assert_eq!(resized(&plane, [3, length], [3, length]), plane);
            let mut values = vec![f32::NAN; plane.len()];
            Resampler::new([0..3, 0..length], [3, length]).plane(&plane, length, &mut values);
            assert!(values.iter().zip(&plane).all(|(&value, &byte)| value == f32::from(byte)));
        }
    }

    #[test]
    fn half_the_size_averages_and_twice_the_size_interpolates() {
        assert_eq!(resized(&[0, 0, 80, 80, 80, 80, 0, 0], [1, 8], [1, 4]), [11, 70, 70, 11]);
        assert_eq!(resized(&[0, 80], [1, 2], [1, 4]), [0, 20, 60, 80]);
        assert_eq!(resized(&[0, 80], [2, 1], [4, 1]), [0, 20, 60, 80]);
    }

    #[test]
    fn one_colour_stays_what_it_is_at_any_size() {
        for (source, target) in [([5, 9], [1, 1]), ([1, 1], [4, 3]), ([64, 48], [17, 91])] {
            let plane = vec![200; source[0] * source[1]];
            assert_eq!(resized(&plane, source, target), vec![200; target[0] * target[1]]);
        }
    }

    #[test]
    fn a_crop_reads_nothing_from_outside() {
        let mut plane = vec![255; 36];
        for y in 2..5 {
            plane[y * 6 + 1..y * 6 + 4].fill(7);
        }
        let mut values = vec![0.0; 20];
        Resampler::new([2..5, 1..4], [4, 5]).plane(&plane, 6, &mut values);
        assert!(values.iter().all(|value| (value - 7.0_f32).abs() < 1e-5));
    }
}
