//! Names of classes, and places of pictures, from the few forms of YAML in which they are given.

use std::path::{Path, PathBuf};

use crate::{Error, text};

/// `names` of a YAML file, in the three forms in which such files give them.
pub(super) fn read(path: &Path) -> Result<Vec<String>, Error> {
    let text = text::read(path)?;
    let mut lines = text.lines().enumerate();
    let Some((start, rest)) =
        lines.find_map(|(i, line)| Some((i + 1, without_comment(line).strip_prefix("names:")?)))
    else {
        return Err(Error::record(path, "the file", "names of classes", "no line `names:`"));
    };
    let wrong = |line: usize, found: &str| {
        let expected = "[a, b], lines `- a`, or lines `0: a` in order";
        let found: String = found.chars().take(80).collect();
        Err(Error::record(path, format_args!("line {line}"), expected, found))
    };

    let mut names = Vec::new();
    let rest = rest.trim();
    if rest.starts_with(['[', '{']) {
        // A list in brackets may go on over several lines.
        let mut inline = rest.to_string();
        while !inline.ends_with([']', '}']) {
            let Some((_, line)) = lines.next() else { return wrong(start, rest) };
            inline.push(' ');
            inline.push_str(without_comment(line).trim());
        }
        let numbered = inline.starts_with('{');
        let (open, close) = if numbered { ('{', '}') } else { ('[', ']') };
        let inner = inline.strip_prefix(open).and_then(|inner| inner.strip_suffix(close));
        let Some(inner) = inner else { return wrong(start, rest) };
        for item in split_items(inner) {
            let item = item.trim();
            match if numbered { numbered_item(item, names.len()) } else { Some(item) } {
                Some(name) => names.push(unquoted(name)),
                None => return wrong(start, item),
            }
        }
    } else if rest.is_empty() {
        for (i, line) in lines {
            let line = without_comment(line);
            let item = line.trim();
            if item.is_empty() {
                continue;
            }
            let dash = item.strip_prefix("- ");
            if dash.is_none() && !line.starts_with([' ', '\t']) {
                break; // the next key
            }
            match dash.or_else(|| numbered_item(item, names.len())) {
                Some(name) => names.push(unquoted(name)),
                None => return wrong(i + 1, item),
            }
        }
    } else {
        return wrong(start, rest);
    }
    text::check_classes(path, &names)?;
    Ok(names)
}

/// The folder of a part's pictures that a YAML file names, if it does: below its `path`, or below its own folder where `path` is
/// that of the machine on which it was written.
///
/// # Errors
/// A place outside of that folder, or several.
pub(super) fn place(path: &Path, part: &str) -> Result<Option<PathBuf>, Error> {
    let text = text::read(path)?;
    let value = |key: &str| {
        let found = text
            .lines()
            .find_map(|line| without_comment(line).strip_prefix(key)?.strip_prefix(':'));
        found.map(unquoted)
    };
    let Some(named) = value(part).filter(|named| !named.is_empty()) else { return Ok(None) };
    let wrong = || {
        let expected = "one folder below that of this file";
        Error::record(path, format_args!("`{part}`"), expected, &named)
    };
    let own = path.parent().unwrap_or(Path::new(""));
    // As Roboflow writes it, from a folder beside.
    let inner = named.strip_prefix("../").unwrap_or(&named);
    let below = |folder: &Path| text::inside(folder, inner).ok_or_else(wrong);
    let stated = value("path").filter(|stated| !stated.is_empty());
    let stated = stated.and_then(|stated| text::inside(own, &stated));
    match stated.map(|folder| below(&folder)).transpose()?.filter(|place| place.is_dir()) {
        Some(place) => Ok(Some(place)),
        None => below(own).map(Some),
    }
}

fn without_comment(line: &str) -> &str {
    match line.find(" #") {
        _ if line.starts_with('#') => "",
        Some(at) => &line[..at],
        None => line,
    }
    .trim_end()
}

/// `name` of `number: name`.
fn numbered_item(item: &str, number: usize) -> Option<&str> {
    let (found, name) = item.split_once(':')?;
    (found.trim().parse() == Ok(number)).then_some(name)
}

/// The parts between commas outside of quotes; a comma behind the last one adds none.
fn split_items(text: &str) -> Vec<&str> {
    let (mut items, mut start, mut quote) = (Vec::new(), 0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            // Within a word it is an apostrophe.
            (None, '\'' | '"') if begins(&text[..at]) => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            (None, ',') => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        items.push(&text[start..]);
    }
    items
}

/// Whether a name begins behind this text.
fn begins(before: &str) -> bool {
    let before = before.trim_end();
    before.is_empty() || before.ends_with([',', ':'])
}

fn unquoted(name: &str) -> String {
    let name = name.trim();
    let inner = |quote| name.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"')).unwrap_or(name).to_string()
}
