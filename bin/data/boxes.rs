//! Pictures with boxes that a recipe asks for: made-up scenes, and those in files.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use datasets::detection::{Id, scenes};
use datasets::{Normalize, Split, detection, image_folder};
use models::DetrConfig;

use super::{Classes, Names, check_classes, folder, held_out, hinted, read};
use crate::asked::Asked;
use crate::output;
use crate::recipe::{DataKind, Recipe, ScenesConfig};
use crate::source::Source;

/// The map from bytes to a detector's inputs. It is the same for all data, so that a model can be asked about any picture: that of
/// ImageNet in colour, as in DETR, and −2 to 2 in grey.
pub(crate) fn normalize(channels: usize) -> Normalize {
    match channels {
        3 => Normalize { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] },
        _ => Normalize { mean: vec![0.5; channels], std: vec![0.25; channels] },
    }
}

/// Pictures with boxes.
pub(super) fn boxes(
    recipe: &Recipe,
    model: &DetrConfig,
    asked: Asked,
) -> Result<(Source, Source, Names)> {
    let (train, eval, ids) = match recipe.data.kind {
        DataKind::Scenes => {
            let (train, eval) = scenes(recipe, model, asked)?;
            (train, eval, None)
        }
        _ => {
            let [train, eval] = stored(recipe, model, asked.test)?;
            let ids = train.class_ids().to_vec();
            let eval = eval.with_classes(train.classes())?;
            let [train, eval] =
                [train, eval].map(|part| detection::Source::Pictures(Arc::new(part)));
            (train, eval, Some(ids))
        }
    };
    for source in [&train, &eval] {
        check_classes(source.classes().len(), model.classes)?;
        if source.channels() != model.channels {
            bail!("{} channels; the model has {}", source.channels(), model.channels);
        }
    }
    report_crowded(&train, model.queries);
    let of_places = || (1..=train.classes().len() as u64).map(Id::from).collect();
    let ids: Vec<Id> = ids.unwrap_or_else(of_places);
    let classes = Classes::new(ids, train.classes());
    let normalize = normalize(model.channels);
    let batch = recipe.train.step_size();
    let options = detection::Options {
        augment: recipe.augment.boxes,
        prefetch: recipe.train.prefetch(),
        ..detection::Options::train(batch, recipe.seed, model.image_size, normalize.clone())
    };
    let train = detection::Loader::new(train, options)?;
    let options = detection::Options::eval(64, canvas(model, asked), normalize);
    let eval = detection::Loader::new(eval, options)?;
    Ok((Source::Boxes(train), Source::Boxes(eval), Names::Classes(classes)))
}

/// Height and width of the images to evaluate on.
fn canvas(model: &DetrConfig, asked: Asked) -> [usize; 2] {
    asked.size.map_or(model.image_size, |size| [size; 2])
}

/// Says how many pictures have more objects than can be found in one: of those, the ones that fit best are learnt.
fn report_crowded(source: &detection::Source, queries: usize) {
    let crowded =
        match source {
            detection::Source::Pictures(part) => {
                part.pictures().iter().filter(|picture| picture.objects.len() > queries).count()
            }
            detection::Source::Scenes { scenes, len, .. } => {
                if scenes.options().max_objects > queries { *len } else { 0 }
            }
        };
    if crowded > 0 {
        let all = source.len();
        output::note(format_args!(
            "{crowded} of {all} pictures may have more objects than model.queries = {queries}: as many are learnt"
        ));
    }
}

/// Scenes to train on, others in each epoch, and scenes to evaluate on, of other objects: those of the test set, or those held out.
fn scenes(
    recipe: &Recipe,
    model: &DetrConfig,
    asked: Asked,
) -> Result<(detection::Source, detection::Source)> {
    let config = recipe.data.scenes.as_ref().context("data.scenes: a table expected")?;
    let &ScenesConfig { objects, train, test, max_objects, sides } = config;
    let channels = match model.channels {
        1 => image_folder::Channels::Grey,
        3 => image_folder::Channels::Rgb,
        other => bail!("model.channels = {other}: scenes have 1 or 3"),
    };
    let base =
        scenes::Options { channels, max_objects, sides, ..scenes::Options::new(model.image_size) };
    let canvas = canvas(model, asked);
    let seen = match asked.zoom {
        true => base.zoomed(canvas[0] as f32 / model.image_size[0] as f32),
        false => base.extended(canvas),
    };
    if seen.canvas != canvas {
        bail!("scenes can grow in proportion only: {canvas:?} of {:?}", model.image_size);
    }
    let (data, seed) = (&recipe.data, recipe.seed);
    let whole = read(data, objects, Split::Train, asked.test)?;
    let (kept, held) = held_out(whole, data.hold_out, seed)?;
    let made_of = detection::Scenes::new;
    let scenes = made_of(&kept, Split::Train, seed, base)?;
    let train = detection::Source::Scenes { scenes: Arc::new(scenes), len: train, fresh: true };
    let scenes = match held {
        Some(held) if !asked.test => made_of(&held, Split::Train, seed, seen)?.validating(),
        _ => made_of(&read(data, objects, Split::Test, asked.test)?, Split::Test, seed, seen)?,
    };
    Ok((train, detection::Source::Scenes { scenes: Arc::new(scenes), len: test, fresh: false }))
}

/// Pictures in files, to train on and to evaluate on (those of the `test` set, even if the recipe names another). They are kept at
/// twice the size of the model's canvas at most.
fn stored(recipe: &Recipe, model: &DetrConfig, test: bool) -> Result<[detection::Detection; 2]> {
    let (config, dir) = (&recipe.data, folder(&recipe.data)?);
    let channels = match model.channels {
        1 => image_folder::Channels::Grey,
        3 => image_folder::Channels::Rgb,
        other => bail!("model.channels = {other}: pictures have 1 or 3"),
    };
    let longest = model.image_size[0].max(model.image_size[1]);
    let (fit, skip_broken) = (detection::Fit::Within(2 * longest), config.skip_broken);
    let reading = detection::Reading { channels, fit, skip_broken };
    let [train, eval] = config.parts();
    let eval = if test && config.validates() { "test".to_owned() } else { eval };
    let read = |split: &String| -> Result<detection::Detection> {
        let read = match config.kind {
            DataKind::Voc => detection::voc::read(dir, Some(split), None, &reading),
            DataKind::Coco => {
                let file = dir.join(format!("annotations/instances_{split}.json"));
                detection::coco::read_pictures(&file, &dir.join(split), &reading)
            }
            DataKind::Yolo => detection::yolo::read(dir, split, &reading),
            kind => bail!("images with boxes expected, not `{kind:?}`"),
        };
        let read = read.map_err(hinted).with_context(|| format!("reading {}", dir.display()))?;
        if !read.repairs().is_empty() {
            output::note(format_args!("{split}: {}", read.repairs()));
        }
        Ok(read)
    };
    Ok([read(&train)?, read(&eval)?])
}
