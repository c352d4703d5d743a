//! Memory of a training loop. Alone in its file, since other tests in the same process would be measured too.

use autograd::{CrossEntropy, cross_entropy};
use models::{Vit, VitConfig};
use nn::{AdamW, AdamWConfig, Init, Params, PositionConfig, Shards};
use tensor::Tensor;

/// Resident memory of this process in KiB, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[test]
fn memory_after_a_thousand_steps_is_that_after_twenty() {
    if resident().is_none() {
        return;
    }
    let position = PositionConfig::LffMlp { gamma: 0.2, features: 32, hidden: 16 };
    let plain = VitConfig::new([16, 1], 4, [32, 2, 2, 64], 4, position);
    let config = VitConfig { dropout: 0.1, drop_path: 0.1, ..plain };
    let mut params = Params::new();
    let model = Vit::new(&mut Init::new(&mut params, 1), &config).expect("valid");
    let images: Tensor = Tensor::from_fn([8, 1, 16, 16], |i| (i as f32 * 0.37).sin());
    let labels = [0, 1, 2, 3, 0, 1, 2, 3];
    let mut optimizer = AdamW::new(&params, AdamWConfig::default());
    let mut steps = |from: u64, to: u64| {
        for step in from..to {
            let shards = Shards { batch: 8, micro_batch: 2, seed: 0, step };
            let step = shards.differentiate(&params, |cx, range| {
                let logits = model.forward(cx, &images.narrow(0, range.start, range.len()));
                let options = CrossEntropy { normalizer: Some(8.0), ..CrossEntropy::default() };
                (cross_entropy(&logits, &labels[range], &options), ())
            });
            optimizer.step(&mut params, &step.grads, 1e-3, 1.0);
        }
        resident().expect("told before")
    };
    let (early, late) = (steps(0, 20), steps(20, 1000));
    assert!(late <= early + 2048, "KiB after 20 steps: {early}, after 1,000: {late}");
}
