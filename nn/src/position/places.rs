//! Where tokens stand.

use std::collections::HashMap;
use std::sync::OnceLock;

use tensor::{Float, Tensor};

/// The places of N tokens: positions [N, G, M], G groups of M coordinates each, as fractions from 0 to 1, and how many
/// places there are along each coordinate, which turns a fraction into an index.
///
/// In a grid of images the fraction is index ÷ size: places of a larger image lie more densely in the same range.
#[derive(Clone, Debug)]
pub struct Places {
    fractions: Tensor<f64>,
    sizes: Vec<usize>,
    pairs: OnceLock<Pairs>,
}

/// The differences between all pairs of places, each once.
#[derive(Clone, Debug)]
pub(crate) struct Pairs {
    /// p − q [U, G·M], as fractions.
    pub(crate) differences: Tensor<f64>,
    /// Which of them belongs to query i and key j, at i·N + j.
    pub(crate) which: Vec<usize>,
}

/// Differences that are closer than this are one: fractions are rounded.
const ALIKE: f64 = 1e-9;

impl Places {
    /// Positions [N, G, M] with so many places along each of the M coordinates.
    ///
    /// # Panics
    /// If there are not M sizes, or one is 0.
    #[track_caller]
    pub fn new(fractions: Tensor<f64>, sizes: &[usize]) -> Self {
        let fits = fractions.rank() == 3 && fractions.dims()[2] == sizes.len();
        assert!(fits, "places: [N, G, {}] expected, found {}", sizes.len(), fractions.shape());
        assert!(!sizes.contains(&0), "places: sizes {sizes:?}");
        Self { fractions, sizes: sizes.to_vec(), pairs: OnceLock::new() }
    }

    /// An h × w grid in row-major order: (row/h, column/w), one group.
    pub fn grid(height: usize, width: usize) -> Self {
        Self::new(grid(height, width), &[height, width])
    }

    /// The places of a grid of rows and columns that is cut to each image's own height and width, `valid`, so that fractions are
    /// those of the image; one for all images if they are alike. Places outside of an image lie beyond 1.
    pub fn of_images(valid: &[[usize; 2]], [rows, columns]: [usize; 2]) -> Vec<Self> {
        let alike = valid.windows(2).all(|pair| pair[0] == pair[1]);
        let cut = |&[height, width]: &[usize; 2]| {
            let fractions = Tensor::from_fn([rows * columns, 1, 2], |i| {
                let (place, [height, width]) = (i / 2, [height, width].map(|size| size as f64));
                let [row, column] = [place / columns, place % columns].map(|at| at as f64);
                if i % 2 == 0 { row / height } else { column / width }
            });
            Self::new(fractions, &[height, width])
        };
        valid.iter().take(if alike { 1 } else { valid.len() }).map(cut).collect()
    }

    /// Each place so many times in a row, as the channels of a pixel are.
    #[must_use]
    pub fn repeated(&self, times: usize) -> Self {
        let &[n, groups, coordinates] = self.fractions.dims() else { unreachable!("[N, G, M]") };
        let each = self.fractions.unsqueeze(1).expand([n, times, groups, coordinates]);
        Self::new(each.reshape([n * times, groups, coordinates]), &self.sizes)
    }

    /// The same fractions of a grid of other sizes: a denser or coarser sampling of its range, between whole indices.
    pub(crate) fn sampling(&self, sizes: &[usize]) -> Self {
        Self::new(self.fractions.clone(), sizes)
    }

    /// The same indices in a grid of other sizes, beyond which they may go: fractions are those of that grid.
    pub(crate) fn continuing(&self, sizes: &[usize]) -> Self {
        let ratios = self.sizes.iter().zip(sizes).map(|(&own, &of)| own as f64 / of as f64);
        let ratios = Tensor::from_vec([sizes.len()], ratios.collect());
        Self::new(&self.fractions * &ratios, sizes)
    }

    /// N.
    pub fn len(&self) -> usize {
        self.fractions.dims()[0]
    }

    /// Whether there is no place.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Places along each coordinate, M numbers.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The positions [N, G, M].
    pub fn fractions<E: Float>(&self) -> Tensor<E> {
        self.fractions.cast()
    }

    /// The index along coordinate `m` of each group of each place, N·G numbers: ⌊fraction·size⌋, at most size − 1.
    pub(crate) fn indices(&self, m: usize, size: usize) -> Vec<usize> {
        let of = |fraction: f64| ((fraction * size as f64 + 1e-6).max(0.0) as usize).min(size - 1);
        self.fractions.narrow(2, m, 1).to_vec().into_iter().map(of).collect()
    }

    /// The index in row-major order of each place of one group.
    pub(crate) fn flat_indices(&self) -> Vec<usize> {
        let mut flat = vec![0; self.len()];
        for (m, &size) in self.sizes.iter().enumerate() {
            let indices = self.indices(m, size);
            flat.iter_mut().zip(indices).for_each(|(flat, i)| *flat = *flat * size + i);
        }
        flat
    }

    /// The position in row-major order of each place of one group, which lies between indices where its coordinates do.
    pub(crate) fn flat_positions(&self) -> Vec<f64> {
        let flat = |at: &[f64]| {
            let coordinates = at.iter().zip(&self.sizes);
            coordinates.fold(0.0, |flat, (at, &size)| (flat + at) * size as f64)
        };
        self.fractions.to_vec().chunks(self.sizes.len()).map(flat).collect()
    }

    /// The differences of all pairs, found once.
    pub(crate) fn pairs(&self) -> &Pairs {
        self.pairs.get_or_init(|| {
            let &[n, groups, coordinates] = self.fractions.dims() else {
                unreachable!("[N, G, M]")
            };
            let (width, positions) = (groups * coordinates, self.fractions.to_vec());
            let (mut seen, mut differences) = (HashMap::new(), Vec::new());
            let mut which = Vec::with_capacity(n * n);
            for p in positions.chunks(width) {
                for q in positions.chunks(width) {
                    let key: Vec<i64> =
                        p.iter().zip(q).map(|(p, q)| ((p - q) / ALIKE).round() as i64).collect();
                    let next = seen.len();
                    which.push(*seen.entry(key).or_insert_with(|| {
                        differences.extend(p.iter().zip(q).map(|(p, q)| p - q));
                        next
                    }));
                }
            }
            Pairs { differences: Tensor::from_vec([seen.len(), width], differences), which }
        })
    }
}

/// The places of an h × w grid in row-major order, as fractions of the image: (row/h, column/w), [h·w, 1, 2].
pub fn grid<E: Float>(height: usize, width: usize) -> Tensor<E> {
    Tensor::from_fn([height * width, 1, 2], |i| {
        let place = i / 2;
        let (at, size) = if i % 2 == 0 { (place / width, height) } else { (place % width, width) };
        E::from_f64(at as f64 / size as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_a_padded_grid_have_fractions_of_their_own() {
        let both = Places::of_images(&[[2, 2], [1, 3]], [2, 3]);
        let at = |places: &Places, i: usize| places.fractions::<f64>().narrow(0, i, 1).to_vec();
        assert_eq!((at(&both[0], 4), at(&both[1], 4)), (vec![0.5, 0.5], vec![1.0, 1.0 / 3.0]));
        assert_eq!(at(&both[0], 2), [0.0, 1.0]);
        assert_eq!(Places::of_images(&[[2, 2]; 3], [2, 2]).len(), 1);
    }

    #[test]
    fn a_grid_counts_its_places_and_its_differences() {
        let places = Places::grid(3, 4);
        assert_eq!(places.flat_indices(), (0..12).collect::<Vec<_>>());
        assert_eq!(places.indices(1, 4)[..5], [0, 1, 2, 3, 0]);
        let pairs = places.pairs();
        assert_eq!(pairs.differences.dims(), [5 * 7, 2]); // (2·3 − 1)·(2·4 − 1)
        assert_eq!(pairs.which.len(), 144);
        assert_eq!(pairs.which[0], pairs.which[13]);
        assert_eq!(places.repeated(3).flat_indices()[..4], [0, 0, 0, 1]);
    }
}
