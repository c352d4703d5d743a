//! Views and rearrangements: reshape, permute, narrow, expand, concat, split.

use crate::walk::Walk;
use crate::{Float, MAX_RANK, Shape, Strides, Tensor};

impl<E: Float> Tensor<E> {
    /// The same elements in row-major order in another shape; a view where the strides allow it, else a copy.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert!(shape.elements() == self.len(), "reshape: {} to {shape}", self.shape());
        match self.strides_for(shape) {
            Some(strides) => self.view(0, shape, strides),
            None => {
                let copy = self.copy();
                copy.view(0, shape, shape.contiguous_strides())
            }
        }
    }

    /// The strides under which the storage shows the elements in `shape`, if there are any.
    fn strides_for(&self, shape: Shape) -> Option<Strides> {
        if self.is_contiguous() {
            return Some(shape.contiguous_strides());
        }
        // Each run of axes that is one block in memory can be cut anew; new axes must not straddle two blocks.
        let walk = Walk::new(self.shape(), [self.strides()]);
        let blocks = walk.blocks();
        let mut strides = Strides::default();
        let mut axis = shape.rank();
        for &(size, stride) in blocks.iter().rev() {
            let mut step = 1;
            while step < size || (axis > 0 && shape[axis - 1] == 1) {
                axis = axis.checked_sub(1)?;
                strides.0[axis] = step * stride;
                step *= shape[axis];
            }
            if step != size {
                return None;
            }
        }
        Some(strides)
    }

    /// The axes in another order: axis i of the result is axis `order[i]` of the tensor.
    ///
    /// # Panics
    /// If `order` does not name each axis once.
    #[track_caller]
    pub fn permute(&self, order: &[isize]) -> Self {
        let rank = self.rank() as isize;
        let each_once = order.len() == self.rank()
            && (0..rank).all(|axis| order.contains(&axis) != order.contains(&(axis - rank)));
        assert!(each_once, "permute: {order:?} of a tensor of shape {}", self.shape());
        let order: Vec<usize> = order.iter().map(|&axis| self.shape().axis(axis)).collect();
        let dims: Vec<usize> = order.iter().map(|&axis| self.dims()[axis]).collect();
        let mut strides = Strides::default();
        order.iter().enumerate().for_each(|(i, &axis)| strides.0[i] = self.strides().0[axis]);
        self.view(0, Shape::new(&dims), strides)
    }

    /// Two axes exchanged.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Self {
        let shape = self.shape();
        let (a, b) = (shape.axis_for("transpose", a), shape.axis_for("transpose", b));
        let mut order: Vec<isize> = (0..self.rank() as isize).collect();
        order.swap(a, b);
        self.permute(&order)
    }

    /// The `len` places from `start` on along `axis`.
    ///
    /// # Panics
    /// If they are not all inside.
    #[track_caller]
    pub fn narrow(&self, axis: isize, start: usize, len: usize) -> Self {
        let axis = self.shape().axis_for("narrow", axis);
        let size = self.dims()[axis];
        let inside = start.checked_add(len).is_some_and(|end| end <= size);
        assert!(inside, "narrow: {len} places from {start} along axis {axis} of {}", self.shape());
        let shape = self.shape().with(axis, len);
        // an empty view may lie anywhere, even in an empty storage: it starts where that does
        let offset = if shape.contains(&0) { 0 } else { start * self.strides().0[axis] };
        self.view(offset, shape, self.strides())
    }

    /// The tensor repeated along axes of size 1 and new leading axes, without copying.
    ///
    /// # Panics
    /// If it does not broadcast to `shape`.
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let Some(strides) = self.strides_as(shape) else {
            panic!("expand: {} does not broadcast to {shape}", self.shape())
        };
        self.view(0, shape, strides)
    }

    /// A new axis of size 1 before `axis`; −1 appends one.
    ///
    /// # Panics
    /// If there is no such place, or if there are [`MAX_RANK`] axes already.
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Self {
        let places = self.rank() as isize + 1;
        assert!(-places <= axis && axis < places, "unsqueeze: axis {axis} of {}", self.shape());
        assert!(self.rank() < MAX_RANK, "unsqueeze: {} has {MAX_RANK} axes already", self.shape());
        let axis = (if axis < 0 { axis + places } else { axis }) as usize;
        self.reshape(self.shape().insert(axis, 1))
    }

    /// The tensor without `axis`, which has size 1.
    ///
    /// # Panics
    /// If it has another size.
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Self {
        let axis = self.shape().axis_for("squeeze", axis);
        assert!(self.dims()[axis] == 1, "squeeze: axis {axis} of {}", self.shape());
        self.reshape(self.shape().without(axis))
    }

    /// The tensors one after another along `axis`; all other axes agree.
    ///
    /// # Panics
    /// If there is no tensor, or if shapes disagree elsewhere.
    #[track_caller]
    pub fn concat(tensors: &[&Self], axis: isize) -> Self {
        let Some(first) = tensors.first() else { panic!("concat: no tensors") };
        let axis = first.shape().axis_for("concat", axis);
        let mut size = 0usize;
        for tensor in tensors {
            let agrees = tensor.rank() == first.rank()
                && tensor.shape().with(axis, 0) == first.shape().with(axis, 0);
            assert!(agrees, "concat: {} and {} along axis {axis}", first.shape(), tensor.shape());
            size = size.saturating_add(tensor.dims()[axis]); // too many are refused below
        }
        let shape = first.shape().with(axis, size);
        let inner: usize = shape[axis + 1..].iter().product();
        let outer: usize = shape[..axis].iter().product();
        Self::build(shape, |out| {
            let mut at = 0;
            for tensor in tensors {
                let run = tensor.dims()[axis] * inner;
                let source = tensor.contiguous();
                for i in 0..outer {
                    let start = i * size * inner + at;
                    out[start..start + run].copy_from_slice(&source.data()[i * run..(i + 1) * run]);
                }
                at += run;
            }
        })
    }

    /// Views of `sizes` places each, one after another along `axis`.
    ///
    /// # Panics
    /// If the sizes do not add up to the size of the axis.
    #[track_caller]
    pub fn split(&self, axis: isize, sizes: &[usize]) -> Vec<Self> {
        let size = self.dims()[self.shape().axis_for("split", axis)];
        let total = sizes.iter().try_fold(0usize, |total, &size| total.checked_add(size));
        assert!(total == Some(size), "split: {sizes:?} along axis {axis} of {}", self.shape());
        let mut start = 0;
        let mut part = |&size: &usize| {
            start += size;
            self.narrow(axis, start - size, size)
        };
        sizes.iter().map(&mut part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(shape: &[usize]) -> Tensor<f64> {
        Tensor::arange(shape.iter().product()).reshape(shape)
    }

    #[test]
    fn reshape_is_a_view_where_the_strides_allow_it() {
        let x = counted(&[2, 3, 4]);
        let view = |t: &Tensor<f64>| t.storage().as_ptr();
        assert_eq!(view(&x.reshape([6, 4])), view(&x));
        let head = x.narrow(2, 0, 2); // [2, 3, 2], rows of 2 in rows of 4
        assert_eq!(view(&head.reshape([6, 2])), view(&head));
        assert_eq!(head.reshape([6, 2]).to_vec(), head.to_vec());
        assert_ne!(view(&head.reshape([12])), view(&head));
        assert_eq!(head.reshape([12]).to_vec(), head.to_vec());
        let t = x.transpose(0, 1); // [3, 2, 4]
        assert_eq!(t.reshape([3, 1, 2, 2, 2]).to_vec(), t.to_vec());
        assert_eq!(t.reshape([6, 4]).to_vec(), t.to_vec());
        let spread = counted(&[3, 1]).expand([3, 4]);
        assert_eq!(spread.reshape([3, 2, 2]).to_vec(), spread.to_vec());
        assert_eq!(spread.reshape([1, 12, 1]).to_vec(), spread.to_vec());
        assert_eq!(counted(&[0, 3]).reshape([7, 0]).dims(), [7, 0]);
        assert_eq!(Tensor::<f64>::scalar(1.0).reshape([1, 1]).dims(), [1, 1]);
    }

    #[test]
    fn concat_undoes_split() {
        let x = counted(&[2, 5, 3]).transpose(0, 2);
        for axis in 0..3 {
            let size = x.dims()[axis];
            let parts = x.split(axis as isize, &[1, 0, size - 1]);
            assert_eq!(Tensor::concat(&parts.iter().collect::<Vec<_>>(), axis as isize), x);
        }
    }

    #[test]
    #[should_panic(expected = "narrow: 2 places from 2 along axis 1 of [2, 3]")]
    fn narrow_stays_inside() {
        counted(&[2, 3]).narrow(1, 2, 2);
    }
}
