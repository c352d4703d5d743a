//! What distracts from the objects: a gradient, clouds, strokes, blobs and noise, all of them darker than any object.

use std::ops::Range;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt};

use super::Options;

/// The brightest that a background gets; every object is brighter in at least one channel.
pub(super) const BRIGHTEST: f32 = 140.0;

/// A background, in units and steps of a byte.
pub(super) struct Background {
    /// The mean of each channel.
    base: Vec<f32>,
    /// How much brighter it gets downwards and to the right, over the whole extent.
    slope: [f32; 2],
    clouds: Clouds,
    marks: Vec<Mark>,
}

/// Random values on a coarse lattice, interpolated in between.
struct Clouds {
    /// The distance of neighbours on the lattice.
    cell: f32,
    columns: usize,
    values: Vec<f32>,
}

struct Mark {
    shape: Shape,
    /// What it adds to each channel.
    offset: Vec<f32>,
}

/// Places are `[y, x]`.
enum Shape {
    /// All places no further than `radius` from the line between two points.
    Stroke { from: [f32; 2], to: [f32; 2], radius: f32 },
    /// An ellipse with axes along those of the picture.
    Blob { centre: [f32; 2], radii: [f32; 2] },
}

impl Background {
    pub(super) fn draw(rng: &mut ChaCha8Rng, options: &Options) -> Background {
        let channels = options.channels.count();
        let extent = options.extent();
        let base = (0..channels).map(|_| rng.random_range(20.0..=80.0)).collect();
        let slope = [(); 2].map(|()| rng.random_range(-30.0..=30.0));
        let clouds = Clouds::draw(rng, extent);
        let count = rng.random_range(0..=options.distractors);
        let marks = (0..count).map(|_| Mark::draw(rng, extent, channels)).collect();
        Background { base, slope, clouds, marks }
    }

    /// The pixels, with noise from `rng`. Shape: `[C, H, W]`.
    pub(super) fn render(&self, rng: &mut ChaCha8Rng, options: &Options) -> Vec<u8> {
        let [height, width] = options.canvas;
        let unit = options.zoom.recip();
        let common = self.common(options);
        let mut planes: Vec<f32> = Vec::with_capacity(self.base.len() * common.len());
        for base in &self.base {
            planes.extend(common.iter().map(|value| base + value));
        }
        for Mark { shape, offset } in &self.marks {
            let [rows, columns] = shape.bounds(options);
            for y in rows {
                for x in columns.clone() {
                    let centre = [(y as f32 + 0.5) * unit, (x as f32 + 0.5) * unit];
                    // Edges blend over the width of one pixel.
                    let cover = (0.5 + shape.depth(centre) * options.zoom).clamp(0.0, 1.0);
                    for (channel, offset) in offset.iter().enumerate() {
                        planes[(channel * height + y) * width + x] += offset * cover;
                    }
                }
            }
        }

        let mut noise = vec![0; planes.len()];
        rng.fill_bytes(&mut noise);
        let amplitude = options.noise / 127.5;
        let noisy = planes.into_iter().zip(noise).map(|(value, noise)| {
            let value = value + (f32::from(noise) - 127.5) * amplitude;
            (value.clamp(0.0, BRIGHTEST) + 0.5) as u8
        });
        noisy.collect()
    }

    /// Gradient and clouds, which all channels share. Shape: `[H, W]`.
    fn common(&self, options: &Options) -> Vec<f32> {
        let [height, width] = options.canvas;
        let unit = options.zoom.recip();
        // Lattice column and place behind it of each column of pixels.
        let places: Vec<(usize, f32)> =
            (0..width).map(|x| self.clouds.place((x as f32 + 0.5) * unit)).collect();
        let mut common = Vec::with_capacity(height * width);
        for y in 0..height {
            let row = self.clouds.row((y as f32 + 0.5) * unit);
            let down = self.slope[0] * (y as f32 / height as f32 - 0.5);
            let right = self.slope[1] / width as f32;
            common.extend(places.iter().enumerate().map(|(x, &(column, part))| {
                let cloud = row[column] + (row[column + 1] - row[column]) * part;
                down + right * x as f32 + cloud
            }));
        }
        common
    }
}

impl Clouds {
    fn draw(rng: &mut ChaCha8Rng, extent: [f32; 2]) -> Clouds {
        let cell = rng.random_range(6.0..=20.0);
        let [rows, columns] = extent.map(|side| (side / cell) as usize + 2);
        let strength = rng.random_range(0.0..=25.0_f32);
        let values = (0..rows * columns).map(|_| rng.random_range(-strength..=strength)).collect();
        Clouds { cell, columns, values }
    }

    /// The last lattice line in front of a place, and how far towards the next one it is.
    fn place(&self, at: f32) -> (usize, f32) {
        let at = at / self.cell;
        (at as usize, at.fract())
    }

    /// The values at one height, for each column of the lattice.
    fn row(&self, y: f32) -> Vec<f32> {
        let (row, part) = self.place(y);
        let rows = &self.values[row * self.columns..][..2 * self.columns];
        let (above, below) = rows.split_at(self.columns);
        above.iter().zip(below).map(|(above, below)| above + (below - above) * part).collect()
    }
}

impl Mark {
    fn draw(rng: &mut ChaCha8Rng, extent: [f32; 2], channels: usize) -> Mark {
        let mut point = || extent.map(|side| rng.random::<f32>() * side);
        let (from, to) = (point(), point());
        let shape = if rng.random() {
            Shape::Stroke { from, to, radius: rng.random_range(0.5..=2.0) }
        } else {
            Shape::Blob { centre: from, radii: [(); 2].map(|()| rng.random_range(2.0..=10.0)) }
        };
        let offset = (0..channels).map(|_| rng.random_range(-50.0..=60.0)).collect();
        Mark { shape, offset }
    }
}

impl Shape {
    /// How far a place is inside of the edge, in units, negative outside; of blobs only near the edge.
    fn depth(&self, [y, x]: [f32; 2]) -> f32 {
        match *self {
            Shape::Stroke { from, to, radius } => {
                let (dy, dx) = (to[0] - from[0], to[1] - from[1]);
                let (py, px) = (y - from[0], x - from[1]);
                let length = (dy * dy + dx * dx).max(f32::MIN_POSITIVE);
                let along = ((py * dy + px * dx) / length).clamp(0.0, 1.0);
                let (ry, rx) = (py - along * dy, px - along * dx);
                radius - (ry * ry + rx * rx).sqrt()
            }
            Shape::Blob { centre, radii } => {
                let (ry, rx) = ((y - centre[0]) / radii[0], (x - centre[1]) / radii[1]);
                (1.0 - (ry * ry + rx * rx).sqrt()) * radii[0].min(radii[1])
            }
        }
    }

    /// The rows and columns of pixels outside of which it is not seen.
    fn bounds(&self, options: &Options) -> [Range<usize>; 2] {
        let axis = |axis: usize| {
            let (least, greatest) = match *self {
                Shape::Stroke { from, to, radius } => {
                    (from[axis].min(to[axis]) - radius, from[axis].max(to[axis]) + radius)
                }
                Shape::Blob { centre, radii } => {
                    (centre[axis] - radii[axis], centre[axis] + radii[axis])
                }
            };
            let pixel = |at: f32| (at * options.zoom).max(0.0) as usize;
            // Two more, for the blended edge.
            pixel(least).saturating_sub(1)..(pixel(greatest) + 2).min(options.canvas[axis])
        };
        [axis(0), axis(1)]
    }
}
