//! Shapes, strides and broadcasting.

use std::fmt;
use std::ops::Deref;

/// The largest number of axes.
pub const MAX_RANK: usize = 6;

/// The product of sizes, if `isize` can hold it: the one way in which this crate multiplies sizes that nothing has bounded.
#[inline]
pub(crate) fn product(sizes: impl IntoIterator<Item = usize>) -> Option<usize> {
    let product = sizes.into_iter().try_fold(1usize, usize::checked_mul);
    product.filter(|&product| product <= isize::MAX as usize)
}

/// The sizes of up to [`MAX_RANK`] axes, outermost first. `Copy`; derefs to a slice.
///
/// The product of all sizes but zeros fits into `isize`: so do the strides, the number of elements and the product of any of
/// the sizes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The shape with these axes.
    ///
    /// # Panics
    /// If there are more than [`MAX_RANK`] axes, or if the sizes that are not 0 have a product above `isize::MAX`.
    #[track_caller]
    pub fn new(dims: &[usize]) -> Self {
        assert!(dims.len() <= MAX_RANK, "shape: {dims:?} has more than {MAX_RANK} axes");
        match Self::try_new(dims) {
            Some(shape) => shape,
            None => panic!("shape: {dims:?} has too many elements"),
        }
    }

    /// [`Shape::new`] of sizes that come from outside: `None` where that panics.
    pub fn try_new(dims: &[usize]) -> Option<Self> {
        let mut shape = Self { dims: [0; MAX_RANK], rank: dims.len() as u8 };
        shape.dims.get_mut(..dims.len())?.copy_from_slice(dims);
        product(dims.iter().copied().filter(|&dim| dim != 0)).map(|_| shape)
    }

    /// The shape of a scalar: no axes, one element.
    pub const SCALAR: Shape = Shape { dims: [0; MAX_RANK], rank: 0 };

    /// The number of axes.
    #[inline]
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// The number of elements: the product of all axes.
    #[inline]
    pub fn elements(&self) -> usize {
        if self.contains(&0) { 0 } else { self.iter().product() }
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
        self.axis_for("shape", axis)
    }

    /// [`Shape::axis`] on behalf of an op, which the message names.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn axis_for(&self, op: &str, axis: isize) -> usize {
        let rank = self.rank() as isize;
        assert!(-rank <= axis && axis < rank, "{op}: no axis {axis} in shape {self}");
        (if axis < 0 { axis + rank } else { axis }) as usize
    }

    /// The same shape with axis `axis` of size `size`.
    ///
    /// # Panics
    /// If there is no such axis, or if there are too many elements.
    #[track_caller]
    pub fn with(self, axis: usize, size: usize) -> Self {
        assert!(axis < self.rank(), "shape: axis {axis} of {self}");
        let mut dims = self.dims;
        dims[axis] = size;
        Shape::new(&dims[..self.rank()])
    }

    /// The same shape without axis `axis`.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn without(self, axis: usize) -> Self {
        Shape::new(&[&self[..axis], &self[axis + 1..]].concat())
    }

    /// The same shape with a new axis of size `size` before axis `axis`.
    ///
    /// # Panics
    /// If there is no such place, if there are [`MAX_RANK`] axes already, or if there are too many elements.
    #[track_caller]
    pub fn insert(self, axis: usize, size: usize) -> Self {
        Shape::new(&[&self[..axis], &[size], &self[axis..]].concat())
    }

    /// The shape that both broadcast to, by NumPy's rule: aligned at the last axis, sizes equal or one of them 1.
    /// `None` if there is none, or if it has too many elements.
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
        Shape::try_new(&dims[..rank])
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

    #[test]
    fn no_shape_has_sizes_whose_product_wraps() {
        let (half, most) = (1 << 32, isize::MAX as usize);
        assert_eq!(Shape::new(&[most, 1]).elements(), most);
        assert_eq!(Shape::new(&[half, 0, 1 << 30]).elements(), 0);
        for dims in [[half, half, 1], [half, 0, half], [most + 1, 1, 1], [usize::MAX, 0, 1]] {
            assert_eq!(Shape::try_new(&dims), None, "{dims:?}");
        }
        assert_eq!(Shape::new(&[half, 1]).broadcast(Shape::new(&[half])), None);
    }
}
