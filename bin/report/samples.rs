//! Images that a generator draws.

use anyhow::{Result, bail};
use models::Sampler;

use super::data_uri;
use super::html::Html;
use super::model::{Extent, Model};
use crate::generate::{MOST_TOKENS, grid, to_picture};
use crate::task::Task;

/// Draws a grid of images from nothing, of the classes in turn if there are any.
pub(super) fn write(html: &mut Html, model: &Model, extent: &Extent<'_>) -> Result<()> {
    let (Task::Generate(generator), count) = (&model.task, extent.samples) else { return Ok(()) };
    if count == 0 {
        return Ok(());
    }
    let config = generator.model.config();
    if config.tokens() > MOST_TOKENS {
        bail!("images of {} tokens: at most {MOST_TOKENS} expected", config.tokens());
    }
    let class = |i: usize| if config.classes > 0 { i % config.classes } else { 0 };
    let (prompts, classes) = (vec![Vec::new(); count], (0..count).map(class).collect::<Vec<_>>());
    let (size, params) = ([config.image_size; 2], model.params());
    let sampler = Sampler { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 0 };
    let drawn = generator.model.generate(params, &prompts, &classes, size, &sampler, |_| {});
    let pictures: Vec<_> =
        drawn.iter().map(|tokens| to_picture(&generator.model, params, tokens, size)).collect();
    let columns = (count as f64).sqrt().ceil() as usize;
    let address = data_uri::png(&grid(&pictures, columns, 2))?;
    html.element("figure", &[("class", "picture")], |html| {
        html.image(&address, &format!("{count} images that the model drew"));
        html.leaf("figcaption", &[], format!("{count} images drawn at temperature 1, seed 0."));
    });
    Ok(())
}
