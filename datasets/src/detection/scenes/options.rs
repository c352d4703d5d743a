//! How scenes look.

use crate::Error;
use crate::image_folder::Channels;

/// How [`Scenes`](super::Scenes) look.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Height and width of a scene in pixels.
    pub canvas: [usize; 2],
    /// Pixels to the unit in which objects are laid out.
    pub zoom: f32,
    /// One channel, or three with a colour for each object.
    pub channels: Channels,
    /// The greatest number of objects in a scene; the least is 1.
    pub max_objects: usize,
    /// The least and the greatest length of the longer side of an object, in units.
    pub sides: [f32; 2],
    /// The part of the smaller of two objects' rectangles that the other may cover at most, before they are rounded to
    /// pixels. Their intersection over union is never greater than this.
    pub overlap: f32,
    /// The greatest number of strokes and blobs in the background.
    pub distractors: usize,
    /// Half the range of the noise that each pixel of the background has for itself, in steps of a byte.
    pub noise: f32,
}

/// The greatest side of a canvas, in pixels and in units.
const MAX_SIDE: usize = 1 << 13;

impl Options {
    /// Up to 8 objects of 10 to 24 pixels in colour on a canvas of this height and width.
    pub fn new(canvas: [usize; 2]) -> Options {
        Options {
            canvas,
            zoom: 1.0,
            channels: Channels::Rgb,
            max_objects: 8,
            sides: [10.0, 24.0],
            overlap: 0.2,
            distractors: 6,
            noise: 10.0,
        }
    }

    /// The same layouts on a canvas `factor` times as large in each direction: objects grow with it. Scene `i` shows the
    /// same objects at the same places up to the rounding to pixels, its strokes and blobs too; only the noise differs.
    #[must_use]
    pub fn zoomed(&self, factor: f32) -> Options {
        let canvas = self.canvas.map(|side| (side as f32 * factor).round() as usize);
        Options { canvas, zoom: self.zoom * factor, ..self.clone() }
    }

    /// Other layouts on another canvas: objects keep their size in pixels, and a larger canvas has places further from the
    /// origin. The number of objects keeps its range.
    #[must_use]
    pub fn extended(&self, canvas: [usize; 2]) -> Options {
        Options { canvas, ..self.clone() }
    }

    /// Height and width of a layout in units.
    pub(super) fn extent(&self) -> [f32; 2] {
        self.canvas.map(|side| side as f32 / self.zoom)
    }

    /// Whether the values make sense.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Options { canvas, zoom, max_objects, sides, overlap, noise, .. } = self;
        if !canvas.iter().all(|side| (1..=MAX_SIDE).contains(side)) {
            let expected = format_args!("a height and a width from 1 to {MAX_SIDE}");
            return Err(Error::option("scenes.canvas", expected, format_args!("{canvas:?}")));
        }
        let extent = self.extent();
        if !extent.iter().all(|side| (1.0..=MAX_SIDE as f32).contains(side)) {
            let expected = format_args!("a layout with sides of 1 to {MAX_SIDE} units");
            return Err(Error::option("scenes.zoom", expected, zoom));
        }
        if *max_objects == 0 {
            return Err(Error::option("scenes.max_objects", "at least 1", 0));
        }
        let most = extent[0].min(extent[1]);
        if !(sides[0] * zoom >= 2.0 && sides[0] <= sides[1] && sides[1] <= most) {
            let expected =
                format_args!("two lengths in order, from 2 pixels up to the layout's {most} units");
            return Err(Error::option("scenes.sides", expected, format_args!("{sides:?}")));
        }
        if !(0.0..=1.0).contains(overlap) {
            return Err(Error::option("scenes.overlap", "a fraction from 0 to 1", overlap));
        }
        if !(0.0..=127.0).contains(noise) {
            return Err(Error::option("scenes.noise", "steps of a byte from 0 to 127", noise));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let base = Options::new([32, 64]);
        let cases = [
            (base.extended([0, 9]), "scenes.canvas: expected a height and a width from 1 to 8192"),
            (Options { zoom: 0.0, ..base.clone() }, "scenes.zoom: expected a layout with sides"),
            (Options { zoom: f32::NAN, ..base.clone() }, "scenes.zoom: expected a layout with"),
            (Options { max_objects: 0, ..base.clone() }, "scenes.max_objects: expected at least 1"),
            (Options { sides: [10.0, 33.0], ..base.clone() }, "scenes.sides: expected two lengths"),
            (Options { sides: [1.0, 9.0], ..base.clone() }, "scenes.sides: expected two lengths"),
            (Options { overlap: -0.1, ..base.clone() }, "scenes.overlap: expected a fraction"),
            (Options { noise: f32::NAN, ..base.clone() }, "scenes.noise: expected steps"),
        ];
        for (options, message) in cases {
            let found = options.check().unwrap_err().to_string();
            assert!(found.starts_with(message), "{found}");
        }
        assert!(base.check().is_ok() && base.zoomed(2.0).check().is_ok());
    }
}
