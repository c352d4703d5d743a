//! Images that a generator draws.

use anyhow::Result;

use super::data_uri;
use super::html::Html;
use super::model::{Extent, Model};
use crate::generate::samples;
use crate::task::Task;

/// Writes the samples of [`crate::generate::samples`].
pub(super) fn write(html: &mut Html, model: &Model, extent: &Extent<'_>) -> Result<()> {
    let (Task::Generate(generator), count) = (&model.task, extent.samples) else { return Ok(()) };
    if count == 0 {
        return Ok(());
    }
    let address = data_uri::png(&samples(generator, model.params(), count)?)?;
    html.element("figure", &[("class", "picture")], |html| {
        html.image(&address, &format!("{count} images that the model drew"));
        html.leaf("figcaption", &[], format!("{count} images drawn at temperature 1, seed 0."));
    });
    Ok(())
}
