//! The three steps of average precision, for one class.

use super::{Detection, Object};

/// How many thresholds of IoU there are.
const THRESHOLDS: usize = 10;
/// How many detections of a picture and class count.
const LIMITS: [usize; 3] = [1, 10, 100];
/// Areas of all, small, medium and large objects; bounds belong to both sides.
const RANGES: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];

/// numpy's `linspace(0.5, 0.95, 10)[i]`.
fn threshold(i: usize) -> f64 {
    if i == THRESHOLDS - 1 { 0.95 } else { 0.5 + i as f64 * ((0.95 - 0.5) / 9.0) }
}

/// One class in one picture.
pub(super) struct Picture<'a> {
    objects: &'a [&'a Object],
    /// The highest scores, in falling order, at most 100.
    detections: Vec<&'a Detection>,
    /// IoU of each detection with each object.
    overlaps: Vec<f64>,
}

/// One class in all pictures that have an object or a detection of it; both come sorted by picture.
pub(super) fn pictures<'a>(
    mut objects: &'a [&'a Object],
    mut detections: &'a [&'a Detection],
) -> Vec<Picture<'a>> {
    let mut pictures = Vec::new();
    loop {
        let next = objects.first().map(|o| o.image).into_iter();
        let Some(image) = next.chain(detections.first().map(|d| d.image)).min() else {
            return pictures;
        };
        let (own, rest) = objects.split_at(objects.partition_point(|o| o.image == image));
        objects = rest;
        let (found, rest) = detections.split_at(detections.partition_point(|d| d.image == image));
        detections = rest;
        let mut found = found.to_vec();
        found.sort_by(|a, b| falling(a.score, b.score));
        found.truncate(LIMITS[2]);
        let overlaps = found
            .iter()
            .flat_map(|detection| own.iter().map(|object| overlap(detection, object)))
            .collect();
        pictures.push(Picture { objects: own, detections: found, overlaps });
    }
}

fn falling(a: f64, b: f64) -> std::cmp::Ordering {
    b.partial_cmp(&a).expect("finite, as was checked")
}

/// IoU; with a crowd, the share of the detection inside of it.
fn overlap(detection: &Detection, object: &Object) -> f64 {
    let (d, g) = (detection.bounds, object.bounds);
    let length = |axis: usize| {
        let (size, other) = (axis + 2, axis);
        (d[size] + d[other]).min(g[size] + g[other]) - d[other].max(g[other])
    };
    let (width, height) = (length(0), length(1));
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let (own, shared) = (d[2] * d[3], width * height);
    shared / if object.crowd { own } else { own + g[2] * g[3] - shared }
}

/// What became of a detection, a bit for each threshold.
#[derive(Clone, Copy, Default)]
struct Outcome {
    score: f64,
    /// How many detections of its picture come before it.
    rank: usize,
    taken: u16,
    ignored: u16,
}

/// Precision and recall of a class at each threshold.
pub(super) struct Curve {
    /// The mean over recalls.
    pub(super) precision: [f64; THRESHOLDS],
    /// After the last detection.
    pub(super) recall: [f64; THRESHOLDS],
}

/// For each range and limit, if objects count there.
pub(super) fn score(pictures: &[Picture<'_>]) -> [[Option<Curve>; 3]; 4] {
    RANGES.map(|range| {
        let mut outcomes = Vec::new();
        let mut objects = 0;
        for picture in pictures {
            objects += take(picture, range, &mut outcomes);
        }
        LIMITS.map(|limit| {
            let mut outcomes: Vec<Outcome> =
                outcomes.iter().filter(|outcome| outcome.rank < limit).copied().collect();
            outcomes.sort_by(|a, b| falling(a.score, b.score));
            (objects > 0).then(|| curve(&outcomes, objects))
        })
    })
}

/// Step 1 for a picture. Returns the number of objects that count.
fn take(picture: &Picture<'_>, [low, high]: [f64; 2], outcomes: &mut Vec<Outcome>) -> usize {
    let Picture { objects, detections, overlaps } = picture;
    let outside = |area: f64| area < low || area > high;
    let ignored: Vec<bool> = objects.iter().map(|o| o.crowd || outside(o.area)).collect();
    // Those that count come first.
    let mut order: Vec<usize> = (0..objects.len()).collect();
    order.sort_by_key(|&i| ignored[i]);
    let first = outcomes.len();
    outcomes.extend(detections.iter().enumerate().map(|(rank, detection)| {
        let area = detection.bounds[2] * detection.bounds[3];
        let ignored = if outside(area) { u16::MAX } else { 0 };
        Outcome { score: detection.score, rank, taken: 0, ignored }
    }));
    let mut free = vec![true; objects.len()];
    for t in 0..THRESHOLDS {
        free.fill(true);
        for (i, outcome) in outcomes[first..].iter_mut().enumerate() {
            let overlaps = &overlaps[i * objects.len()..][..objects.len()];
            let mut least = threshold(t).min(1.0 - 1e-10);
            let mut best: Option<usize> = None;
            for &object in order.iter().filter(|&&object| free[object] || objects[object].crowd) {
                if best.is_some_and(|best| !ignored[best]) && ignored[object] {
                    break;
                }
                if overlaps[object] >= least {
                    (least, best) = (overlaps[object], Some(object)); // the last of equal ones
                }
            }
            let Some(object) = best else { continue };
            free[object] = false;
            let taken = objects[object].id != 0;
            outcome.taken |= u16::from(taken) << t;
            if ignored[object] {
                outcome.ignored |= 1 << t;
            } else if taken {
                outcome.ignored &= !(1 << t);
            }
        }
    }
    ignored.iter().filter(|&&ignored| !ignored).count()
}

/// Steps 2 and 3 of detections in falling order of score.
fn curve(outcomes: &[Outcome], objects: usize) -> Curve {
    let mut curve = Curve { precision: [0.0; THRESHOLDS], recall: [0.0; THRESHOLDS] };
    for t in 0..THRESHOLDS {
        let (mut right, mut wrong) = (0.0, 0.0);
        let mut points: Vec<(f64, f64)> = Vec::with_capacity(outcomes.len()); // recall, precision
        for outcome in outcomes {
            if outcome.ignored >> t & 1 == 0 {
                let taken = outcome.taken >> t & 1 == 1;
                *(if taken { &mut right } else { &mut wrong }) += 1.0;
            }
            // Ignored ones repeat a point, as in pycocotools: no figure depends on it.
            points.push((right / objects as f64, right / (wrong + right + f64::EPSILON)));
        }
        for i in (1..points.len()).rev() {
            points[i - 1].1 = points[i - 1].1.max(points[i].1);
        }
        curve.recall[t] = points.last().map_or(0.0, |&(recall, _)| recall);
        let at = |i: u32| {
            let recall = if i == 100 { 1.0 } else { f64::from(i) * 0.01 };
            points
                .get(points.partition_point(|point| point.0 < recall))
                .map_or(0.0, |point| point.1)
        };
        curve.precision[t] = (0..=100).map(at).sum::<f64>() / 101.0;
    }
    curve
}
