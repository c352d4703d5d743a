//! Pixels to numbers of mean 0 and standard deviation 1.

use serde::{Deserialize, Serialize};

use crate::{Error, Images};

/// The affine map of each channel from bytes to the inputs of a model.
///
/// ```text
/// x = (byte / 255 − mean) / std
/// ```
///
/// Units: `mean` and `std` are for pixels from 0 to 1, one value per channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalize {
    /// Mean of each channel over a training split.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel over a training split.
    pub std: Vec<f32>,
}

impl Normalize {
    /// The values of the training split of MNIST.
    pub fn mnist() -> Normalize {
        Normalize { mean: vec![0.1307], std: vec![0.3081] }
    }

    /// The values of the training split of Fashion-MNIST.
    pub fn fashion_mnist() -> Normalize {
        Normalize { mean: vec![0.2860], std: vec![0.3530] }
    }

    /// The values of the training split of CIFAR-10.
    pub fn cifar10() -> Normalize {
        Normalize { mean: vec![0.4914, 0.4822, 0.4465], std: vec![0.2470, 0.2435, 0.2616] }
    }

    /// The map that leaves bytes as they are, as numbers from 0 to 255.
    pub fn bytes(channels: usize) -> Normalize {
        Normalize { mean: vec![0.0; channels], std: vec![1.0 / 255.0; channels] }
    }

    /// The values of these images, without rounding before the last step; where they are in files and more than 4,096, of as many
    /// of them, evenly spaced.
    ///
    /// Convention: a channel of one single value gets standard deviation 1, and so becomes 0.
    ///
    /// # Errors
    ///
    /// As [`Images::image`].
    ///
    /// # Panics
    ///
    /// If there is no image.
    #[track_caller]
    pub fn of(images: &Images) -> Result<Normalize, Error> {
        const MOST: usize = 4096;
        let images = images.in_memory(MOST)?;
        let pixels = (0..images.len()).map(|i| images.image(i)).collect::<Result<Vec<_>, _>>()?;
        Ok(Normalize::of_pixels(images.shape()[0], pixels.iter().map(|pixels| &**pixels)))
    }

    /// The values of pictures of shape `[C, H, W]`, the sizes of which may differ.
    #[track_caller]
    pub(crate) fn of_pixels<'a>(
        channels: usize,
        pictures: impl Iterator<Item = &'a [u8]>,
    ) -> Normalize {
        let (mut sum, mut squares) = (vec![0_u64; channels], vec![0_u64; channels]);
        let mut count = 0_u128;
        for picture in pictures {
            let plane = picture.len() / channels;
            count += plane as u128;
            for (c, plane) in picture.chunks_exact(plane).enumerate() {
                for &byte in plane {
                    sum[c] += u64::from(byte);
                    squares[c] += u64::from(byte).pow(2);
                }
            }
        }
        assert!(count > 0, "normalize: the mean of no image");

        let mean = |&sum: &u64| (sum as f64 / count as f64 / 255.0) as f32;
        // n²·variance = n·Σb² − (Σb)², in integers, for in floats the difference would cancel.
        let std = |(&sum, &squares): (&u64, &u64)| match count * u128::from(squares)
            - u128::from(sum).pow(2)
        {
            0 => 1.0,
            variance => ((variance as f64).sqrt() / count as f64 / 255.0) as f32,
        };
        Normalize {
            mean: sum.iter().map(mean).collect(),
            std: sum.iter().zip(&squares).map(std).collect(),
        }
    }

    /// Whether the values make sense for images of this many channels.
    pub(crate) fn check(&self, channels: usize) -> Result<(), Error> {
        let Normalize { mean, std } = self;
        for (option, values) in [("normalize.mean", mean), ("normalize.std", std)] {
            if values.len() != channels {
                let expected = format_args!("{channels} values, one per channel");
                return Err(Error::option(option, expected, format_args!("{values:?}")));
            }
        }
        if !mean.iter().all(|mean| mean.is_finite()) {
            return Err(Error::option("normalize.mean", "finite values", format_args!("{mean:?}")));
        }
        if !std.iter().all(|std| std.is_normal() && std.is_sign_positive()) {
            let expected = "finite values above 0";
            return Err(Error::option("normalize.std", expected, format_args!("{std:?}")));
        }
        Ok(())
    }

    /// `x` for a pixel of one number from 0 to 1 for each channel.
    pub(crate) fn normalized(&self, pixel: &[f32]) -> Vec<f32> {
        let channels = pixel.iter().zip(&self.mean).zip(&self.std);
        channels.map(|((&x, &mean), &std)| (x - mean) / std).collect()
    }

    /// `x` for each of the 256 bytes, for each channel.
    pub(crate) fn tables(&self) -> Vec<[f32; 256]> {
        let table = |(&mean, &std): (&f32, &f32)| {
            std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std)
        };
        self.mean.iter().zip(&self.std).map(table).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistics_are_those_of_each_channel() {
        // Two images [2, 1, 2]: channel 0 holds 0, 255, 255, 0 and channel 1 holds 51 throughout.
        let pixels = vec![0, 255, 51, 51, 255, 0, 51, 51];
        let images = Images::new([2, 1, 2], pixels, vec![0, 0], vec!["a".into()]);
        let normalize = Normalize::of(&images).unwrap();
        assert_eq!(normalize, Normalize { mean: vec![0.5, 0.2], std: vec![0.5, 1.0] });

        let tables = normalize.tables();
        assert_eq!((tables[0][0], tables[0][255], tables[1][51]), (-1.0, 1.0, 0.0));
    }
}
