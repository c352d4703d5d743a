//! What a captioner has to beat: captions without a model.

use std::collections::{BTreeMap, HashMap};

use datasets::screens::{Loader, Node, Screens, caption_words};

use crate::captioner::{Figures, Written};

/// Scores of captions copied from the training set.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Baselines {
    /// The most frequent caption of the widget's class.
    pub(crate) frequent: Figures,
    /// That of the training widget of the same class whose box is nearest: least sum of squares over the four edges.
    pub(crate) nearest: Figures,
}

/// Where the captions that are copied come from.
struct Known<'a> {
    /// By class; 0 stands for all. As words with spaces between.
    frequent: HashMap<usize, String>,
    /// By class: boxes and captions.
    boxes: HashMap<usize, Vec<([f32; 4], &'a str)>>,
}

impl<'a> Known<'a> {
    fn of(train: &'a Screens) -> Self {
        let mut counts: HashMap<usize, BTreeMap<String, usize>> = HashMap::new();
        let mut boxes: HashMap<usize, Vec<_>> = HashMap::new();
        for screen in train.screens() {
            for widget in &screen.widgets {
                let Node { class, bounds, .. } = screen.nodes[widget.node];
                for caption in &widget.captions {
                    let words = caption_words(caption).join(" ");
                    for class in [0, class] {
                        *counts.entry(class).or_default().entry(words.clone()).or_default() += 1;
                        boxes.entry(class).or_default().push((bounds, caption.as_str()));
                    }
                }
            }
        }
        // Of equally frequent ones the first in the alphabet.
        let most = |counts: BTreeMap<String, usize>| {
            let better = |best: (String, usize), (caption, count): (String, usize)| {
                if count > best.1 { (caption, count) } else { best }
            };
            counts.into_iter().fold((String::new(), 0), better).0
        };
        let frequent = counts.into_iter().map(|(class, counts)| (class, most(counts))).collect();
        Self { frequent, boxes }
    }

    fn frequent(&self, node: &Node) -> &str {
        let of = |class| self.frequent.get(&class).map(String::as_str);
        of(node.class).or_else(|| of(0)).unwrap_or_default()
    }

    /// Of equally near ones the first.
    fn nearest(&self, node: &Node) -> &'a str {
        let of = |class| self.boxes.get(&class);
        let distance = |bounds: &[f32; 4]| -> f32 {
            bounds.iter().zip(&node.bounds).map(|(a, b)| (a - b).powi(2)).sum()
        };
        let known = of(node.class).or_else(|| of(0)).into_iter().flatten();
        let nearest = known.min_by(|a, b| distance(&a.0).total_cmp(&distance(&b.0)));
        nearest.map_or("", |(_, caption)| caption)
    }
}

/// Copies from one set and is scored on another.
pub(crate) fn measure(train: &Screens, test: &Loader) -> Baselines {
    let known = Known::of(train);
    let (mut frequent, mut nearest) = (Written::default(), Written::default());
    for batch in test.epoch(0, 0) {
        let node = |(&(screen, _), &origin): (&(usize, usize), &usize)| {
            let screen = &test.screens().screens()[batch.indices[screen]];
            &screen.nodes[screen.widgets[origin].node]
        };
        let nodes: Vec<&Node> = batch.widgets.iter().zip(&batch.origins).map(node).collect();
        let frequents = nodes.iter().map(|node| known.frequent(node).to_owned());
        frequent.add(test, &batch, frequents, None);
        let nearests = nodes.iter().map(|node| known.nearest(node).to_owned());
        nearest.add(test, &batch, nearests, None);
    }
    Baselines { frequent: frequent.score().all, nearest: nearest.score().all }
}
