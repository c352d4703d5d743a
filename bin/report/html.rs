//! HTML that is balanced and escaped by the way it is written.

use std::fmt::{Display, Write as _};

/// A part of a page.
#[derive(Debug, Default)]
pub(crate) struct Html(String);

impl Html {
    /// An element with what `inside` writes.
    pub(crate) fn element(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(name, attributes);
        inside(self);
        let _ = writeln!(self.0, "</{name}>");
    }

    /// An element with a text.
    pub(crate) fn leaf(&mut self, name: &str, attributes: &[(&str, &str)], text: impl Display) {
        self.open(name, attributes);
        let _ = writeln!(self.0, "{}</{name}>", escape(&text.to_string()));
    }

    /// A picture from a `data:` address, with what it shows in words.
    pub(crate) fn image(&mut self, address: &str, shows: &str) {
        self.open("img", &[("src", address), ("alt", shows), ("loading", "lazy")]);
        self.0.push('\n');
    }

    /// A control of a form.
    pub(crate) fn input(&mut self, attributes: &[(&str, &str)]) {
        self.open("input", attributes);
        self.0.push('\n');
    }

    /// A table with a head; on a narrow screen each row is a block, whose cells say which column they are of.
    pub(crate) fn table(&mut self, caption: &str, head: &[String], rows: &[Vec<String>]) {
        self.element("table", &[("class", "stack")], |html| {
            html.leaf("caption", &[], caption);
            html.element("thead", &[], |html| {
                html.element("tr", &[], |html| {
                    head.iter().for_each(|name| html.leaf("th", &[("scope", "col")], name));
                });
            });
            html.element("tbody", &[], |html| {
                for row in rows {
                    html.element("tr", &[], |html| {
                        for (i, (name, cell)) in head.iter().zip(row).enumerate() {
                            match i {
                                0 => html.leaf("th", &[("scope", "row")], cell),
                                _ => html.leaf("td", &[("data-label", name)], cell),
                            }
                        }
                    });
                }
            });
        });
    }

    /// A term and what belongs to it, inside of a `dl`.
    pub(crate) fn entry(&mut self, term: &str, value: impl Display) {
        self.element("div", &[], |html| {
            html.leaf("dt", &[], term);
            html.leaf("dd", &[], value);
        });
    }

    /// What was written elsewhere.
    pub(crate) fn part(&mut self, part: &Html) {
        self.0.push_str(&part.0);
    }

    /// The text of the page.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        let _ = write!(self.0, "<{name}");
        for (key, value) in attributes {
            let _ = write!(self.0, " {key}=\"{}\"", escape(value));
        }
        self.0.push('>');
    }
}

/// Text as it stands between tags or inside of a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_closed_and_texts_and_attributes_are_escaped() {
        let mut html = Html::default();
        html.element("p", &[("title", "\"a\" & 'b'")], |html| html.leaf("b", &[], "<script>"));
        let expected = "<p title=\"&quot;a&quot; &amp; &#39;b&#39;\"><b>&lt;script&gt;</b>\n</p>\n";
        assert_eq!(html.as_str(), expected);
    }
}
