//! Colour clusters: k-means (Lloyd 1982) with k-means++ (Arthur and Vassilvitskii 2007).

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::{Error, Images};

/// Pixels that a palette is fitted to at most.
const PIXELS: usize = 1 << 16;
/// Rounds of assignment and averaging at most; it ends as soon as no pixel changes its colour.
const ROUNDS: usize = 50;

/// k colours of `channels` numbers each, from 0 to 255, one after another: the means of clusters of the pixels of these images (a
/// random part of them, if they are many). If these pixels have fewer colours than k, they are all that is returned. The same
/// seed gives the same colours. Of images in files, 4,096 are looked at, evenly spaced.
///
/// # Errors
///
/// As [`Images::image`].
///
/// # Panics
///
/// If k is 0 or there is no image.
#[track_caller]
pub fn palette(images: &Images, k: usize, seed: u64) -> Result<Vec<f32>, Error> {
    let images = images.in_memory(1 << 12)?;
    let [channels, height, width] = images.shape();
    assert!(k > 0 && !images.is_empty(), "palette: {k} colours of {} images", images.len());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let area = height * width;
    let all = images.len() * area;
    let pixel = |at: usize| {
        let image = images.image(at / area).expect("images in memory");
        (0..channels).map(move |c| f32::from(image[c * area + at % area]))
    };
    let chosen: Vec<usize> = match all <= PIXELS {
        true => (0..all).collect(),
        false => (0..PIXELS).map(|_| rng.random_range(0..all)).collect(),
    };
    let pixels: Vec<f32> = chosen.into_iter().flat_map(pixel).collect();
    let mut colours = first_colours(&pixels, channels, k, &mut rng);
    let k = colours.len() / channels;
    let mut belongs = vec![usize::MAX; pixels.len() / channels];
    for _ in 0..ROUNDS {
        let mut changed = false;
        let (mut sums, mut counts) = (vec![0.0f64; k * channels], vec![0usize; k]);
        for (pixel, belongs) in pixels.chunks_exact(channels).zip(&mut belongs) {
            let (nearest, _) = nearest(&colours, pixel);
            changed |= *belongs != nearest;
            *belongs = nearest;
            counts[nearest] += 1;
            let sum = &mut sums[nearest * channels..(nearest + 1) * channels];
            sum.iter_mut().zip(pixel).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        if !changed {
            break;
        }
        // A colour that no pixel has stays where it is.
        for (i, colour) in colours.iter_mut().enumerate().filter(|(i, _)| counts[i / channels] > 0)
        {
            *colour = (sums[i] / counts[i / channels] as f64) as f32;
        }
    }
    Ok(colours)
}

/// The nearest of the colours to a pixel, the first of several, and the square of its distance.
#[must_use]
pub fn nearest(colours: &[f32], pixel: &[f32]) -> (usize, f32) {
    let distance =
        |colour: &[f32]| -> f32 { colour.iter().zip(pixel).map(|(a, b)| (a - b) * (a - b)).sum() };
    let distances = colours.chunks_exact(pixel.len().max(1)).map(distance).enumerate();
    distances.fold((0, f32::INFINITY), |best, next| if next.1 < best.1 { next } else { best })
}

/// A pixel at random, then pixels drawn in proportion to the square of their distance from the colours so far, until all pixels have
/// one of these colours.
fn first_colours(pixels: &[f32], channels: usize, k: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let count = pixels.len() / channels;
    let pixel = |at: usize| &pixels[at * channels..(at + 1) * channels];
    let mut colours = pixel(rng.random_range(0..count)).to_vec();
    let mut squares = vec![f32::INFINITY; count];
    for _ in 1..k {
        let last = colours[colours.len() - channels..].to_vec();
        let mut total = 0.0f64;
        for (square, pixel) in squares.iter_mut().zip(pixels.chunks_exact(channels)) {
            *square = square.min(nearest(&last, pixel).1);
            total += f64::from(*square);
        }
        let mut left = rng.random::<f64>() * total;
        let found = squares.iter().position(|&square| {
            left -= f64::from(square);
            left < 0.0
        });
        // Rounding may leave a rest after the last one.
        let Some(found) = found.or_else(|| squares.iter().rposition(|&square| square > 0.0)) else {
            break;
        };
        colours.extend_from_slice(pixel(found));
    }
    colours
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images of four colours, each a little noisy.
    fn images() -> Images {
        let corners = [[0u8, 0, 0], [250, 0, 0], [0, 250, 0], [0, 0, 250]];
        let byte = |i: usize| {
            let (channel, place) = (i / 16 % 3, i % 16);
            corners[place % 4][channel].saturating_add((i * 7 % 5) as u8)
        };
        let bytes = (0..2 * 3 * 16).map(byte).collect();
        Images::new([3, 4, 4], bytes, vec![0, 0], vec!["a".into()])
    }

    #[test]
    fn clusters_are_found_and_the_same_from_the_same_seed() {
        let colours = palette(&images(), 4, 1).unwrap();
        assert_eq!(colours, palette(&images(), 4, 1).unwrap());
        for corner in [[2.0, 2.0, 2.0], [252.0, 2.0, 2.0], [2.0, 252.0, 2.0], [2.0, 2.0, 252.0]] {
            assert!(nearest(&colours, &corner).1 < 12.0, "{corner:?} of {colours:?}");
        }
    }

    #[test]
    fn pictures_of_few_colours_give_no_more_than_these_and_none_twice() {
        let few = images();
        let mut pixels: Vec<[u8; 3]> = Vec::new();
        for image in (0..few.len()).map(|i| few.image(i).unwrap()) {
            pixels.extend((0..16).map(|at| [image[at], image[16 + at], image[32 + at]]));
        }
        pixels.sort();
        pixels.dedup();
        let mut colours: Vec<[u8; 3]> = palette(&few, 64, 2)
            .unwrap()
            .chunks_exact(3)
            .map(|colour| [0, 1, 2].map(|c| colour[c].round() as u8))
            .collect();
        colours.sort();
        assert_eq!(colours, pixels);
    }
}
