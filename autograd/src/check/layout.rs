//! The same elements, differently laid out in memory.

use std::fmt;

use serde::Serialize;
use tensor::{Float, Shape, Tensor};

/// How a tensor lies in its storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// In row-major order.
    #[default]
    Contiguous,
    /// In column-major order, as a transposed view.
    Permuted,
    /// Cut out of a larger tensor: an offset, and gaps between rows. The rest of it is NaN, so that a read outside shows.
    Narrowed,
    /// With stride 0 along its largest axis, whose places are therefore alike.
    Expanded,
}

impl Layout {
    /// All layouts, the simplest first.
    pub const ALL: [Layout; 4] =
        [Layout::Contiguous, Layout::Permuted, Layout::Narrowed, Layout::Expanded];

    /// The tensor with the same elements in this layout; [`Layout::Expanded`] repeats the first place of the largest axis.
    pub fn lay_out<E: Float>(self, x: &Tensor<E>) -> Tensor<E> {
        let (rank, nan) = (x.rank(), E::from_f64(f64::NAN));
        match self {
            Layout::Contiguous => x.copy(),
            Layout::Permuted => {
                let reversed: Vec<isize> = (0..rank as isize).rev().collect();
                x.permute(&reversed).copy().permute(&reversed)
            }
            Layout::Narrowed if rank == 0 => Tensor::from_vec([3], vec![nan, x.item(), nan])
                .narrow(0, 1, 1)
                .reshape(Shape::SCALAR),
            Layout::Narrowed => {
                let gap = |places| Tensor::full(x.shape().with(rank - 1, places), nan);
                Tensor::concat(&[&gap(1), x, &gap(2)], -1).narrow(-1, 1, x.dim(-1))
            }
            Layout::Expanded => match (0..rank).max_by_key(|&axis| x.dims()[axis]) {
                Some(axis) if x.dims()[axis] > 0 => {
                    x.narrow(axis as isize, 0, 1).copy().expand(x.shape())
                }
                _ => x.copy(),
            },
        }
    }

    /// The layout that strides tell of.
    pub(crate) fn of(x: &Tensor<f64>) -> Layout {
        let long = |axis: &usize| x.dims()[*axis] > 1;
        let strides: Vec<usize> =
            (0..x.rank()).filter(long).map(|axis| x.strides().get(axis)).collect();
        match () {
            () if x.is_contiguous() => Layout::Contiguous,
            () if strides.contains(&0) => Layout::Expanded,
            () if strides.is_sorted_by(|a, b| a >= b) => Layout::Narrowed,
            () => Layout::Permuted,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::Contiguous => "contiguous",
            Layout::Permuted => "permuted",
            Layout::Narrowed => "narrowed",
            Layout::Expanded => "expanded",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_keeps_the_elements_and_is_recognised() {
        let x: Tensor<f64> = Tensor::arange(6).reshape([2, 3]);
        for layout in Layout::ALL {
            let y = layout.lay_out(&x);
            assert_eq!(Layout::of(&y), layout);
            match layout {
                Layout::Expanded => assert_eq!(y.to_vec(), [0.0, 0.0, 0.0, 3.0, 3.0, 3.0]),
                _ => assert_eq!(y, x),
            }
            let scalar = Tensor::scalar(2.0);
            assert_eq!(layout.lay_out(&scalar), scalar);
            assert_eq!(layout.lay_out(&Tensor::<f64>::zeros([0, 2])).dims(), [0, 2]);
        }
    }
}
