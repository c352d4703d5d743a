//! Object detection: the loss of a step, the boxes of an image, and COCO's score of a data set.

use std::ops::Range;

use anyhow::{Context as _, Result};
use autograd::Anomaly;
use datasets::detection::{Batch, Loader, Object, Region};
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
    pub(crate) fn find(
        &self,
        params: &Params,
        images: &Tensor,
        sizes: &[[usize; 2]],
    ) -> Vec<Vec<Found>> {
        let size = self.micro_batch.max(1);
        let part = |part: usize| {
            let range = part * size..sizes.len().min((part + 1) * size);
            let images = images.narrow(0, range.start, range.len());
            let layers = self.model.forward(&Context::eval(params), &images, &sizes[range]);
            read(layers.last().expect("a decoder has a layer"))
        };
        let parts: Vec<_> = (0..sizes.len().div_ceil(size)).into_par_iter().map(part).collect();
        parts.into_iter().flatten().collect()
    }

    /// COCO's score of all images of a loader, areas in pixels of the pictures as they were before they were resized. The result
    /// does not depend on the number of threads.
    pub(crate) fn score(&self, params: &Params, loader: &Loader) -> Result<Score> {
        let (mut objects, mut detections, mut images) = (Vec::new(), Vec::new(), Vec::new());
        let mut losses = Tally::default();
        for batch in loader.epoch(0, 0) {
            losses += self.losses(params, &batch);
            let found = self.find(params, &batch.images, &batch.sizes);
            for (i, found) in found.into_iter().enumerate() {
                let image = images.len() as u64;
                images.push(image);
                let [height, width] =
                    loader.source().original(batch.indices[i]).map(|side| side as f64);
                let pixels = |bounds: Corners| bounds.scaled(width, height).to_left_top();
                for object in &batch.objects[i] {
                    let [h, w] = batch.sizes[i].map(|side| side as f64);
                    objects.push(ap::Object {
                        id: objects.len() as u64 + 1,
                        image,
                        category: object.class as u64,
                        bounds: pixels(fractions(object, batch.sizes[i])),
                        area: object.area * (width / w) * (height / h),
                        crowd: object.crowd,
                    });
                }
                detections.extend(found.into_iter().map(|found| ap::Detection {
                    image,
                    category: found.class as u64,
                    bounds: pixels(found.bounds),
                    score: found.score,
                }));
            }
        }
        let classes: Vec<u64> = (0..loader.classes().len() as u64).collect();
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

/// What is to be learnt from a batch: its objects, crowds left out.
fn targets(batch: &Batch) -> Vec<Vec<Target>> {
    let of_image = |(objects, &size): (&Vec<Object>, &[usize; 2])| {
        let objects = objects.iter().filter(|object| !object.crowd);
        let target = |object: &Object| {
            let bounds = CenterSize::from(fractions(object, size));
            Target { class: object.class, bounds }
        };
        objects.map(target).collect()
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
