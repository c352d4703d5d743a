//! The picture of a range test: loss by learning rate.

use anyhow::Result;
use plotters::prelude::*;

use super::curve::{Point, Suggestion};
use crate::picture::{Drawn, boxed, drawing};
use crate::written::Target;

const SIZE: (u32, u32) = (900, 560);

/// Draws the losses of steps, the smoothed loss and the suggested rates.
pub(super) fn draw(
    out: &Target,
    title: &str,
    points: &[Point],
    suggestion: Option<&Suggestion>,
) -> Result<()> {
    let picture = drawing(SIZE, |pixels| chart(pixels, title, points, suggestion))?;
    out.write(&picture)
}

fn chart(
    pixels: &mut [u8],
    title: &str,
    points: &[Point],
    suggestion: Option<&Suggestion>,
) -> Drawn {
    let smoothed = || points.iter().map(|point| point.smoothed);
    let least = smoothed().fold(f64::INFINITY, f64::min);
    let first = points.first().map_or(1.0, |point| point.smoothed);
    // An explosion would press everything else to the bottom.
    let most =
        smoothed().fold(f64::NEG_INFINITY, f64::max).min(first + (first - least).max(0.1 * first));
    let margin = 0.08 * (most - least).max(1e-6);
    let (low, high) = (least - margin, most + margin);
    let rate = |point: Option<&Point>| point.map_or(1.0, |point| point.rate);
    let rates = rate(points.first())..rate(points.last()) * (1.0 + 1e-9);

    let root = BitMapBackend::with_buffer(pixels, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(boxed)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(rates.log_scale(), low..high)
        .map_err(boxed)?;
    let mut mesh = chart.configure_mesh();
    mesh.label_style(("sans-serif", 14)).light_line_style(WHITE);
    mesh.x_label_formatter(&|rate| format!("{rate:.0e}"));
    mesh.x_desc("learning rate").y_desc("loss").draw().map_err(boxed)?;

    let seen = points.iter().filter(|point| (low..=high).contains(&point.loss));
    let dot = |point: &Point| Circle::new((point.rate, point.loss), 2, BLACK.mix(0.25).filled());
    chart.draw_series(seen.map(dot)).map_err(boxed)?;
    let line = points.iter().map(|point| (point.rate, point.smoothed.min(high)));
    let line = PathElement::new(line.collect::<Vec<_>>(), BLUE.stroke_width(2));
    chart
        .draw_series([line])
        .map_err(boxed)?
        .label("smoothed loss")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLUE.stroke_width(2)));
    if let Some(Suggestion { steepest, tenth_of_minimum, .. }) = suggestion {
        let marks = [
            (*steepest, format!("falls fastest: {steepest:.1e}"), RED),
            (
                *tenth_of_minimum,
                format!("a tenth of the lowest: {tenth_of_minimum:.1e}"),
                full_palette::GREEN_700,
            ),
        ];
        for (rate, text, colour) in marks {
            let line = PathElement::new([(rate, low), (rate, high)], colour.stroke_width(2));
            chart.draw_series([line]).map_err(boxed)?.label(text).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
            });
        }
    }
    let mut legend = chart.configure_series_labels();
    legend
        .label_font(("sans-serif", 15))
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3));
    legend.position(SeriesLabelPosition::UpperLeft).draw().map_err(boxed)?;
    drop(chart);
    root.present().map_err(boxed)
}
