//! Crops, sizes, reflections and colours, of a picture and its objects alike.

use std::ops::Range;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Object, Region};
use crate::Error;
use crate::random::{self, Purpose};

/// What is left to chance when a picture is shown with its objects; nothing by [`default`](Self::default).
///
/// The defaults of [`crop_size`](Self::crop_size) and [`scale`](Self::scale) are the ranges with which DETR learns COCO: crops
/// of 384 to 600 from pictures whose shorter side is 400 to 600, and shorter sides of 480 to 800.
///
/// Source: N. Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020, section 4 and `datasets/coco.py`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// The probability of a reflection that exchanges left and right.
    pub flip: f32,
    /// The probability of a reflection that exchanges top and bottom.
    pub flip_vertical: f32,
    /// The probability that only a part of the picture is shown.
    pub crop: f32,
    /// The least and the greatest height of that part as fractions of the picture's, and likewise, drawn apart, of its width.
    pub crop_size: [f32; 2],
    /// The probability that what is shown does not fill the canvas as far as its shape allows.
    pub rescale: f32,
    /// The least and the greatest size then, as fractions of the size that fills the canvas.
    pub scale: [f32; 2],
    /// Colours are multiplied by a factor up to this far from 1.
    pub brightness: f32,
    /// Differences to the mean grey of the picture are multiplied by a factor up to this far from 1.
    pub contrast: f32,
    /// Differences to the grey of the same pixel are multiplied by a factor up to this far from 1.
    pub saturation: f32,
}

impl Default for Augment {
    fn default() -> Augment {
        Augment {
            flip: 0.0,
            flip_vertical: 0.0,
            crop: 0.0,
            crop_size: [0.6, 1.0],
            rescale: 0.0,
            scale: [0.6, 1.0],
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
        }
    }
}

impl Augment {
    /// How a picture of height `h` and width `w` is seen on a canvas in one epoch: a function of the seed, the epoch, the
    /// index of the picture and these sizes, and of nothing else. All draws are uniform.
    pub fn view(
        &self,
        seed: u64,
        epoch: usize,
        index: usize,
        [h, w]: [usize; 2],
        canvas: [usize; 2],
    ) -> View {
        let mut rng = random::generator(seed, Purpose::View, epoch, index);
        let rng = &mut rng;
        let mut view = View::plain([h, w], canvas);
        view.flip = chance(rng, self.flip);
        view.flip_vertical = chance(rng, self.flip_vertical);
        // Drawn in any case, so that one option does not change what another one draws.
        let (cropped, rescaled) = (chance(rng, self.crop), chance(rng, self.rescale));
        let crop = [h, w].map(|side| {
            let length = (between(rng, self.crop_size) * side as f32).round() as usize;
            let length = length.clamp(1, side);
            let start = rng.random_range(0..=side - length);
            start..start + length
        });
        let scale = between(rng, self.scale);
        view.colour = [self.brightness, self.contrast, self.saturation]
            .map(|strength| between(rng, [1.0 - strength, 1.0 + strength]));
        if cropped {
            view.crop = crop;
        }
        let shown = [view.crop[0].len(), view.crop[1].len()];
        view.size = fit(shown, canvas, if rescaled { scale } else { 1.0 });
        view
    }

    /// Whether the values make sense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let probabilities = [
            ("augment.flip", self.flip),
            ("augment.flip_vertical", self.flip_vertical),
            ("augment.crop", self.crop),
            ("augment.rescale", self.rescale),
        ];
        for (option, value) in probabilities {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::option(option, "a probability from 0 to 1", value));
            }
        }
        let ranges = [("augment.crop_size", self.crop_size), ("augment.scale", self.scale)];
        for (option, [least, greatest]) in ranges {
            if !(0.0 < least && least <= greatest && greatest <= 1.0) {
                let found = format_args!("{:?}", [least, greatest]);
                return Err(Error::option(
                    option,
                    "two fractions above 0 up to 1, in order",
                    found,
                ));
            }
        }
        let strengths = [
            ("augment.brightness", self.brightness),
            ("augment.contrast", self.contrast),
            ("augment.saturation", self.saturation),
        ];
        for (option, value) in strengths {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::option(option, "a strength from 0 to 1", value));
            }
        }
        Ok(())
    }
}

fn chance(rng: &mut ChaCha8Rng, probability: f32) -> bool {
    rng.random::<f32>() < probability
}

fn between(rng: &mut ChaCha8Rng, [least, greatest]: [f32; 2]) -> f32 {
    rng.random_range(least..=greatest)
}

/// The height and width that keep the ratio of a picture's and are `scale` times as large as fits the canvas; at least 1.
fn fit([h, w]: [usize; 2], canvas: [usize; 2], scale: f32) -> [usize; 2] {
    let factor = (canvas[0] as f64 / h as f64).min(canvas[1] as f64 / w as f64) * f64::from(scale);
    let side = |side: usize, most: usize| ((side as f64 * factor).round() as usize).clamp(1, most);
    [side(h, canvas[0]), side(w, canvas[1])]
}

/// How a picture is seen: a part of it, at a size, perhaps reflected, in other colours, at the top left of a canvas.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The rows and columns of the picture that are shown.
    pub crop: [Range<usize>; 2],
    /// The height and width at which they are shown, in pixels of the canvas.
    pub size: [usize; 2],
    /// Whether left and right are exchanged.
    pub flip: bool,
    /// Whether top and bottom are exchanged.
    pub flip_vertical: bool,
    /// The factors of brightness, contrast and saturation.
    pub colour: [f32; 3],
}

impl View {
    /// All of a picture of height `h` and width `w`, as large as the canvas allows with the ratio of its sides kept (to whole
    /// pixels). A picture of the size of the canvas is shown as it is.
    pub fn plain([h, w]: [usize; 2], canvas: [usize; 2]) -> View {
        View {
            crop: [0..h, 0..w],
            size: fit([h, w], canvas, 1.0),
            flip: false,
            flip_vertical: false,
            colour: [1.0; 3],
        }
    }

    /// A region of the picture in pixels of the canvas. It has no area if no part of it is shown.
    pub fn region(&self, region: &Region) -> Region {
        let [rows, columns] = &self.crop;
        let [height, width] = self.size.map(|side| side as f32);
        let scale = [height / rows.len() as f32, width / columns.len() as f32];
        let region = region
            .shifted(-(columns.start as f32), -(rows.start as f32))
            .clipped(columns.len() as f32, rows.len() as f32)
            .scaled(scale[1], scale[0])
            .clipped(width, height);
        let region = if self.flip { region.flipped(width) } else { region };
        if self.flip_vertical { region.flipped_vertically(height) } else { region }
    }

    /// The objects of which some area is shown, clipped to what is shown, in pixels of the canvas (DETR's rule).
    pub fn objects(&self, objects: &[Object]) -> Vec<Object> {
        let seen =
            objects.iter().map(|object| Object { region: self.region(&object.region), ..*object });
        seen.filter(|object| object.region.is_proper()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_augmentation_a_picture_is_seen_plainly() {
        for index in 0..20 {
            let view = Augment::default().view(1, 2, index, [30, 40], [64, 64]);
            assert_eq!(view, View::plain([30, 40], [64, 64]));
            assert_eq!(view.size, [48, 64]);
        }
        assert_eq!(View::plain([1, 1000], [8, 8]).size, [1, 8]);
    }

    #[test]
    fn a_region_is_cut_scaled_and_reflected() {
        let view = View {
            crop: [10..30, 20..60],
            size: [10, 20],
            flip: true,
            flip_vertical: false,
            colour: [1.0; 3],
        };
        // Cut: 4, 0, 40, 6; halved: 2, 0, 20, 3.
        let object = Object { region: Region::new(24.0, 4.0, 64.0, 16.0), class: 0 };
        let seen = view.objects(&[object]);
        assert_eq!(seen[0].region, Region::new(0.0, 0.0, 18.0, 3.0));
        let outside = Object { region: Region::new(0.0, 0.0, 20.0, 40.0), class: 0 };
        assert_eq!(view.objects(&[outside, object]), seen);
    }

    #[test]
    fn draws_have_the_frequencies_and_ranges_that_were_asked_for() {
        let augment = Augment {
            flip: 0.5,
            flip_vertical: 0.25,
            crop: 0.5,
            rescale: 1.0,
            brightness: 0.2,
            ..Augment::default()
        };
        let views: Vec<View> =
            (0..4000).map(|i| augment.view(3, 0, i, [100, 80], [50, 50])).collect();
        // Four standard deviations of a binomial count: 4·√(4000·p·(1 − p)).
        let near = |count: usize, p: f64| {
            (count as f64 - 4000.0 * p).abs() < 4.0 * (4000.0 * p * (1.0 - p)).sqrt()
        };
        assert!(near(views.iter().filter(|view| view.flip).count(), 0.5));
        assert!(near(views.iter().filter(|view| view.flip_vertical).count(), 0.25));
        let cropped = views.iter().filter(|view| view.crop != [0..100, 0..80]).count();
        assert!(near(cropped, 0.5), "{cropped}");
        for View { crop, size, colour, .. } in &views {
            assert!((60..=100).contains(&crop[0].len()) && (48..=80).contains(&crop[1].len()));
            assert!((29..=50).contains(size.iter().max().unwrap()), "{size:?}");
            assert!((0.8..=1.2).contains(&colour[0]) && colour[1..] == [1.0, 1.0]);
        }
    }
}
