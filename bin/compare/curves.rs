//! The picture of a design's curves: the metric on held-out data, the mean over seeds, a line for each row.

use anyhow::Result;
use image::RgbImage;
use plotters::prelude::*;

use super::analysis::{Analysis, RowSummary};
use crate::picture::{Drawn, boxed, drawing};
use crate::report::curves::title;

const SIZE: (u32, u32) = (1000, 560);
/// Pixels of the names beside the chart.
const LEGEND: u32 = 190;

/// Draws the curves.
pub(super) fn draw(analysis: &Analysis) -> Result<RgbImage> {
    drawing(SIZE, |pixels| chart(pixels, analysis))
}

fn chart(pixels: &mut [u8], analysis: &Analysis) -> Drawn {
    let points = || analysis.rows.iter().flat_map(|row| &row.curve).copied();
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
    let last = most(&mut points().map(|point| point.0)).max(1.0);
    let high = most(&mut points().map(|point| point.1));
    let low = -most(&mut points().map(|point| -point.1));
    let margin = 0.05 * (high - low).max(1e-6);

    let root = BitMapBackend::with_buffer(pixels, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(boxed)?;
    let (left, right) = root.split_horizontally(SIZE.0 - LEGEND);
    let metric = analysis.metric.replace('_', " ");
    let of = analysis.metric.split_once('_').map_or(&*analysis.metric, |(_, of)| of);
    let mut chart = ChartBuilder::on(&left)
        .caption(format!("{}: {metric}, mean over seeds", analysis.name), ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last, low - margin..high + margin)
        .map_err(boxed)?;
    let mut mesh = chart.configure_mesh();
    mesh.label_style(("sans-serif", 14)).light_line_style(WHITE);
    mesh.x_label_formatter(&|step| format!("{step:.0}"));
    mesh.x_desc("step").y_desc(title(of)).draw().map_err(boxed)?;
    let threshold = [(0.0, analysis.threshold), (last, analysis.threshold)];
    chart.draw_series([PathElement::new(threshold, BLACK.mix(0.3))]).map_err(boxed)?;
    // Names in the order of the last values, as the lines end.
    let mut rows: Vec<_> = analysis.rows.iter().enumerate().collect();
    let end = |row: &RowSummary| row.curve.last().map_or(f64::NAN, |end| end.1);
    rows.sort_by(|a, b| end(b.1).total_cmp(&end(a.1)));
    for (place, (i, row)) in rows.into_iter().enumerate() {
        let colour = Palette99::pick(i).to_rgba();
        let line = PathElement::new(row.curve.clone(), colour.stroke_width(2));
        chart.draw_series([line]).map_err(boxed)?;
        let y = 48 + 24 * place as i32;
        let sample = PathElement::new([(4, y + 7), (24, y + 7)], colour.stroke_width(3));
        right.draw(&sample).map_err(boxed)?;
        let style = ("sans-serif", 15).into_font().color(&BLACK);
        right.draw(&Text::new(row.row.clone(), (30, y), style)).map_err(boxed)?;
    }
    root.present().map_err(boxed)?;
    Ok(())
}
