//! Pictures: those that are named on the command line, and those of data sets.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use datasets::image_folder::Size;
use datasets::picture::{Channels, Picture};
use image::{DynamicImage, Rgb, RgbImage};

use crate::font;

/// Reads a picture just as those of data sets are read: see [`datasets::picture`].
pub(crate) fn open(path: &Path) -> Result<DynamicImage> {
    Ok(datasets::picture::open(path)?)
}

/// A picture as a model of so many channels reads it, made this size: bytes, channel after channel, as those of data sets are.
///
/// # Errors
/// If it cannot be read, or pictures have no such channels.
pub(crate) fn planes(path: &Path, channels: usize, size: Size) -> Result<Vec<u8>> {
    let channels = match channels {
        1 => Channels::Grey,
        3 => Channels::Rgb,
        other => bail!("a model of 1 or 3 channels expected, not {other}"),
    };
    Ok(size.of(Picture::read(path, channels)?).pixels)
}

/// Bytes of one or three channels, one channel after the other, as a picture.
pub(crate) fn in_colour(pixels: &[u8], [channels, height, width]: [usize; 3]) -> RgbImage {
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let at = y as usize * width + x as usize;
        Rgb([0, 1, 2].map(|c: usize| pixels[c.min(channels - 1) * height * width + at]))
    })
}

/// What a drawing with plotters ends with, whose errors have many types.
pub(crate) type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// One of these errors.
pub(crate) fn boxed<E: std::error::Error + 'static>(error: E) -> Box<dyn std::error::Error> {
    Box::new(error)
}

/// A picture of this width and height whose bytes (red, green, blue) `draw` fills; text may be set in "sans-serif".
///
/// # Errors
/// If it cannot be drawn.
pub(crate) fn drawing(
    (width, height): (u32, u32),
    draw: impl FnOnce(&mut [u8]) -> Drawn,
) -> Result<RgbImage> {
    font::register();
    let mut pixels = vec![0; width as usize * height as usize * 3];
    draw(&mut pixels).map_err(|error| anyhow!("drawing: {error}"))?;
    RgbImage::from_raw(width, height, pixels).context("as many pixels")
}
