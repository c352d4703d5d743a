//! The frame of the page: its template, its style, its script, and the data that the script draws.

use anyhow::Result;

use super::curves::Chart;
use super::html::{Html, escape};
use super::model::Section;

/// What tells that a page is of this program.
pub(super) const MARK: &str = "<meta name=\"generator\" content=\"wavetape\">";
const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page: the template with everything in its places.
pub(crate) fn fill(title: &str, body: &Html, data: &str) -> String {
    let title = escape(title);
    let parts = [
        ("{{title}}", title.as_str()),
        ("{{style}}", STYLE),
        ("{{body}}", body.as_str()),
        ("{{data}}", data),
        ("{{script}}", SCRIPT),
    ];
    // From front to back, so that a place inside of what was filled in stays what it is.
    let (mut page, mut rest) = (String::new(), TEMPLATE);
    for (place, part) in parts {
        let (before, after) = rest.split_once(place).expect("the template has all places in order");
        page.extend([before, part]);
        rest = after;
    }
    page + rest
}

/// What the script draws, as JSON that cannot end the element that it stands in.
pub(crate) fn data(runs: &[&str], charts: &[Chart]) -> Result<String> {
    let data = serde_json::to_string(&serde_json::json!({ "runs": runs, "charts": charts }))?;
    Ok(data.replace('<', "\\u003c"))
}

/// The place of the curves, and their controls.
pub(crate) fn curves(html: &mut Html, is_any: bool) {
    html.leaf("h2", &[], "Curves");
    if !is_any {
        html.leaf("p", &[], "There are no metrics yet.");
        return;
    }
    html.element("noscript", &[], |html| html.leaf("p", &[], "Curves are drawn by a script."));
    html.element("form", &[("class", "controls"), ("id", "controls"), ("hidden", "")], |html| {
        choice(html, "scale", "Scale", &["linear", "log"]);
        choice(html, "axis", "Over", &["steps", "time"]);
        html.element("label", &[("class", "slider")], |html| {
            html.leaf("span", &[], "Smoothing");
            html.element("span", &[], |html| {
                html.input(&[
                    ("type", "range"),
                    ("name", "smoothing"),
                    ("min", "0"),
                    ("max", "0.99"),
                    ("step", "0.01"),
                    ("value", "0"),
                ]);
            });
            html.leaf("output", &[("id", "smoothed")], "0");
        });
        html.leaf("div", &[("id", "legend"), ("role", "group"), ("aria-label", "Runs")], "");
    });
    html.leaf("div", &[("id", "charts")], "");
}

fn choice(html: &mut Html, name: &str, legend: &str, values: &[&str]) {
    html.element("fieldset", &[], |html| {
        html.leaf("legend", &[], legend);
        for (i, &value) in values.iter().enumerate() {
            html.element("label", &[], |html| {
                let attributes =
                    [("type", "radio"), ("name", name), ("value", value), ("checked", "")];
                html.input(if i == 0 { &attributes } else { &attributes[..3] });
                html.leaf("span", &[], value);
            });
        }
    });
}

/// What a run's model does.
pub(super) fn sections(html: &mut Html, run: &str, sections: &[Section]) {
    if sections.is_empty() {
        return;
    }
    html.element("section", &[], |html| {
        html.leaf("h2", &[], run);
        for section in sections {
            html.leaf("h3", &[], section.title);
            html.part(&section.html);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_inside_of_what_is_filled_in_stay_as_they_are_and_data_end_no_element() {
        let mut body = Html::default();
        body.leaf("p", &[], "{{data}} {{title}}");
        let data = data(&["</script>"], &[]).expect("JSON");
        let page = fill("a <b>", &body, &data);
        assert!(page.contains("<title>a &lt;b&gt;") && page.contains("<p>{{data}} {{title}}</p>"));
        assert!(data.contains("\\u003c/script>") && !data.contains('<'));
    }
}
