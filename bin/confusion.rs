//! Which class is taken for which: the confusion matrix of a classifier, and what follows from it.

use std::path::Path;

use anyhow::Result;
use datasets::Loader;
use nn::Params;
use rayon::prelude::*;
use serde::Serialize;

use crate::classifier::Classifier;
use crate::data::Classes;
use crate::output::escaped;

/// Images that are looked at together.
const PART: usize = 64;
/// Mistakes that are kept, those of the highest probability.
const WORST: usize = 12;
/// Classes of a matrix that fits a screen.
const WIDE: usize = 10;
/// Pairs of classes that are told.
const PAIRS: usize = 10;

/// The images that were scored, by their class and by what was found.
#[derive(Debug, Serialize)]
pub(crate) struct Confusion {
    pub(crate) classes: Vec<String>,
    /// How often an image of the class of the row was given the class of the column.
    pub(crate) matrix: Vec<Vec<usize>>,
    pub(crate) per_class: Vec<PerClass>,
    /// Means over the classes that have them.
    pub(crate) macro_average: Figures,
    /// The most probable mistakes.
    pub(crate) worst: Vec<Mistake>,
}

/// What a class is scored by; none where nothing is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Of the images that were given the class, the share that are of it.
    pub(crate) precision: Option<f64>,
    /// Of the images of the class, the share that were given it.
    pub(crate) recall: Option<f64>,
    /// 2·precision·recall/(precision + recall).
    pub(crate) f1: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PerClass {
    pub(crate) class: String,
    /// Images of the class.
    pub(crate) images: usize,
    #[serde(flatten)]
    pub(crate) figures: Figures,
}

/// An image that was given another class than its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Mistake {
    /// Its place in what is scored.
    pub(crate) index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    pub(crate) class: String,
    pub(crate) found: String,
    /// Of the class that was found.
    pub(crate) probability: f32,
}

impl Confusion {
    /// That of all images of a loader. It does not depend on the number of threads.
    ///
    /// # Errors
    /// If an image cannot be read, or a probability is none.
    pub(crate) fn of(
        classifier: &Classifier,
        params: &Params,
        loader: &Loader,
        classes: &Classes,
    ) -> Result<Self> {
        let count = classifier.model.config().classes;
        let mut matrix = vec![vec![0; count]; count];
        let mut wrong: Vec<(f32, usize, usize, usize)> = Vec::new();
        for batch in loader.epoch(0, 0) {
            let batch = batch?;
            let len = batch.labels.len();
            let part = |part: usize| {
                let first = part * PART;
                let images = batch.images.narrow(0, first, PART.min(len - first));
                classifier.probabilities(params, &images)
            };
            let parts = (0..len.div_ceil(PART)).into_par_iter().map(part);
            let parts = parts.collect::<Result<Vec<_>>>()?;
            let rows = parts.iter().flat_map(|part| {
                part.argmax(-1)
                    .into_iter()
                    .enumerate()
                    .map(|(i, found)| (found, part.get(&[i, found])))
            });
            for ((found, probability), (&label, &index)) in
                rows.zip(batch.labels.iter().zip(&batch.indices))
            {
                matrix[label][found] += 1;
                if label != found {
                    wrong.push((probability, index, label, found));
                }
            }
        }
        wrong.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        wrong.truncate(WORST);
        let mistake = |(probability, index, label, found)| Mistake {
            index,
            file: loader.images().file(index).map(|file: &Path| file.display().to_string()),
            class: classes.name(label),
            found: classes.name(found),
            probability,
        };
        let names: Vec<String> = (0..count).map(|class| classes.name(class)).collect();
        let worst = wrong.into_iter().map(mistake).collect();
        Ok(Self::with(names, matrix, worst))
    }

    fn with(classes: Vec<String>, matrix: Vec<Vec<usize>>, worst: Vec<Mistake>) -> Self {
        let share = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
        let per_class = |(i, class): (usize, &String)| {
            let (right, images) = (matrix[i][i], matrix[i].iter().sum());
            let given = matrix.iter().map(|row| row[i]).sum();
            let (precision, recall) = (share(right, given), share(right, images));
            let f1 = share(2 * right, given + images);
            let figures = Figures { precision, recall, f1 };
            PerClass { class: class.clone(), images, figures }
        };
        let per_class: Vec<PerClass> = classes.iter().enumerate().map(per_class).collect();
        let mean = |of: fn(&Figures) -> Option<f64>| {
            let known: Vec<f64> = per_class.iter().filter_map(|class| of(&class.figures)).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        let macro_average = Figures {
            precision: mean(|f| f.precision),
            recall: mean(|f| f.recall),
            f1: mean(|f| f.f1),
        };
        Self { classes, matrix, per_class, macro_average, worst }
    }

    /// Pairs of a class and what it was taken for, the most frequent ones first.
    pub(crate) fn pairs(&self) -> Vec<(usize, usize, usize)> {
        let rows = self.matrix.iter().enumerate();
        let pairs = rows.flat_map(|(i, row)| row.iter().enumerate().map(move |(j, &n)| (i, j, n)));
        let mut pairs: Vec<_> = pairs.filter(|&(i, j, count)| i != j && count > 0).collect();
        pairs.sort_by_key(|&(_, _, count)| std::cmp::Reverse(count));
        pairs
    }

    /// What people read, in 80 columns.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.classes.len() <= WIDE {
            let width =
                self.matrix.iter().flatten().max().map_or(1, |n| n.to_string().len()).max(2);
            let head: String = (0..self.classes.len()).map(|i| format!(" {i:>width$}")).collect();
            lines.push("images of a class (row) by what was found (column):".to_owned());
            lines.push(format!("{:20}{head}", ""));
            for (i, row) in self.matrix.iter().enumerate() {
                let cells: String = row.iter().map(|n| format!(" {n:>width$}")).collect();
                lines.push(format!("{i:2} {:17}{cells}", short(&self.classes[i], 16)));
            }
            lines.push(String::new());
        }
        let figure = |figure: Option<f64>| match figure {
            Some(figure) => format!("{figure:9.3}"),
            None => format!("{:>9}", "–"),
        };
        let row = |name: &str, Figures { precision, recall, f1 }: &Figures, images: &str| {
            let [p, r, f] = [precision, recall, f1].map(|f| figure(*f));
            format!("{:24} {p} {r} {f} {images:>8}", short(name, 24))
        };
        lines.push(format!("{:24} precision    recall        F1   images", "class"));
        let rows = self.per_class.iter();
        lines.extend(rows.map(|c| row(&c.class, &c.figures, &c.images.to_string())));
        let all: usize = self.per_class.iter().map(|class| class.images).sum();
        lines.push(row("mean of classes", &self.macro_average, &all.to_string()));
        let pairs = self.pairs();
        if !pairs.is_empty() && self.classes.len() > WIDE {
            lines.push(String::new());
            for (i, j, count) in pairs.into_iter().take(PAIRS) {
                let [class, found] = [i, j].map(|k| short(&self.classes[k], 24));
                lines.push(format!("{class} taken for {found}: {count} times"));
            }
        }
        if !self.worst.is_empty() {
            lines.push(String::new());
            lines.push("worst mistakes:".to_owned());
        }
        for Mistake { index, file, class, found, probability } in &self.worst {
            let what = file.as_ref().map_or(format!("image {index}"), |file| escaped(file));
            let [class, found] = [class, found].map(|name| short(name, 16));
            lines.push(format!(
                "  {class}, found as {found} ({:.0} %): {what}",
                100.0 * probability
            ));
        }
        lines
    }
}

/// A name of so many letters at most.
fn short(name: &str, most: usize) -> String {
    match name.chars().count() > most {
        true => name.chars().take(most - 1).chain(['…']).collect(),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_and_recall_are_those_of_the_definition_and_none_where_nothing_is() {
        let classes = ["a", "b", "never"].map(str::to_owned).to_vec();
        let confusion =
            Confusion::with(classes, vec![vec![3, 1, 0], vec![2, 4, 0], vec![0; 3]], vec![]);
        let of = |i: usize| confusion.per_class[i].figures;
        let figures = |p, r, f| Figures { precision: p, recall: r, f1: f };
        assert_eq!(of(0), figures(Some(0.6), Some(0.75), Some(6.0 / 9.0)));
        assert_eq!(of(1), figures(Some(0.8), Some(4.0 / 6.0), Some(8.0 / 11.0)));
        assert_eq!(of(2), Figures::default());
        assert_eq!(confusion.macro_average.precision, Some(0.7));
        assert_eq!(confusion.pairs(), [(1, 0, 2), (0, 1, 1)]);
        assert!(confusion.lines().iter().all(|line| line.chars().count() <= 80));
        assert!(
            confusion.lines().iter().any(|line| line.starts_with("never") && line.contains('–'))
        );
    }
}
