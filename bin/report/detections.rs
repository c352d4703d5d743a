//! Test pictures with the boxes that a detector finds.

use std::collections::HashSet;

use anyhow::Result;

use super::data_uri;
use super::html::Html;
use super::model::{Extent, Model};
use crate::detect::{drawn, find};
use crate::picture::in_colour;
use crate::source::Source;
use crate::task::Task;

/// Least score of a box that is drawn.
const THRESHOLD: f64 = 0.5;

/// Draws what is found in the first pictures that the run is scored on.
pub(super) fn write(html: &mut Html, model: &Model, extent: &Extent<'_>) -> Result<()> {
    let (Task::Detect(detector), Some(Source::Boxes(loader))) = (&model.task, model.eval()) else {
        return Ok(());
    };
    let count = extent.pictures.min(loader.source().len());
    let mut figures = Vec::new();
    for i in 0..count {
        let picture = loader.source().picture(i);
        let plain = in_colour(&picture.pixels, picture.shape);
        let mut found = find(detector, model.params(), &picture);
        // Of what a query has found, the most probable is drawn; they come in this order.
        let mut queries = HashSet::new();
        found.retain(|found| found.score >= THRESHOLD && queries.insert(found.query));
        found.reverse(); // the surest on top
        let label = |class, score| format!("{} {score:.2}", model.class(class));
        let [width, height] = [plain.width(), plain.height()].map(f64::from);
        let boxes = found.iter().map(|found| {
            (found.bounds.scaled(width, height), label(found.class, found.score), found.class)
        });
        let address = data_uri::png(&drawn(&plain, &boxes.collect::<Vec<_>>())?)?;
        let is_object = |object: &&datasets::detection::Object| !object.crowd;
        let objects = picture.objects.iter().filter(is_object).count();
        let list: Vec<String> =
            found.iter().rev().map(|found| label(found.class, found.score)).collect();
        figures.push((address, picture.name.clone(), objects, list));
    }
    if figures.is_empty() {
        return Ok(());
    }
    html.leaf(
        "p",
        &[],
        format!("Boxes with a score of at least {THRESHOLD}, in pictures of the test set."),
    );
    html.element("div", &[("class", "pictures")], |html| {
        for (address, name, objects, list) in &figures {
            let found = if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
            html.element("figure", &[("class", "picture")], |html| {
                html.image(address, &format!("{name}, found: {found}"));
                let words = format!("{name}: {} found, {objects} there", list.len());
                html.leaf("figcaption", &[], words);
            });
        }
    });
    Ok(())
}
