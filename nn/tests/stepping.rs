//! What backward returns, in whatever layout, can be stepped with, clipped, accumulated, averaged and stored; and everything
//! that was made for some parameters refuses others.

use std::collections::HashMap;
use std::panic::Location;

use autograd::check::catching;
use autograd::{Op, Tape, Var};
use nn::checkpoint::{TensorFile, write};
use nn::{
    AdamW, AdamWConfig, Context, Ema, Fill, Grads, Init, Linear, ParamId, Params, Sgd, SgdConfig,
    clip_scale,
};
use tensor::Tensor;

/// Tensors [2, 3] that see their storage in every way that a view can.
fn layouts() -> Vec<(&'static str, Tensor)> {
    let numbers = |shape: &[usize]| {
        let count: usize = shape.iter().product();
        Tensor::from_vec(shape, (0..count).map(|i| (i as f32 * 1.7).sin()).collect())
    };
    vec![
        ("contiguous", numbers(&[2, 3])),
        ("transposed", numbers(&[3, 2]).transpose(0, 1)),
        ("one number", numbers(&[]).expand([2, 3])),
        ("one row", numbers(&[3]).expand([2, 3])),
        ("one column", numbers(&[2, 1]).expand([2, 3])),
        ("inner columns", numbers(&[2, 5]).narrow(1, 1, 3)),
        ("later rows", numbers(&[4, 3]).narrow(0, 2, 2)),
        (
            "permuted inner part",
            numbers(&[5, 4, 3])
                .narrow(0, 1, 3)
                .narrow(2, 1, 1)
                .squeeze(2)
                .narrow(1, 2, 2)
                .transpose(0, 1),
        ),
    ]
}

/// A parameter with this value, and an optimizer or average of it.
fn one(value: &Tensor) -> (Params, ParamId) {
    let mut params = Params::new();
    let id = Init::new(&mut params, 0).param("w", [2, 3], Fill::Zeros, true);
    params.get_mut(id).value = value.clone();
    (params, id)
}

/// Gradients that backward returns as `g`.
fn gradients(params: &Params, id: ParamId, g: &Tensor) -> Grads {
    let (cx, g) = (Context::differentiate(params), g.clone());
    let loss = Op::new("any layout", Tensor::scalar(0.0)).wrt(&cx.param(id), move |_| g).record();
    cx.backward(&loss)
}

type Stepper = Box<dyn FnMut(&mut Params, &Grads, f64)>;

/// All optimizers, made for these parameters.
fn optimizers(params: &Params) -> Vec<(&'static str, Stepper)> {
    let mut adamw = AdamW::new(params, AdamWConfig::default());
    let sgd = |nesterov| {
        let config = SgdConfig { weight_decay: 0.1, nesterov, ..SgdConfig::default() };
        let mut sgd = Sgd::new(params, config);
        Box::new(move |p: &mut Params, g: &Grads, scale| sgd.step(p, g, 0.1, scale)) as Stepper
    };
    vec![
        ("adamw", Box::new(move |p: &mut Params, g: &Grads, scale| adamw.step(p, g, 0.1, scale))),
        ("sgd", sgd(false)),
        ("sgd, nesterov", sgd(true)),
    ]
}

/// Two clipped steps with accumulated gradients, an average, and a file in between: parameters and averages after it.
fn train(optimizer: usize, value: &Tensor, g: &Tensor) -> Vec<Vec<f32>> {
    let (mut params, id) = one(value);
    let (_, mut step) = optimizers(&params).swap_remove(optimizer);
    let mut ema = Ema::new(&params, 0.9);
    ema.update(&params);
    for _ in 0..2 {
        let mut grads = gradients(&params, id, g);
        grads.add(gradients(&params, id, g));
        assert!(grads.iter().flatten().all(Tensor::is_contiguous));
        let scale = clip_scale(grads.norm(), 0.5);
        step(&mut params, &grads, scale);
        ema.update(&params);
    }
    [&params, ema.params()].map(|params| params.get(id).value.to_vec()).to_vec()
}

#[test]
fn every_optimizer_steps_with_gradients_and_parameters_of_every_layout() {
    for (layout, x) in layouts() {
        let twin = x.copy();
        for optimizer in 0..3 {
            let expected = train(optimizer, &twin, &twin);
            assert_eq!(train(optimizer, &x, &x), expected, "{layout}, optimizer {optimizer}");
        }
        let (params, _) = one(&x);
        let path = std::env::temp_dir().join(format!("wavetape-layout-{}", std::process::id()));
        let tensors = params.iter().map(|param| (param.name.clone(), param.value.clone()));
        write(&path, tensors, HashMap::new()).expect("written");
        let file = TensorFile::read(&path).expect("whole");
        assert_eq!(file.tensor::<f32>("w").expect("there").to_vec(), twin.to_vec(), "{layout}");
        std::fs::remove_file(path).expect("removed");
    }
}

#[test]
fn sums_and_products_with_a_transpose_can_be_stepped_with() {
    let losses: [fn(&Var) -> Var; 3] = [
        |w| w.sum_all(),
        |w| Var::constant(Tensor::ones([4, 3])).matmul(&w.transpose(0, 1)).sum_all(),
        |w| w.narrow(1, 1, 2).transpose(0, 1).reshape([4]).sum_all(),
    ];
    for loss in losses {
        let (params, id) = one(&Tensor::ones([2, 3]));
        for (name, mut step) in optimizers(&params) {
            let mut params = params.clone();
            let cx = Context::differentiate(&params);
            let grads = cx.backward(&loss(&cx.param(id)));
            drop(cx);
            step(&mut params, &grads, 1.0);
            assert!(params.get(id).value.to_vec()[1] < 1.0, "{name}");
        }
    }
}

/// The message of the panic of `f`, which is raised in this file.
#[track_caller]
fn refusal<R>(f: impl FnOnce() -> R) -> String {
    catching(f).err().unwrap_or_else(|| panic!("accepted at {}", Location::caller()))
}

#[test]
fn optimizers_averages_and_gradients_refuse_other_parameters() {
    let (mut ours, w) = one(&Tensor::ones([2, 3]));
    let (mut theirs, their_w) = one(&Tensor::ones([2, 3]));
    let grads = gradients(&ours, w, &Tensor::ones([2, 3]));
    let others = "of 1 parameters, used with 1: these are others";
    for (name, mut step) in optimizers(&ours) {
        let optimizer = name.split(',').next().expect("a word");
        let expected = format!("{optimizer}: an optimizer {others}");
        assert_eq!(refusal(|| step(&mut theirs, &grads, 1.0)), expected);
        step(&mut ours.clone(), &grads, 1.0);
    }
    for (name, mut step) in optimizers(&theirs) {
        let message = refusal(|| step(&mut theirs.clone(), &grads, 1.0));
        assert!(message.ends_with(&format!(": gradients {others}")), "{name}: {message}");
        assert!(refusal(|| step(&mut theirs, &Grads::default(), 1.0)).contains("of 0 parameters"));
        assert_eq!(theirs.iter().next().expect("one").value, Tensor::ones([2, 3]), "{name}");
    }
    let mut ema = Ema::new(&ours, 0.5);
    assert_eq!(refusal(|| ema.update(&theirs)), format!("ema: an average {others}"));
    assert_eq!(refusal(|| ema.restore(1, theirs.clone())), format!("ema: an average {others}"));
    ema.restore(3, ours.clone());
    assert!(refusal(|| grads.get(their_w).is_some()).starts_with("grads: of 1 parameters"));
    let other = gradients(&theirs, their_w, &Tensor::ones([2, 3]));
    let mut sum = grads.clone();
    assert_eq!(refusal(|| sum.add(other)), format!("grads: gradients {others}"));

    // A layer that was added since, and a parameter of another size.
    let mut optimizers = optimizers(&ours);
    Init::new(&mut ours, 0).param("more", [1], Fill::Ones, true);
    for (name, step) in &mut optimizers {
        let message = refusal(|| step(&mut ours, &grads, 1.0));
        assert!(message.ends_with("of 1 parameters, used with 2: some were added since"), "{name}");
    }
    assert!(refusal(|| ema.update(&ours)).ends_with("some were added since"));
    let (mut wider, w) = one(&Tensor::ones([2, 3]));
    let optimizers = self::optimizers(&wider);
    let narrow = gradients(&wider, w, &Tensor::ones([2, 3]));
    wider.get_mut(w).value = Tensor::ones([2, 4]);
    for (name, mut step) in optimizers {
        let message = refusal(|| step(&mut wider, &narrow, 1.0));
        assert!(message.ends_with("`w` is [2, 4], and was [2, 3]"), "{name}: {message}");
    }
}

#[test]
fn layers_are_those_of_their_arena_and_of_its_copies() {
    let make = |params: &mut Params| Linear::new(&mut Init::new(params, 1).scope("head"), 3, 2);
    let (mut ours, mut theirs) = (Params::new(), Params::new());
    let (layer, _) = (make(&mut ours), make(&mut theirs));
    let x = Var::constant(Tensor::<f32>::ones([1, 3]));
    let message = refusal(|| layer.forward(&Context::eval(&theirs), &x));
    assert!(message.starts_with("params: a parameter of another arena"), "{message}");
    assert!(message.ends_with("that is `head.weight`"), "{message}");
    let same = layer.forward(&Context::eval(&ours), &x);
    assert_eq!(layer.forward(&Context::eval(&ours.clone()), &x).value(), same.value());
    let twin = ours.cast::<f64>();
    layer.forward(&Context::eval(&twin), &Var::constant(Tensor::ones([1, 3])));
    // Copies go ways of their own from here on.
    let mut copy = ours.clone();
    let added = |params: &mut Params, name| Init::new(params, 1).param(name, [1], Fill::Ones, true);
    let (more, _) = (added(&mut ours, "more"), added(&mut copy, "other"));
    assert!(refusal(|| copy.get(more).decay).ends_with("that is `other`"));
}

#[test]
fn a_context_may_be_read_twice() {
    let (params, w) = one(&Tensor::full([2, 3], 2.0));
    let cx = Context::differentiate(&params);
    let square = cx.param(w).square();
    let first = cx.backward(&square.sum_all());
    let second = cx.backward(&cx.param(w).scale(3.0).sum_all());
    assert_eq!(first.get(w).expect("used").to_vec(), [4.0; 6]);
    assert_eq!(second.get(w).expect("used").to_vec(), [3.0; 6]);
    let message = refusal(|| cx.backward(&square.sum_all()));
    assert!(message.contains("the output of square [2, 3] was recorded before"), "{message}");
    assert!(refusal(|| cx.backward(&Var::constant(Tensor::scalar(1.0)))).contains("is a constant"));
    let other = Context::differentiate(&params);
    let loss = other.param(w).sum_all();
    assert!(refusal(|| cx.backward(&loss)).contains("another tape"));
    assert!(refusal(|| other.on(Tape::new())).contains("has begun"));
}

/// AdamW of PyTorch in double precision: counts are those of each parameter.
fn reference(x: &mut f64, [m, v]: &mut [f64; 2], t: &mut i32, g: Option<f64>) {
    let Some(g) = g else { return };
    *t += 1;
    *x -= 0.1 * 0.05 * *x;
    *m = 0.9 * *m + 0.1 * g;
    *v = 0.999 * *v + 0.001 * g * g;
    let (m, v) = (*m / (1.0 - 0.9f64.powi(*t)), *v / (1.0 - 0.999f64.powi(*t)));
    *x -= 0.1 * m / (v.sqrt() + 1e-8);
}

#[test]
fn steps_without_a_gradient_do_not_count_for_a_parameter() {
    let mut params = Params::new();
    let mut init = Init::new(&mut params, 0);
    let [a, b] = ["a", "b"].map(|name| init.param(name, [1], Fill::Ones, true));
    let mut params = params.cast::<f64>();
    let mut optimizer = AdamW::new(&params, AdamWConfig::default());
    let mut expected = [(1.0, [0.0; 2], 0), (1.0, [0.0; 2], 0)];
    for step in 0..12 {
        let slope = f64::from(step).cos();
        let has_b = step >= 5 && step != 8;
        let cx = Context::differentiate(&params);
        let loss = cx.param(a).scale(slope).sum_all();
        let loss = if has_b { loss.add(&cx.param(b).scale(slope).sum_all()) } else { loss };
        let grads = cx.backward(&loss);
        drop(cx);
        optimizer.step(&mut params, &grads, 0.1, 1.0);
        for ((x, moments, t), g) in expected.iter_mut().zip([Some(slope), has_b.then_some(slope)]) {
            reference(x, moments, t, g);
        }
        for (id, (x, ..)) in [a, b].into_iter().zip(&expected) {
            let found = params.get(id).value.item();
            assert!((found - x).abs() < 1e-12, "step {step}: {found}, expected {x}");
        }
        // What is put back goes on alike.
        let mut other = AdamW::new(&params, AdamWConfig::default());
        other.restore(optimizer.steps().to_vec(), optimizer.moments().to_vec());
        optimizer = other;
    }
    assert_eq!(optimizer.steps(), [12, 6]);
}

#[test]
fn norms_of_tiny_huge_and_bad_gradients_are_not_lost() {
    let norm = |values: Vec<f32>| {
        let mut params = Params::new();
        let id = Init::new(&mut params, 0).param("w", [values.len()], Fill::Ones, true);
        gradients(&params, id, &Tensor::from_vec([values.len()], values)).norm()
    };
    let near = |found: f64, expected: f64| {
        assert!((found / expected - 1.0).abs() < 1e-6, "{found}, expected {expected}");
    };
    for size in [1e-38f32, 1e-30, 1e-22, 1e-15, 1.0, 1e15, 1e19, 1e30, 3e37] {
        near(norm(vec![3.0 * size, -4.0 * size]), 5.0 * f64::from(size));
        near(norm(vec![size; 100_000]), 1e5f64.sqrt() * f64::from(size));
    }
    near(norm(vec![1e30, 1e-30, 1.0]), 1e30);
    assert_eq!(norm(vec![0.0, 0.0]), 0.0);
    assert_eq!(norm(vec![1.0, f32::NEG_INFINITY]), f64::INFINITY);
    for values in [vec![f32::NAN, 1.0], vec![1e30, f32::NAN, f32::INFINITY]] {
        let norm = norm(values);
        assert!(norm.is_nan() && clip_scale(norm, 1.0).is_nan(), "a clipped NaN is one");
    }
    assert_eq!((clip_scale(0.0, 1.0), clip_scale(f64::INFINITY, 1.0)), (1.0, 0.0));
    let mut wide = Params::new();
    let id = Init::new(&mut wide, 0).param("w", [2], Fill::Ones, true);
    let wide = wide.cast::<f64>();
    for size in [1e-300, 1e300] {
        let cx = Context::differentiate(&wide);
        let norm = cx.backward(&cx.param(id).scale(size).sum_all()).norm();
        assert!((norm / size - 2f64.sqrt()).abs() < 1e-12, "{norm}");
    }
}

#[test]
fn constants_of_optimizers_have_bounds() {
    let params = Params::<f32>::default();
    let usual = AdamWConfig::default();
    for config in [
        AdamWConfig { beta1: 1.0, ..usual },
        AdamWConfig { beta2: f64::NAN, ..usual },
        AdamWConfig { eps: f64::INFINITY, ..usual },
        AdamWConfig { weight_decay: -0.1, ..usual },
    ] {
        assert!(refusal(|| AdamW::new(&params, config)).starts_with("adamw: "));
    }
    let usual = SgdConfig::default();
    for config in [
        SgdConfig { momentum: -0.1, ..usual },
        SgdConfig { weight_decay: f64::NAN, ..usual },
        SgdConfig { momentum: 0.0, nesterov: true, ..usual },
    ] {
        assert!(refusal(|| Sgd::new(&params, config)).starts_with("sgd: "));
    }
    assert!(refusal(|| clip_scale(1.0, f64::NAN)).starts_with("clip_scale: max_norm NaN"));
}
