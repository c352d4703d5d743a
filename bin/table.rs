//! Tables for people, in Markdown, and for programs, in CSV.

use anyhow::Result;
use models::statistics::Estimate;

/// What stands at a place of a table: words for people, and the parts of it that are columns of their own for programs.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) shown: String,
    parts: Vec<String>,
}

impl<S: Into<String>> From<S> for Entry {
    fn from(text: S) -> Self {
        let shown = text.into();
        Self { parts: vec![shown.clone()], shown }
    }
}

impl Entry {
    /// The head of a column whose entries have parts with names of their own.
    pub(crate) fn head(shown: &str, parts: [&str; 2]) -> Self {
        Self { shown: shown.to_owned(), parts: parts.map(str::to_owned).to_vec() }
    }

    /// The head of a column of estimates.
    pub(crate) fn estimated(name: &str) -> Self {
        Self::head(name, [name, &format!("{name}, standard error")])
    }

    /// A mean with its standard error, if there is one.
    pub(crate) fn estimate(estimate: &Estimate, digits: usize) -> Self {
        let mean = format!("{:.digits$}", estimate.mean);
        match estimate.standard_error.map(|error| format!("{error:.digits$}")) {
            Some(error) => Self { shown: format!("{mean} ± {error}"), parts: vec![mean, error] },
            None => mean.into(),
        }
    }

    /// From one number to another.
    pub(crate) fn interval(low: String, high: String) -> Self {
        Self { shown: format!("{low} to {high}"), parts: vec![low, high] }
    }
}

/// Rows of entries, the first of them the head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(pub(crate) Vec<Vec<Entry>>);

impl Table {
    /// A table that has a head and no rows yet.
    pub(crate) fn new<E: Into<Entry>>(head: impl IntoIterator<Item = E>) -> Self {
        Self(vec![head.into_iter().map(Into::into).collect()])
    }

    pub(crate) fn push(&mut self, row: Vec<Entry>) {
        self.0.push(row);
    }

    /// What people read, row by row.
    pub(crate) fn shown(&self) -> Vec<Vec<String>> {
        let shown = |row: &Vec<Entry>| row.iter().map(|entry| entry.shown.clone()).collect();
        self.0.iter().map(shown).collect()
    }

    /// As Markdown, columns aligned.
    pub(crate) fn markdown(&self) -> String {
        let rows = self.shown();
        let columns = rows.first().map_or(0, Vec::len);
        let width = |k: usize| rows.iter().map(|row| row[k].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &[String]| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!(" {cell:width$} |"));
            format!("|{}\n", cells.collect::<String>())
        };
        let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        let mut lines: Vec<String> = rows.iter().map(|row| line(row)).collect();
        if !lines.is_empty() {
            lines.insert(1, line(&rule));
        }
        lines.concat()
    }

    /// As CSV, each part in a column of its own.
    pub(crate) fn csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in &self.0 {
            let parts = row.iter().zip(&self.0[0]).flat_map(|(entry, head)| {
                let part = |k| entry.parts.get(k).map_or("", String::as_str);
                (0..head.parts.len()).map(part)
            });
            writer.write_record(parts)?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_one_column_where_programs_read_two() {
        let mut table = Table::new([
            "a, b".into(),
            Entry::estimated("top-1"),
            Entry::head("95 %", ["low", "high"]),
        ]);
        let estimate = Estimate { count: 2, mean: 0.5, standard_error: Some(0.0625) };
        let one = Estimate { count: 1, mean: 0.25, standard_error: None };
        let interval = Entry::interval("-1".to_owned(), "+2".to_owned());
        table.push(vec!["x".into(), Entry::estimate(&estimate, 4), interval]);
        table.push(vec!["\"y\"".into(), Entry::estimate(&one, 2), "—".into()]);
        let csv = "\"a, b\",top-1,\"top-1, standard error\",low,high\nx,0.5000,0.0625,-1,+2\n\"\"\"y\"\"\",0.25,,—,\n";
        assert_eq!(table.csv().expect("written"), csv);
        let lines = table.markdown();
        assert_eq!(lines.lines().nth(2), Some("| x    | 0.5000 ± 0.0625 | -1 to +2 |"));
    }
}
