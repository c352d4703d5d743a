//! Captions that a captioner writes, beside those that people wrote.

use anyhow::Result;

use super::data_uri;
use super::html::Html;
use super::model::{Extent, Model};
use crate::picture::in_colour;
use crate::source::Source;
use crate::task::Task;

/// Widgets of a screen at most, so that there are several screens.
const OF_A_SCREEN: usize = 2;

/// Writes a table of widgets that the run is scored on: what is seen of each, its caption, and its references.
pub(super) fn write(html: &mut Html, model: &Model, extent: &Extent<'_>) -> Result<()> {
    let (Task::Caption(captioner), Some(Source::Screens(loader))) = (&model.task, model.eval())
    else {
        return Ok(());
    };
    let mut rows: Vec<(String, String, Vec<String>)> = Vec::new();
    for batch in loader.epoch(0, 0) {
        if rows.len() >= extent.pictures {
            break;
        }
        let captions = captioner.caption(model.params(), &batch);
        let (mut screen, mut taken) = (usize::MAX, 0);
        for ((words, &(of, _)), &widget) in captions.iter().zip(&batch.widgets).zip(&batch.origins)
        {
            (screen, taken) = if of == screen { (screen, taken + 1) } else { (of, 1) };
            if taken > OF_A_SCREEN || rows.len() >= extent.pictures {
                continue;
            }
            let shown = &loader.screens().screens()[batch.indices[of]];
            let side = datasets::screens::SIDE;
            let seen = in_colour(shown.pixels(widget), [1, side, side]);
            let caption = loader.vocabulary().decode(words);
            rows.push((data_uri::png(&seen)?, caption, shown.widgets[widget].captions.clone()));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    html.element("table", &[("class", "stack captions")], |html| {
        html.leaf("caption", &[], "Widgets of screens that were not learnt from");
        html.element("thead", &[], |html| {
            html.element("tr", &[], |html| {
                let columns = ["widget", "caption", "references"];
                columns.iter().for_each(|name| html.leaf("th", &[("scope", "col")], name));
            });
        });
        html.element("tbody", &[], |html| {
            for (address, caption, references) in &rows {
                html.element("tr", &[], |html| {
                    html.element("td", &[("data-label", "widget")], |html| {
                        html.image(address, "what is seen of the widget");
                    });
                    html.leaf("td", &[("data-label", "caption")], caption);
                    html.leaf("td", &[("data-label", "references")], references.join(" · "));
                });
            }
        });
    });
    Ok(())
}
