//! The tensor type: construction, access, ownership.

use std::fmt;
use std::sync::Arc;

use crate::pool::{self, Buffer};
use crate::profile::{Counts, count};
use crate::walk::Walk;
use crate::{Float, Shape, Strides};

/// A buffer that goes back to the pool when the last tensor that sees it is dropped.
struct Storage<E: Float> {
    buffer: Buffer<E>,
}

impl<E: Float> Drop for Storage<E> {
    fn drop(&mut self) {
        count(Counts { live: -(size_of_val(&self.buffer[..]) as i64), ..Counts::default() });
        E::pool().give(std::mem::take(&mut self.buffer));
    }
}

/// An n-dimensional array: shared storage seen through a shape and strides.
///
/// Cloning is cheap, since the storage is shared; writing copies first if anyone else holds the storage. Ops take
/// references and return new tensors; the operators `+ - * /` also take their left side by value, and then reuse its
/// buffer if nobody else holds it.
///
/// ```
/// use tensor::Tensor;
///
/// let x: Tensor = Tensor::from_vec([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// let row_means = x.mean(&[-1]);
/// assert_eq!(row_means.to_vec(), [2.0, 5.0]);
/// assert_eq!(x.transpose(0, 1).matmul(&x).dims(), [3, 3]);
/// ```
#[derive(Clone)]
pub struct Tensor<E: Float = f32> {
    storage: Arc<Storage<E>>,
    offset: usize,
    shape: Shape,
    strides: Strides,
}

impl<E: Float> Tensor<E> {
    /// A tensor of this shape, filled by `fill`. The slice holds unspecified (stale, but valid) values on entry: every
    /// element has to be written.
    ///
    /// # Panics
    /// If there is no memory for it.
    #[track_caller]
    pub fn build(shape: impl Into<Shape>, fill: impl FnOnce(&mut [E])) -> Self {
        let shape = shape.into();
        let len = shape.elements();
        let Some(mut buffer) = E::pool().take(len) else { no_memory::<E>(shape) };
        fill(&mut buffer[..len]);
        Self::from_buffer(shape, buffer)
    }

    fn from_buffer(shape: Shape, buffer: Buffer<E>) -> Self {
        let written = (shape.elements() * size_of::<E>()) as i64;
        count(Counts { flop: 0, written, live: size_of_val(&buffer[..]) as i64 });
        let storage = Arc::new(Storage { buffer });
        Self { storage, offset: 0, shape, strides: shape.contiguous_strides() }
    }

    /// The tensor of this shape with the elements of `data` in row-major order.
    ///
    /// # Panics
    /// If `data` has another number of elements than the shape.
    #[track_caller]
    pub fn from_vec(shape: impl Into<Shape>, data: Vec<E>) -> Self {
        let shape = shape.into();
        assert!(
            data.len() == shape.elements(),
            "from_vec: {} elements for shape {shape}",
            data.len()
        );
        Self::from_buffer(shape, data.into())
    }

    /// The tensor of this shape whose element of row-major index i is `f(i)`.
    #[track_caller]
    pub fn from_fn(shape: impl Into<Shape>, mut f: impl FnMut(usize) -> E) -> Self {
        Self::build(shape, |out| out.iter_mut().enumerate().for_each(|(i, out)| *out = f(i)))
    }

    /// A tensor filled with one value.
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: E) -> Self {
        Self::build(shape, |out| out.fill(value))
    }

    /// A tensor of zeros.
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        Self::full(shape, E::ZERO)
    }

    /// A tensor of ones.
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>) -> Self {
        Self::full(shape, E::ONE)
    }

    /// A scalar: a tensor of rank 0.
    pub fn scalar(value: E) -> Self {
        Self::from_vec(Shape::SCALAR, vec![value])
    }

    /// 0, 1, …, n − 1.
    #[track_caller]
    pub fn arange(n: usize) -> Self {
        Self::from_fn([n], |i| E::from_f64(i as f64))
    }

    /// The shape.
    #[inline]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The sizes of the axes.
    #[inline]
    pub fn dims(&self) -> &[usize] {
        &self.shape
    }

    /// The size of `axis`; −1 is the last.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn dim(&self, axis: isize) -> usize {
        self.shape[self.shape.axis_for("dim", axis)]
    }

    /// The number of axes.
    #[inline]
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// The number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.shape.elements()
    }

    /// Whether there is no element.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// The strides, in elements.
    #[inline]
    pub fn strides(&self) -> Strides {
        self.strides
    }

    /// Whether the elements lie one after another in row-major order.
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1;
        for axis in (0..self.rank()).rev() {
            if self.shape[axis] != 1 {
                if self.strides.0[axis] != step {
                    return self.is_empty();
                }
                step *= self.shape[axis];
            }
        }
        true
    }

    /// The storage from the first element on: with [`Tensor::strides`], all that a strided kernel needs.
    #[inline]
    pub fn storage(&self) -> &[E] {
        self.storage.buffer.get(self.offset..).unwrap_or(&[])
    }

    /// The elements in row-major order.
    ///
    /// # Panics
    /// If the tensor is not contiguous; see [`Tensor::contiguous`].
    #[track_caller]
    #[inline]
    pub fn data(&self) -> &[E] {
        assert!(
            self.is_contiguous(),
            "data: a {} view with strides {:?} is not contiguous",
            self.shape,
            self.strides
        );
        &self.storage()[..self.len()]
    }

    /// The elements in row-major order, to be written: in place if nobody else holds the storage, in a copy if anyone
    /// does or if the tensor is not contiguous.
    #[track_caller]
    pub fn data_mut(&mut self) -> &mut [E] {
        if !self.is_contiguous() || Arc::get_mut(&mut self.storage).is_none() {
            *self = self.copy();
        }
        let (start, len) = (self.offset, self.len());
        let Some(storage) = Arc::get_mut(&mut self.storage) else {
            unreachable!("a fresh copy has one owner")
        };
        &mut storage.buffer[start..start + len]
    }

    /// Whether [`Tensor::data_mut`] would write in place.
    pub fn is_unique(&self) -> bool {
        self.is_contiguous() && Arc::strong_count(&self.storage) == 1
    }

    /// The elements in row-major order, copied.
    ///
    /// # Panics
    /// If there is no memory for them.
    #[track_caller]
    pub fn to_vec(&self) -> Vec<E> {
        let Some(mut out) = pool::zeros(self.len()) else { no_memory::<E>(self.shape) };
        self.copy_to(&mut out);
        out
    }

    /// The element at `index`, one number per axis.
    ///
    /// # Panics
    /// If the index lies outside the tensor.
    #[track_caller]
    pub fn get(&self, index: &[usize]) -> E {
        let inside =
            index.len() == self.rank() && index.iter().zip(self.dims()).all(|(i, dim)| i < dim);
        assert!(inside, "get: index {index:?} outside of shape {}", self.shape);
        self.storage()
            [index.iter().zip(self.strides.0).map(|(i, stride)| i * stride).sum::<usize>()]
    }

    /// The only element of a tensor that has one.
    ///
    /// # Panics
    /// If there are more or none.
    #[track_caller]
    pub fn item(&self) -> E {
        assert!(self.len() == 1, "item: a tensor of shape {} has not one element", self.shape);
        self.storage()[0]
    }

    /// The tensor in another precision.
    #[track_caller]
    pub fn cast<F: Float>(&self) -> Tensor<F> {
        let source = self.contiguous();
        let source = source.data();
        Tensor::build(self.shape, |out| {
            out.iter_mut().zip(source).for_each(|(out, x)| *out = F::from_f64(x.to_f64()));
        })
    }

    /// The same elements in row-major order in memory: the tensor itself if it is so already.
    #[track_caller]
    pub fn contiguous(&self) -> Self {
        if self.is_contiguous() { self.clone() } else { self.copy() }
    }

    /// A copy with a storage of its own.
    #[track_caller]
    pub fn copy(&self) -> Self {
        Self::build(self.shape, |out| self.copy_to(out))
    }

    /// Writes the elements in row-major order to `out`.
    ///
    /// # Panics
    /// If `out` has another length.
    #[track_caller]
    pub fn copy_to(&self, out: &mut [E]) {
        assert!(
            out.len() == self.len(),
            "copy_to: {} places for a tensor of shape {}",
            out.len(),
            self.shape
        );
        if self.is_contiguous() {
            out.copy_from_slice(&self.storage()[..self.len()]);
            return;
        }
        let walk = Walk::new(self.shape, [self.strides]);
        let (storage, stride) = (self.storage(), walk.inner_strides[0]);
        walk.for_rows(0..walk.rows, |row, [at]| {
            let out = &mut out[row * walk.inner..(row + 1) * walk.inner];
            match stride {
                1 => out.copy_from_slice(&storage[at..at + out.len()]),
                0 => out.fill(storage[at]),
                _ => {
                    out.iter_mut()
                        .zip(storage[at..].iter().step_by(stride))
                        .for_each(|(o, x)| *o = *x);
                }
            }
        });
    }

    /// The same storage seen through another shape and strides.
    ///
    /// The caller keeps every reachable element inside the storage; slices are bounds-checked all the same.
    pub(crate) fn view(&self, offset: usize, shape: Shape, strides: Strides) -> Self {
        Self { storage: Arc::clone(&self.storage), offset: self.offset + offset, shape, strides }
    }

    /// The strides that show the tensor as the larger `shape`, 0 along broadcast axes; `None` if it does not broadcast.
    pub(crate) fn strides_as(&self, shape: Shape) -> Option<Strides> {
        let shift = shape.rank().checked_sub(self.rank())?;
        let mut strides = Strides::default();
        for axis in 0..self.rank() {
            if self.shape[axis] == shape[axis + shift] {
                strides.0[axis + shift] = self.strides.0[axis];
            } else if self.shape[axis] != 1 {
                return None;
            }
        }
        Some(strides)
    }
}

#[cold]
#[track_caller]
fn no_memory<E: Float>(shape: Shape) -> ! {
    let bytes = shape.elements() as f64 * size_of::<E>() as f64;
    panic!(
        "tensor: no memory for shape {shape} of {}: {:.1} GiB",
        E::NAME,
        bytes / f64::from(1 << 30)
    )
}

/// Equal shapes and equal elements; NaN equals nothing.
impl<E: Float> PartialEq for Tensor<E> {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.contiguous().data() == other.contiguous().data()
    }
}

impl<E: Float> fmt::Debug for Tensor<E> {
    /// `Tensor<F32> [2, 3] [1.0, 2.0, …]`, with at most the first twelve elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 12;
        write!(f, "Tensor<{}> {} [", E::NAME, self.shape)?;
        let flat = self.contiguous();
        for (i, x) in flat.data().iter().take(SHOWN).enumerate() {
            write!(f, "{}{x:?}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str(if self.len() > SHOWN { ", …]" } else { "]" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_copies_if_and_only_if_the_storage_is_shared() {
        let mut x: Tensor = Tensor::from_vec([2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let shared = x.clone();
        x.data_mut()[0] = 9.0;
        assert_eq!(shared.to_vec(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(x.to_vec(), [9.0, 2.0, 3.0, 4.0]);
        let before = x.data().as_ptr();
        assert!(x.is_unique());
        x.data_mut()[1] = 8.0;
        assert_eq!(x.data().as_ptr(), before);
    }

    #[test]
    fn scalars_and_empty_tensors_are_ordinary() {
        let scalar: Tensor = Tensor::scalar(2.0);
        assert_eq!((scalar.rank(), scalar.len(), scalar.item()), (0, 1, 2.0));
        let empty: Tensor = Tensor::zeros([3, 0, 2]);
        assert!(empty.is_empty() && empty.is_contiguous() && empty.data().is_empty());
        assert_eq!(empty.transpose(0, 2).contiguous().dims(), [2, 0, 3]);
    }

    #[test]
    fn a_view_is_copied_in_its_own_order() {
        let x: Tensor<f64> = Tensor::arange(6).reshape([2, 3]);
        assert_eq!(x.transpose(0, 1).to_vec(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(x.narrow(1, 1, 2).to_vec(), [1.0, 2.0, 4.0, 5.0]);
        assert_eq!(x.narrow(0, 1, 1).expand([2, 3]).to_vec(), [3.0, 4.0, 5.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    #[should_panic(expected = "tensor: no memory for shape [35184372088832] of F32: 131072.0 GiB")]
    fn more_than_the_memory_is_refused_with_the_size() {
        let _: Tensor = Tensor::zeros([1 << 45]);
    }

    #[test]
    #[should_panic(expected = "tensor: no memory for shape [1073741824, 32768] of F64")]
    fn a_copy_of_a_huge_view_is_refused() {
        Tensor::<f64>::scalar(1.0).expand([1 << 30, 1 << 15]).to_vec();
    }

    #[test]
    #[should_panic(expected = "from_vec: 1 elements for shape [2, 2]")]
    fn a_wrong_number_of_elements_is_refused() {
        let _: Tensor = Tensor::from_vec([2, 2], vec![1.0]);
    }
}
