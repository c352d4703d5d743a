//! Shapes, strides and broadcasting.

use std::fmt;
use std::ops::Deref;

/// The largest number of axes.
pub const MAX_RANK: usize = 6;

/// The sizes of up to [`MAX_RANK`] axes, outermost first. `Copy`; derefs to a slice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The shape with these axes.
    ///
    /// # Panics
    /// If there are more than [`MAX_RANK`] axes.
    #[track_caller]
    pub fn new(dims: &[usize]) -> Self {
        assert!(dims.len() <= MAX_RANK, "shape: {dims:?} has more than {MAX_RANK} axes");
        let mut shape = Self { dims: [0; MAX_RANK], rank: dims.len() as u8 };
        shape.dims[..dims.len()].copy_from_slice(dims);
        shape
    }

    /// The shape of a scalar: no axes, one element.
    pub const SCALAR: Shape = Shape { dims: [0; MAX_RANK], rank: 0 };

    /// The number of axes.
    #[inline]
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// The number of elements: the product of all axes.
    ///
    /// # Panics
    /// If it does not fit into `usize`.
    #[inline]
    pub fn elements(&self) -> usize {
        if self.contains(&0) {
            return 0;
        }
        self.iter()
            .try_fold(1usize, |product, &dim| product.checked_mul(dim))
            .expect("shape: too many elements")
    }

    /// Strides, in elements, of a row-major array of this shape.
    #[inline]
    pub fn contiguous_strides(&self) -> Strides {
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for axis in (0..self.rank()).rev() {
            strides[axis] = step;
            step *= self.dims[axis].max(1);
        }
        Strides(strides)
    }

    /// The index of `axis`, where −1 is the last.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn axis(&self, axis: isize) -> usize {
        let rank = self.rank() as isize;
        assert!(-rank <= axis && axis < rank, "axis {axis} of a tensor of shape {self}");
        (if axis < 0 { axis + rank } else { axis }) as usize
    }

    /// The same shape with axis `axis` of size `size`.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn with(mut self, axis: usize, size: usize) -> Self {
        assert!(axis < self.rank(), "axis {axis} of a tensor of shape {self}");
        self.dims[axis] = size;
        self
    }

    /// The same shape without axis `axis`.
    pub fn without(self, axis: usize) -> Self {
        Shape::new(&[&self[..axis], &self[axis + 1..]].concat())
    }

    /// The same shape with a new axis of size `size` before axis `axis`.
    pub fn insert(self, axis: usize, size: usize) -> Self {
        Shape::new(&[&self[..axis], &[size], &self[axis..]].concat())
    }

    /// The shape that both broadcast to, by NumPy's rule: aligned at the last axis, sizes equal or one of them 1.
    pub fn broadcast(self, other: Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let mut dims = [0; MAX_RANK];
        for back in 1..=rank {
            let of =
                |shape: &Shape| if back <= shape.rank() { shape[shape.rank() - back] } else { 1 };
            dims[rank - back] = match (of(&self), of(&other)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        Some(Shape { dims, rank: rank as u8 })
    }
}

impl Deref for Shape {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    #[track_caller]
    fn from(dims: [usize; N]) -> Self {
        Shape::new(&dims)
    }
}

impl From<&[usize]> for Shape {
    #[track_caller]
    fn from(dims: &[usize]) -> Self {
        Shape::new(dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self[..])
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The distance in memory, in elements, of neighbours along each axis; 0 along broadcast axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strides(pub(crate) [usize; MAX_RANK]);

impl Strides {
    /// The stride of axis `axis`.
    #[inline]
    pub fn get(&self, axis: usize) -> usize {
        self.0[axis]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_the_rule() {
        let broadcast = |a: &[usize], b: &[usize]| Shape::new(a).broadcast(Shape::new(b));
        assert_eq!(broadcast(&[2, 1, 3], &[4, 1]), Some(Shape::new(&[2, 4, 3])));
        assert_eq!(broadcast(&[], &[5]), Some(Shape::new(&[5])));
        assert_eq!(broadcast(&[0, 3], &[1]), Some(Shape::new(&[0, 3])));
        assert_eq!(broadcast(&[2], &[3]), None);
    }

    #[test]
    fn negative_axes_count_from_the_end() {
        let shape = Shape::new(&[2, 3, 4]);
        assert_eq!((shape.axis(-1), shape.axis(0)), (2, 0));
        assert_eq!(shape.contiguous_strides().0[..3], [12, 4, 1]);
        assert_eq!(shape.without(1), Shape::new(&[2, 4]));
        assert_eq!(shape.insert(3, 5), Shape::new(&[2, 3, 4, 5]));
    }
}
