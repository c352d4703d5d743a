//! Elementwise loops: one function of the elements, broadcast by NumPy's rule.

use crate::par::{self, CHUNK, ELEMENT};
use crate::simd::Simd;
use crate::walk::Walk;
use crate::{Float, Tensor};

impl<E: Float> Tensor<E> {
    /// f of each element. `f` gets the [`Simd`] of the loop it is compiled into; mark it `#[inline(always)]`.
    #[inline]
    pub fn map(&self, f: impl Fn(E, Simd) -> E + Sync + Send) -> Self {
        let source = self.contiguous();
        let source = source.data();
        Self::build(self.shape(), |out| {
            let work = par::work(&[out.len(), ELEMENT]);
            par::for_chunks(out, CHUNK, work, |start, out| {
                let source = &source[start..start + out.len()];
                E::vectorize(
                    #[inline(always)]
                    |simd| {
                        for (out, x) in out.iter_mut().zip(source) {
                            *out = f(*x, simd);
                        }
                    },
                );
            });
        })
    }

    /// [`Tensor::map`] that reuses the buffer if nobody else holds it.
    #[inline]
    pub fn into_map(mut self, f: impl Fn(E, Simd) -> E + Sync + Send) -> Self {
        if !self.is_unique() {
            return self.map(f);
        }
        let work = par::work(&[self.len(), ELEMENT]);
        par::for_chunks(self.data_mut(), CHUNK, work, |_, out| {
            E::vectorize(
                #[inline(always)]
                |simd| {
                    for x in out.iter_mut() {
                        *x = f(*x, simd);
                    }
                },
            );
        });
        self
    }

    /// f of each pair of elements, both tensors broadcast to one shape. `f` as for [`Tensor::map`].
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[inline]
    pub fn zip(&self, rhs: &Self, name: &str, f: impl Fn(E, E, Simd) -> E + Sync + Send) -> Self {
        let Some(shape) = self.shape().broadcast(rhs.shape()) else {
            panic!("{name}: shapes do not broadcast: {} and {}", self.shape(), rhs.shape())
        };
        let strides =
            |tensor: &Self| tensor.strides_as(shape).expect("the broadcast shape fits both");
        let walk = Walk::new(shape, [strides(self), strides(rhs)]);
        let (a, b) = (self.storage(), rhs.storage());
        let (inner, steps) = (walk.inner, walk.inner_strides);
        Self::build(shape, |out| {
            let work = par::work(&[out.len(), ELEMENT]);
            par::for_chunks(out, chunk(&walk), work, |start, out| {
                let (first, column) = (start / inner, start % inner);
                E::vectorize(
                    #[inline(always)]
                    |simd| {
                        walk.for_rows(
                            first..first + out.len().div_ceil(inner),
                            #[inline(always)]
                            |i, [a_at, b_at]| {
                                let (a, b) = (
                                    &a[a_at + column * steps[0]..],
                                    &b[b_at + column * steps[1]..],
                                );
                                zip_row(row(out, i - first, inner), a, b, steps, &f, simd);
                            },
                        );
                    },
                );
            });
        })
    }

    /// [`Tensor::zip`] that reuses the left side's buffer if nobody else holds it and the shape stays.
    #[track_caller]
    #[inline]
    pub fn into_zip(
        mut self,
        rhs: &Self,
        name: &str,
        f: impl Fn(E, E, Simd) -> E + Sync + Send,
    ) -> Self {
        let strides = rhs.strides_as(self.shape());
        let Some(strides) = strides.filter(|_| self.is_unique()) else {
            return self.zip(rhs, name, f);
        };
        let walk = Walk::new(self.shape(), [self.strides(), strides]);
        let b = rhs.storage();
        let (inner, b_step) = (walk.inner, walk.inner_strides[1]);
        let work = par::work(&[self.len(), ELEMENT]);
        par::for_chunks(self.data_mut(), chunk(&walk), work, |start, out| {
            let (first, column) = (start / inner, start % inner);
            E::vectorize(
                #[inline(always)]
                |simd| {
                    walk.for_rows(
                        first..first + out.len().div_ceil(inner),
                        #[inline(always)]
                        |i, [_, at]| {
                            let b = &b[at + column * b_step..];
                            zip_row_assign(row(out, i - first, inner), b, b_step, &f, simd);
                        },
                    );
                },
            );
        });
        self
    }
}

/// Elements of a chunk of the walk: whole rows, or a part of the only one.
fn chunk<const N: usize>(walk: &Walk<N>) -> usize {
    if walk.rows == 1 { CHUNK } else { (CHUNK / walk.inner.max(1)).max(1) * walk.inner }
}

/// The part of a chunk that belongs to its row `i`.
#[inline(always)]
fn row<E>(chunk: &mut [E], i: usize, inner: usize) -> &mut [E] {
    let end = chunk.len().min((i + 1) * inner);
    &mut chunk[i * inner..end]
}

// Loops of kernels are `for` loops in functions that are always inlined: a closure or an adaptor's `fold` that the
// compiler leaves outlined is compiled for the baseline, and its `mul_add` becomes a call.

/// out = f(a, b) along a row of the walk.
#[inline(always)]
fn zip_row<E: Float>(
    out: &mut [E],
    a: &[E],
    b: &[E],
    steps: [usize; 2],
    f: &impl Fn(E, E, Simd) -> E,
    simd: Simd,
) {
    match steps {
        [1, 1] => {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = f(*a, *b, simd);
            }
        }
        [1, 0] => {
            let b = b[0];
            for (out, a) in out.iter_mut().zip(a) {
                *out = f(*a, b, simd);
            }
        }
        [0, 1] => {
            let a = a[0];
            for (out, b) in out.iter_mut().zip(b) {
                *out = f(a, *b, simd);
            }
        }
        [a_step, b_step] => {
            for (i, out) in out.iter_mut().enumerate() {
                *out = f(a[i * a_step], b[i * b_step], simd);
            }
        }
    }
}

/// a = f(a, b) along a row of the walk.
#[inline(always)]
fn zip_row_assign<E: Float>(
    row: &mut [E],
    b: &[E],
    b_step: usize,
    f: &impl Fn(E, E, Simd) -> E,
    simd: Simd,
) {
    match b_step {
        1 => {
            for (a, b) in row.iter_mut().zip(b) {
                *a = f(*a, *b, simd);
            }
        }
        0 => {
            let b = b[0];
            for a in row {
                *a = f(*a, b, simd);
            }
        }
        _ => {
            for (i, a) in row.iter_mut().enumerate() {
                *a = f(*a, b[i * b_step], simd);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_left_side_is_reused_and_a_shared_one_is_not() {
        let x: Tensor = Tensor::from_vec([2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let row = Tensor::from_vec([2], vec![10.0, 20.0]);
        let kept = x.clone();
        let sum = x + &row;
        assert_eq!(kept.to_vec(), [1.0, 2.0, 3.0, 4.0]);
        let at = sum.data().as_ptr();
        let twice = sum * 2.0;
        assert_eq!(twice.data().as_ptr(), at);
        assert_eq!(twice.to_vec(), [22.0, 44.0, 26.0, 48.0]);
    }

    #[test]
    fn broadcasting_works_on_every_layout() {
        let x: Tensor = Tensor::arange(6).reshape([2, 3]);
        let column = Tensor::from_vec([2, 1], vec![10.0, 20.0]);
        assert_eq!((&x + &column).to_vec(), [10.0, 11.0, 12.0, 23.0, 24.0, 25.0]);
        assert_eq!(
            (&column - &x.transpose(0, 1).transpose(0, 1)).to_vec(),
            [10.0, 9.0, 8.0, 17.0, 16.0, 15.0]
        );
        assert_eq!(
            (&x.transpose(0, 1) * &x.transpose(0, 1)).to_vec(),
            [0.0, 9.0, 1.0, 16.0, 4.0, 25.0]
        );
        assert_eq!((&x / &Tensor::scalar(2.0)).to_vec(), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
        assert_eq!((&Tensor::zeros([0, 3]) + &Tensor::<f32>::ones([3])).dims(), [0, 3]);
        assert_eq!((&Tensor::zeros([0]) + &Tensor::<f32>::zeros([0])).dims(), [0]);
        assert_eq!((Tensor::zeros([0]) + &Tensor::<f32>::zeros([0])).dims(), [0]);
        assert_eq!((&Tensor::<f32>::scalar(1.0) + &Tensor::scalar(2.0)).item(), 3.0);
    }

    #[test]
    fn a_long_loop_is_cut_where_chunks_end() {
        let n = 3 * CHUNK + 5;
        let x: Tensor = Tensor::from_fn([n], |i| i as f32);
        assert_eq!((&x + &x).to_vec(), (0..n).map(|i| 2.0 * i as f32).collect::<Vec<_>>());
        let tall = &Tensor::<f32>::zeros([n / 7, 7]) + &Tensor::arange(7);
        assert!(tall.to_vec().iter().enumerate().all(|(i, x)| *x == (i % 7) as f32));
    }

    #[test]
    fn masks_choose() {
        let x: Tensor = Tensor::from_vec([3], vec![-1.0, 0.0, 2.0]);
        let zero = Tensor::scalar(0.0);
        assert_eq!(x.gt(&zero).to_vec(), [0.0, 0.0, 1.0]);
        assert_eq!(x.le(&zero).to_vec(), [1.0, 1.0, 0.0]);
        assert_eq!(Tensor::where_(&x.lt(&zero), &zero, &x).to_vec(), [0.0, 0.0, 2.0]);
    }

    #[test]
    #[should_panic(expected = "add: shapes do not broadcast: [2, 3] and [2]")]
    fn shapes_that_do_not_broadcast_are_refused() {
        let _ = &Tensor::<f32>::zeros([2, 3]) + &Tensor::zeros([2]);
    }
}
