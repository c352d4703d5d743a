//! What detectors and captioners are scored by besides their metric.

use super::html::Html;
use super::subject::Subject;

/// A figure's key in the log's `summary`, and its name.
type Figure = (&'static str, &'static str);

/// COCO's figures, in pycocotools' order.
const DETECTIONS: &[Figure] = &[
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

/// pycocoevalcap's figures.
const CAPTIONS: &[Figure] = &[
    ("cider", "CIDEr-D"),
    ("bleu1", "BLEU-1"),
    ("bleu2", "BLEU-2"),
    ("bleu3", "BLEU-3"),
    ("bleu4", "BLEU-4"),
    ("rouge_l", "ROUGE-L"),
];

/// The last figures of all runs that have them.
pub(super) fn write(html: &mut Html, subjects: &[Subject]) {
    table(html, subjects, "COCO's figures", DETECTIONS);
    table(html, subjects, "Scores of captions", CAPTIONS);
}

/// A row for each figure, and a column for each run that has the first one.
fn table(html: &mut Html, subjects: &[Subject], title: &str, figures: &[Figure]) {
    let last =
        |subject: &Subject, key: &str| Some(subject.metrics.last(&format!("summary.{key}"))?.value);
    let scored: Vec<&Subject> =
        subjects.iter().filter(|subject| last(subject, figures[0].0).is_some()).collect();
    if scored.is_empty() {
        return;
    }
    html.leaf("h2", &[], title);
    let names = scored.iter().map(|run| run.name.clone());
    let head: Vec<String> = std::iter::once("figure".to_owned()).chain(names).collect();
    let row = |(key, name): &Figure| {
        let values = scored.iter().map(|run| match last(run, key) {
            Some(value) => format!("{value:.3}"),
            None => "—".to_owned(),
        });
        std::iter::once((*name).to_owned()).chain(values).collect()
    };
    let rows: Vec<Vec<String>> = figures.iter().map(row).collect();
    html.table("As last scored; — where there is nothing to score", &head, &rows);
}
