//! What is to be seen of a node.

use std::path::Path;

use super::Node;
use crate::Error;
use crate::detection::resample::Resampler;
use crate::image_folder::Channels;
use crate::picture::Picture;

/// Height and width of what is shown of a node.
pub const SIDE: usize = 64;

/// Nodes that are neither wider nor higher than this fraction of the canvas are not shown.
const THINNEST: f32 = 0.005;

/// The picture of a screen, grey: the luminance of ITU-R BT.709.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screenshot {
    size: [usize; 2],
    pixels: Vec<u8>,
}

impl Screenshot {
    /// A picture `[H, W]`.
    ///
    /// # Panics
    ///
    /// If a side is 0, or there are not H·W pixels.
    pub fn new(size: [usize; 2], pixels: Vec<u8>) -> Screenshot {
        let [height, width] = size;
        assert!(height > 0 && width > 0, "screenshot: a side is 0: {height} × {width}");
        let found = pixels.len();
        assert_eq!(height * width, found, "screenshot: {found} pixels for {height} × {width}");
        Screenshot { size, pixels }
    }

    /// Reads a file; [`picture`](crate::picture) says which, and how.
    ///
    /// # Errors
    ///
    /// What [`picture::open`](crate::picture::open) refuses.
    pub fn read(path: &Path) -> Result<Screenshot, Error> {
        let Picture { shape: [_, height, width], pixels } = Picture::read(path, Channels::Grey)?;
        Ok(Screenshot { size: [height, width], pixels })
    }

    /// Height and width in pixels.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }
}

/// The part of a picture within bounds, `[64, 64]`, in any ratio of its sides.
///
/// Bounds are left, top, right and bottom in fractions of the picture, and are clipped to it. Edges are cut off to whole pixels;
/// at least one pixel is shown. Made smaller, pixels are averaged by a triangle filter.
pub fn crop(picture: &Screenshot, bounds: [f32; 4]) -> [u8; SIDE * SIDE] {
    let [height, width] = picture.size;
    let range = |low: f32, high: f32, side: usize| {
        // A fraction in f32 may miss the whole pixel that it was made from by a little.
        let pixel = |x: f32| (f64::from(x.clamp(0.0, 1.0)) * side as f64 + 1e-3) as usize;
        let start = pixel(low).min(side - 1);
        start..pixel(high).clamp(start + 1, side)
    };
    let [left, top, right, bottom] = bounds.map(|x| if x.is_nan() { 0.0 } else { x });
    let (rows, columns) = (range(top, bottom, height), range(left, right, width));
    let mut values = [0.0; SIDE * SIDE];
    Resampler::new([rows, columns], [SIDE, SIDE]).plane(&picture.pixels, width, &mut values);
    values.map(|value| (value + 0.5) as u8)
}

/// What is to be seen of a node: nothing, that is zeros, if it is not visible or hardly has a size.
pub(super) fn shown(picture: &Screenshot, node: &Node) -> [u8; SIDE * SIDE] {
    let [left, top, right, bottom] = node.bounds;
    match node.visible && (right - left > THINNEST || bottom - top > THINNEST) {
        true => crop(picture, node.bounds),
        false => [0; SIDE * SIDE],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_shows_the_pixels_within_the_bounds() {
        // 128 × 64 pixels: the right half is 200, a stripe at the top 90.
        let at = |i: usize| match (i / 64, i % 64) {
            (0..32, _) => 90,
            (_, 32..) => 200,
            _ => 10,
        };
        let picture = Screenshot::new([128, 64], (0..128 * 64).map(at).collect());
        assert!(crop(&picture, [0.0, 0.0, 1.0, 0.25]).iter().all(|&pixel| pixel == 90));
        assert!(crop(&picture, [0.5, 0.5, 1.0, 1.0]).iter().all(|&pixel| pixel == 200));
        let lower = crop(&picture, [0.0, 0.5, 1.0, 1.0]);
        assert_eq!((lower[0], lower[31], lower[32], lower[63]), (10, 10, 200, 200));
    }

    #[test]
    fn bounds_without_area_or_beyond_the_picture_show_at_least_one_pixel() {
        let picture = Screenshot::new([1, 2], vec![3, 5]);
        assert_eq!(crop(&picture, [0.9, 0.2, 0.9, 0.2]), [5; SIDE * SIDE]);
        assert_eq!(crop(&picture, [-7.0, -7.0, -6.0, f32::NAN]), [3; SIDE * SIDE]);
        assert_eq!(crop(&picture, [1.0, 1.0, 9.0, 9.0]), [5; SIDE * SIDE]);
    }

    // 84/1440 of 360 columns is 21 exactly, and 84.0_f32/1440 a little less.
    #[test]
    fn fractions_of_whole_pixels_are_not_cut_off_by_rounding() {
        let picture = Screenshot::new([1, 360], (0..360).map(|x| (x / 2) as u8).collect());
        for x in 0..360_u32 {
            let [left, right] = [4 * x, 4 * (x + 1)].map(|x| (f64::from(x) / 1440.0) as f32);
            assert_eq!(crop(&picture, [left, 0.0, right, 1.0]), [(x / 2) as u8; SIDE * SIDE]);
        }
    }

    #[test]
    fn what_is_invisible_or_thin_is_not_shown() {
        let picture = Screenshot::new([2, 2], vec![9; 4]);
        let node = |visible, bounds| Node { visible, bounds, ..Node::default() };
        let sum =
            |node| shown(&picture, &node).iter().map(|&pixel| usize::from(pixel)).sum::<usize>();
        assert_eq!(sum(node(true, [0.0, 0.0, 0.0, 1.0])), 9 * SIDE * SIDE);
        assert_eq!(sum(node(true, [0.5, 0.5, 0.504, 0.504])), 0);
        assert_eq!(sum(node(false, [0.0, 0.0, 1.0, 1.0])), 0);
    }
}
