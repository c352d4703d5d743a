//! Which class is taken for which.

use std::path::Path;

use anyhow::Result;
use datasets::Images;

use super::data_uri;
use super::html::Html;
use super::model::{Extent, Model};
use crate::confusion::{Confusion, Figures, Mistake, PerClass};
use crate::picture::in_colour;
use crate::source::Source;
use crate::task::Task;

/// Classes of which all pairs are shown, at most.
const MOST_CLASSES: usize = 24;
/// Mistakes in the list of the most frequent ones.
const MISTAKES: usize = 8;

/// Writes the confusion matrix of the images that the run is scored on, what each class is scored by, and the mistakes.
pub(super) fn write(html: &mut Html, model: &Model, extent: &Extent<'_>) -> Result<()> {
    let (Task::Classify(classifier), Some(Source::Images(loader))) = (&model.task, model.eval())
    else {
        return Ok(());
    };
    let confusion = Confusion::of(classifier, model.params(), loader, &model.classes)?;
    let all: usize = confusion.per_class.iter().map(|class| class.images).sum();
    let right: usize = (0..confusion.classes.len()).map(|i| confusion.matrix[i][i]).sum();
    html.leaf(
        "p",
        &[],
        format!("{right} of {all} images were given their class. Rows are the classes, columns what was found."),
    );
    if confusion.classes.len() <= MOST_CLASSES {
        matrix(html, &confusion.matrix, &confusion.classes);
    }
    figures(html, &confusion);
    mistakes(html, &confusion);
    worst(html, &confusion, loader.images(), extent.pictures)?;
    Ok(())
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

fn mistakes(html: &mut Html, confusion: &Confusion) {
    let pairs = confusion.pairs();
    if pairs.is_empty() {
        return;
    }
    html.leaf("h4", &[], "Most frequent mistakes");
    html.element("ol", &[], |html| {
        for (i, j, count) in pairs.into_iter().take(MISTAKES) {
            let all = confusion.per_class[i].images;
            let share = 100.0 * count as f64 / all as f64;
            let [is, found] = [i, j].map(|class| &confusion.classes[class]);
            html.leaf(
                "li",
                &[],
                format!("{is} taken for {found}: {count} of {all} ({share:.0} %)"),
            );
        }
    });
}

/// Precision, recall and F1 of each class.
fn figures(html: &mut Html, confusion: &Confusion) {
    let figure =
        |figure: Option<f64>| figure.map_or("–".to_owned(), |figure| format!("{figure:.3}"));
    let row = |name: &str, Figures { precision, recall, f1 }: &Figures, images: String| {
        vec![name.to_owned(), figure(*precision), figure(*recall), figure(*f1), images]
    };
    let of_class = |class: &PerClass| row(&class.class, &class.figures, class.images.to_string());
    let mut rows: Vec<Vec<String>> = confusion.per_class.iter().map(of_class).collect();
    rows.push(row("mean of classes", &confusion.macro_average, String::new()));
    let head = ["class", "precision", "recall", "F1", "images"].map(str::to_owned);
    html.table("What each class is scored by", &head, &rows);
}

/// The most probable mistakes, as pictures.
fn worst(html: &mut Html, confusion: &Confusion, images: &Images, most: usize) -> Result<()> {
    if confusion.worst.is_empty() {
        return Ok(());
    }
    html.leaf("h4", &[], "Worst mistakes");
    let mut shown = Vec::new();
    for Mistake { index, file, class, found, probability } in confusion.worst.iter().take(most) {
        let picture = in_colour(&images.image(*index)?, images.shape());
        let what = file.as_deref().map_or(format!("image {index}"), |file| {
            Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned()
        });
        let words = format!("{class}, found as {found} ({:.0} %)", 100.0 * probability);
        shown.push((data_uri::png(&picture)?, words, what));
    }
    html.element("div", &[("class", "pictures")], |html| {
        for (address, words, what) in &shown {
            html.element("figure", &[("class", "picture")], |html| {
                html.image(address, &format!("{what}: {words}"));
                html.leaf("figcaption", &[], format!("{words}: {what}"));
            });
        }
    });
    Ok(())
}
