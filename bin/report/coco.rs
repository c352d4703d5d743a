//! COCO's figures of detectors.

use super::html::Html;
use super::subject::Subject;

/// Key and name of each figure, in pycocotools' order.
const FIGURES: [(&str, &str); 12] = [
    ("ap", "AP, IoU 0.50 to 0.95"),
    ("ap50", "AP, IoU 0.50"),
    ("ap75", "AP, IoU 0.75"),
    ("ap_small", "AP, small objects"),
    ("ap_medium", "AP, medium objects"),
    ("ap_large", "AP, large objects"),
    ("ar1", "AR, 1 detection"),
    ("ar10", "AR, 10 detections"),
    ("ar100", "AR, 100 detections"),
    ("ar_small", "AR, small objects"),
    ("ar_medium", "AR, medium objects"),
    ("ar_large", "AR, large objects"),
];

/// The last figures of all runs that have them: a row each, and a column for each run.
pub(super) fn write(html: &mut Html, subjects: &[Subject]) {
    let last =
        |subject: &Subject, key: &str| Some(subject.metrics.last(&format!("summary.{key}"))?.value);
    let scored: Vec<&Subject> =
        subjects.iter().filter(|subject| last(subject, "ap75").is_some()).collect();
    if scored.is_empty() {
        return;
    }
    html.leaf("h2", &[], "COCO's figures");
    html.element("table", &[("class", "stack")], |html| {
        html.leaf("caption", &[], "As last scored; — where there is no such object");
        html.element("thead", &[], |html| {
            html.element("tr", &[], |html| {
                html.leaf("th", &[("scope", "col")], "figure");
                scored.iter().for_each(|run| html.leaf("th", &[("scope", "col")], &run.name));
            });
        });
        html.element("tbody", &[], |html| {
            for (key, name) in FIGURES {
                html.element("tr", &[], |html| {
                    html.leaf("th", &[("scope", "row")], name);
                    for run in &scored {
                        let value = last(run, key).filter(|value| *value >= 0.0);
                        let value = value.map_or("—".to_owned(), |value| format!("{value:.3}"));
                        html.leaf("td", &[("data-label", &run.name)], value);
                    }
                });
            }
        });
    });
}
