//! A model of one's own on data of one's own: on which of two spirals is a point?

use autograd::{CrossEntropy, cross_entropy};
use nn::{AdamW, AdamWConfig, Context, Init, LearnableFourier, Linear, Params};
use tensor::Tensor;

fn main() {
    // 200 points [N, G = 1, M = 2], coordinates between 0 and 1, and the spiral that each is on.
    let points: Tensor = Tensor::from_fn([200, 1, 2], |i| {
        let (t, turn, axis) = ((i / 4) as f32 / 100.0, (i / 2 % 2) as f32, (i % 2) as f32);
        0.5 + (0.05 + 0.4 * t) * (10.0 * t + std::f32::consts::PI * (turn + axis / 2.0)).cos()
    });
    let spirals: Vec<usize> = (0..200).map(|i| i % 2).collect();

    let mut params = Params::new(); // all parameters; layers know their places in it
    let mut init = Init::new(&mut params, 0); // a seed
    let encoder = LearnableFourier::new(&mut init.scope("encoder"), [1, 2], 64, 32, 32, 0.1);
    let head = Linear::new(&mut init.scope("head"), 32, 2);
    let logits = |cx: &Context<'_>| head.forward(cx, &encoder.forward(cx, &points));

    let mut optimizer = AdamW::new(&params, AdamWConfig::default());
    for _ in 0..150 {
        let cx = Context::differentiate(&params); // a tape
        let grads = cx.backward(&cross_entropy(&logits(&cx), &spirals, &CrossEntropy::default()));
        drop(cx); // nobody else holds the parameters: they are changed in place
        optimizer.step(&mut params, &grads, 1e-2, 1.0);
    }
    let found = logits(&Context::eval(&params)).value().argmax(-1);
    let right = found.iter().zip(&spirals).filter(|(found, spiral)| found == spiral).count();
    println!("{right} of 200 points are found on their spiral");
    assert!(right >= 190);
}

#[test]
fn the_example_learns() {
    main();
}
