//! Object detection: the loss of a step, the boxes of an image, and COCO's score of a data set.

use std::ops::Range;

use anyhow::{Context as _, Result, bail};
use autograd::Anomaly;
use datasets::detection::{Batch, Id, Loader, Object, Region, Truth};
use models::average_precision::{self as ap, average_precision};
use models::{CenterSize, Corners, Detr, DetrConfig, Losses, Normalizer, SetCriterion, Target};
use nn::{Context, Init, Params, Shards, micro_batch};
use rayon::prelude::*;
use tensor::Tensor;

use crate::recipe::TrainConfig;
use crate::task::{self, Score, StepResult, Tally};

/// Detections of an image, as COCO counts them.
const MOST: usize = 100;

/// A model and how its loss is computed.
#[derive(Debug)]
pub(crate) struct Detector {
    pub(crate) model: Detr,
    criterion: SetCriterion,
    micro_batch: usize,
    seed: u64,
}

/// What a query has found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Which query.
    pub(crate) query: usize,
    pub(crate) class: usize,
    /// Probability of the class.
    pub(crate) score: f64,
    /// In fractions of the image.
    pub(crate) bounds: Corners,
}

impl Detector {
    /// The model with its parameters, fresh from the seed.
    pub(crate) fn new(
        config: &DetrConfig,
        train: &TrainConfig,
        criterion: SetCriterion,
        seed: u64,
    ) -> Result<(Self, Params)> {
        let mut params = Params::new();
        let model = Detr::new(&mut Init::new(&mut params, seed), config)?;
        let micro_batch = match train.micro_batch {
            0 => micro_batch(train.batch_size, config.tokens()),
            given => given,
        };
        Ok((Self { model, criterion, micro_batch, seed }, params))
    }

    /// Loss and gradients of a batch, and how many matched queries found their object's class.
    pub(crate) fn differentiate(&self, params: &Params, batch: &Batch, step: u64) -> StepResult {
        let targets = targets(batch);
        let normalizer = self.normalizer(&targets);
        let step = self
            .shards(batch, step)
            .differentiate(params, |cx, part| self.loss(cx, batch, &targets, part, normalizer));
        let mut losses = Losses::default();
        step.outputs.into_iter().for_each(|part| losses += part);
        let (right, counted) = (losses.right, losses.matched);
        let tally = tally(&losses, normalizer);
        StepResult { loss: step.loss, tally, grads: step.grads, right, counted }
    }

    /// How a step cuts a batch.
    fn shards(&self, batch: &Batch, step: u64) -> Shards {
        let count = batch.sizes.len();
        Shards { batch: count, micro_batch: self.micro_batch, seed: self.seed, step }
    }

    fn normalizer(&self, targets: &[Vec<Target>]) -> Normalizer {
        Normalizer::of(targets, self.model.config().queries, self.criterion.no_object)
    }

    /// The loss of a part of a batch.
    fn loss(
        &self,
        cx: &Context<'_>,
        batch: &Batch,
        targets: &[Vec<Target>],
        part: Range<usize>,
        normalizer: Normalizer,
    ) -> (autograd::Var, Losses) {
        let images = batch.images.narrow(0, part.start, part.len());
        let layers = self.model.forward(cx, &images, &batch.sizes[part.clone()]);
        self.criterion.loss(&layers, &targets[part], normalizer)
    }

    /// The first NaN or infinity of a step, which is computed again; see [`Shards::diagnose`].
    pub(crate) fn diagnose<'p>(
        &self,
        params: &'p Params,
        batch: &Batch,
        step: u64,
    ) -> Option<(Anomaly, Option<&'p str>)> {
        let targets = targets(batch);
        let normalizer = self.normalizer(&targets);
        self.shards(batch, step)
            .diagnose(params, |cx, part| self.loss(cx, batch, &targets, part, normalizer).0)
    }

    /// What is found on each image, most probable first, images [B, C, H, W] of these heights and widths.
    ///
    /// # Errors
    /// If a score or a box is not finite: there is no order of them then.
    pub(crate) fn find(
        &self,
        params: &Params,
        images: &Tensor,
        sizes: &[[usize; 2]],
    ) -> Result<Vec<Vec<Found>>> {
        let size = self.micro_batch.max(1);
        let part = |part: usize| {
            let range = part * size..sizes.len().min((part + 1) * size);
            let images = images.narrow(0, range.start, range.len());
            let layers = self.model.forward(&Context::eval(params), &images, &sizes[range]);
            read(layers.last().expect("a decoder has a layer"))
        };
        let parts: Vec<_> = (0..sizes.len().div_ceil(size)).into_par_iter().map(part).collect();
        let found: Vec<Vec<Found>> = parts.into_iter().flatten().collect();
        for Found { query, class, score, bounds } in found.iter().flatten() {
            let sides = bounds.to_left_top();
            if !score.is_finite() || !sides.iter().all(|side| side.is_finite()) {
                bail!(
                    "query {query}, class {class}: score {score}, box {sides:?}: finite numbers expected of the model"
                );
            }
        }
        Ok(found)
    }

    /// COCO's score of all images of a loader, on the objects that their files have, in pixels of the files. The result
    /// does not depend on the number of threads.
    pub(crate) fn score(&self, params: &Params, loader: &Loader) -> Result<Score> {
        let (mut objects, mut detections, mut losses) = (Vec::new(), Vec::new(), Tally::default());
        let source = loader.source();
        // Equal scores come in the order of the pictures' ids, as in pycocotools.
        let ids: Vec<_> = (0..source.len()).map(|index| source.id(index)).collect();
        let ranks = Id::ranks(&ids);
        for batch in loader.epoch(0, 0) {
            let batch = batch?;
            let of_batch = self.losses(params, &batch);
            task::check_loss(of_batch.mean(), &batch.indices)?;
            losses += of_batch;
            let found = self.find(params, &batch.images, &batch.sizes)?;
            for (i, found) in found.into_iter().enumerate() {
                let image = ranks[&ids[batch.indices[i]]];
                // What is scored is what was read.
                objects.extend(batch.truth[i].iter().map(
                    |&Truth { id, class, bounds, area, crowd }| {
                        let category = class as u64;
                        ap::Object { id, image, category, bounds, area, crowd }
                    },
                ));
                let [height, width] = source.original(batch.indices[i]).map(|side| side as f64);
                detections.extend(found.into_iter().map(|found| ap::Detection {
                    image,
                    category: found.class as u64,
                    bounds: found.bounds.scaled(width, height).to_left_top(),
                    score: found.score,
                }));
            }
        }
        let classes: Vec<u64> = (0..loader.classes().len() as u64).collect();
        let images: Vec<u64> = ranks.into_values().collect();
        let summary = average_precision(&images, &classes, &objects, &detections)
            .context("this model's boxes cannot be scored")?;
        let loss = losses.mean();
        let (value, summary) = (summary.ap, Some(task::Summary::Boxes(summary)));
        Ok(Score { value, loss, summary, ..Score::default() })
    }

    /// The loss of a batch.
    fn losses(&self, params: &Params, batch: &Batch) -> Tally {
        let (targets, count) = (targets(batch), batch.sizes.len());
        let (normalizer, size) = (self.normalizer(&targets), self.micro_batch.max(1));
        let part = |part: usize| {
            let range = part * size..count.min((part + 1) * size);
            self.loss(&Context::eval(params), batch, &targets, range, normalizer).1
        };
        let parts: Vec<Losses> = (0..count.div_ceil(size)).into_par_iter().map(part).collect();
        let mut losses = Losses::default();
        parts.into_iter().for_each(|part| losses += part);
        tally(&losses, normalizer)
    }
}

/// The sums of a batch whose loss was divided by these numbers.
fn tally(losses: &Losses, normalizer: Normalizer) -> Tally {
    let Normalizer { objects, weight } = normalizer;
    let (classes, boxes) = (losses.classes * weight, losses.boxes * objects);
    // An image without objects is no object, though nothing is divided by 0.
    let objects = if losses.matched + losses.missed == 0 { 0.0 } else { objects };
    Tally::of_two([(classes, weight), (boxes, objects)])
}

/// What is to be learnt from a batch: its objects.
fn targets(batch: &Batch) -> Vec<Vec<Target>> {
    let of_image = |(objects, &size): (&Vec<Object>, &[usize; 2])| {
        let target = |object: &Object| {
            let bounds = CenterSize::from(fractions(object, size));
            Target { class: object.class, bounds }
        };
        objects.iter().map(target).collect()
    };
    batch.objects.iter().zip(&batch.sizes).map(of_image).collect()
}

/// Where an object is, in fractions of an image of this height and width.
fn fractions(object: &Object, [height, width]: [usize; 2]) -> Corners {
    let Region { left, top, right, bottom } = object.region;
    let [left, top, right, bottom] = [left, top, right, bottom].map(f64::from);
    Corners { left, top, right, bottom }.scaled(1.0 / width as f64, 1.0 / height as f64)
}

/// What the queries of each image find, most probable first: every class of every query with that class's probability, at most
/// [`MOST`] of them (Deformable DETR's reading: a query that hesitates between two classes answers with both).
fn read(layer: &models::Detections) -> Vec<Vec<Found>> {
    let &[batch, queries, classes] = layer.logits.dims() else { unreachable!("[B, Q, C + 1]") };
    let probabilities = layer.logits.softmax(-1).into_value().to_vec();
    let boxes = layer.boxes.value().to_vec();
    let query = |i: usize| {
        let bounds = [0, 1, 2, 3].map(|k| f64::from(boxes[4 * i + k]));
        let bounds = Corners::from(CenterSize::from_array(bounds)).clipped(1.0, 1.0);
        let row = &probabilities[i * classes..(i + 1) * classes - 1];
        let query = i % queries;
        let found =
            move |(class, &p): (usize, &f32)| Found { query, class, score: f64::from(p), bounds };
        row.iter().enumerate().map(found)
    };
    let image = |b: usize| {
        let mut found: Vec<Found> = (b * queries..(b + 1) * queries).flat_map(query).collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.truncate(MOST);
        found
    };
    (0..batch).map(image).collect()
}

#[cfg(test)]
mod tests {
    use datasets::detection::coco::{self, Found as Line, read_instances};
    use datasets::detection::{Detection, Fit, Options, Reading, Source};
    use datasets::image_folder::Channels;

    use super::*;
    use crate::data::normalize;
    use crate::recipe::{Changes, Recipe};
    use crate::task::Task;

    /// Objects that a new detector's boxes, all in the middle, hit: of exactly 96 × 96 pixels, reaching out of the picture, twice
    /// the same, equal once clipped, a crowd.
    const TRUTH: &str = r#"{
        "images": [{"id": "b", "file_name": "b.png"}, {"id": "a", "file_name": "a.png"}],
        "categories": [{"id": 7, "name": "x"}, {"id": -2, "name": "y"}],
        "annotations": [
            {"id": 1, "image_id": "a", "category_id": 7, "bbox": [57.4, 48.3, 96, 96], "area": 9216},
            {"id": 2, "image_id": "a", "category_id": 7, "bbox": [57.4, 48.3, 96, 96], "area": 9216},
            {"id": 3, "image_id": "a", "category_id": -2, "bbox": [40, 50, 110, 100], "area": 1024.0000001},
            {"id": 4, "image_id": "b", "category_id": -2, "bbox": [-20, 5, 110, 60], "area": 900.5},
            {"id": 5, "image_id": "b", "category_id": -2, "bbox": [-30, 5, 120, 60]},
            {"id": 6, "image_id": "b", "category_id": 7, "bbox": [0, 0, 97, 83], "iscrowd": 1},
            {"id": 0, "image_id": "b", "category_id": 7, "bbox": [24.1, 20.7, 48.3, 41.3]}]}"#;

    #[test]
    fn the_score_of_a_detector_is_that_of_its_results_on_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("instances.json");
        std::fs::write(&file, TRUTH).expect("written");
        for (name, [width, height]) in [("a.png", [211, 193]), ("b.png", [97, 83])] {
            let picture = image::RgbImage::from_fn(width, height, |x, y| {
                image::Rgb([x as u8, y as u8, (x * y) as u8])
            });
            picture.save(folder.path().join(name)).expect("written");
        }
        let set = [
            "model.image_size=[32, 32]",
            "model.backbone={ kind = \"residual\", channels = [8, 8, 16], blocks = 1 }",
            "model.dim=16",
            "model.heads=2",
            "model.mlp_dim=16",
            "model.channels=3",
            "model.classes=2",
        ];
        let set: Vec<String> = set.into_iter().map(str::to_owned).collect();
        let text = Recipe::text("detr-scenes").expect("a recipe");
        let changes = Changes { set: &set, ..Changes::default() };
        let recipe = Recipe::resolve("detr-scenes", &text, &changes).expect("a recipe");
        let (Task::Detect(detector), params) = Task::new(&recipe).expect("a model") else {
            panic!("a detector")
        };
        let reading = Reading::new(Channels::Rgb, Fit::Within(64));
        let read: Detection =
            coco::read_pictures(&file, folder.path(), &reading).expect("pictures");
        let class_ids = read.class_ids().to_vec();
        let source = Source::Pictures(std::sync::Arc::new(read));
        let loader = Loader::new(source, Options::eval(2, [32, 32], normalize(3))).expect("sound");
        let score = detector.score(&params, &loader).expect("a score");

        let batch = loader.epoch(0, 0).next().expect("a batch").expect("sound");
        let found = detector.find(&params, &batch.images, &batch.sizes).expect("finite");
        let lines = found.iter().zip([[97.0, 83.0], [211.0, 193.0]]).zip(["b", "a"]);
        let lines = lines.flat_map(|((found, [width, height]), id)| {
            let class_ids = &class_ids;
            found.iter().map(move |found| Line {
                image_id: id.into(),
                category_id: class_ids[found.class].clone(),
                bbox: found.bounds.scaled(width, height).to_left_top(),
                score: found.score,
            })
        });
        let lines: Vec<Line> = lines.collect();
        let instances = read_instances(&file).expect("sound");
        let expected = crate::coco::score(&instances, &lines).expect("a score");
        let Some(task::Summary::Boxes(summary)) = score.summary else { panic!("{score:?}") };
        let [summary, expected] = [summary, expected].map(|summary| summary.to_array());
        let near = |(a, b): (f64, f64)| (a - b).abs() < 1e-12;
        let equal = |(a, b): (&Option<f64>, Option<f64>)| a.zip(b).map_or(*a == b, near);
        let [ap, ap50, ..] = expected;
        let agree = summary.iter().zip(expected).all(equal);
        assert!(agree && ap > Some(0.0) && ap50 > ap, "{summary:?} {expected:?}");
    }
}
