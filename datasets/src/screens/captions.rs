//! The captions of widgets, `widget_captions.csv`.
//!
//! ```text
//! datasetId,screenId,nodeId,captions
//! rc,100003,0.0.0.0.2.0.1,close|dismiss
//! ```
//!
//! Source of the format: widget captioning (Li et al., EMNLP 2020), <https://github.com/google-research-datasets/widget-caption>.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{Repair, Repairs, caption_words};
use crate::{Error, text};

/// The columns, in this order.
const HEADER: [&str; 4] = ["datasetId", "screenId", "nodeId", "captions"];

/// The most captions of a node, and the most characters of its path: far more than any has.
const MOST: usize = 1000;

/// What captions say about one node.
#[derive(Debug, PartialEq)]
pub(super) struct Captioned {
    /// The line of the file, from 1.
    pub(super) line: u64,
    /// As written, words by single spaces.
    pub(super) captions: Vec<String>,
}

/// The nodes of one screen that have captions, by their paths.
pub(super) type OfScreen = BTreeMap<String, Captioned>;

/// The captions of the screens that are wanted.
pub(super) fn read(
    path: &Path,
    wanted: impl Fn(&str) -> bool,
    repairs: &mut Repairs,
) -> Result<HashMap<String, OfScreen>, Error> {
    let text = text::read(path)?;
    let mut reader =
        ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(text.as_bytes());
    let name = text::name(path);
    let header = reader.headers().map_err(|error| broken(path, &error))?;
    if header != HEADER.as_slice() {
        return Err(Error::record(path, "line 1", HEADER.join(","), joined(header)));
    }

    let mut screens: HashMap<String, OfScreen> = HashMap::new();
    let mut row = StringRecord::new();
    while reader.read_record(&mut row).map_err(|error| broken(path, &error))? {
        let line = row.position().map_or(0, csv::Position::line);
        let wrong = |expected: &str, found: &str| {
            Err(Error::record(path, format_args!("line {line}"), expected, found))
        };
        let cells: Vec<&str> = row.iter().collect();
        let Ok([set, screen, node, phrases]) = <[&str; 4]>::try_from(cells) else {
            return wrong("4 columns", &row.len().to_string());
        };
        match set {
            "rc" => {}
            "nr" => {
                repairs.add(Repair::Unpublished, format_args!("{name}: line {line}"));
                continue;
            }
            _ => return wrong("rc or nr as datasetId", set),
        }
        if !wanted(screen) {
            continue;
        }
        let Some(node) = node_path(node) else {
            return wrong("a nodeId such as 0.2.1", node);
        };
        let bounded = phrases.split('|').take(MOST + 1);
        let (captions, empty): (Vec<_>, Vec<_>) =
            bounded.map(single_spaced).partition(|caption| !caption_words(caption).is_empty());
        if captions.is_empty() {
            repairs.add(Repair::Wordless, format_args!("{name}: line {line}"));
            continue;
        }
        empty
            .iter()
            .for_each(|_| repairs.add(Repair::EmptyCaption, format_args!("{name}: line {line}")));
        let of_screen = screens.entry(screen.to_string()).or_default();
        let of_node = of_screen.entry(node).or_insert(Captioned { line, captions: Vec::new() });
        if !of_node.captions.is_empty() {
            repairs.add(Repair::SecondRow, format_args!("{name}: line {line}"));
        }
        of_node.captions.extend(captions);
        if of_node.captions.len() + empty.len() > MOST {
            return wrong("at most 1000 captions of a node", "more");
        }
    }
    Ok(screens)
}

/// The words of a phrase with one space between them.
fn single_spaced(phrase: &str) -> String {
    phrase.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The path of a node as nodes have it: 0 for the root, then the places of children, which count null ones.
fn node_path(written: &str) -> Option<String> {
    if written.len() > MOST {
        return None;
    }
    let places: Result<Vec<usize>, _> = written.split('.').map(str::parse).collect();
    let places = places.ok().filter(|places| places.first() == Some(&0))?;
    Some(places.iter().map(usize::to_string).collect::<Vec<_>>().join("."))
}

fn joined(row: &StringRecord) -> String {
    row.iter().collect::<Vec<_>>().join(",").chars().take(80).collect()
}

fn broken(path: &Path, error: &csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    Error::record(path, format_args!("line {line}"), "a row of comma-separated values", error)
}
