//! Images cut to their content.

use super::super::resample;
use crate::{Error, Images};

/// Values below this are noise around the content of an image, and not part of it.
const FAINT: u8 = 24;

/// How much of the background the faintest part of an object hides: without it, dark cloth could not be found.
const LEAST_OPACITY: f32 = 0.4;

/// The content of an image. Shape: `[H, W]`; each of its four edges has a value that is not 0.
#[derive(Clone, Debug)]
pub(super) struct Sprite {
    pub(super) class: usize,
    pub(super) size: [usize; 2],
    pub(super) pixels: Vec<u8>,
}

/// The contents of all images that have any.
pub(super) fn sprites(images: &Images) -> Result<Vec<Sprite>, Error> {
    let [channels, height, width] = images.shape();
    if channels != 1 {
        return Err(Error::option("scenes.images", "images of one channel", channels));
    }
    let cut = |i| {
        let pixels = images.image(i).expect("images in memory");
        Sprite::cut(&pixels, [height, width], images.label(i))
    };
    let sprites: Vec<Sprite> = (0..images.len()).filter_map(cut).collect();
    match sprites.is_empty() {
        true => Err(Error::option("scenes.images", "an image that is not black", "none")),
        false => Ok(sprites),
    }
}

impl Sprite {
    fn cut(image: &[u8], [height, width]: [usize; 2], class: usize) -> Option<Sprite> {
        let seen = |y: usize, x: usize| image[y * width + x] >= FAINT;
        let filled_row = |&y: &usize| (0..width).any(|x| seen(y, x));
        let filled_column = |&x: &usize| (0..height).any(|y| seen(y, x));
        let (top, bottom) = ((0..height).find(filled_row)?, (0..height).rfind(filled_row)?);
        let (left, right) = ((0..width).find(filled_column)?, (0..width).rfind(filled_column)?);
        let size = [bottom - top + 1, right - left + 1];
        let rows = image.chunks_exact(width).skip(top).take(size[0]);
        let pixels = rows.flat_map(|row| &row[left..=right]).map(|&value| clean(value)).collect();
        Some(Sprite { class, size, pixels })
    }

    /// It at another size; what gets faint by that is cut off.
    pub(super) fn scaled(&self, size: [usize; 2]) -> Vec<u8> {
        let mut pixels = resample::resized(&self.pixels, self.size, size);
        let greatest = pixels.iter().copied().max().unwrap_or(0);
        if greatest < FAINT {
            // A thin stroke at a fraction of its size: shown as bright as it was.
            pixels.iter_mut().for_each(|value| *value = if *value == greatest { 255 } else { 0 });
        }
        pixels.iter_mut().for_each(|value| *value = clean(*value));
        pixels
    }
}

fn clean(value: u8) -> u8 {
    if value < FAINT { 0 } else { value }
}

/// How much of the background a value above 0 hides.
pub(super) fn opacity(value: u8) -> f32 {
    LEAST_OPACITY + (1.0 - LEAST_OPACITY) * f32::from(value) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_cut_to_its_content() {
        let image = [0, 3, 0, 0, 0, 90, 9, 80, 0, 0, 70, 0];
        let sprite = Sprite::cut(&image, [3, 4], 1).unwrap();
        assert_eq!((sprite.size, &sprite.pixels[..]), ([2, 3], &[90, 0, 80, 0, 70, 0][..]));
        assert!(Sprite::cut(&[0, 3, 0, 0], [2, 2], 0).is_none());
    }

    #[test]
    fn something_is_left_of_a_sprite_at_any_size() {
        let mut image = [0; 400];
        image[0] = 255;
        image[399] = 255;
        let sprite = Sprite::cut(&image, [20, 20], 0).unwrap();
        for size in [[1, 1], [2, 2], [3, 7], [40, 40]] {
            assert!(sprite.scaled(size).iter().any(|&value| value > 0), "{size:?}");
        }
    }
}
