//! Pictures of position encodings.

use anyhow::{Result, bail};
use image::RgbImage;
use nn::{Context, Places, Position};
use plotters::coord::Shift;
use plotters::prelude::*;
use tensor::Tensor;

use crate::picture::{Drawn, boxed, drawing};
use crate::written::Target;

/// Maps along each side of the picture.
const MAPS: usize = 4;
/// Pixels of a map with its axes.
const MAP: u32 = 230;

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// Writes the [`picture`] of an encoding.
pub(crate) fn draw(
    out: &Target,
    title: &str,
    position: &Position,
    cx: &Context<'_>,
    side: usize,
) -> Result<()> {
    let Some(picture) = picture(title, position, cx, side)? else {
        bail!("this run's position encoding is `none`: there is nothing to draw")
    };
    out.write(&picture)
}

/// How alike an encoding finds places of a grid: for each of 4 × 4 chosen places a map of all others, and the frequencies of
/// Fourier features beside them. Nothing for the encoding `none`.
pub(crate) fn picture(
    title: &str,
    position: &Position,
    cx: &Context<'_>,
    side: usize,
) -> Result<Option<RgbImage>> {
    let places = Places::grid(side, side);
    let Some(similarity) = position.similarity(cx, &places) else { return Ok(None) };
    let frequencies = position.frequencies().map(|id| cx.params().get(id).value.contiguous());
    let frequencies = frequencies.filter(|w| w.dims()[1] == 2);
    let (maps, legend, head) = (MAPS as u32 * MAP, 90, 44);
    let scatter = if frequencies.is_some() { maps / 2 + 60 } else { 0 };
    let (width, height) = (maps + legend + scatter, maps + head);
    let values = similarity.to_vec();
    if values.iter().any(|x| !x.is_finite()) {
        bail!("the position encoding gives numbers that are not finite");
    }
    let draw = |pixels: &mut [u8]| -> Drawn {
        let root = BitMapBackend::with_buffer(pixels, (width, height)).into_drawing_area();
        root.fill(&WHITE).map_err(boxed)?;
        let all = root.titled(title, ("sans-serif", 22)).map_err(boxed)?;
        let (left, right) = all.split_horizontally(maps);
        let (bar, right) = right.split_horizontally(legend);
        let least = values.iter().copied().fold(f32::INFINITY, f32::min);
        let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let colour = |x: f32| ViridisRGB.get_color_normalized(x, least, most.max(least + 1e-6));
        let at = |i: usize| ((2 * i + 1) * side / (2 * MAPS)).min(side - 1);
        for (i, area) in left.split_evenly((MAPS, MAPS)).iter().enumerate() {
            let (row, column) = (at(i / MAPS), at(i % MAPS));
            let all = &values[(row * side + column) * side * side..][..side * side];
            map(area, [row, column], side, all, &colour)?;
        }
        legend_bar(&bar, least, most, &colour)?;
        if let Some(frequencies) = &frequencies {
            let (upper, _) = right.split_vertically(maps / 2 + 60);
            points(&upper, frequencies)?;
        }
        root.present().map_err(boxed)
    };
    drawing((width, height), draw).map(Some)
}

/// One place beside all others: rows downwards, as in an image.
fn map(
    area: &Area<'_>,
    [row, column]: [usize; 2],
    side: usize,
    values: &[f32],
    colour: &impl Fn(f32) -> RGBColor,
) -> Drawn {
    let size = side as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(format!("row {row}, column {column}"), ("sans-serif", 14))
        .margin(4)
        .x_label_area_size(18)
        .y_label_area_size(26)
        .build_cartesian_2d(0.0..size, size..0.0)
        .map_err(boxed)?;
    let ticks = |x: &f64| format!("{x:.0}");
    let mut mesh = chart.configure_mesh();
    mesh.disable_mesh().x_labels(4).y_labels(4).label_style(("sans-serif", 11));
    mesh.x_label_formatter(&ticks).y_label_formatter(&ticks).draw().map_err(boxed)?;
    let cell = |(i, &value): (usize, &f32)| {
        let (y, x) = ((i / side) as f64, (i % side) as f64);
        Rectangle::new([(x, y), (x + 1.0, y + 1.0)], colour(value).filled())
    };
    chart.draw_series(values.iter().enumerate().map(cell)).map_err(boxed)?;
    let (x, y) = (column as f64, row as f64);
    let frame = Rectangle::new([(x, y), (x + 1.0, y + 1.0)], RED.stroke_width(2));
    chart.draw_series([frame]).map_err(boxed)?;
    Ok(())
}

/// What the colours mean.
fn legend_bar(area: &Area<'_>, least: f32, most: f32, colour: &impl Fn(f32) -> RGBColor) -> Drawn {
    const STEPS: usize = 100;
    let (low, high) = (f64::from(least), f64::from(most.max(least + 1e-6)));
    let mut chart = ChartBuilder::on(area)
        .caption("similarity", ("sans-serif", 14))
        .margin(6)
        .x_label_area_size(18)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..1.0, low..high)
        .map_err(boxed)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_mesh().x_labels(0).y_labels(8).label_style(("sans-serif", 11));
    mesh.y_label_formatter(&|y| format!("{y:.2}")).draw().map_err(boxed)?;
    let step = |i: usize| {
        let at = |i: usize| low + (high - low) * i as f64 / STEPS as f64;
        Rectangle::new([(0.0, at(i)), (1.0, at(i + 1))], colour(at(i) as f32).filled())
    };
    chart.draw_series((0..STEPS).map(step)).map_err(boxed)?;
    Ok(())
}

/// The frequencies W_r, a point each.
fn points(area: &Area<'_>, frequencies: &Tensor) -> Drawn {
    let all = frequencies.to_vec();
    let reach = all.iter().fold(1e-6f32, |max, w| max.max(w.abs())) as f64 * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption("frequencies W_r (radians per image side)", ("sans-serif", 14))
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(48)
        .build_cartesian_2d(-reach..reach, -reach..reach)
        .map_err(boxed)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(5).y_labels(5).label_style(("sans-serif", 11)).light_line_style(WHITE);
    mesh.x_desc("along columns").y_desc("along rows").draw().map_err(boxed)?;
    let point =
        |w: &[f32]| Circle::new((f64::from(w[1]), f64::from(w[0])), 3, BLUE.mix(0.6).filled());
    chart.draw_series(all.chunks_exact(2).map(point)).map_err(boxed)?;
    Ok(())
}
