//! Which class is taken for which.

use anyhow::Result;
use datasets::Loader;
use models::Vit;
use nn::{Context, Params};
use rayon::prelude::*;

use super::html::Html;
use super::model::{Extent, Model};
use crate::source::Source;
use crate::task::Task;

/// Classes of which all pairs are shown, at most.
const MOST_CLASSES: usize = 24;
/// Mistakes in the list of the most frequent ones.
const MISTAKES: usize = 8;
/// Images of a forward pass.
const PART: usize = 50;

/// Writes the confusion matrix of the images that the run is scored on, and the most frequent mistakes.
pub(super) fn write(html: &mut Html, model: &Model, _: &Extent<'_>) -> Result<()> {
    let (Task::Classify(classifier), Some(Source::Images(loader))) = (&model.task, model.eval())
    else {
        return Ok(());
    };
    let counts = count(&classifier.model, model.params(), loader)?;
    let names: Vec<String> = (0..counts.len()).map(|class| model.classes.name(class)).collect();
    let (all, right) = (sum(&counts), (0..counts.len()).map(|i| counts[i][i]).sum::<usize>());
    html.leaf(
        "p",
        &[],
        format!("{right} of {all} images were given their class. Rows are the classes, columns what was found."),
    );
    if counts.len() <= MOST_CLASSES {
        matrix(html, &counts, &names);
    }
    mistakes(html, &counts, &names);
    Ok(())
}

fn sum(counts: &[Vec<usize>]) -> usize {
    counts.iter().flatten().sum()
}

/// How often an image of the class of the row was given the class of the column. The result does not depend on the number of threads.
fn count(model: &Vit, params: &Params, loader: &Loader) -> Result<Vec<Vec<usize>>> {
    let classes = model.config().classes;
    let mut counts = vec![vec![0; classes]; classes];
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        let len = batch.labels.len();
        let part = |part: usize| {
            let start = part * PART;
            let images = batch.images.narrow(0, start, PART.min(len - start));
            model.forward(&Context::eval(params), &images).value().argmax(-1)
        };
        let found: Vec<_> = (0..len.div_ceil(PART)).into_par_iter().map(part).collect();
        for (&label, found) in batch.labels.iter().zip(found.into_iter().flatten()) {
            counts[label][found] += 1;
        }
    }
    Ok(counts)
}

fn matrix(html: &mut Html, counts: &[Vec<usize>], names: &[String]) {
    html.element("table", &[("class", "matrix")], |html| {
        html.leaf("caption", &[], "Images by class (rows) and by what was found (columns)");
        html.element("thead", &[], |html| {
            html.element("tr", &[], |html| {
                html.leaf("th", &[("scope", "col")], "class");
                for (i, name) in names.iter().enumerate() {
                    html.leaf("th", &[("scope", "col"), ("title", name), ("aria-label", name)], i);
                }
                html.leaf(
                    "th",
                    &[("scope", "col"), ("title", "share of the class that was found")],
                    "%",
                );
            });
        });
        html.element("tbody", &[], |html| {
            for (i, row) in counts.iter().enumerate() {
                let all = row.iter().sum::<usize>();
                html.element("tr", &[], |html| {
                    html.leaf("th", &[("scope", "row")], format!("{i} {}", names[i]));
                    for (j, &count) in row.iter().enumerate() {
                        let share = format!("--share:{:.3}", count as f64 / all.max(1) as f64);
                        let kind = if i == j { "right" } else { "wrong" };
                        let title =
                            format!("{}, found as {}: {count} of {all}", names[i], names[j]);
                        let attributes: [(&str, &str); 3] =
                            [("class", kind), ("style", &share), ("title", &title)];
                        let shown = if count > 0 { count.to_string() } else { String::new() };
                        html.leaf("td", &attributes, shown);
                    }
                    let share = 100.0 * row[i] as f64 / all.max(1) as f64;
                    html.leaf("td", &[], format!("{share:.0}"));
                });
            }
        });
    });
}

fn mistakes(html: &mut Html, counts: &[Vec<usize>], names: &[String]) {
    let pairs = counts.iter().enumerate().flat_map(|(i, row)| {
        row.iter()
            .enumerate()
            .filter(move |&(j, &count)| i != j && count > 0)
            .map(move |(j, &count)| (i, j, count))
    });
    let mut pairs: Vec<(usize, usize, usize)> = pairs.collect();
    pairs.sort_by_key(|&(_, _, count)| std::cmp::Reverse(count));
    if pairs.is_empty() {
        return;
    }
    html.leaf("h4", &[], "Most frequent mistakes");
    html.element("ol", &[], |html| {
        for &(i, j, count) in pairs.iter().take(MISTAKES) {
            let all = counts[i].iter().sum::<usize>();
            let share = 100.0 * count as f64 / all as f64;
            let words =
                format!("{} taken for {}: {count} of {all} ({share:.0} %)", names[i], names[j]);
            html.leaf("li", &[], words);
        }
    });
}
