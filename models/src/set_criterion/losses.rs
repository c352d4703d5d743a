//! What the loss is divided by, and what of it goes to the log.

use std::ops::AddAssign;

use serde::Serialize;

use super::Target;

/// What losses are divided by: figures of the whole batch, so that the shards' losses add up to the batch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalizer {
    /// Objects in the batch, also those beyond the number of queries; at least 1.
    pub objects: f64,
    /// Sum of the queries' weights in the cross-entropy.
    pub weight: f64,
}

impl Normalizer {
    /// That of a batch of pictures with these objects, under a model of `queries` queries and
    /// [`no_object`](super::SetCriterion::no_object) as the criterion has it.
    pub fn of(targets: &[Vec<Target>], queries: usize, no_object: f64) -> Self {
        let objects: usize = targets.iter().map(Vec::len).sum();
        let matched: usize = targets.iter().map(|targets| targets.len().min(queries)).sum();
        let weight = matched as f64 + no_object * (targets.len() * queries - matched) as f64;
        let weight = if weight > 0.0 { weight } else { 1.0 };
        Self { objects: objects.max(1) as f64, weight }
    }
}

/// The parts of the loss, for the log. Those of shards of one batch add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Losses {
    /// The loss: all parts, weighted, of all layers.
    pub total: f64,
    /// The part of it that is divided by [`Normalizer::weight`]: weighted, of all layers.
    pub classes: f64,
    /// The part of it that is divided by [`Normalizer::objects`]: weighted, of all layers.
    pub boxes: f64,
    /// Of the last layer: cross-entropy, in nats.
    pub ce: f64,
    /// Of the last layer: L1 distance of the boxes, in fractions of the picture, for each object.
    pub l1: f64,
    /// Of the last layer: 1 − GIoU for each object.
    pub giou: f64,
    /// Of the last layer: matched queries whose most likely class, "no object" included, is that of their object.
    pub right: usize,
    /// Matched queries of a layer.
    pub matched: usize,
    /// Objects for which there was no query.
    pub missed: usize,
}

impl Losses {
    /// The share of right classes among the matched queries of the last layer, if there are any.
    pub fn accuracy(&self) -> Option<f64> {
        (self.matched > 0).then(|| self.right as f64 / self.matched as f64)
    }
}

impl AddAssign for Losses {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.classes += other.classes;
        self.boxes += other.boxes;
        self.ce += other.ce;
        self.l1 += other.l1;
        self.giou += other.giou;
        self.right += other.right;
        self.matched += other.matched;
        self.missed += other.missed;
    }
}
