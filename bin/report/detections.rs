//! Test pictures with the boxes that a detector finds.

use anyhow::Result;

use super::data_uri;
use super::html::Html;
use super::model::{Extent, Model};
use crate::detect::{Shown, THRESHOLD, label};
use crate::source::Source;
use crate::task::Task;

/// Draws what is found in the first pictures that the run is scored on.
pub(super) fn write(html: &mut Html, model: &Model, extent: &Extent<'_>) -> Result<()> {
    let (Task::Detect(detector), Some(Source::Boxes(loader))) = (&model.task, model.eval()) else {
        return Ok(());
    };
    let count = extent.pictures.min(loader.source().len());
    let mut figures = Vec::new();
    for i in 0..count {
        let picture = loader.source().picture(i)?;
        let shown = Shown::found(detector, model.params(), &picture, &model.classes)?;
        let objects = picture.truth.iter().filter(|object| !object.crowd).count();
        let list: Vec<String> =
            shown.found.iter().map(|found| label(found, &model.classes)).collect();
        figures.push((data_uri::png(&shown.picture)?, picture.name.clone(), objects, list));
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
