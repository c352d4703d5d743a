//! Pictures that are named on the command line.

use std::path::Path;

use anyhow::{Context as _, Result};
use image::DynamicImage;

/// Reads a PNG or JPEG file of at most 16,384 pixels a side.
pub(crate) fn open(path: &Path) -> Result<DynamicImage> {
    let reader = image::ImageReader::open(path).and_then(|reader| reader.with_guessed_format());
    let mut reader = reader.with_context(|| path.display().to_string())?;
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(1 << 14), Some(1 << 14));
    reader.limits(limits);
    reader.decode().with_context(|| format!("{}: a PNG or JPEG picture expected", path.display()))
}
