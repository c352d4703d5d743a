//! What a trained model is asked about, where that is other than its recipe says.

use anyhow::{Result, bail};
use nn::Reading;

use crate::generate::MOST_TOKENS;
use crate::recipe::{DataKind, ModelConfig, Recipe};

/// How a model is scored. By default as its recipe says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// Height and width in pixels of the images to evaluate on, instead of those trained on.
    pub(crate) size: Option<usize>,
    /// Whether the objects of scenes grow with them, or keep their size in pixels.
    pub(crate) zoom: bool,
    /// How places are read at sizes not trained on.
    pub(crate) reading: Option<Reading>,
    /// Whether to score on the test set even where the recipe says a validation set.
    pub(crate) test: bool,
}

impl Asked {
    /// Checks that the model of this recipe can be asked so.
    ///
    /// # Errors
    /// The option that does not fit, and what would.
    pub(crate) fn check(&self, recipe: &Recipe) -> Result<()> {
        if self.zoom && recipe.data.kind != DataKind::Scenes {
            bail!("--zoom: made-up scenes expected, not `{:?}`", recipe.data.kind);
        }
        let tokens = match (&recipe.model, self.size) {
            (ModelConfig::Captioner(_), size) => {
                let option = if size.is_some() { "--size" } else { "--reading" };
                if size.is_some() || self.reading.is_some() {
                    bail!(
                        "{option}: a classifier, a generator or a detector expected, not a captioner"
                    );
                }
                return Ok(());
            }
            (_, None) | (ModelConfig::Detr(_), _) => return Ok(()),
            (ModelConfig::Vit(vit), Some(size)) => {
                let patch = vit.patch_size;
                if size == 0 || !size.is_multiple_of(patch) {
                    bail!("--size {size}: a multiple of model.patch_size = {patch} expected");
                }
                (size / patch).saturating_pow(2)
            }
            (ModelConfig::ImageGpt(gpt), Some(size)) => {
                if size == 0 {
                    bail!("--size 0: at least 1 expected");
                }
                size.saturating_pow(2).saturating_mul(gpt.channels)
            }
        };
        if tokens > MOST_TOKENS {
            let size = self.size.unwrap_or_default();
            bail!("--size {size}: at most {MOST_TOKENS} tokens expected, not {tokens}");
        }
        Ok(())
    }
}
