//! Every refusal tells the op first, and the place of the call: this file, not one of the crate.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tensor::{Convolution, Level, MatMut, MatRef, Packed, Plus, Shape, Tensor, gemm, gemm_plus};

thread_local! {
    /// File and message of the last panic of this thread.
    static LAST: RefCell<(String, String)> = const { RefCell::new((String::new(), String::new())) };
}

fn zeros(dims: &[usize]) -> Tensor {
    Tensor::zeros(dims)
}

/// A scalar seen as a tensor of any shape.
fn spread(dims: &[usize]) -> Tensor {
    Tensor::scalar(0.0).expand(dims)
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

/// A convolution with this padding.
fn with(padding: usize) -> Convolution {
    Convolution { padding, ..Convolution::default() }
}

type Call = Box<dyn Fn()>;

/// One call of each kind that is refused, and how its message begins.
fn calls() -> Vec<(&'static str, Call)> {
    let mut calls: Vec<(&'static str, Call)> = Vec::new();
    macro_rules! refused {
        ($($starts:literal: $call:expr;)*) => {
            $(calls.push(($starts, Box::new(|| { let _ = $call; })));)*
        };
    }
    refused! {
        "shape: [1, 1, 1, 1, 1, 1, 1]": Shape::new(&[1; 7]);
        "shape: [4294967296, 4294967296]": Shape::new(&[1 << 32, 1 << 32]);
        "shape: [4294967296, 4294967296]": zeros(&[1 << 32, 1 << 32]);
        "shape: [4294967296, 4294967296]": Tensor::<f32>::scalar(0.0).expand([1 << 32, 1 << 32]);
        "shape: no axis 2 in shape [2, 3]": Shape::new(&[2, 3]).axis(2);
        "shape: axis 2 of [2, 3]": Shape::new(&[2, 3]).with(2, 1);
        "tensor: no memory for shape [35184372088832]": Tensor::<f32>::zeros([1 << 45]);
        "tensor: no memory for shape [1099511627777]": Tensor::<f64>::ones([(1 << 40) + 1]);
        "tensor: no memory for shape [1099511627777]": Tensor::<f32>::arange((1 << 40) + 1);
        "tensor: no memory": Tensor::<f32>::normal([1 << 45], 0.0, 1.0, &mut rng());
        "tensor: no memory": spread(&[1 << 60]).to_vec();
        "tensor: no memory": spread(&[1 << 45]).copy();
        "from_vec: 1 elements for shape [2, 2]": Tensor::<f32>::from_vec([2, 2], vec![1.0]);
        "uniform: ": Tensor::<f32>::uniform([2], 1.0, 1.0, &mut rng());
        "uniform: ": Tensor::<f32>::uniform([2], 0.0, f64::INFINITY, &mut rng());
        "dim: no axis -3 in shape [2, 3]": zeros(&[2, 3]).dim(-3);
        "data: a [3, 2] view": zeros(&[2, 3]).transpose(0, 1).data().len();
        "get: index [2, 0] outside of shape [2, 3]": zeros(&[2, 3]).get(&[2, 0]);
        "item: a tensor of shape [2, 3]": zeros(&[2, 3]).item();
        "copy_to: 5 places for a tensor of shape [2, 3]": zeros(&[2, 3]).copy_to(&mut [0.0; 5]);
        "reshape: [2, 3] to [4]": zeros(&[2, 3]).reshape([4]);
        "permute: [0, 0] of a tensor of shape [2, 3]": zeros(&[2, 3]).permute(&[0, 0]);
        "permute: [0, 2] of a tensor of shape [2, 3]": zeros(&[2, 3]).permute(&[0, 2]);
        "permute: [0, -2] of a tensor of shape [2, 3]": zeros(&[2, 3]).permute(&[0, -2]);
        "transpose: no axis 2 in shape [2, 3]": zeros(&[2, 3]).transpose(0, 2);
        "narrow: no axis 2 in shape [2, 3]": zeros(&[2, 3]).narrow(2, 0, 1);
        "narrow: 18446744073709551615 places from 1": zeros(&[2, 3]).narrow(1, 1, usize::MAX);
        "expand: [2, 3] does not broadcast to [4]": zeros(&[2, 3]).expand([4]);
        "unsqueeze: axis 4 of [2, 3]": zeros(&[2, 3]).unsqueeze(4);
        "unsqueeze: [1, 1, 1, 1, 1, 1] has 6 axes": zeros(&[1; 6]).unsqueeze(0);
        "squeeze: axis 1 of [2, 3]": zeros(&[2, 3]).squeeze(1);
        "squeeze: no axis 5 in shape [2, 3]": zeros(&[2, 3]).squeeze(5);
        "concat: no tensors": Tensor::<f32>::concat(&[], 0);
        "concat: [2, 3] and [2, 4] along axis 0":
            Tensor::concat(&[&zeros(&[2, 3]), &zeros(&[2, 4])], 0);
        "concat: no axis 2 in shape [2, 3]": Tensor::concat(&[&zeros(&[2, 3])], 2);
        "split: [18446744073709551615, 4] along axis 1 of [2, 3]":
            zeros(&[2, 3]).split(1, &[usize::MAX, 4]);
        "split: no axis 2 in shape [2, 3]": zeros(&[2, 3]).split(2, &[1]);
        "add: shapes do not broadcast: [2, 3] and [2]": &zeros(&[2, 3]) + &zeros(&[2]);
        "sub: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]) - &zeros(&[2]);
        "maximum: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]).maximum(&zeros(&[2]));
        "minimum: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]).minimum(&zeros(&[2]));
        "gt: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]).gt(&zeros(&[2]));
        "ge: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]).ge(&zeros(&[2]));
        "where: shapes do not broadcast: [2], [2, 3], [2, 3]":
            Tensor::where_(&zeros(&[2]), &zeros(&[2, 3]), &zeros(&[2, 3]));
        "clamp: the interval [2, 0] is empty": zeros(&[1]).clamp(2.0, 0.0);
        "clamp: the interval [NaN, 0] is empty": zeros(&[1]).clamp(f32::NAN, 0.0);
        "sum: no axis 2 in shape [2, 3]": zeros(&[2, 3]).sum(&[2]);
        "sum_keep: no axis 2 in shape [2, 3]": zeros(&[2, 3]).sum_keep(&[2]);
        "sum_to: [4] does not broadcast to [2, 3]": zeros(&[2, 3]).sum_to(Shape::new(&[4]));
        "mean: no axis 2 in shape [2, 3]": zeros(&[2, 3]).mean(&[2]);
        "centered: no axis 2 in shape [2, 3]": zeros(&[2, 3]).centered(&[2]);
        "variance: no axis 2 in shape [2, 3]": zeros(&[2, 3]).variance(&[2], 0);
        "variance: a correction of 3 needs more than 3": zeros(&[2, 3]).variance(&[1], 3);
        "max: no axis 2 in shape [2, 3]": zeros(&[2, 3]).max(2);
        "max: axis 0 of [0, 3] is empty": zeros(&[0, 3]).max(0);
        "argmax: no axis 2 in shape [2, 3]": zeros(&[2, 3]).argmax(2);
        "argmax: axis 0 of [0, 3] is empty": zeros(&[0, 3]).argmax(0);
        "gather: no axis 2 in shape [2, 3]": zeros(&[2, 3]).gather(2, &[0]);
        "gather: index 2 into an axis of size 2": zeros(&[2, 3]).gather(0, &[2]);
        "scatter_add: no axis 2 in shape [2, 3]":
            zeros(&[2, 3]).scatter_add(2, &[0], &zeros(&[1]));
        "scatter_add: index 2 into an axis of size 2":
            zeros(&[2, 3]).scatter_add(0, &[2], &zeros(&[1, 3]));
        "scatter_add: updates [2, 3], not [1, 3], into [2, 3]":
            zeros(&[2, 3]).scatter_add(0, &[1], &zeros(&[2, 3]));
        "matmul: matrices expected: [3] × [3, 2]": zeros(&[3]).matmul(&zeros(&[3, 2]));
        "matmul: inner axes differ: [2, 3] × [2, 3]": zeros(&[2, 3]).matmul(&zeros(&[2, 3]));
        "matmul: leading axes do not broadcast: [2, 2, 3] × [3, 3, 2]":
            zeros(&[2, 2, 3]).matmul(&zeros(&[3, 3, 2]));
        "matmul: [4294967296, 1] × [1, 4294967296] has too many elements":
            spread(&[1 << 32, 1]).matmul(&spread(&[1, 1 << 32]));
        "conv2d: image [B, C, H, W]": zeros(&[2, 3]).conv2d(&zeros(&[2, 3]), with(0));
        "conv2d: image [1, 2, 3, 3], weight [1, 1, 2, 2], 1 groups":
            zeros(&[1, 2, 3, 3]).conv2d(&zeros(&[1, 1, 2, 2]), with(0));
        "conv2d: a kernel of 4 does not fit 3 pixels":
            zeros(&[1, 1, 3, 3]).conv2d(&zeros(&[1, 1, 4, 4]), with(0));
        "conv2d: a kernel of 2 does not fit 3 pixels":
            zeros(&[1, 1, 3, 3]).conv2d(&zeros(&[1, 1, 2, 2]), with(1 << 63));
        "conv2d: a kernel of 4 does not fit 3 pixels": with(0).output(3, 4);
        "conv2d_image_gradient: gradient [2], weight [2]":
            zeros(&[2]).conv2d_image_gradient(&zeros(&[2]), [3, 3], with(0));
        "conv2d_image_gradient: gradient [1, 1, 2, 2] expected, found [1, 1, 3, 3]":
            zeros(&[1, 1, 3, 3]).conv2d_image_gradient(&zeros(&[1, 1, 2, 2]), [3, 3], with(0));
        "conv2d_weight_gradient: gradient [2], image [2]":
            zeros(&[2]).conv2d_weight_gradient(&zeros(&[2]), [3, 3], with(0));
        "conv2d_weight_gradient: gradient [1, 1, 2, 2] expected, found [1, 1, 3, 3]":
            zeros(&[1, 1, 3, 3]).conv2d_weight_gradient(&zeros(&[1, 1, 3, 3]), [2, 2], with(0));
        "gemm: a [2, 3] matrix of strides [3, 1] does not fit into 5 elements":
            MatRef::new(&[0f32; 5], 2, 3, 3, 1);
        "gemm: a [2, 18446744073709551615]": MatRef::new(&[0f32; 5], 2, usize::MAX, 1, 1);
        "gemm: a [18446744073709551615, 2]": MatMut::new(&mut [0f32; 5], usize::MAX, 2, 1, 1);
        "gemm: places of the [2, 2] output share elements":
            MatMut::new(&mut [0f32; 5], 2, 2, 0, 1);
        "gemm: rows 1..4 of 2": MatRef::new(&[0f32; 6], 2, 3, 3, 1).narrow_rows(1..4);
        "gemm: columns 1..4 of 3": MatRef::new(&[0f32; 6], 2, 3, 3, 1).narrow_cols(1..4);
        "gemm: rows 0..3 of 2": Packed::new(MatRef::new(&[0f32; 6], 2, 3, 3, 1)).first(3, 3);
        "gemm: sizes disagree: [2, 3] × [2, 3] → [2, 2]": {
            let a = MatRef::new(&[0f32; 6], 2, 3, 3, 1);
            gemm(1.0, a, a, 0.0, MatMut::new(&mut [0.0; 4], 2, 2, 2, 1));
        };
        "gemm: a bias of 1 numbers for 2 columns": {
            let a = MatRef::new(&[0f32; 4], 2, 2, 2, 1);
            let plus = Plus { bias: Some(&[0.0]), residual: None };
            gemm_plus(a, a, plus, MatMut::new(&mut [0.0; 4], 2, 2, 2, 1));
        };
    }
    calls
}

#[test]
fn refusals_name_the_op_and_the_line_of_the_call() {
    set_hook(Box::new(|info| {
        let file = info.location().map_or_else(String::new, |at| at.file().to_owned());
        LAST.set((file, info.payload_as_str().unwrap_or_default().to_owned()));
    }));
    let mut wrong = Vec::new();
    for (starts, call) in calls() {
        let refused = catch_unwind(AssertUnwindSafe(call)).is_err();
        let (file, message) = LAST.take();
        if !(refused && message.starts_with(starts) && file.ends_with("refusals.rs")) {
            wrong.push(format!("{starts:?}: {message:?} in {file:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Sizes at which a product wraps.
const SIZES: [usize; 9] =
    [0, 1, 2, 31, (1 << 59) + 1, 1 << 61, 1 << 62, isize::MAX as usize, usize::MAX];

#[test]
fn a_matrix_too_large_to_be_copied_is_refused() {
    let data = [1f32; 32];
    let copies = cfg!(target_arch = "aarch64") || Level::current() > Level::Baseline;
    let is_made = |rows: usize, cols: usize, row_stride: usize, col_stride: usize| {
        let matrix = MatRef::new(&data, rows, cols, row_stride, col_stride);
        catch_unwind(|| drop(Packed::new(matrix))).is_ok()
    };
    for (rows, cols) in SIZES.into_iter().flat_map(|rows| SIZES.map(|cols| (rows, cols))) {
        let small = rows.checked_mul(cols).is_some_and(|count| count < 1 << 20);
        assert_eq!(is_made(rows, cols, 0, 0), small || !copies, "[{rows}, {cols}]");
    }
    assert_eq!(is_made((1 << 59) + 1, 32, 0, 1), !copies);
    assert_eq!(is_made(32, (1 << 59) + 1, 1, 0), !copies);
}

#[test]
fn strides_of_axes_without_neighbours_may_be_anything() {
    for stride in SIZES {
        let a = MatRef::new(&[2f32, 3.0], 1, 2, stride, 1);
        let b = MatRef::new(&[5f32, 7.0], 2, 1, 1, stride);
        let mut c = [0f32; 1];
        gemm(1.0, a, b, 0.0, MatMut::new(&mut c, 1, 1, stride.max(1), stride));
        assert_eq!(c, [31.0]);
        let a = MatRef::new(&[2f64, 3.0], 1, 2, stride, 1);
        let b = MatRef::new(&[5f64, 7.0], 2, 1, 1, stride);
        let mut c = [0f64; 1];
        gemm(1.0, a, b, 0.0, MatMut::new(&mut c, 1, 1, stride, stride.max(1)));
        assert_eq!(c, [31.0]);
        // Nothing along the inner axis: nothing of A and B is read.
        let mut c = [f32::NAN; 2];
        let a = MatRef::new(&[], 2, 0, stride, stride);
        let b = MatRef::new(&[], 0, 1, stride, stride);
        gemm(1.0, a, b, 0.0, MatMut::new(&mut c, 2, 1, 1, 1));
        assert_eq!(c, [0.0; 2]);
    }
}
