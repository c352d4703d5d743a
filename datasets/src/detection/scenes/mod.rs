//! Made-up scenes: garments or digits scattered over a background that distracts.
//!
//! Scene `i` is a function of the images, the options, the seed and `i`, so that there is no end of them and none is stored.
//! First it is laid out in *units*, then drawn at [`zoom`](Options::zoom) pixels to the unit. There are two ways to a larger
//! canvas: [`zoomed`](Options::zoomed) draws the same layouts more densely, and [`extended`](Options::extended) lays out a
//! larger area, with objects of the same size in pixels at places that a smaller canvas does not have.

mod background;
mod layout;
mod options;
mod sprite;

use std::fmt;

use rand::RngExt;

use self::background::Background;
use self::layout::Placed;
pub use self::options::Options;
use self::sprite::{Sprite, sprites};
use super::{Annotated, Object, Region, Truth};
use crate::fingerprint::Fingerprint;
use crate::image_folder::Channels;
use crate::random::{self, Purpose};
use crate::{Error, Images, Normalize, Split};

/// A generator of scenes.
///
/// A scene has between 1 and [`max_objects`](Options::max_objects) objects, each an image of the source cut to its content,
/// scaled with its shape kept and blended over the background in a bright colour. All images are equally likely, and so are
/// all numbers of objects, except that an object which finds no room in [`ATTEMPTS`] attempts is left out.
#[derive(Clone)]
pub struct Scenes {
    sprites: Vec<Sprite>,
    classes: Vec<String>,
    options: Options,
    seed: u64,
    /// Which numbers of the generator are drawn, besides the seed.
    stream: usize,
}

/// How often a place is looked for before an object is left out.
pub const ATTEMPTS: usize = 30;

impl Scenes {
    /// Scenes of these images, of shape `[1, H, W]`, bright on black; their classes are those of the objects.
    ///
    /// The two parts and layouts of different height or width in units draw disjoint random numbers of one seed. For a test
    /// on unseen objects give the images of the test split with `Split::Test`.
    ///
    /// # Errors
    ///
    /// Images of more than one channel or without any content, or options that make no sense.
    pub fn new(images: &Images, part: Split, seed: u64, options: Options) -> Result<Scenes, Error> {
        options.check()?;
        let sprites = sprites(images)?;
        // Parts and extents of layouts never share a stream: both fit side by side into one word.
        let [height, width] = options.extent().map(|side| side.round() as usize);
        let stream = (height << 33) | (width << 1) | usize::from(part == Split::Test);
        let classes = images.classes().to_vec();
        Ok(Scenes { sprites, classes, options, seed, stream })
    }

    /// The same with random numbers of their own, disjoint from those of both parts: scenes for validation, of images that are
    /// held out of the training set.
    #[must_use]
    pub fn validating(mut self) -> Scenes {
        // Sides have at most 14 bits, so this one is free in every stream.
        self.stream |= 1 << 32;
        self
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// How the scenes look.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// A hash of what scenes are made of: classes, objects, options and seed. Other scenes have another one.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fingerprint::of("scenes");
        hash.texts(&self.classes);
        hash.numbers([self.seed, self.stream as u64]);
        let &Options { canvas, zoom, channels, max_objects, sides, overlap, distractors, noise } =
            &self.options;
        hash.numbers(canvas);
        hash.numbers([channels.count(), max_objects, distractors]);
        hash.floats([zoom, sides[0], sides[1], overlap, noise]);
        for Sprite { class, size, pixels } in &self.sprites {
            hash.numbers([*class]);
            hash.numbers(*size);
            hash.bytes(pixels);
        }
        hash.finish()
    }

    /// Channels, height and width of every scene.
    pub fn shape(&self) -> [usize; 3] {
        let [height, width] = self.options.canvas;
        [self.options.channels.count(), height, width]
    }

    /// Scene `index`. The box of an object is tight: it holds every pixel that the object changes, and each of its four
    /// edges has one. What a later object covers counts as if it were seen.
    pub fn scene(&self, index: u64) -> Annotated {
        let mut rng = random::generator(self.seed, Purpose::Scene, self.stream, index as usize);
        let layout = layout::draw(&mut rng, &self.sprites, &self.options);
        let tints: Vec<Vec<f32>> = layout.iter().map(|_| self.tint(&mut rng)).collect();
        // Its noise is drawn last: how much of that there is depends on the number of pixels.
        let mut pixels = Background::draw(&mut rng, &self.options).render(&mut rng, &self.options);
        let mut objects = Vec::with_capacity(layout.len());
        for (placed, tint) in layout.into_iter().zip(tints) {
            let region = self.blend(&mut pixels, &placed, &tint);
            objects.push(Object { region, class: self.sprites[placed.sprite].class });
        }
        let truth = objects.iter().zip(1..).map(|(&object, id)| Truth::new(id, object)).collect();
        Annotated {
            id: index.into(),
            name: format!("scene {index}"),
            original: self.options.canvas,
            shape: self.shape(),
            pixels,
            objects,
            truth,
        }
    }

    /// The statistics of the first `count` scenes.
    ///
    /// # Panics
    ///
    /// If `count` is 0.
    pub fn normalize(&self, count: usize) -> Normalize {
        let scenes: Vec<Annotated> = (0..count as u64).map(|index| self.scene(index)).collect();
        Normalize::of_pixels(self.shape()[0], scenes.iter().map(|scene| scene.pixels.as_slice()))
    }

    /// A colour that no background reaches in at least one channel.
    fn tint(&self, rng: &mut impl RngExt) -> Vec<f32> {
        match self.options.channels {
            Channels::Grey => vec![rng.random_range(190.0..=255.0)],
            Channels::Rgb => {
                let strongest = rng.random_range(0..3);
                let mut tint = vec![0.0; 3];
                for (channel, value) in tint.iter_mut().enumerate() {
                    let least = if channel == strongest { 210.0 } else { 60.0 };
                    *value = rng.random_range(least..=255.0);
                }
                tint
            }
        }
    }

    /// Draws an object over the pixels; its tight box.
    fn blend(&self, pixels: &mut [u8], placed: &Placed, tint: &[f32]) -> Region {
        let [canvas_height, canvas_width] = self.options.canvas;
        let [height, width] = placed.size;
        let shape = self.sprites[placed.sprite].scaled(placed.size);
        let (mut rows, mut columns) = ([height, 0], [width, 0]);
        for (y, row) in shape.chunks_exact(width).enumerate() {
            for (x, _) in row.iter().enumerate().filter(|&(_, &value)| value > 0) {
                rows = [rows[0].min(y), rows[1].max(y + 1)];
                columns = [columns[0].min(x), columns[1].max(x + 1)];
            }
        }
        for (plane, tint) in pixels.chunks_exact_mut(canvas_height * canvas_width).zip(tint) {
            for (y, shape) in shape.chunks_exact(width).enumerate() {
                let row = &mut plane[(placed.top + y) * canvas_width + placed.left..][..width];
                for (pixel, &value) in row.iter_mut().zip(shape).filter(|&(_, &value)| value > 0) {
                    let opacity = sprite::opacity(value);
                    let below = f32::from(*pixel);
                    *pixel = (below + (tint - below) * opacity).round() as u8;
                }
            }
        }
        let [left, top] = [placed.left as f32, placed.top as f32];
        Region::new(columns[0] as f32, rows[0] as f32, columns[1] as f32, rows[1] as f32)
            .shifted(left, top)
    }
}

impl fmt::Debug for Scenes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Scenes")
            .field("sprites", &self.sprites.len())
            .field("classes", &self.classes)
            .field("options", &self.options)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_box_holds_every_pixel_that_an_object_changes_and_none_more() {
        for channels in [Channels::Grey, Channels::Rgb] {
            let options = Options { channels, ..Options::new([48, 64]) };
            let scenes = Scenes::new(&sample::fashion(Split::Test), Split::Test, 1, options);
            let scenes = scenes.unwrap();
            for index in 0..100 {
                let mut rng = random::generator(9, Purpose::Scene, 0, index);
                let layout = layout::draw(&mut rng, &scenes.sprites, &scenes.options);
                let background =
                    Background::draw(&mut rng, &scenes.options).render(&mut rng, &scenes.options);
                for placed in &layout {
                    let mut pixels = background.clone();
                    let tint = scenes.tint(&mut rng);
                    let region = scenes.blend(&mut pixels, placed, &tint);
                    assert_eq!(region, changed(&background, &pixels, [48, 64]), "{index}");
                }
            }
        }
    }

    /// The tight box of all pixels that differ.
    fn changed(before: &[u8], after: &[u8], [height, width]: [usize; 2]) -> Region {
        let mut region = Region::new(f32::MAX, f32::MAX, 0.0, 0.0);
        for (i, _) in before.iter().zip(after).enumerate().filter(|(_, (a, b))| a != b) {
            let (y, x) = ((i / width % height) as f32, (i % width) as f32);
            region = Region {
                left: region.left.min(x),
                top: region.top.min(y),
                right: region.right.max(x + 1.0),
                bottom: region.bottom.max(y + 1.0),
            };
        }
        region
    }

    #[test]
    fn parts_and_extents_never_share_a_stream() {
        let images = sample::fashion(Split::Test);
        let stream = |part, options| Scenes::new(&images, part, 1, options).unwrap().stream;
        let base = Options::new([64, 64]);
        let mut streams = vec![
            stream(Split::Train, base.clone()),
            stream(Split::Test, base.clone()),
            stream(Split::Train, base.extended([64, 96])),
            stream(Split::Train, base.extended([96, 64])),
            stream(Split::Test, base.extended([96, 96])),
        ];
        assert_eq!(stream(Split::Test, base.zoomed(1.5)), streams[1]);
        for options in [base.clone(), base.extended([96, 64])] {
            let scenes = Scenes::new(&images, Split::Train, 1, options).unwrap();
            streams.push(scenes.validating().stream);
        }
        streams.sort_unstable();
        streams.dedup();
        assert_eq!(streams.len(), 7);
    }
}
