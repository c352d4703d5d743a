//! Every refusal of an op tells the op first, and the place of the call: this file, not one of the crate.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use autograd::*;
use tensor::{Convolution, Tensor};

thread_local! {
    /// File and message of the last panic of this thread.
    static LAST: RefCell<(String, String)> = const { RefCell::new((String::new(), String::new())) };
}

fn zeros(dims: &[usize]) -> Var {
    Var::constant(Tensor::zeros(dims))
}

type Call = Box<dyn Fn()>;

/// A call of each op that is refused, and how its message begins. Composed twins leave it to what they are composed of.
fn calls() -> Vec<(&'static str, Call)> {
    let mut calls: Vec<(&'static str, Call)> = Vec::new();
    macro_rules! refused {
        ($($starts:literal: $call:expr;)*) => {
            $(calls.push(($starts, Box::new(|| { let _ = $call; })));)*
        };
    }
    refused! {
        "add: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]).add(&zeros(&[2]));
        "add: shapes do not broadcast: [2, 3] and [2]": &zeros(&[2, 3]) + &zeros(&[2]);
        "add: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]) + &zeros(&[2]);
        "sub: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]).sub(&zeros(&[2]));
        "sub: shapes do not broadcast: [2, 3] and [2]": &zeros(&[2, 3]) - &zeros(&[2]);
        "mul: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]).mul(&zeros(&[2]));
        "mul: shapes do not broadcast: [2, 3] and [2]": &zeros(&[2, 3]) * &zeros(&[2]);
        "div: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]).div(&zeros(&[2]));
        "div: shapes do not broadcast: [2, 3] and [2]": &zeros(&[2, 3]) / &zeros(&[2]);
        "maximum: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]).maximum(&zeros(&[2]));
        "minimum: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]).minimum(&zeros(&[2]));
        "where: shapes do not broadcast: [2], [2, 3], [2, 3]":
            Var::where_(&Tensor::zeros([2]), &zeros(&[2, 3]), &zeros(&[2, 3]));
        "clamp: the interval [2, 0] is empty": zeros(&[1]).clamp(2.0, 0.0);
        "mul: shapes do not broadcast: [2, 3] and [2]": zeros(&[2, 3]).mask(Tensor::zeros([2]));
        "reshape: [2, 3] to [4]": zeros(&[2, 3]).reshape([4]);
        "permute: [0, 0] of a tensor of shape [2, 3]": zeros(&[2, 3]).permute(&[0, 0]);
        "transpose: no axis 2 in shape [2, 3]": zeros(&[2, 3]).transpose(0, 2);
        "narrow: no axis 2 in shape [2, 3]": zeros(&[2, 3]).narrow(2, 0, 1);
        "narrow: 3 places from 1": zeros(&[2, 3]).narrow(1, 1, 3);
        "split: [2, 2] along axis 1 of [2, 3]": zeros(&[2, 3]).split(1, &[2, 2]);
        "split: [18446744073709551615, 4] along axis 1 of [2, 3]":
            zeros(&[2, 3]).split(1, &[usize::MAX, 4]);
        "split: no axis 2 in shape [2, 3]": zeros(&[2, 3]).split(2, &[1]);
        "expand: [2, 3] does not broadcast to [4]": zeros(&[2, 3]).expand([4]);
        "unsqueeze: axis 4 of [2, 3]": zeros(&[2, 3]).unsqueeze(4);
        "unsqueeze: [1, 1, 1, 1, 1, 1] has 6 axes": zeros(&[1; 6]).unsqueeze(0);
        "squeeze: axis 1 of [2, 3]": zeros(&[2, 3]).squeeze(1);
        "concat: no tensors": concat::<f32>(&[], 0);
        "concat: [2, 3] and [2, 4] along axis 0": concat(&[&zeros(&[2, 3]), &zeros(&[2, 4])], 0);
        "sum: no axis 2 in shape [2, 3]": zeros(&[2, 3]).sum(&[2]);
        "sum_keep: no axis 2 in shape [2, 3]": zeros(&[2, 3]).sum_keep(&[2]);
        "mean: no axis 2 in shape [2, 3]": zeros(&[2, 3]).mean(&[2]);
        "variance: no axis 2 in shape [2, 3]": zeros(&[2, 3]).variance(&[2], 0);
        "variance: a correction of 3 needs more than 3": zeros(&[2, 3]).variance(&[1], 3);
        "max: no axis 2 in shape [2, 3]": zeros(&[2, 3]).max(2);
        "max: axis 0 of [0, 3] is empty": zeros(&[0, 3]).max(0);
        "gather: no axis 2 in shape [2, 3]": zeros(&[2, 3]).gather(2, &[0]);
        "gather: index 2 into an axis of size 2": zeros(&[2, 3]).gather(0, &[2]);
        "scatter_add: updates [2, 3], not [1, 3], into [2, 3]":
            zeros(&[2, 3]).scatter_add(0, &[1], &zeros(&[2, 3]));
        "matmul: inner axes differ: [2, 3] × [2, 3]": zeros(&[2, 3]).matmul(&zeros(&[2, 3]));
        "conv2d: image [B, C, H, W]":
            conv2d(&zeros(&[2, 3]), &zeros(&[2, 3]), Convolution::default());
        "max_pool2d: [B, C, H, W] expected, found [2, 3]": max_pool2d(&zeros(&[2, 3]), 1, 1, 0);
        "max_pool2d: a kernel of 4 does not fit [1, 1, 3, 3]":
            max_pool2d(&zeros(&[1, 1, 3, 3]), 4, 1, 0);
        "linear: x [2, 3], weight [4, 2]": linear(&zeros(&[2, 3]), &zeros(&[4, 2]), None);
        "matmul: inner axes differ: [2, 3] × [2, 4]": linear_composed(&zeros(&[2, 3]), &zeros(&[4, 2]), None);
        "linear_add: x [2, 3], weight [4, 2]":
            linear_add(&zeros(&[2, 3]), &zeros(&[4, 2]), None, &zeros(&[2, 4]));
        "linear_add: a residual [2, 3] for [2, 4]":
            linear_add(&zeros(&[2, 3]), &zeros(&[4, 3]), None, &zeros(&[2, 3]));
        "matmul: inner axes differ: [2, 3] × [2, 4]":
            linear_add_composed(&zeros(&[2, 3]), &zeros(&[4, 2]), None, &zeros(&[2, 4]));
        "linear_gelu: x [2, 3], weight [4, 2]":
            linear_gelu(&zeros(&[2, 3]), &zeros(&[4, 2]), None);
        "matmul: inner axes differ: [2, 3] × [2, 4]":
            linear_gelu_composed(&zeros(&[2, 3]), &zeros(&[4, 2]), None);
        "rotate: x [2, 3], angles [2]": rotate(&zeros(&[2, 3]), &zeros(&[2]));
        "softmax: no axis 2 in shape [2, 3]": zeros(&[2, 3]).softmax(2);
        "softmax: no axis 2 in shape [2, 3]": softmax_composed(&zeros(&[2, 3]), 2);
        "log_softmax: no axis 2 in shape [2, 3]": zeros(&[2, 3]).log_softmax(2);
        "log_softmax: no axis 2 in shape [2, 3]": log_softmax_composed(&zeros(&[2, 3]), 2);
        "layer_norm: x [2, 3], weight [2], bias [3]":
            layer_norm(&zeros(&[2, 3]), &zeros(&[2]), &zeros(&[3]), 0.1);
        "mul: shapes do not broadcast: [2, 3] and [2]":
            layer_norm_composed(&zeros(&[2, 3]), &zeros(&[2]), &zeros(&[3]), 0.1);
        "root_mean_square: at least one axis expected, found []": root_mean_square(&zeros(&[]), 0.1);
        "cross_entropy: 1 targets for 2 rows":
            cross_entropy(&zeros(&[2, 3]), &[0], &CrossEntropy::default());
        "reshape: [2, 3] to [1, 3]":
            cross_entropy_composed(&zeros(&[2, 3]), &[0], &CrossEntropy::default());
        "cross_entropy: logits [… C] expected, found []":
            cross_entropy(&zeros(&[]), &[0], &CrossEntropy::default());
        "attention: [B, H, N, D] expected, found q [2, 3]":
            attention(&zeros(&[2, 3]), &zeros(&[2, 3]), &zeros(&[2, 3]), &Attention::default());
        "attention: q [1, 1, 2, 3], k [1, 1, 2, 4], v [1, 1, 2, 3]":
            attention(&zeros(&[1, 1, 2, 3]), &zeros(&[1, 1, 2, 4]), &zeros(&[1, 1, 2, 3]), &Attention::default());
        "attention: [B, H, N, D] expected, found [2, 3]":
            attention_composed(&zeros(&[2, 3]), &zeros(&[2, 3]), &zeros(&[2, 3]), &Attention::default());
        "attention: [B, H, N, D] expected, found [2, 3]":
            attention_weights(&zeros(&[2, 3]), &zeros(&[2, 3]), &Attention::default());
        "attention: a mask [5] for scores [1, 1, 2, 2]":
            attention(&zeros(&[1, 1, 2, 3]), &zeros(&[1, 1, 2, 3]), &zeros(&[1, 1, 2, 3]), &Attention { mask: Some(zeros(&[5])), ..Attention::default() });
        "self_attention: [B, N, 3·H·D] expected, found [2, 3]":
            self_attention(&zeros(&[2, 3]), 1, &Attention::default());
        "self_attention: 4 features are not 3 times 1 heads":
            self_attention(&zeros(&[1, 2, 4]), 1, &Attention::default());
        "self_attention: 4 features are not 3 times 1 heads":
            self_attention_composed(&zeros(&[1, 2, 4]), 1, &Attention::default());
        "backward: a scalar expected, found [2]": Tape::new().backward(&zeros(&[2]));
        "backward: a cotangent of shape [3] for an output of shape [2]":
            Tape::new().backward_with(&zeros(&[2]), Tensor::zeros([3]));
        "bad: gradient of shape [3] for a value of shape [2]": {
            let tape = Tape::new();
            let x = tape.leaf(Tensor::zeros([2]));
            let y = Op::new("bad", Tensor::scalar(0.0)).wrt(&x, |_| Tensor::zeros([3])).record();
            tape.backward(&y)
        };
        "bad: inputs recorded on different tapes": {
            let leaf = || Tape::new().leaf(Tensor::scalar(0.0f32));
            Op::new("bad", Tensor::scalar(0.0)).wrt(&leaf(), |g| g).wrt(&leaf(), |g| g)
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
    drop(take_hook());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
