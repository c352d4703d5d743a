//! What a model does while it learns: `samples/step-0000000N.png` or `.txt` in the folder of a run, after each score.

use std::fs;

use anyhow::{Context as _, Result};
use image::RgbImage;
use nn::Params;

use crate::data::Classes;
use crate::detect::Shown;
use crate::generate::{cache_bytes, grid, square};
use crate::run::Run;
use crate::source::Source;
use crate::task::Task;
use crate::written::png;
use crate::{caption, generate};

/// Their folder in that of the run.
const FOLDER: &str = "samples";
/// Tokens of an image that is drawn, at most: they are drawn one after another, and training waits.
const MOST_TOKENS: usize = 1 << 12;
/// Bytes of keys and values of all images that are drawn, at most: training has the rest.
const MOST_BYTES: u64 = 1 << 28;
/// Pictures with boxes, at most, for they are large.
const MOST_PICTURES: usize = 4;

/// Something to look at.
pub(crate) enum Samples {
    Picture(RgbImage),
    Text(String),
}

impl Samples {
    /// What a model does: at most `count` images that it draws, or, of what the run is scored on, pictures with boxes, widgets with
    /// captions, or images with their classes. Never more than the run is scored on, so that it takes less time than scoring. None
    /// where there would be none. The same parameters give the same samples.
    ///
    /// # Errors
    /// If a picture cannot be drawn.
    pub(crate) fn of(
        task: &Task,
        params: &Params,
        eval: &Source,
        classes: &Classes,
        count: usize,
    ) -> Result<Option<Self>> {
        let count = count.min(eval.len());
        Ok(match (task, eval) {
            _ if count == 0 => None,
            (Task::Generate(generator), _) => {
                let config = generator.model.config();
                let fit = MOST_BYTES / cache_bytes(config, config.tokens()).max(1);
                let count = count.min(usize::try_from(fit)?);
                let is_fast = count > 0 && config.tokens() <= MOST_TOKENS;
                let picture = is_fast.then(|| generate::samples(generator, params, count));
                picture.transpose()?.map(Self::Picture)
            }
            (Task::Detect(detector), Source::Boxes(loader)) => {
                let count = count.min(MOST_PICTURES);
                let picture = |i: usize| {
                    let picture = loader.source().picture(i)?;
                    Ok(Shown::found(detector, params, &picture, classes)?.picture)
                };
                let pictures = (0..count).map(picture).collect::<Result<Vec<_>>>()?;
                Some(Self::Picture(grid(&pictures, square(count), 1)))
            }
            (Task::Caption(captioner), Source::Screens(loader)) => {
                let shown = caption::shown(captioner, params, loader, count)?;
                let line = |shown: &caption::Shown| {
                    format!("{} | {}\n", shown.caption, shown.references.join(" · "))
                };
                Some(Self::Text(shown.iter().map(line).collect()))
            }
            (Task::Classify(classifier), Source::Images(loader)) => {
                let seen = classifier.look(params, loader, count)?;
                let lines = seen.indices.iter().zip(seen.words(classes));
                let line = |(place, words): (&usize, String)| format!("test:{place}  {words}\n");
                Some(Self::Text(lines.map(line).collect()))
            }
            _ => None,
        })
    }

    /// Leaves them in the folder of a run.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn write(&self, run: &Run, step: u64) -> Result<()> {
        let folder = run.folder.join(FOLDER);
        // Not that of the run with it, should it be gone.
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| folder.display().to_string());
            }
            _ => {}
        }
        let (ending, bytes) = match self {
            Samples::Picture(picture) => ("png", png(picture)?),
            Samples::Text(text) => ("txt", text.clone().into_bytes()),
        };
        run.put(&format!("{FOLDER}/step-{step:08}.{ending}"), &bytes)
    }
}
