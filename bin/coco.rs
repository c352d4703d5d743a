//! Detections in COCO's files, scored as COCO does.

use std::io::Write;
use std::path::Path;

use crate::output;
use anyhow::{Context as _, Result};
use datasets::detection::Id;
use datasets::detection::coco::{Found, Instances, Results, read_instances, read_results};
use models::average_precision::{Detection, Object, Summary, average_precision};

/// Scores a file of results, and prints twelve figures: pycocotools' lines, or one JSON object.
pub(crate) fn run(truth: &Path, results: &Path, json: bool) -> Result<()> {
    let instances = read_instances(truth)?;
    if !instances.repairs.is_empty() {
        output::note(&instances.repairs);
    }
    let Results { found, repairs } = read_results(results)?;
    if !repairs.is_empty() {
        output::note(&repairs);
    }
    if let Some(zero) = instances.annotations.iter().find(|annotation| annotation.id.is_zero()) {
        let image = &zero.image_id;
        output::note(format_args!(
            "{}: annotation 0 (of image {image}): counts as missed, as in pycocotools; ids start at 1",
            truth.display()
        ));
    }
    let summary = score(&instances, &found).with_context(|| results.display().to_string())?;
    let mut out = output::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&summary)?)?;
    } else {
        write!(out, "{}", lines(&summary))?;
    }
    Ok(())
}

/// The twelve figures.
pub(crate) fn score(instances: &Instances, found: &[Found]) -> Result<Summary> {
    let images = Id::ranks(instances.images.iter().map(|image| &image.id));
    let categories = Id::ranks(instances.categories.iter().map(|category| &category.id));
    let objects = instances.annotations.iter().map(|annotation| Object {
        id: u64::from(!annotation.id.is_zero()),
        image: images[&annotation.image_id],
        category: categories[&annotation.category_id],
        bounds: annotation.bbox,
        area: annotation.area,
        crowd: annotation.iscrowd,
    });
    let objects: Vec<Object> = objects.collect();
    let detection = |(i, found): (usize, &Found)| {
        let image = images.get(&found.image_id);
        let unknown = || format!("result {}: image {} is not in the set", i + 1, found.image_id);
        let image = *image.with_context(unknown)?;
        let category = categories.get(&found.category_id).copied();
        // Those of other categories do not count.
        let detection =
            |category| Detection { image, category, bounds: found.bbox, score: found.score };
        Ok(category.map(detection))
    };
    let detections = found.iter().enumerate().map(detection).filter_map(Result::transpose);
    let detections: Vec<Detection> = detections.collect::<Result<_>>()?;
    let [images, categories]: [Vec<u64>; 2] =
        [images, categories].map(|ids| ids.into_values().collect());
    Ok(average_precision(&images, &categories, &objects, &detections)?)
}

/// pycocotools' summary, with its −1 where there is nothing to score.
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
    let figures = summary.to_array().map(|figure| figure.unwrap_or(-1.0));
    figures.into_iter().zip(settings).enumerate().map(line).collect()
}
