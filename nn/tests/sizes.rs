//! Sizes that a layer cannot have are refused where it is made.

use autograd::check::catching;
use nn::{
    Block, BlockConfig, Conv2d, Embedding, GroupNorm, Init, LayerNorm, LearnableFourier, Linear,
    Mlp, MultiHeadAttention, Params, RmsNorm, SelfAttention,
};
use tensor::Convolution;

/// Why a layer of the name `l` is refused.
fn refusal<T>(make: impl FnOnce(&mut Init<'_>) -> T) -> String {
    let mut params = Params::new();
    let mut init = Init::new(&mut params, 0);
    let mut scope = init.scope("l");
    match catching(|| drop(make(&mut scope))) {
        Ok(()) => panic!("taken"),
        Err(message) => message,
    }
}

const HUGE: usize = 1 << 62;

#[test]
fn layers_of_no_size_name_themselves() {
    let of = |part: &str, shape: &str| {
        format!("parameter `l.{part}`: {shape}, sizes of at least 1 expected")
    };
    assert_eq!(refusal(|init| Linear::new(init, 0, 3)), of("weight", "[3, 0]"));
    assert_eq!(refusal(|init| Linear::new(init, 3, 0)), of("weight", "[0, 3]"));
    assert_eq!(refusal(|init| Embedding::new(init, 0, 3)), of("weight", "[0, 3]"));
    assert_eq!(refusal(|init| LayerNorm::new(init, 0)), of("weight", "[0]"));
    assert_eq!(refusal(|init| RmsNorm::with_eps(init, 0, 1e-5)), of("weight", "[0]"));
    assert_eq!(refusal(|init| GroupNorm::new(init, 0, 1, 1e-5)), of("weight", "[0]"));
    assert_eq!(refusal(|init| Mlp::new(init, 3, 0, 0.0)), of("fc1.weight", "[0, 3]"));
    let plain = Convolution::default();
    assert_eq!(refusal(|init| Conv2d::new(init, 0, 2, 3, plain)), of("weight", "[2, 0, 3, 3]"));
    let fourier = |init: &mut Init<'_>| LearnableFourier::new(init, [1, 2], 4, 0, 8, 1.0);
    assert_eq!(refusal(fourier), of("fc1.weight", "[0, 4]"));
}

#[test]
fn layers_whose_parts_do_not_divide_say_so() {
    for (dim, heads) in [(0, 1), (4, 3), (4, 0)] {
        let expected = format!("attention: {dim} features in {heads} heads");
        assert_eq!(refusal(|init| SelfAttention::new(init, dim, heads)), expected);
        assert_eq!(refusal(|init| MultiHeadAttention::new(init, dim, heads)), expected);
    }
    let groups = Convolution { groups: 3, ..Convolution::default() };
    let refused = refusal(|init| Conv2d::new(init, 4, 6, 3, groups));
    assert_eq!(refused, "conv2d: 4 → 6 channels in 3 groups");
    let block = |init: &mut Init<'_>| Block::new(init, &BlockConfig::new(6, 4, 8));
    assert_eq!(refusal(block), "attention: 6 features in 4 heads");
}

#[test]
fn sizes_whose_product_is_none_are_refused_and_not_wrapped() {
    let plain = Convolution::default();
    for message in [
        refusal(|init| Linear::new(init, HUGE, HUGE)),
        refusal(|init| SelfAttention::new(init, HUGE, 1)),
        refusal(|init| Embedding::new(init, HUGE, 5)),
        refusal(|init| Conv2d::new(init, 1, 1, HUGE, plain)),
        refusal(|init| Conv2d::without_bias(init, HUGE, HUGE, 3, plain)),
    ] {
        assert!(message.contains("too large"), "{message}");
    }
}
