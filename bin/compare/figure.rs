//! How runs are scored, and the figures of a score.

use serde::Serialize;
use serde_json::{Map, Value};

use super::budget::Design;
use crate::recipe::ModelConfig;
use crate::study::Scoring;

/// A number of a score, such as the AP50 on scenes of 96 pixels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Figure {
    pub(super) title: String,
    /// Name of the scoring.
    pub(super) scoring: String,
    /// Its key in what was reported; `band.cider` is a number inside of `band`.
    pub(super) key: String,
    pub(super) is_more_better: bool,
}

impl Figure {
    pub(super) fn new(title: &str, scoring: &str, key: &str, is_more_better: bool) -> Self {
        let [title, scoring, key] = [title, scoring, key].map(str::to_owned);
        Self { title, scoring, key, is_more_better }
    }

    /// The number in what a scoring has reported.
    pub(super) fn read(&self, score: &Map<String, Value>) -> Option<f64> {
        let mut parts = self.key.split('.');
        let first = score.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))?.as_f64()
    }
}

/// How runs of a design are scored on the test set, each once, and what is read of it: the task's figures first, then those at
/// places that training has not shown.
///
/// Images of other sizes are shown in both readings of places: *dense*, where a larger image is a denser sampling of the same
/// range (scenes grow with the canvas), and *farther*, where places go on beyond those of training (scenes keep their scale).
pub(super) fn scorings(design: &Design, model: &ModelConfig) -> (Vec<Scoring>, Vec<Figure>) {
    let scoring = |name: &str, arguments: &[&str]| Scoring {
        name: name.to_owned(),
        arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
    };
    let own = |title, key, better| Figure::new(title, "test", key, better);
    let mut figures = match model {
        ModelConfig::Vit(_) => vec![own("top-1", "value", true), own("top-5", "top5", true)],
        ModelConfig::ImageGpt(_) => vec![own("bits/dim", "value", false)],
        ModelConfig::Detr(_) => {
            vec![own("AP", "ap", true), own("AP50", "ap50", true), own("AP75", "ap75", true)]
        }
        ModelConfig::Captioner(_) => vec![
            own("CIDEr-D", "cider", true),
            own("BLEU-1", "bleu1", true),
            own("BLEU-4", "bleu4", true),
            own("ROUGE-L", "rouge_l", true),
            own("CIDEr-D where places are known", "elsewhere.cider", true),
            own("CIDEr-D at unseen places", "band.cider", true),
        ],
    };
    let (words, key, zoom) = match model {
        ModelConfig::Detr(_) => ("AP50", "ap50", true),
        ModelConfig::ImageGpt(_) => ("bits/dim", "value", false),
        ModelConfig::Vit(_) | ModelConfig::Captioner(_) => ("top-1", "value", false),
    };
    let is_more_better = figures[0].is_more_better;
    let mut scorings = vec![scoring("test", &["--test"])];
    for reading in ["dense", "farther"] {
        for size in &design.sizes {
            let (name, size) = (format!("{reading}-{size}"), size.to_string());
            let mut arguments = vec!["--test", "--size", &size, "--reading", reading];
            if zoom && reading == "dense" {
                arguments.push("--zoom");
            }
            scorings.push(scoring(&name, &arguments));
            let title = format!("{words}, {size} px, {reading}");
            figures.push(Figure::new(&title, &name, key, is_more_better));
        }
    }
    (scorings, figures)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_inside_of_a_part_is_found() {
        let score = json!({"value": 1.5, "band": {"cider": 0.25}, "null": null});
        let score = score.as_object().expect("an object");
        let read = |key: &str| Figure::new("", "test", key, true).read(score);
        assert_eq!(
            [read("value"), read("band.cider"), read("band.bleu"), read("null"), read("none")],
            [Some(1.5), Some(0.25), None, None, None]
        );
    }
}
