//! Captions that a captioner writes, beside those that people wrote.

use anyhow::Result;

use super::data_uri;
use super::html::Html;
use super::model::{Extent, Model};
use crate::caption::{Shown, shown};
use crate::source::Source;
use crate::task::Task;

/// Writes a table of widgets that the run is scored on: what is seen of each, its caption, and its references.
pub(super) fn write(html: &mut Html, model: &Model, extent: &Extent<'_>) -> Result<()> {
    let (Task::Caption(captioner), Some(Source::Screens(loader))) = (&model.task, model.eval())
    else {
        return Ok(());
    };
    let rows = shown(captioner, model.params(), loader, extent.pictures)?;
    let rows = rows.into_iter().map(|shown| Ok((data_uri::png(&shown.seen)?, shown)));
    let rows = rows.collect::<Result<Vec<_>>>()?;
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
            for (address, Shown { caption, references, .. }) in &rows {
                html.element("tr", &[], |html| {
                    html.element("td", &[("data-label", "widget")], |html| {
                        html.image(address, "what is seen of the widget");
                    });
                    let caption = if caption.is_empty() { "—" } else { caption.as_str() };
                    html.leaf("td", &[("data-label", "caption")], caption);
                    html.leaf("td", &[("data-label", "references")], references.join(" · "));
                });
            }
        });
    });
    Ok(())
}
