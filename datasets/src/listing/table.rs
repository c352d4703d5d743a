//! Tables of pictures and their labels: CSV and JSON Lines.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, Trim};
use serde_json::{Map, Value};

use super::Part;
use super::walk::entries;
use crate::{Error, text};

/// What the column of files may be called.
pub const FILE: [&str; 8] =
    ["file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_path"];
/// What the column of labels may be called.
pub const LABEL: [&str; 5] = ["label", "class", "category", "label_name", "class_name"];
/// What the column of parts may be called; it may be missing.
pub const SPLIT: [&str; 5] = ["split", "part", "set", "subset", "partition"];

/// The most bytes of a table.
const MAX_TABLE: u64 = 1 << 26;

/// A line.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    /// From the folder of the table.
    pub(super) file: PathBuf,
    pub(super) label: String,
    pub(super) part: Option<Part>,
}

/// Whether the name of a file ends as that of a table.
pub(super) fn is_named_so(path: &Path) -> bool {
    let known = ["csv", "tsv", "jsonl", "ndjson"];
    path.extension().is_some_and(|e| known.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["jsonl", "ndjson"].iter().any(|x| e.eq_ignore_ascii_case(x)))
}

/// The table of a folder: the only one in it that has a column for files and one for labels.
pub(super) fn find(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let is_one = |path: &PathBuf| is_named_so(path) && path.is_file() && has_columns(path);
    let mut tables = entries(folder)?.into_iter().filter(is_one);
    let first = tables.next();
    match (&first, tables.next()) {
        (Some(one), Some(other)) => {
            let found = format!("{} and {}; name one", text::name(one), text::name(&other));
            Err(Error::record(folder, "the table", "one file of labels", found))
        }
        _ => Ok(first),
    }
}

/// Whether the head of a table names a file and a label. What cannot be read has none.
fn has_columns(path: &Path) -> bool {
    let Ok(text) = text::read_within(path, MAX_TABLE) else { return false };
    let line = text.lines().next().unwrap_or_default();
    let columns: Vec<String> = match is_json(path) {
        true => match serde_json::from_str::<Map<String, Value>>(line) {
            Ok(fields) => fields.keys().cloned().collect(),
            Err(_) => return false,
        },
        false => line
            .split(delimiter(line))
            .map(|cell| cell.trim_matches(['"', ' ']).to_owned())
            .collect(),
    };
    place(&columns, &FILE).is_some() && place(&columns, &LABEL).is_some()
}

/// The place of a column that may have these names.
fn place(columns: &[String], names: &[&str]) -> Option<usize> {
    names
        .iter()
        .find_map(|name| columns.iter().position(|column| column.eq_ignore_ascii_case(name)))
}

/// What stands most often between the cells of a header.
fn delimiter(line: &str) -> char {
    let count = |c: &char| line.matches(*c).count();
    ['\t', ';', ','].into_iter().max_by_key(count).unwrap_or(',')
}

/// The lines of a table.
///
/// # Errors
///
/// A table without the columns or a cell in them, a part that is none, or a file with two labels.
pub(super) fn read(path: &Path) -> Result<Vec<Row>, Error> {
    let text = text::read_within(path, MAX_TABLE)?;
    let rows = if is_json(path) { json_rows(path, &text)? } else { csv_rows(path, &text)? };
    let mut seen: HashMap<&Path, (u64, &str)> = HashMap::new();
    for (line, row) in &rows {
        let (before, label) = *seen.entry(&row.file).or_insert((*line, &row.label));
        if label != row.label {
            let expected = format!("`{label}` for {}, as in line {before}", row.file.display());
            return Err(Error::record(path, format_args!("line {line}"), expected, &row.label));
        }
    }
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// What a header must have.
fn header() -> String {
    format!("a column for files ({}) and one for labels ({})", FILE.join(", "), LABEL.join(", "))
}

fn csv_rows(path: &Path, text: &str) -> Result<Vec<(u64, Row)>, Error> {
    let delimiter = delimiter(text.lines().next().unwrap_or_default());
    let mut reader = ReaderBuilder::new()
        .trim(Trim::All)
        .flexible(true)
        .delimiter(delimiter as u8)
        .from_reader(text.as_bytes());
    let broken = |error: csv::Error| {
        let line = error.position().map_or(0, csv::Position::line);
        Error::record(path, format_args!("line {line}"), "a row of CSV", error)
    };
    let columns: Vec<String> =
        reader.headers().map_err(broken)?.iter().map(str::to_owned).collect();
    let [file, label] = [&FILE[..], &LABEL].map(|names| place(&columns, names));
    let (Some(file), Some(label)) = (file, label) else {
        return Err(Error::record(path, "line 1", header(), columns.join(",")));
    };
    let part = place(&columns, &SPLIT);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |at: usize| record.get(at).map(str::to_owned);
        let part = part.and_then(cell);
        rows.push((line, row(path, line, cell(file), cell(label), part)?));
    }
    Ok(rows)
}

fn json_rows(path: &Path, text: &str) -> Result<Vec<(u64, Row)>, Error> {
    let mut rows = Vec::new();
    for (line, content) in text::lines(text) {
        let reason =
            |reason| Error::Json { path: path.to_owned(), expected: "an object a line", reason };
        let fields: Map<String, Value> = serde_json::from_str(content).map_err(reason)?;
        let names: Vec<String> = fields.keys().cloned().collect();
        let cell = |known: &[&str]| match fields.get(names.get(place(&names, known)?)?)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        };
        let line = line as u64;
        rows.push((line, row(path, line, cell(&FILE), cell(&LABEL), cell(&SPLIT))?));
    }
    Ok(rows)
}

/// A row of these cells.
fn row(
    path: &Path,
    line: u64,
    file: Option<String>,
    label: Option<String>,
    part: Option<String>,
) -> Result<Row, Error> {
    let wrong = |expected: &str, found: &str| {
        Error::record(path, format_args!("line {line}"), expected, found)
    };
    let cell = |cell: Option<String>, what| {
        cell.filter(|cell| !cell.is_empty()).ok_or_else(|| wrong(what, "nothing"))
    };
    let file = cell(file, "the name of a file")?;
    let label = cell(label, "a label")?;
    let part = part.filter(|part| !part.is_empty());
    let expected = "train, val or test as its part";
    let part = part.map(|part| Part::named(&part).ok_or_else(|| wrong(expected, &part)));
    Ok(Row { file: file.into(), label, part: part.transpose()? })
}
