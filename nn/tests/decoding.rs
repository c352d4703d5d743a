//! Decoding equals the whole, for any number of tokens at once; and layers name themselves when something does not fit.

use autograd::check::catching;
use autograd::{Attention, Var};
use nn::{
    Block, BlockConfig, Context, Conv2d, Embedding, FrozenBatchNorm, GroupNorm, Init, LayerNorm,
    Linear, MultiHeadAttention, NormOrder, Params, RmsNorm, SelfAttention,
};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tensor::{Convolution, Tensor};

const TOKENS: usize = 7;

fn normal(shape: &[usize], seed: u64) -> Var<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Var::constant(Tensor::normal(shape, 0.0, 1.0, &mut rng))
}

/// Masks and angles of a whole sequence of 2 × 3 heads of 4, also such as broadcast.
fn options() -> Vec<Attention<f64>> {
    let masks = [
        vec![TOKENS, TOKENS],
        vec![1, TOKENS],
        vec![TOKENS, 1],
        vec![TOKENS],
        vec![],
        vec![2, 3, TOKENS, TOKENS],
        vec![3, 1, TOKENS],
        vec![2, 1, 1, 1],
    ];
    let angles = [vec![TOKENS, 2], vec![3, TOKENS, 2], vec![1, 2], vec![2]];
    let mut options: Vec<_> = masks
        .iter()
        .map(|shape| Attention { mask: Some(normal(shape, 3)), ..Attention::default() })
        .collect();
    options.extend(angles.iter().map(|shape| {
        let angles = Some([normal(shape, 4), normal(shape, 5)]);
        Attention { angles, mask: Some(normal(&[TOKENS, TOKENS], 6)), causal: false }
    }));
    options.push(Attention::default());
    options
}

#[test]
fn decoding_equals_the_whole_for_any_number_of_tokens_at_once() {
    let mut params = Params::new();
    let mut init = Init::new(&mut params, 1);
    let config = BlockConfig::new(12, 3, 24);
    let pre = Block::new(&mut init.scope("pre"), &config);
    let post = BlockConfig { order: NormOrder::Post, ..config };
    let post = Block::new(&mut init.scope("post"), &post);
    let params = params.cast::<f64>();
    let cx = Context::eval(&params);
    let x = normal(&[2, TOKENS, 12], 2);
    for (case, options) in options().iter().enumerate() {
        let causal = Attention { causal: true, ..options.clone() };
        for block in [&pre, &post] {
            let whole = block.forward(&cx, &x, &causal);
            for parts in [vec![1; 7], vec![7], vec![2, 0, 3, 2], vec![0, 1, 6], vec![4, 3]] {
                let (mut cache, mut at) = (block.cache(2, TOKENS, 12), 0);
                for count in parts {
                    let y = block.forward_next(&cx, &x.narrow(1, at, count), &mut cache, &causal);
                    let error = &whole.value().narrow(1, at, count) - y.value();
                    let error = error.to_vec().into_iter().map(f64::abs).fold(0.0, f64::max);
                    assert!(error < 1e-12, "options {case}, {count} tokens at {at}: {error:e}");
                    at += count;
                    assert_eq!(cache.len(), at);
                }
            }
        }
    }
}

fn refusal<R>(f: impl FnOnce() -> R) -> String {
    catching(f).err().expect("refused")
}

#[test]
fn what_a_cache_cannot_keep_is_refused() {
    let mut params = Params::new();
    let mut init = Init::new(&mut params, 1);
    let block = Block::new(&mut init.scope("blocks").scope(0), &BlockConfig::new(12, 3, 24));
    let params = params.cast::<f64>();
    let (cx, plain) = (Context::eval(&params), Attention::default());
    let mut cache = block.cache(2, 4, 12);
    block.forward_next(&cx, &normal(&[2, 3, 12], 2), &mut cache, &plain);
    let message = refusal(|| block.forward_next(&cx, &normal(&[2, 2, 12], 2), &mut cache, &plain));
    let full = "key/value cache: no room for 2 more of 4 tokens, of which there are 3";
    assert_eq!(message, full);
    let message = refusal(|| block.forward_next(&cx, &normal(&[3, 1, 12], 2), &mut cache, &plain));
    assert_eq!(message, "key/value cache: [2, n, 12] expected, found [3, 1, 12]");
    let recording = Context::differentiate(&params);
    let x = normal(&[2, 1, 12], 2);
    let message = refusal(|| block.forward_next(&recording, &x, &mut cache, &plain));
    assert!(message.contains("this pass records"), "{message}");
    let x = autograd::Tape::new().leaf(x.into_value());
    let message = refusal(|| block.forward_next(&cx, &x, &mut cache, &plain));
    assert!(message.contains("no gradients are kept"), "{message}");
    assert_eq!(cache.len(), 3, "nothing was added");
}

#[test]
fn a_layer_that_is_given_another_shape_says_which_it_is_and_what_it_takes() {
    let mut params = Params::new();
    let mut init = Init::new(&mut params, 0);
    let linear = Linear::new(&mut init.scope("head"), 4, 2);
    let layer = LayerNorm::new(&mut init.scope("blocks").scope(1).scope("norm1"), 4);
    let rms = RmsNorm::with_eps(&mut init.scope("rms"), 4, 1e-5);
    let conv = Conv2d::new(&mut init.scope("stem"), 3, 2, 1, Convolution::default());
    let group = GroupNorm::new(&mut init.scope("group"), 4, 2, 1e-5);
    let frozen = FrozenBatchNorm::new(&mut init.scope("bn1"), 4);
    let table = Embedding::new(&mut init.scope("words"), 5, 2);
    let attention = SelfAttention::new(&mut init.scope("attn"), 4, 2);
    let cross = MultiHeadAttention::new(&mut init.scope("cross"), 4, 2);
    let cx = &Context::eval(&params);
    let x = |shape: &[usize]| Var::<f32>::constant(Tensor::ones(shape));
    let plain = &Attention::default();
    let says = |expected: &str, call: &dyn Fn() -> Var| assert_eq!(refusal(call), expected);
    says("linear `head`: [… 4] expected, found [2, 3]", &|| linear.forward(cx, &x(&[2, 3])));
    says("linear `head`: [… 4] expected, found []", &|| linear.forward(cx, &x(&[])));
    says("layer norm `blocks.1.norm1`: [… 4] expected, found [2, 1]", &|| {
        layer.forward(cx, &x(&[2, 1]))
    });
    says("rms norm `rms`: [… 4] expected, found [2, 1]", &|| rms.forward(cx, &x(&[2, 1])));
    let image = |channels| x(&[1, channels, 2, 2]);
    says("conv2d `stem`: [B, 3, H, W] expected, found [1, 1, 2, 2]", &|| {
        conv.forward(cx, &image(1))
    });
    says("group norm `group`: [B, 4, H, W] expected, found [1, 2, 2, 2]", &|| {
        group.forward(cx, &image(2))
    });
    says("batch norm `bn1`: [B, 4, H, W] expected, found [1, 1, 2, 2]", &|| {
        frozen.forward(cx, &image(1))
    });
    says("embedding `words`: indices below 5 expected, found 9", &|| table.forward(cx, &[0, 9, 1]));
    says("self-attention `attn.qkv`: [B, N, 4] expected, found [2, 4]", &|| {
        attention.forward(cx, &x(&[2, 4]), plain)
    });
    let [q, k, v] = [[1, 1, 4], [1, 2, 3], [1, 2, 4]].map(|shape| x(&shape));
    says("attention `cross.k`: [B, N, 4] expected, found [1, 2, 3]", &|| {
        cross.forward(cx, [&q, &k, &v], plain)
    });
}

#[test]
fn a_packed_projection_starts_as_three_layers() {
    let (mut params, dim) = (Params::new(), 64);
    SelfAttention::new(&mut Init::new(&mut params, 1), dim, 4);
    let weight = &params.by_name("qkv.weight").expect("made").value;
    let largest = weight.abs().to_vec().into_iter().fold(0.0, f32::max);
    let bound = (6.0 / (2 * dim) as f32).sqrt(); // and not √(6/(dim + 3·dim)), 0.7 times that
    assert!(largest > 0.99 * bound && largest <= bound, "{largest}, bound {bound}");
}
