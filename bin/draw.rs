//! Boxes with labels, drawn on pictures.

use anyhow::{Result, anyhow};
use image::RgbImage;
use models::Corners;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::font;

/// Pixels of a coloured line, without the black ones on both sides of it.
const LINE: i32 = 2;

/// Draws boxes, in pixels, each with a label such as `cat 0.97` and the number of its colour; equal numbers, equal colours.
/// Later ones are drawn over earlier ones.
///
/// Lines are bright between two black ones, and letters stand on a ground of that colour, so that both can be seen on any
/// picture. A label stands above its box or, where there is no room, inside. What lies outside of the picture is moved to its border.
pub(crate) fn boxes(picture: &mut RgbImage, all: &[(Corners, String, usize)]) -> Result<()> {
    font::register();
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 {
        return Ok(());
    }
    let root = BitMapBackend::with_buffer(picture, (width, height)).into_drawing_area();
    for (bounds, text, number) in all {
        one(&root, *bounds, text, colour(*number)).map_err(|error| anyhow!("drawing: {error}"))?;
    }
    root.present().map_err(|error| anyhow!("drawing: {error}"))
}

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn one(root: &Area<'_>, bounds: Corners, text: &str, colour: RGBColor) -> Drawn {
    let (width, height) = root.dim_in_pixel();
    let bounds = bounds.clipped(f64::from(width), f64::from(height));
    let (left, top) = (bounds.left.floor() as i32, bounds.top.floor() as i32);
    // The last pixels inside.
    let right = (bounds.right.ceil() as i32 - 1).clamp(left, width as i32);
    let bottom = (bounds.bottom.ceil() as i32 - 1).clamp(top, height as i32);
    let frame = |inset: i32, colour: RGBColor| {
        let corners = [(left + inset, top + inset), (right - inset, bottom - inset)];
        let is_there = corners[0].0 <= corners[1].0 && corners[0].1 <= corners[1].1;
        let frame = Rectangle::new(corners, colour);
        if is_there { root.draw(&frame) } else { Ok(()) }
    };
    frame(-1, BLACK)?;
    for inset in 0..LINE {
        frame(inset, colour)?;
    }
    frame(LINE, BLACK)?;

    if text.is_empty() {
        return Ok(());
    }
    let size = (width.max(height) / 40).clamp(11, 20);
    let letters = if luminance(colour) > 95.0 { BLACK } else { WHITE };
    let style = ("sans-serif", size).into_text_style(root).color(&letters);
    let (text_width, text_height) = root.estimate_text_size(text, &style)?;
    let (label_width, label_height) = (text_width as i32 + 4, text_height as i32 + 2);
    let x = left.min(width as i32 - label_width).max(0);
    let y = if top >= label_height { top - label_height } else { top };
    let ground = [(x, y), (x + label_width - 1, y + label_height - 1)];
    root.draw(&Rectangle::new(ground, colour.filled()))?;
    root.draw(&Text::new(text, (x + 2, y + 1), style))?;
    Ok(())
}

/// Bright colours; the hues of neighbouring numbers are a golden section apart, so that no two of the first dozens are alike.
fn colour(number: usize) -> RGBColor {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let hue = (number as f64 * GOLDEN).fract();
    let lightness = [0.6, 0.75][number / 13 % 2];
    let (r, g, b) = HSLColor(hue, 1.0, lightness).rgb();
    RGBColor(r, g, b)
}

/// Of ITU-R BT.709, from 0 to 255.
fn luminance(RGBColor(r, g, b): RGBColor) -> f64 {
    0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn corners(left: f64, top: f64, right: f64, bottom: f64) -> Corners {
        Corners { left, top, right, bottom }
    }

    fn rgb(number: usize) -> Rgb<u8> {
        let RGBColor(r, g, b) = colour(number);
        Rgb([r, g, b])
    }

    #[test]
    fn a_box_has_a_bright_line_between_dark_ones_and_a_label_above() {
        let letters = if luminance(colour(3)) > 95.0 { 0u8 } else { 255 };
        for ground in [0, 255] {
            let mut picture = RgbImage::from_pixel(200, 120, Rgb([ground; 3]));
            let all = [(corners(50.0, 40.0, 150.0, 100.0), "cat 0.97".to_owned(), 3)];
            boxes(&mut picture, &all).expect("drawn");
            let row: Vec<Rgb<u8>> = (48..=54).map(|x| *picture.get_pixel(x, 70)).collect();
            let (black, ground) = (Rgb([0; 3]), Rgb([ground; 3]));
            assert_eq!(row, [ground, black, rgb(3), rgb(3), black, ground, ground]);
            assert_eq!(*picture.get_pixel(149, 99), rgb(3));
            assert_eq!(*picture.get_pixel(151, 70), ground);
            // Letters on a ground.
            let label = || (50..90).flat_map(|x| (28..39).map(move |y| (x, y)));
            let near = |c: &u8| c.abs_diff(letters) < 64;
            let drawn = label().filter(|&(x, y)| picture.get_pixel(x, y).0.iter().all(near));
            let bright = label().filter(|&(x, y)| *picture.get_pixel(x, y) == rgb(3));
            assert!(drawn.count() > 20 && bright.count() > 100);
        }
    }

    #[test]
    fn boxes_at_and_beyond_the_border_are_drawn_without_harm() {
        let mut picture = RgbImage::new(30, 20);
        let all = [
            corners(-10.0, -10.0, 40.0, 30.0),
            corners(25.0, 15.0, 30.0, 20.0),
            corners(1e300, 5.0, f64::INFINITY, 6.0),
            corners(f64::NAN, 1.0, 2.0, 3.0),
            corners(9.0, 9.0, 3.0, 3.0),
            corners(4.0, 4.0, 4.0, 4.0),
        ];
        let all = all.map(|bounds| (bounds, "a label wider than the picture".to_owned(), 1));
        boxes(&mut picture, &all).expect("drawn");
        assert_eq!(*picture.get_pixel(29, 19), rgb(1));
        boxes(&mut RgbImage::new(0, 0), &all).expect("nothing to draw on");
    }

    #[test]
    fn colours_differ_by_class_and_from_black() {
        for a in 0..26 {
            for b in 0..a {
                let difference = |i: usize| rgb(a).0[i].abs_diff(rgb(b).0[i]);
                assert!((0..3).map(difference).max() > Some(20), "{a} and {b}");
            }
            assert!(luminance(colour(a)) > 60.0, "{a}");
        }
    }
}
