//! Makes the built-in sample of Fashion-MNIST from the whole data set:
//!
//! ```text
//! cargo run --release -p wavetape-datasets --example make_sample -- <folder of the data set> datasets/sample
//! ```
//!
//! It keeps the first 600 training and the first 100 test images of each class, in their order. The
//! same input gives the same bytes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, error::Error, fs, process::ExitCode};

use datasets::{Images, Split, idx};
use flate2::{Compression, write::GzEncoder};

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = arguments.as_slice() else {
        eprintln!("usage: make_sample <folder of the data set> <folder of the sample>");
        return ExitCode::from(2);
    };
    match make(from, to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn make(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    for (split, name, of_each_class) in [(Split::Train, "train", 600), (Split::Test, "t10k", 100)] {
        let sample = first_of_each_class(&idx::folder(from, split, &idx::FASHION)?, of_each_class);
        let [_, height, width] = sample.shape();
        let pixels: Vec<u8> = (0..sample.len())
            .flat_map(|i| sample.image(i).expect("images in memory").to_vec())
            .collect();
        let labels: Vec<u8> = (0..sample.len()).map(|i| sample.label(i) as u8).collect();

        let images = idx::encode([sample.len(), height, width], &pixels);
        write(&to.join(format!("{name}-images-idx3-ubyte.gz")), &images)?;
        let labels = idx::encode([sample.len()], &labels);
        write(&to.join(format!("{name}-labels-idx1-ubyte.gz")), &labels)?;
    }
    Ok(())
}

fn first_of_each_class(images: &Images, count: usize) -> Images {
    let mut taken = vec![0; images.classes().len()];
    let first = |&i: &usize| {
        taken[images.label(i)] += 1;
        taken[images.label(i)] <= count
    };
    images.subset(&(0..images.len()).filter(first).collect::<Vec<_>>())
}

/// Compressed without a time stamp, which would make each run differ.
fn write(path: &Path, contents: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(contents)?;
    Ok(fs::write(path, gzip.finish()?)?)
}
