//! Average precision and recall of detections, with COCO's twelve figures, as pycocotools computes them.
//!
//! Intersection over union is asked for at T = 10 thresholds 0.5, 0.55 … 0.95, areas come in 4 ranges, and of each picture and
//! class the 1, 10 or 100 highest scores count. For each of these settings and each class:
//!
//! 1. In each picture, detections in falling order of score each take the free object with the largest IoU, which has to
//!    reach the threshold. An object that is ignored, as a crowd or for its area, is taken only if no other can be, and
//!    its detection is ignored then. A crowd stays free, and IoU with it is the share of the detection inside of it.
//!    Detections that took nothing and have an area outside of the range are ignored.
//! 2. Over all pictures, again in falling order of score, true and false positives are counted up. That gives precision
//!    TP/(TP + FP) and recall TP/(objects that are not ignored) after each detection.
//! 3. Precision at recall r is the largest one at any recall of r or more, 0 where there is none. AP is the mean of
//!    precision at the recalls 0, 0.01 … 1; AR is the recall after the last detection.
//!
//! A figure is the mean over thresholds and over the classes that have objects in the range; none without any, where pycocotools
//! says −1.
//!
//! Equal scores keep their order: that of the pictures' ids, and in a picture that in which they are given.
//!
//! Source: COCO's evaluation, <https://cocodataset.org/#detection-eval>, `cocoeval.py` in pycocotools 2.0.

mod score;

use std::collections::HashSet;

use score::{Curve, pictures, score};
use serde::{Deserialize, Serialize};

/// An object on a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Its number. One with number 0 counts as missed by the detection that takes it, as in pycocotools, to which 0 means
    /// "none"; COCO counts from 1.
    pub id: u64,
    /// The picture.
    pub image: u64,
    /// The class.
    pub category: u64,
    /// Left, top, width and height in pixels.
    pub bounds: [f64; 4],
    /// Square pixels, which decide in which ranges the object counts.
    pub area: f64,
    /// Whether it stands for a crowd of objects.
    pub crowd: bool,
}

/// An object that a detector believes to see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// The picture.
    pub image: u64,
    /// The class. Detections of classes that are not asked for do not count.
    pub category: u64,
    /// Left, top, width and height in pixels.
    pub bounds: [f64; 4],
    /// Higher is surer.
    pub score: f64,
}

/// COCO's twelve figures, each from 0 to 1, or none where there is nothing to score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Average precision, mean over the thresholds.
    pub ap: Option<f64>,
    /// Average precision at IoU 0.5.
    pub ap50: Option<f64>,
    /// Average precision at IoU 0.75.
    pub ap75: Option<f64>,
    /// Average precision of objects up to 32² pixels.
    pub ap_small: Option<f64>,
    /// Average precision of objects from 32² to 96² pixels.
    pub ap_medium: Option<f64>,
    /// Average precision of objects from 96² pixels.
    pub ap_large: Option<f64>,
    /// Average recall with one detection for each picture and class.
    pub ar1: Option<f64>,
    /// Average recall with 10.
    pub ar10: Option<f64>,
    /// Average recall with 100.
    pub ar100: Option<f64>,
    /// Average recall of objects up to 32² pixels.
    pub ar_small: Option<f64>,
    /// Average recall of objects from 32² to 96² pixels.
    pub ar_medium: Option<f64>,
    /// Average recall of objects from 96² pixels.
    pub ar_large: Option<f64>,
}

impl Summary {
    /// In pycocotools' order, which is that of the fields.
    pub fn to_array(&self) -> [Option<f64>; 12] {
        let Self { ap, ap50, ap75, ap_small, ap_medium, ap_large, .. } = *self;
        let Self { ar1, ar10, ar100, ar_small, ar_medium, ar_large, .. } = *self;
        [
            ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ar_medium,
            ar_large,
        ]
    }
}

/// Data that cannot be scored.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A detection on a picture that is not in the set.
    #[error("detection {}: image {image} is not in the set", index + 1)]
    UnknownImage {
        /// Its place among the detections, from 0.
        index: usize,
        /// The picture.
        image: u64,
    },
    /// An object on a picture or of a class that is not in the set.
    #[error("object {id}: image {image} or category {category} is not in the set")]
    UnknownPlace {
        /// The object.
        id: u64,
        /// The picture.
        image: u64,
        /// The class.
        category: u64,
    },
    /// A box, area or score that is not a finite number, or so large that areas are none.
    #[error("{what}: a number is not finite, or beyond 1e100")]
    NotFinite {
        /// Which object or detection.
        what: String,
    },
}

/// Scores detections on the pictures of a set. `images` and `categories` are the ids that the set has.
///
/// # Errors
/// A detection on an unknown picture; an object on an unknown picture or of an unknown class; a number that is not finite.
pub fn average_precision(
    images: &[u64],
    categories: &[u64],
    objects: &[Object],
    detections: &[Detection],
) -> Result<Summary, Error> {
    check(images, categories, objects, detections)?;
    let mut categories = categories.to_vec();
    categories.sort_unstable();
    categories.dedup();
    // Stable: equal keys keep their order.
    let mut objects: Vec<&Object> = objects.iter().collect();
    objects.sort_by_key(|object| (object.category, object.image));
    let mut detections: Vec<&Detection> = detections.iter().collect();
    detections.sort_by_key(|detection| (detection.category, detection.image));
    let scores = categories.iter().map(|&category| {
        let objects =
            run(&objects, |object| object.category == category, |o| o.category < category);
        let detections =
            run(&detections, |found| found.category == category, |d| d.category < category);
        score(&pictures(objects, detections))
    });
    let scores: Vec<[[Option<Curve>; 3]; 4]> = scores.collect();
    let mean = |range: usize, limit: usize, part: &dyn Fn(&Curve) -> Vec<f64>| {
        let curves = scores.iter().filter_map(|score| score[range][limit].as_ref());
        let values: Vec<f64> = curves.flat_map(part).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let precision = |range: usize| mean(range, 2, &|curve| curve.precision.to_vec());
    let precision_at = |threshold: usize| mean(0, 2, &|curve| vec![curve.precision[threshold]]);
    let recall = |range: usize, limit: usize| mean(range, limit, &|curve| curve.recall.to_vec());
    Ok(Summary {
        ap: precision(0),
        ap50: precision_at(0),
        ap75: precision_at(5),
        ap_small: precision(1),
        ap_medium: precision(2),
        ap_large: precision(3),
        ar1: recall(0, 0),
        ar10: recall(0, 1),
        ar100: recall(0, 2),
        ar_small: recall(1, 2),
        ar_medium: recall(2, 2),
        ar_large: recall(3, 2),
    })
}

fn check(
    images: &[u64],
    categories: &[u64],
    objects: &[Object],
    detections: &[Detection],
) -> Result<(), Error> {
    let images: HashSet<u64> = images.iter().copied().collect();
    let categories: HashSet<u64> = categories.iter().copied().collect();
    for &Object { id, image, category, bounds, area, .. } in objects {
        if !images.contains(&image) || !categories.contains(&category) {
            return Err(Error::UnknownPlace { id, image, category });
        }
        if !bounds.iter().chain([&area]).all(is_sound) {
            return Err(Error::NotFinite { what: format!("object {id}") });
        }
    }
    for (index, Detection { image, bounds, score, .. }) in detections.iter().enumerate() {
        if !images.contains(image) {
            return Err(Error::UnknownImage { index, image: *image });
        }
        if !bounds.iter().chain([score]).all(is_sound) {
            return Err(Error::NotFinite { what: format!("detection {}", index + 1) });
        }
    }
    Ok(())
}

/// Whether overlaps can be computed from a number; NaN is in no range.
fn is_sound(number: &f64) -> bool {
    (-1e100..=1e100).contains(number)
}

/// The items of a sorted slice that are `wanted`, all those `below` them coming first.
fn run<'a, T>(
    items: &'a [&'a T],
    wanted: impl Fn(&T) -> bool,
    below: impl Fn(&T) -> bool,
) -> &'a [&'a T] {
    let items = &items[items.partition_point(|item| below(item))..];
    &items[..items.partition_point(|item| wanted(item))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(id: u64, bounds: [f64; 4]) -> Object {
        Object { id, image: 1, category: 1, bounds, area: bounds[2] * bounds[3], crowd: false }
    }

    fn found(bounds: [f64; 4], score: f64) -> Detection {
        Detection { image: 1, category: 1, bounds, score }
    }

    fn figures(objects: &[Object], detections: &[Detection]) -> Summary {
        average_precision(&[1, 2], &[1, 2], objects, detections).expect("sound")
    }

    fn ap(summary: &Summary) -> f64 {
        summary.ap.expect("objects")
    }

    const SMALL: [f64; 4] = [10.0, 10.0, 20.0, 20.0];
    const LARGE: [f64; 4] = [100.0, 100.0, 100.0, 200.0];

    #[test]
    fn perfect_detections_score_1_and_what_is_not_defined_is_none() {
        let objects = [object(1, SMALL), object(2, LARGE)];
        let all = figures(&objects, &[found(SMALL, 0.5), found(LARGE, 0.75)]);
        let one = Some(1.0);
        let precisions = [one, one, one, one, None, one];
        let expected = [precisions, [Some(0.5), one, one, one, None, one]].concat();
        for (found, expected) in all.to_array().into_iter().zip(expected) {
            let near = |(a, b): (f64, f64)| (a - b).abs() < 1e-12;
            assert!(found.is_some() == expected.is_some(), "{all:?}");
            assert!(found.zip(expected).is_none_or(near), "{all:?}");
        }
    }

    #[test]
    fn without_objects_nothing_is_defined_and_without_detections_all_is_0() {
        assert_eq!(figures(&[], &[found(SMALL, 0.5)]).to_array(), [None; 12]);
        let none = figures(&[object(1, SMALL), object(2, LARGE)], &[]);
        let zero = Some(0.0);
        let half = [zero, zero, zero, zero, None, zero];
        assert_eq!(none.to_array().to_vec(), [half, half].concat());
    }

    #[test]
    fn overlap_decides_at_which_thresholds_a_detection_is_right() {
        // 16 of 20 columns: IoU 0.8, right at 0.5 … 0.8.
        let all = figures(&[object(1, SMALL)], &[found([10.0, 10.0, 16.0, 20.0], 1.0)]);
        assert!((ap(&all) - 0.7).abs() < 1e-12 && all.ar100 == Some(0.7), "{all:?}");
        assert!(all.ap50 > Some(0.99) && all.ap75 > Some(0.99));
    }

    #[test]
    fn a_second_detection_of_an_object_is_wrong_and_one_of_a_crowd_is_neither() {
        let twice = [found(SMALL, 0.9), found(SMALL, 0.8), found(LARGE, 0.7)];
        let objects = [object(1, SMALL), object(2, LARGE)];
        // Precision is 1 up to recall 0.5, and 2/3 above.
        let expected = (51.0 + 50.0 * 2.0 / 3.0) / 101.0;
        assert!((ap(&figures(&objects, &twice)) - expected).abs() < 1e-12);
        let crowd = Object { crowd: true, id: 3, ..object(3, [0.0, 0.0, 50.0, 50.0]) };
        let ap = ap(&figures(&[objects[0], objects[1], crowd], &twice));
        assert!((ap - 1.0).abs() < 1e-12, "{ap}");
    }

    #[test]
    fn equal_scores_keep_their_order() {
        let wrong = found([300.0, 300.0, 20.0, 20.0], 0.5);
        let ap = |detections: &[Detection]| ap(&figures(&[object(1, SMALL)], detections));
        assert!((ap(&[found(SMALL, 0.5), wrong]) - 1.0).abs() < 1e-12);
        assert!((ap(&[wrong, found(SMALL, 0.5)]) - 0.5).abs() < 1e-12);
        // The picture with the lower id comes first, wherever it is given.
        let elsewhere = Detection { image: 2, ..wrong };
        assert!((ap(&[elsewhere, found(SMALL, 0.5)]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_class_that_is_not_asked_for_does_not_count_and_an_unknown_picture_is_an_error() {
        let other = Detection { category: 7, ..found(LARGE, 1.0) };
        let all = figures(&[object(1, SMALL)], &[other, found(SMALL, 0.5)]);
        assert!((ap(&all) - 1.0).abs() < 1e-12);
        let stray = Detection { image: 3, ..found(SMALL, 0.5) };
        let error = average_precision(&[1], &[1], &[], &[found(SMALL, 1.0), stray]);
        let error = error.map_err(|error| error.to_string());
        assert_eq!(error, Err("detection 2: image 3 is not in the set".to_owned()));
        let lost = Object { category: 4, ..object(9, SMALL) };
        let error = average_precision(&[1], &[1], &[lost], &[]).map_err(|error| error.to_string());
        assert_eq!(error, Err("object 9: image 1 or category 4 is not in the set".to_owned()));
        let nan = average_precision(&[1], &[1], &[], &[found(SMALL, f64::NAN)]);
        assert_eq!(
            nan.map_err(|e| e.to_string()),
            Err("detection 1: a number is not finite, or beyond 1e100".into())
        );
    }
}
