//! Batched matrix product over strided views.

use std::ops::Range;

use crate::par;
use crate::reduce::sum_tensors;
use crate::simd::{MatMut, MatRef, gemm};
use crate::walk::Walk;
use crate::{Float, Shape, Tensor};

/// Rows of C that one task computes when a single product is split: a multiple of every micro-kernel's height.
const ROWS: usize = 192;
/// Elements of a C that counts as small.
const SMALL_C: usize = 1 << 16;
/// Length of the pieces into which k is cut when C is small and k longer.
const K_PIECE: usize = 1024;

impl<E: Float> Tensor<E> {
    /// The matrix product of the last two axes, [… m, k] × [… k, n] → [… m, n]; leading axes broadcast.
    ///
    /// Any strides are read in place: a transposed view costs no copy.
    ///
    /// # Panics
    /// If a tensor has fewer than two axes, if the inner axes differ, or if the leading axes do not broadcast.
    #[track_caller]
    pub fn matmul(&self, rhs: &Self) -> Self {
        let (a, b) = (self, rhs);
        assert!(
            a.rank() >= 2 && b.rank() >= 2,
            "matmul: matrices expected: {} × {}",
            a.shape(),
            b.shape()
        );
        let ([m, k], [k_b, n]) = (last_two(a), last_two(b));
        assert!(k == k_b, "matmul: inner axes differ: {} × {}", a.shape(), b.shape());
        // A stack of matrices times one matrix is one tall product.
        if b.rank() == 2 && a.rank() > 2 && a.is_contiguous() {
            let rows = a.len() / k.max(1);
            if k > 0 {
                let product = a.reshape([rows, k]).matmul(b);
                return product.reshape(a.shape().with(a.rank() - 1, n));
            }
        }
        let lead = |t: &Self| Shape::new(&t.dims()[..t.rank() - 2]);
        let Some(batch) = lead(a).broadcast(lead(b)) else {
            panic!("matmul: leading axes do not broadcast: {} × {}", a.shape(), b.shape())
        };
        let with = |rows: usize, cols: usize| Shape::try_new(&[&batch[..], &[rows, cols]].concat());
        let (Some(of_a), Some(of_b), Some(shape)) = (with(m, k), with(k, n), with(m, n)) else {
            panic!("matmul: {} × {} has too many elements", a.shape(), b.shape())
        };
        let strides = |t: &Self, shape| t.strides_as(shape).expect("the broadcast shape fits both");
        let (a_strides, b_strides) = (strides(a, of_a), strides(b, of_b));
        let axis = batch.rank();
        let a_matrix = |at: usize| {
            MatRef::new(&a.storage()[at..], m, k, a_strides.get(axis), a_strides.get(axis + 1))
        };
        let b_matrix = |at: usize| {
            MatRef::new(&b.storage()[at..], k, n, b_strides.get(axis), b_strides.get(axis + 1))
        };

        Self::build(shape, |out| {
            if out.is_empty() {
                return;
            }
            if k == 0 {
                out.fill(E::ZERO);
                return;
            }
            if batch.elements() == 1 {
                return product(a_matrix(0), b_matrix(0), out, n);
            }
            let each = m * n;
            let mut places = Vec::with_capacity(batch.elements());
            let walk = Walk::new(batch, [a_strides, b_strides]);
            walk.for_rows(0..walk.rows, |_, [a, b]| {
                let [a_step, b_step] = walk.inner_strides;
                places.extend((0..walk.inner).map(|i| (a + i * a_step, b + i * b_step)));
            });
            let work = par::work(&[out.len(), k]);
            par::for_chunks(out, each, work, |start, out| {
                for (out, &(a, b)) in out.chunks_mut(each).zip(&places[start / each..]) {
                    gemm(E::ONE, a_matrix(a), b_matrix(b), E::ZERO, MatMut::new(out, m, n, n, 1));
                }
            });
        })
    }
}

/// C ← A·B for C [m, n] row-major in `out`, split over threads if it may: by rows, or along k if C is small.
fn product<E: Float>(a: MatRef<'_, E>, b: MatRef<'_, E>, out: &mut [E], n: usize) {
    let (m, k) = (a.rows(), a.cols());
    let work = par::work(&[m, k, n]);
    if m * n <= SMALL_C && k > K_PIECE {
        // A weight's gradient: k is cut at fixed places and the pieces are added in pairs, on one thread as on many.
        let piece = |cols: Range<usize>| {
            Tensor::build([m, n], |out| {
                let (a, b) = (a.narrow_cols(cols.clone()), b.narrow_rows(cols));
                gemm(E::ONE, a, b, E::ZERO, MatMut::new(out, m, n, n, 1));
            })
        };
        let sum = if par::splits(work) {
            let mut pieces = par::map_ranges(k, K_PIECE, work, |cols| Some(piece(cols)));
            sum_tensors(pieces.len(), |i| pieces[i].take().expect("each is taken once"))
        } else {
            let cols = |i: usize| i * K_PIECE..k.min((i + 1) * K_PIECE);
            sum_tensors(k.div_ceil(K_PIECE), |i| piece(cols(i)))
        };
        out.copy_from_slice(sum.data());
    } else if par::splits(work) {
        par::for_chunks(out, ROWS * n, work, |start, out| {
            let rows = out.len() / n;
            let a = a.narrow_rows(start / n..start / n + rows);
            gemm(E::ONE, a, b, E::ZERO, MatMut::new(out, rows, n, n, 1));
        });
    } else {
        gemm(E::ONE, a, b, E::ZERO, MatMut::new(out, m, n, n, 1));
    }
}

fn last_two<E: Float>(t: &Tensor<E>) -> [usize; 2] {
    [t.dim(-2), t.dim(-1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_views_is_the_product_of_their_copies() {
        let x: Tensor<f64> = Tensor::arange(24).reshape([2, 3, 4]);
        let gram = x.matmul(&x.transpose(1, 2));
        assert_eq!(gram.to_vec()[..4], [14.0, 38.0, 62.0, 38.0]);
        let w: Tensor<f64> = Tensor::arange(8).reshape([2, 4]);
        let flat = x.matmul(&w.transpose(0, 1));
        assert_eq!(flat.dims(), [2, 3, 2]);
        assert_eq!(flat, x.matmul(&w.transpose(0, 1).copy().expand([2, 4, 2])));
        assert_eq!(x.permute(&[1, 0, 2]).matmul(&w.transpose(0, 1)), flat.permute(&[1, 0, 2]));
    }

    #[test]
    fn products_of_nothing_are_zeros() {
        let zeros = Tensor::<f32>::ones([2, 0]).matmul(&Tensor::ones([0, 3]));
        assert_eq!(zeros, Tensor::zeros([2, 3]));
        assert_eq!(Tensor::<f32>::ones([0, 2]).matmul(&Tensor::ones([2, 3])).dims(), [0, 3]);
        assert_eq!(
            Tensor::<f32>::ones([4, 5, 0]).matmul(&Tensor::ones([0, 3])),
            Tensor::zeros([4, 5, 3])
        );
    }

    #[test]
    fn a_split_product_has_the_bits_of_a_whole_one() {
        let x: Tensor = Tensor::from_fn([777, 65], |i| ((i * 37 % 101) as f32 - 50.0) / 50.0);
        let whole = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one");
        for (a, b) in [(x.clone(), x.transpose(0, 1)), (x.transpose(0, 1), x.clone())] {
            assert_eq!(a.matmul(&b), whole.install(|| a.matmul(&b)));
        }
        let tall = x.expand([3, 777, 65]).reshape([2331, 65]);
        assert_eq!(
            tall.transpose(0, 1).matmul(&tall),
            whole.install(|| tall.transpose(0, 1).matmul(&tall))
        );
    }

    #[test]
    #[should_panic(expected = "matmul: inner axes differ: [8, 16, 64] × [32, 64]")]
    fn inner_axes_that_differ_are_refused() {
        Tensor::<f32>::zeros([8, 16, 64]).matmul(&Tensor::zeros([32, 64]));
    }
}
