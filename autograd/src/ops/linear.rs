//! The affine map of the last axis: product, bias and what follows in one op.

use tensor::{Float, MatMut, MatRef, Packed, Plus, Tensor, gemm_plus, par};

use crate::{Op, Var};

/// Rows that one task computes.
const ROWS: usize = 192;
/// Rows that one task computes if it reads the result again: few enough to find it in the cache.
const FEW_ROWS: usize = 48;

/// y = x·Wᵀ + b for x [… in], W [out, in] and b `[out]` (PyTorch's layout); y is [… out].
///
/// dx = g·W, dW = gᵀ·x, db = Σ g over all leading axes. The composed twin is
/// [`linear_composed`](crate::linear_composed).
///
/// # Panics
/// If the sizes disagree.
#[track_caller]
pub fn linear<E: Float>(x: &Var<E>, weight: &Var<E>, bias: Option<&Var<E>>) -> Var<E> {
    let map = Affine::new("linear", x, weight, bias);
    let op = Op::new("linear", map.plus(None));
    map.differentiate(op, x, weight, bias).record()
}

/// y = x·Wᵀ + b + r for a residual r [… out]; the rest as in [`linear`].
///
/// dr = g. The composed twin is [`linear_add_composed`](crate::linear_add_composed).
///
/// # Panics
/// If the sizes disagree.
#[track_caller]
pub fn linear_add<E: Float>(
    x: &Var<E>,
    weight: &Var<E>,
    bias: Option<&Var<E>>,
    residual: &Var<E>,
) -> Var<E> {
    let map = Affine::new("linear_add", x, weight, bias);
    assert!(
        residual.dims() == map.shape(),
        "linear_add: a residual {} for {:?}",
        residual.shape(),
        map.shape()
    );
    let op = Op::new("linear_add", map.plus(Some(residual.value())));
    map.differentiate(op, x, weight, bias).wrt(residual, |g| g).record()
}

/// y = GELU(z) with z = x·Wᵀ + b; the rest as in [`linear`]. GELU is computed of rows of z that are still in the cache.
///
/// With h = g∘GELU′(z), dx = h·W, dW = hᵀ·x, db = Σ h. The composed twin is
/// [`linear_gelu_composed`](crate::linear_gelu_composed).
///
/// # Panics
/// If the sizes disagree.
#[track_caller]
pub fn linear_gelu<E: Float>(x: &Var<E>, weight: &Var<E>, bias: Option<&Var<E>>) -> Var<E> {
    let map = Affine::new("linear_gelu", x, weight, bias);
    let (y, z) = map.gelu();
    let op = Op::new("linear_gelu", y);
    let (shape, x_tracked) = (x.shape(), x.is_tracked());
    let pull_back = move |g: Tensor<E>| {
        let h = g.into_zip(
            &z,
            "linear_gelu",
            #[inline(always)]
            |g, z, simd| g * z.gelu_derivative(simd),
        );
        let h = h.reshape([map.rows, map.outputs]);
        let dx = match x_tracked {
            true => h.matmul(&map.weight).reshape(shape),
            false => Tensor::scalar(E::ZERO), // nobody asks
        };
        ([dx, h.transpose(0, 1).matmul(&map.x)], h)
    };
    match bias {
        Some(bias) => op.wrt_all([x, weight, bias], move |g| {
            let ([dx, dw], h) = pull_back(g);
            [dx, dw, h.sum(&[0])]
        }),
        None => op.wrt_all([x, weight], move |g| pull_back(g).0),
    }
    .record()
}

/// An affine map of rows, its operands flat and contiguous.
struct Affine<E: Float> {
    x: Tensor<E>,
    weight: Tensor<E>,
    bias: Option<Tensor<E>>,
    shape: tensor::Shape,
    rows: usize,
    inputs: usize,
    outputs: usize,
}

impl<E: Float> Affine<E> {
    #[track_caller]
    fn new(op: &str, x: &Var<E>, weight: &Var<E>, bias: Option<&Var<E>>) -> Self {
        let &[outputs, inputs] = weight.dims() else {
            panic!("{op}: weight [out, in] expected, found {}", weight.shape())
        };
        let fits = x.shape().rank() >= 1
            && x.value().dim(-1) == inputs
            && bias.is_none_or(|bias| bias.dims() == [outputs]);
        assert!(
            fits,
            "{op}: x {}, weight {}, bias {:?}",
            x.shape(),
            weight.shape(),
            bias.map(|bias| bias.shape())
        );
        let shape = x.shape().with(x.shape().rank() - 1, outputs);
        let rows = shape[..shape.rank() - 1].iter().product();
        let x = x.value().reshape([rows, inputs]).contiguous();
        let weight = weight.value().contiguous();
        let bias = bias.map(|bias| bias.value().contiguous());
        Self { x, weight, bias, shape, rows, inputs, outputs }
    }

    /// Multiply-adds.
    fn work(&self) -> usize {
        par::work(&[self.rows, self.inputs, self.outputs])
    }

    /// That of the result.
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// x·Wᵀ + b + residual.
    fn plus(&self, residual: Option<&Tensor<E>>) -> Tensor<E> {
        let residual = residual.map(Tensor::contiguous);
        let weight = self.weight(ROWS);
        Tensor::build(self.shape, |out| {
            par::for_chunks(out, ROWS * self.outputs, self.work(), |start, out| {
                let residual = residual.as_ref().map(|residual| &residual.data()[start..]);
                self.multiply(&weight, start, residual, out);
            });
        })
    }

    /// GELU(z) and z = x·Wᵀ + b.
    fn gelu(&self) -> (Tensor<E>, Tensor<E>) {
        let weight = self.weight(FEW_ROWS);
        let mut z = Tensor::build(self.shape, |_| {});
        let chunk = (FEW_ROWS * self.outputs).max(1);
        let y = Tensor::build(self.shape, |y| {
            let mut pairs: Vec<_> =
                y.chunks_mut(chunk).zip(z.data_mut().chunks_mut(chunk)).collect();
            par::for_chunks(&mut pairs, 1, self.work(), |i, pair| {
                let (y, z) = &mut pair[0];
                self.multiply(&weight, i * chunk, None, z);
                E::vectorize(
                    #[inline(always)]
                    |simd| {
                        for (y, z) in y.iter_mut().zip(z.iter()) {
                            *y = z.gelu(simd);
                        }
                    },
                );
            });
        });
        (y, z)
    }

    /// Wᵀ for tasks of so many rows, copied once if there are several.
    fn weight(&self, rows: usize) -> Packed<'_, E> {
        let transposed = MatRef::new(self.weight.data(), self.inputs, self.outputs, 1, self.inputs);
        if self.rows > rows { Packed::new(transposed) } else { Packed::plain(transposed) }
    }

    /// Some rows of the map, of which `out[0]` is number `start` of all elements.
    fn multiply(
        &self,
        weight: &Packed<'_, E>,
        start: usize,
        residual: Option<&[E]>,
        out: &mut [E],
    ) {
        let (first, rows) = (start / self.outputs.max(1), out.len() / self.outputs.max(1));
        let x = &self.x.data()[first * self.inputs..];
        let x = MatRef::new(x, rows, self.inputs, self.inputs, 1);
        let matrix = |data| MatRef::new(data, rows, self.outputs, self.outputs, 1);
        let bias = self.bias.as_ref().map(Tensor::data);
        let plus = Plus { bias, residual: residual.map(matrix) };
        gemm_plus(x, weight, plus, MatMut::new(out, rows, self.outputs, self.outputs, 1));
    }

    /// The derivatives of a plain affine map.
    #[track_caller]
    fn differentiate(self, op: Op<E>, x: &Var<E>, weight: &Var<E>, bias: Option<&Var<E>>) -> Op<E> {
        let (own, flat) = (x.shape(), [self.rows, self.outputs]);
        let (kept, w) = (self.x, self.weight);
        let mut op = op.wrt(weight, move |g| g.reshape(flat).transpose(0, 1).matmul(&kept));
        if let Some(bias) = bias {
            op = op.wrt(bias, move |g| g.reshape(flat).sum(&[0]));
        }
        op.wrt(x, move |g| g.reshape(flat).matmul(&w).reshape(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;

    fn ramp(shape: [usize; 2]) -> Tensor {
        Tensor::from_fn(shape, |i| ((i * 37 % 101) as f32 - 50.0) / 100.0)
    }

    #[test]
    fn a_residual_is_added_and_gets_the_gradient() {
        let tape = Tape::new();
        let leaf =
            |shape: [usize; 2], values: &[f64]| tape.leaf(Tensor::from_vec(shape, values.to_vec()));
        let (x, w, r) =
            (leaf([1, 2], &[1.0, 2.0]), leaf([1, 2], &[3.0, 4.0]), leaf([1, 1], &[6.0]));
        let bias = tape.leaf(Tensor::from_vec([1], vec![5.0]));
        let y = linear_add(&x, &w, Some(&bias), &r);
        assert_eq!(y.value().item(), 22.0);
        let gradients = tape.backward_with(&y, Tensor::full([1, 1], 10.0));
        let of = |x: &Var<f64>| gradients.get(x).expect("tracked").to_vec();
        assert_eq!((of(&x), of(&w)), (vec![30.0, 40.0], vec![10.0, 20.0]));
        assert_eq!((of(&bias), of(&r)), (vec![10.0], vec![10.0]));
    }

    #[test]
    fn maps_of_many_rows_have_the_same_bits_on_one_thread_and_on_all() {
        // Several tasks, the last of them with fewer rows.
        let run = || {
            let tape = Tape::new();
            let [x, w, r] = [[500, 33], [70, 33], [500, 70]].map(|shape| tape.leaf(ramp(shape)));
            let hidden = linear_gelu(&x, &w, None);
            let y = linear_add(&x, &w, None, &hidden.add(&r));
            let gradients = tape.backward_with(&y, ramp([500, 70]));
            let of = |x: &Var| gradients.get(x).expect("tracked").clone();
            [y.value().clone(), of(&x), of(&w), of(&r)]
        };
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one");
        assert_eq!(run(), one.install(run));
    }
}
