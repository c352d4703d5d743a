//! How alike a model's position encoding finds places.

use anyhow::Result;
use nn::Context;

use super::data_uri;
use super::html::Html;
use super::model::{Extent, Model};
use crate::inspect;

/// Draws the maps of `wavetape inspect --positions`, for encodings that can be drawn.
pub(super) fn write(html: &mut Html, model: &Model, _: &Extent<'_>) -> Result<()> {
    let (position, config, Some(grid)) = inspect::position(&model.task) else { return Ok(()) };
    let cx = Context::eval(model.params());
    let title = format!("{}: positions `{}`", model.name, config.name());
    let Some(picture) = inspect::positions::picture(&title, position, &cx, grid)? else {
        return Ok(());
    };
    let address = data_uri::png(&picture)?;
    html.element("figure", &[("class", "picture wide")], |html| {
        html.image(
            &address,
            "maps of how alike the encoding finds each of 16 places and all others",
        );
        let words = format!(
            "How alike `{}` finds places: a map for each of 16, framed in red.",
            config.name()
        );
        html.leaf("figcaption", &[], words);
    });
    Ok(())
}
