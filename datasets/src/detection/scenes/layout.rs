//! Where objects are.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::sprite::Sprite;
use super::{ATTEMPTS, Options};
use crate::detection::Region;

/// An object at a place of the canvas, in pixels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    /// Which sprite.
    pub(super) sprite: usize,
    pub(super) top: usize,
    pub(super) left: usize,
    /// Height and width; all of it lies on the canvas.
    pub(super) size: [usize; 2],
}

/// Draws one layout. What is drawn depends on units alone, and not on how densely they are shown.
pub(super) fn draw(rng: &mut ChaCha8Rng, sprites: &[Sprite], options: &Options) -> Vec<Placed> {
    let [height, width] = options.extent();
    let count = rng.random_range(1..=options.max_objects);
    let mut taken: Vec<(usize, Region)> = Vec::with_capacity(count);
    for _ in 0..count {
        let sprite = rng.random_range(0..sprites.len());
        let longer = rng.random_range(options.sides[0]..=options.sides[1]);
        let [rows, columns] = sprites[sprite].size.map(|side| side as f32);
        let scale = longer / rows.max(columns);
        let (h, w) = (rows * scale, columns * scale);
        let place = (0..ATTEMPTS).find_map(|_| {
            // From 0 up to the room that is left, which rounding may have made negative.
            let top = rng.random::<f32>() * (height - h).max(0.0);
            let left = rng.random::<f32>() * (width - w).max(0.0);
            let region = Region::new(left, top, left + w, top + h);
            let free = taken.iter().all(|(_, other)| {
                let smaller = region.area().min(other.area());
                region.overlap(other) <= f64::from(options.overlap) * smaller
            });
            free.then_some(region)
        });
        taken.extend(place.map(|region| (sprite, region)));
    }
    taken.into_iter().map(|(sprite, region)| to_pixels(sprite, &region, options)).collect()
}

/// To whole pixels, at least one in each direction, within the canvas.
fn to_pixels(sprite: usize, region: &Region, options: &Options) -> Placed {
    let region = region.scaled(options.zoom, options.zoom);
    let side = |length: f32, most: usize| (length.round() as usize).clamp(1, most);
    let size = [side(region.height(), options.canvas[0]), side(region.width(), options.canvas[1])];
    let place = |start: f32, side: usize, most: usize| (start.round() as usize).min(most - side);
    let top = place(region.top, size[0], options.canvas[0]);
    let left = place(region.left, size[1], options.canvas[1]);
    Placed { sprite, top, left, size }
}
