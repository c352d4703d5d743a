//! Which patches of a picture a classifier's decision draws on.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use image::imageops::{FilterType, resize};
use image::{GrayImage, Rgb, RgbImage};
use models::attention_map;
use nn::Context;
use plotters::prelude::{ColorMap as _, RGBColor, ViridisRGB};
use serde::Serialize;

use crate::data::Parts;
use crate::picture::in_colour;
use crate::task::Task;
use crate::trained::Trained;
use crate::written::Target;

/// Pixels of a side of each of the two pictures.
const SIDE: u32 = 448;
/// How much of the map is seen over the picture.
const OPACITY: f32 = 0.6;

/// What was drawn.
#[derive(Debug, Serialize)]
pub(super) struct Attended {
    picture: PathBuf,
    /// The class that the model finds.
    class: String,
    /// Its probability.
    probability: f32,
    /// The share of each patch, row by row; they sum to 1.
    map: Vec<Vec<f32>>,
}

/// Draws the picture as the model sees it, and beside it the same under the rollout of its attention.
pub(super) fn draw(trained: &Trained, image: &str, out: &Path) -> Result<Attended> {
    let Task::Classify(classifier) = &trained.task else {
        return Err(trained.other("classifier").context("--attention"));
    };
    let target = Target::new(out)?;
    let (model, params) = (&classifier.model, trained.state.evaluated());
    let bytes = match image.strip_prefix("test:") {
        None => classifier.read(Path::new(image), &trained.recipe.data)?,
        Some(number) => {
            let trainer = trained.trainer(Parts::Scored)?;
            let images = trainer.eval.images()?;
            let last = images.len() - 1;
            let number = number.parse().ok().filter(|&number: &usize| number <= last);
            let number = number
                .with_context(|| format!("--attention {image}: test:0 to test:{last} expected"))?;
            images.image(number)?.into_owned()
        }
    };
    let input = classifier.input(&bytes, &trained.normalize()?);
    let cx = Context::eval(params);
    let probabilities = classifier.probabilities(params, &input)?.to_vec();
    let best =
        (0..probabilities.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let best = best.context("at least one class")?;
    let map = attention_map(model, &cx, &input);
    let columns = map.dim(-1);
    let map: Vec<Vec<f32>> = map.to_vec().chunks(columns).map(<[f32]>::to_vec).collect();
    let shape = [model.config().channels, model.config().image_size, model.config().image_size];
    let drawn = side_by_side(&in_colour(&bytes, shape), &map, SIDE);
    target.write(&drawn)?;
    let class = trained.classes().0.get(best).map(|class| class.name.clone());
    Ok(Attended {
        picture: out.to_owned(),
        class: class.unwrap_or_else(|| best.to_string()),
        probability: probabilities[best],
        map,
    })
}

/// The picture, and the same in grey under the map, whose patches have the colours of Viridis from the least to the greatest.
/// Both have `side` pixels in height and width.
pub(crate) fn side_by_side(picture: &RgbImage, map: &[Vec<f32>], side: u32) -> RgbImage {
    let large = resize(picture, side, side, FilterType::Nearest);
    let grey: GrayImage = image::DynamicImage::ImageRgb8(large.clone()).to_luma8();
    let all = || map.iter().flatten().copied();
    let (least, most) = (all().fold(f32::INFINITY, f32::min), all().fold(0.0, f32::max));
    let gap = side / 37;
    RgbImage::from_fn(2 * side + gap, side, |x, y| {
        if x < side {
            return *large.get_pixel(x, y);
        }
        if x < side + gap {
            return Rgb([255; 3]);
        }
        let x = x - side - gap;
        let cell = |at: u32, count: usize| at as usize * count / side as usize;
        let share = map[cell(y, map.len())][cell(x, map[0].len())];
        // Equal shares, and those of a model that is not finite, have no place between the others.
        let place = f64::from((share - least) / (most - least));
        let place = if place.is_finite() { place } else { 0.5 };
        let RGBColor(r, g, b) = ViridisRGB.get_color_normalized(place, 0.0, 1.0);
        let under = f32::from(grey.get_pixel(x, y).0[0]);
        Rgb([r, g, b].map(|over| (OPACITY * f32::from(over) + (1.0 - OPACITY) * under) as u8))
    })
}

impl Attended {
    pub(super) fn print(&self, out: &mut impl Write) -> Result<()> {
        let Attended { picture, class, probability, map } = self;
        let most = map.iter().flatten().copied().fold(0.0, f32::max);
        let even = 1.0 / map.iter().flatten().count().max(1) as f32;
        writeln!(
            out,
            "attention → {}: `{class}` with probability {probability:.3}; a patch has up to {:.1} times its even share",
            picture.display(),
            most / even
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_share_is_drawn_bright_and_the_least_dark() {
        let picture = RgbImage::from_pixel(4, 4, Rgb([200, 100, 0]));
        let drawn = side_by_side(&picture, &[vec![0.1, 0.2], vec![0.3, 0.4]], 448);
        assert_eq!(drawn.dimensions(), (908, 448));
        assert_eq!(drawn.get_pixel(10, 10), &Rgb([200, 100, 0]));
        assert_eq!(drawn.get_pixel(450, 10), &Rgb([255; 3]));
        let brightness = |x, y| drawn.get_pixel(x, y).0.iter().map(|&c| u32::from(c)).sum::<u32>();
        let (least, most) = (brightness(470, 10), brightness(900, 440));
        assert!(most > least + 100, "{least} {most}");
        // A map without differences is drawn too, and that of a model that is not finite.
        for share in [0.5, 0.0, f32::NAN, f32::INFINITY] {
            side_by_side(&picture, &[vec![share, share]], 112);
        }
    }
}
