//! Tables of trained vectors, and what becomes of them at sizes that they were not made for.

use autograd::{Var, concat};
use tensor::{Float, Tensor};

use super::Places;
use crate::{Context, Fill, Init, ParamId};

/// A trained vector for each index along each coordinate.
#[derive(Clone, Debug)]
pub struct AxisTables {
    tables: Vec<ParamId>,
    sizes: Vec<usize>,
    sum: bool,
}

impl AxisTables {
    /// One table a coordinate, with as many rows as there are `sizes`, `width` features each, drawn from N(0, `std`²) cut at two
    /// standard deviations; looked up and laid side by side, or `sum`med.
    #[track_caller]
    pub fn new(init: &mut Init<'_>, sizes: &[usize], width: usize, std: f64, sum: bool) -> Self {
        let (mut scope, mut tables) = (init.scope("tables"), Vec::new());
        for (m, &size) in sizes.iter().enumerate() {
            let fill = Fill::TruncatedNormal(std);
            tables.push(scope.scope(m).param("weight", [size, width], fill, false));
        }
        Self { tables, sizes: sizes.to_vec(), sum }
    }

    /// The vectors of each place [N, G, M·width], or [N, G, width] if they are summed.
    ///
    /// Tables that lie side by side are interpolated (cubic) to the sizes of the places. Summed ones are asked by fraction:
    /// ⌊fraction·rows⌋.
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, places: &Places) -> Var<E> {
        let groups = places.fractions::<f64>().dims()[1];
        let vectors = self.tables.iter().zip(&self.sizes).enumerate().map(|(m, (&id, &rows))| {
            let (table, size) = (cx.param(id), places.sizes()[m]);
            let (table, size) = match self.sum || size == rows {
                true => (table, rows),
                false => (Var::constant(cubic(rows, size)).matmul(&table), size),
            };
            let width = table.dims()[1];
            let found = table.gather(0, &places.indices(m, size));
            found.reshape([places.len(), groups, width])
        });
        let vectors: Vec<Var<E>> = vectors.collect();
        match self.sum {
            true => vectors.iter().skip(1).fold(vectors[0].clone(), |sum, next| &sum + next),
            false => concat(&vectors.iter().collect::<Vec<_>>(), -1),
        }
    }
}

/// Rows of a table [h·w, D] interpolated (bicubic) to another grid, [h′·w′, D]: how a model reads its own table at a size that it
/// was not made for.
pub(crate) fn resized<E: Float>(table: &Var<E>, from: [usize; 2], to: [usize; 2]) -> Var<E> {
    by_axis(table, from, to, cubic)
}

/// A table of positions [h·w, D], rows of the grid from the top, made into one of another grid, [h′·w′, D], as timm and PyTorch do
/// it when weights are read for another size of images: bicubic with antialiasing (a = −½). At the same size it is the same.
///
/// A model that reads images of another size than it was made for interpolates its table without antialiasing; see
/// [`Reading`](super::Reading).
///
/// # Panics
/// If the table has not h·w rows, or a size is 0.
#[track_caller]
pub fn resample_table<E: Float>(table: &Tensor<E>, from: [usize; 2], to: [usize; 2]) -> Tensor<E> {
    let fits = table.rank() == 2 && table.dim(0) == from[0] * from[1];
    assert!(
        fits && from.iter().chain(&to).all(|&size| size > 0),
        "resample_table: {} of {from:?} places to {to:?}, a row for each expected",
        table.shape()
    );
    by_axis(&Var::constant(table.clone()), from, to, antialiased).into_value()
}

/// Interpolation along each axis of a grid in turn, by the matrix [to, from] that `weights` gives.
fn by_axis<E: Float>(
    table: &Var<E>,
    [h, w]: [usize; 2],
    [nh, nw]: [usize; 2],
    weights: fn(usize, usize) -> Tensor<E>,
) -> Var<E> {
    let dim = table.dims()[1];
    let rows = Var::constant(weights(h, nh)).matmul(&table.reshape([h, w * dim]));
    let all = Var::constant(weights(w, nw)).matmul(&rows.reshape([nh, w, dim]));
    all.reshape([nh * nw, dim])
}

/// The kernel of cubic convolution (Keys 1981).
fn keys(a: f64, x: f64) -> f64 {
    match x.abs() {
        x if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        x if x < 2.0 => a * (((x - 5.0) * x + 8.0) * x - 4.0),
        _ => 0.0,
    }
}

/// The matrix [to, from] of cubic convolution with a = −½, stretched where there are fewer samples than before and normalised to
/// what lies inside: what PyTorch calls `bicubic` with `antialias=True`.
fn antialiased<E: Float>(from: usize, to: usize) -> Tensor<E> {
    let step = from as f64 / to as f64;
    let width = step.max(1.0);
    let mut weights = Vec::with_capacity(to * from);
    for i in 0..to {
        let center = step * (i as f64 + 0.5);
        let first = (center - 2.0 * width + 0.5).max(0.0) as usize;
        let end = ((center + 2.0 * width + 0.5) as usize).min(from);
        let weight = |j: usize| match (first..end).contains(&j) {
            true => keys(-0.5, (j as f64 - center + 0.5) / width),
            false => 0.0,
        };
        let row: Vec<f64> = (0..from).map(weight).collect();
        let sum: f64 = row.iter().sum();
        weights.extend(row.into_iter().map(|weight| weight / sum));
    }
    Tensor::from_fn([to, from], |i| E::from_f64(weights[i]))
}

/// The matrix [to, from] of cubic convolution (a = −¾), ends repeated, samples in the middle of their cells: what PyTorch calls
/// `bicubic` with `align_corners=False`.
pub(crate) fn cubic<E: Float>(from: usize, to: usize) -> Tensor<E> {
    let mut weights = vec![0.0; to * from];
    for (i, row) in weights.chunks_mut(from).enumerate() {
        let at = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        for tap in -1..=2 {
            let j = at.floor() + f64::from(tap);
            row[j.clamp(0.0, (from - 1) as f64) as usize] += keys(-0.75, at - j);
        }
    }
    Tensor::from_fn([to, from], |i| E::from_f64(weights[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolation_keeps_constants_and_does_nothing_at_the_same_size() {
        let sums = cubic::<f64>(5, 9).sum(&[1]).to_vec();
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-12), "{sums:?}");
        let same = cubic::<f64>(4, 4);
        assert_eq!(same, Tensor::from_fn([4, 4], |i| if i % 5 == 0 { 1.0 } else { 0.0 }));
    }

    #[test]
    fn the_weights_are_those_of_pytorch() {
        // torch.nn.functional.interpolate(torch.eye(3)[None, None], size=(6, 3), mode="bicubic")[0, 0, 1]
        let row = cubic::<f64>(3, 6).narrow(0, 1, 1).to_vec();
        let expected = [0.773_437_5, 0.261_718_75, -0.035_156_25];
        assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{row:?}");
    }
}
