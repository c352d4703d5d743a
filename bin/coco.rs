//! Detections in COCO's files, scored as COCO does.

use std::path::Path;

use anyhow::{Context as _, Result};
use datasets::detection::coco::{Found, Instances, read_instances, read_results};
use models::average_precision::{Detection, Object, Summary, average_precision};

/// Scores a file of results, and prints twelve figures: pycocotools' lines, or one JSON object.
pub(crate) fn run(truth: &Path, results: &Path, json: bool) -> Result<()> {
    let instances = read_instances(truth)?;
    let found = read_results(results)?;
    if let Some(zero) = instances.annotations.iter().find(|annotation| annotation.id == 0) {
        let image = zero.image_id;
        eprintln!(
            "{}: annotation 0 (of image {image}): counts as missed, as in pycocotools; ids start at 1",
            truth.display()
        );
    }
    let summary = score(&instances, &found).with_context(|| results.display().to_string())?;
    if json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        print!("{}", lines(&summary));
    }
    Ok(())
}

/// The twelve figures.
pub(crate) fn score(instances: &Instances, found: &[Found]) -> Result<Summary> {
    let images: Vec<u64> = instances.images.iter().map(|image| image.id).collect();
    let categories: Vec<u64> = instances.categories.iter().map(|category| category.id).collect();
    let objects = instances.annotations.iter().map(|annotation| Object {
        id: annotation.id,
        image: annotation.image_id,
        category: annotation.category_id,
        bounds: annotation.bbox,
        area: annotation.area,
        crowd: annotation.iscrowd,
    });
    let objects: Vec<Object> = objects.collect();
    let detections = found.iter().map(|found| Detection {
        image: found.image_id,
        category: found.category_id,
        bounds: found.bbox,
        score: found.score,
    });
    let detections: Vec<Detection> = detections.collect();
    Ok(average_precision(&images, &categories, &objects, &detections)?)
}

/// pycocotools' summary.
pub(crate) fn lines(summary: &Summary) -> String {
    let settings = [
        ("0.50:0.95", "all", 100),
        ("0.50", "all", 100),
        ("0.75", "all", 100),
        ("0.50:0.95", "small", 100),
        ("0.50:0.95", "medium", 100),
        ("0.50:0.95", "large", 100),
        ("0.50:0.95", "all", 1),
        ("0.50:0.95", "all", 10),
        ("0.50:0.95", "all", 100),
        ("0.50:0.95", "small", 100),
        ("0.50:0.95", "medium", 100),
        ("0.50:0.95", "large", 100),
    ];
    let line = |(i, (figure, (iou, area, limit))): (usize, (f64, (&str, &str, usize)))| {
        let name = if i < 6 { "Average Precision  (AP)" } else { "Average Recall     (AR)" };
        format!(" {name} @[ IoU={iou:<9} | area={area:>6} | maxDets={limit:>3} ] = {figure:0.3}\n")
    };
    summary.to_array().into_iter().zip(settings).enumerate().map(line).collect()
}
