//! Where a vision transformer looks, by attention rollout.

use anyhow::Result;
use nn::Context;

use super::data_uri;
use super::html::Html;
use super::model::{Extent, Model};
use crate::inspect::attention::side_by_side;
use crate::picture::in_colour;
use crate::source::Source;
use crate::task::Task;

/// Tokens up to which their N² weights for each head and block are computed.
const MOST_TOKENS: usize = 1 << 11;
/// Pixels of a picture's side at least.
const LEAST_SIDE: u32 = 112;

/// Draws some test images beside the share of each of their patches in what the head reads; see [`models::attention_map`].
pub(super) fn write(html: &mut Html, model: &Model, extent: &Extent<'_>) -> Result<()> {
    let (Task::Classify(classifier), Some(Source::Images(loader))) = (&model.task, model.eval())
    else {
        return Ok(());
    };
    let (vit, images) = (&classifier.model, loader.images());
    let count = extent.pictures.min(images.len());
    if count == 0 || vit.config().tokens() > MOST_TOKENS {
        return Ok(());
    }
    let seen = classifier.look(model.params(), loader, count)?;
    let shares = models::attention_map(vit, &Context::eval(model.params()), &seen.batch.images);
    let patches = shares.dim(1) * shares.dim(2);
    html.leaf(
        "p",
        &[],
        "Attention rollout (Abnar and Zuidema 2020): the product over blocks of the mean over heads of softmax(q·kᵀ/√d), each averaged with the identity for the residual connection. Bright patches have more than an equal share in what the head reads, dark ones less.",
    );
    html.element("div", &[("class", "pictures")], |html| {
        for (i, words) in seen.words(&model.classes).into_iter().enumerate() {
            let Ok(image) = images.image(seen.indices[i]) else { continue };
            let shares = shares.narrow(0, i, 1).squeeze(0);
            let most = shares.to_vec().into_iter().fold(0.0, f32::max) * patches as f32;
            let picture = in_colour(&image, images.shape());
            let columns = shares.dim(1);
            let rows: Vec<Vec<f32>> =
                shares.to_vec().chunks(columns).map(<[f32]>::to_vec).collect();
            let side = LEAST_SIDE.div_ceil(picture.width().max(1)) * picture.width();
            let drawn = side_by_side(&picture, &rows, side);
            let Ok(address) = data_uri::png(&drawn) else { continue };
            html.element("figure", &[("class", "picture")], |html| {
                html.image(&address, &format!("{words}: the image, and the shares of its patches"));
                let largest = format!("{words}; largest share {most:.1} times an equal one");
                html.leaf("figcaption", &[], largest);
            });
        }
    });
    Ok(())
}
