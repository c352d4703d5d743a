//! Prints the order in which a shuffled epoch shows its images, a JSON list of their indices, for a trainer in another framework
//! that is to see the same batches:
//!
//! ```text
//! cargo run --release -p wavetape-datasets --example epoch_order -- <number of images> <seed> <epoch>
//! ```

use std::sync::Arc;
use std::{env, process::ExitCode};

use datasets::{Images, Loader, Normalize, Options};

fn main() -> ExitCode {
    let numbers: Option<Vec<usize>> = env::args().skip(1).map(|word| word.parse().ok()).collect();
    let Some([count, seed, epoch]) =
        numbers.as_deref().and_then(|all| <[usize; 3]>::try_from(all).ok())
    else {
        eprintln!("usage: epoch_order <number of images> <seed> <epoch>");
        return ExitCode::from(2);
    };
    println!("{:?}", order(count, seed as u64, epoch));
    ExitCode::SUCCESS
}

fn order(count: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let labels = vec![0; count];
    let images = Images::new([1, 1, 1], vec![0; count], labels, vec!["any".to_owned()]);
    let normalize = Normalize { mean: vec![0.0], std: vec![1.0] };
    let loader = Loader::new(Arc::new(images), Options::train(1, seed, normalize));
    loader.expect("options that make sense").order(epoch)
}
