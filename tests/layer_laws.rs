//! What layers promise whatever their parameters are.

use autograd::{Attention, Var};
use nn::{
    Block, BlockConfig, Context, Init, LayerNorm, MultiHeadAttention, NormOrder, Params,
    SelfAttention,
};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tensor::Tensor;

const SIZES: [usize; 3] = [2, 7, 12]; // batch, tokens, features

fn tokens(seed: u64) -> Tensor<f64> {
    Tensor::normal(SIZES, 0.0, 1.0, &mut ChaCha8Rng::seed_from_u64(seed))
}

fn close(found: &Tensor<f64>, expected: &Tensor<f64>) {
    assert_eq!(found.shape(), expected.shape());
    let error = (found - expected).abs().to_vec().into_iter().fold(0.0, f64::max);
    assert!(error < 1e-12, "differs by {error:e}");
}

#[test]
fn causal_attention_ignores_the_future() {
    let mut params = Params::new();
    let layer = SelfAttention::new(&mut Init::new(&mut params, 1), 12, 3);
    let params = params.cast::<f64>();
    let cx = Context::eval(&params);
    let causal = Attention { causal: true, mask: None, angles: None };
    let attend =
        |x: &Tensor<f64>| layer.forward(&cx, &Var::constant(x.clone()), &causal).into_value();
    let (x, other) = (tokens(2), tokens(3));
    let changed = Tensor::concat(&[&x.narrow(1, 0, 4), &other.narrow(1, 4, 3)], 1);
    close(&attend(&x).narrow(1, 0, 4), &attend(&changed).narrow(1, 0, 4));
    assert_ne!(attend(&x).narrow(1, 4, 3), attend(&changed).narrow(1, 4, 3));
}

#[test]
fn attention_without_positions_permutes_with_its_tokens() {
    let mut params = Params::new();
    let mut init = Init::new(&mut params, 4);
    let config = BlockConfig::new(12, 3, 24);
    let pre = Block::new(&mut init.scope("pre"), &config);
    let post =
        Block::new(&mut init.scope("post"), &BlockConfig { order: NormOrder::Post, ..config });
    let params = params.cast::<f64>();
    let cx = Context::eval(&params);
    let order = [3, 0, 6, 1, 5, 2, 4];
    for block in [pre, post] {
        let apply = |x: Tensor<f64>| {
            block.forward(&cx, &Var::constant(x), &Attention::default()).into_value()
        };
        close(&apply(tokens(5).gather(1, &order)), &apply(tokens(5)).gather(1, &order));
    }
}

#[test]
fn attention_looks_where_its_weights_say() {
    let mut params = Params::new();
    let layer = SelfAttention::new(&mut Init::new(&mut params, 6), 12, 3);
    let mut params = params.cast::<f64>();
    let x = Var::constant(tokens(7));
    let bias = Tensor::normal([3, 7, 7], 0.0, 2.0, &mut ChaCha8Rng::seed_from_u64(8));
    let options = Attention { mask: Some(Var::constant(bias)), ..Attention::default() };
    let weights = layer.weights(&Context::eval(&params), &x, &options).into_value();
    assert_eq!(weights.dims(), [2, 3, 7, 7]);
    // With values that are the inputs themselves and no projection, each head gives a mean of its part of the inputs.
    let identity = Tensor::from_fn([12, 12], |i| if i % 12 == i / 12 { 1.0 } else { 0.0 });
    for param in params.iter_mut() {
        param.value = match param.name.as_str() {
            "qkv.weight" => Tensor::concat(&[&param.value.narrow(0, 0, 24), &identity], 0),
            "qkv.bias" => Tensor::concat(&[&param.value.narrow(0, 0, 24), &Tensor::zeros([12])], 0),
            "proj.weight" => identity.clone(),
            _ => Tensor::zeros([12]),
        };
    }
    let heads = x.value().reshape([2, 7, 3, 4]).transpose(1, 2);
    let means = weights.matmul(&heads).transpose(1, 2).reshape([2, 7, 12]);
    close(&layer.forward(&Context::eval(&params), &x, &options).into_value(), &means);
}

#[test]
fn evaluation_keeps_nothing_but_its_result() {
    let mut params = Params::new();
    let config = BlockConfig { dropout: 0.1, drop_path: 0.1, ..BlockConfig::new(32, 2, 64) };
    let block = Block::new(&mut Init::new(&mut params, 3), &config);
    let x: Tensor = Tensor::ones([4, 16, 32]);
    let kept = |cx: &Context<'_>, x: Var<f32>| {
        let before = tensor::profile::counts().live;
        let y = block.forward(cx, &x, &Attention::default());
        (y.value().shape(), tensor::profile::counts().live - before)
    };
    let (shape, bytes) = kept(&Context::eval(&params), Var::constant(x.clone()));
    assert_eq!(&shape[..], [4, 16, 32]);
    let one = (4 * 16 * 32 * size_of::<f32>()) as i64;
    // The buffer of a class may be a quarter larger than what it holds.
    assert!((one..=one + one / 4).contains(&bytes), "{bytes} bytes for a result of {one}");
    let cx = Context::differentiate(&params);
    let leaf = cx.tape().expect("recording").leaf(x.clone());
    let (_, recorded) = kept(&cx, leaf);
    assert!(recorded > 8 * one, "a tape keeps activations, {recorded} bytes");
}

type Forward<'a> = dyn Fn(&Context<'_, f64>, &Var<f64>) -> Var<f64> + 'a;

#[test]
fn the_first_tokens_alone_are_those_of_all_and_so_are_their_gradients() {
    for order in [NormOrder::Pre, NormOrder::Post] {
        let mut params = Params::new();
        let config = BlockConfig {
            dim: 12,
            heads: 3,
            mlp_dim: 24,
            dropout: 0.0,
            drop_path: 0.0,
            order,
            eps: LayerNorm::EPS,
            ..BlockConfig::new(0, 0, 0)
        };
        let block = Block::new(&mut Init::new(&mut params, 11), &config);
        let params = params.cast::<f64>();
        for count in [1, 3, 7] {
            let run = |forward: &Forward| {
                let cx = Context::differentiate(&params);
                let x = cx.tape().expect("recording").leaf(tokens(12));
                let y = forward(&cx, &x);
                let weights = Var::constant(tokens(13).narrow(1, 0, count));
                let grads = cx.backward(&y.mul(&weights).sum_all());
                let grads: Vec<_> = grads.iter().map(|g| g.expect("a gradient").clone()).collect();
                (y.value().clone(), grads)
            };
            let options = Attention::default();
            let first = run(&|cx, x| block.forward_first(cx, x, count, &options));
            let all = run(&|cx, x| block.forward(cx, x, &options).narrow(1, 0, count));
            close(&first.0, &all.0);
            first.1.iter().zip(&all.1).for_each(|(first, all)| close(first, all));
        }
    }
}

#[test]
fn masked_keys_do_not_matter_and_cross_attention_takes_any_number_of_keys() {
    let mut params = Params::new();
    let layer = MultiHeadAttention::new(&mut Init::new(&mut params, 6), 12, 3);
    let params = params.cast::<f64>();
    let cx = Context::eval(&params);
    let (q, memory) = (Var::constant(tokens(7).narrow(1, 0, 3)), tokens(8));
    let hidden = Tensor::from_fn([1, 1, 1, 7], |key| if key < 5 { 0.0 } else { f64::NEG_INFINITY });
    let all = Var::constant(memory.clone());
    let seen = Var::constant(memory.narrow(1, 0, 5));
    let masked = layer.forward(
        &cx,
        [&q, &all, &all],
        &Attention { causal: false, mask: Some(hidden.into()), angles: None },
    );
    let short = layer.forward(&cx, [&q, &seen, &seen], &Attention::default());
    assert_eq!(masked.dims(), [2, 3, 12]);
    close(masked.value(), short.value());
}

#[test]
fn a_batch_gives_what_its_samples_give_alone() {
    let mut params = Params::new();
    let layer = SelfAttention::new(&mut Init::new(&mut params, 9), 12, 2);
    let params = params.cast::<f64>();
    let cx = Context::eval(&params);
    let attend =
        |x: Tensor<f64>| layer.forward(&cx, &Var::constant(x), &Attention::default()).into_value();
    let x = tokens(10);
    for sample in 0..2 {
        close(&attend(x.narrow(0, sample, 1)), &attend(x.clone()).narrow(0, sample, 1));
    }
}
