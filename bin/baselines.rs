//! What a generator has to beat: bits per dimension without a transformer.

use anyhow::{Context as _, Result};
use datasets::Images;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use serde::Serialize;

use crate::caption_baselines;

/// What models without a model reach.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Baselines {
    /// Bits per byte of images that were not seen.
    Bytes {
        /// A histogram of the training images' bytes for each place and channel, each value counted once more than seen.
        histogram: f64,
        /// The mean size of a PNG file of one image, its header included.
        png: f64,
    },
    /// Scores of captions.
    Captions(caption_baselines::Baselines),
}

/// Learns from the first images and scores the second.
pub(crate) fn measure(train: &Images, test: &Images) -> Result<Baselines> {
    let [channels, height, width] = train.shape();
    let dims = channels * height * width;
    let mut counts = vec![1u32; dims * 256];
    for i in 0..train.len() {
        let image = train.image(i)?;
        let bytes = image.iter().enumerate();
        bytes.for_each(|(at, &byte)| counts[at * 256 + usize::from(byte)] += 1);
    }
    let total = (train.len() + 256) as f64;
    let (mut bits, mut file_bits) = (0.0, 0.0);
    for i in 0..test.len() {
        let image = test.image(i)?;
        let of = |(at, &byte): (usize, &u8)| {
            -(f64::from(counts[at * 256 + usize::from(byte)]) / total).log2()
        };
        bits += image.iter().enumerate().map(of).sum::<f64>();
        file_bits += 8.0 * png_size(&image, [channels, height, width])? as f64;
    }
    let all = (test.len().max(1) * dims) as f64;
    Ok(Baselines::Bytes { histogram: bits / all, png: file_bits / all })
}

/// Bytes of a PNG file of this image.
fn png_size(image: &[u8], [channels, height, width]: [usize; 3]) -> Result<usize> {
    let area = height * width;
    let interleaved: Vec<u8> =
        (0..image.len()).map(|i| image[i % channels * area + i / channels]).collect();
    let colour = if channels == 3 { ExtendedColorType::Rgb8 } else { ExtendedColorType::L8 };
    let mut file = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut file, CompressionType::Best, FilterType::Adaptive);
    encoder
        .write_image(&interleaved, width as u32, height as u32, colour)
        .context("a PNG file of an image")?;
    Ok(file.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_costs_little_and_an_unseen_value_much() {
        let images = |byte: u8| {
            Images::new([1, 2, 2], vec![byte; 4 * 1000], vec![0; 1000], vec!["a".into()])
        };
        let bytes = |test: u8| match measure(&images(7), &images(test)).expect("encoded") {
            Baselines::Bytes { histogram, png } => (histogram, png),
            other => panic!("{other:?}"),
        };
        let (histogram, png) = bytes(7);
        assert!((histogram + (1001.0f64 / 1256.0).log2()).abs() < 1e-12, "{histogram}");
        assert!((bytes(8).0 - 1256f64.log2()).abs() < 1e-12, "{}", bytes(8).0);
        assert!(png > 8.0, "a file of four bytes has a header: {png}");
    }
}
